"""Learners of images, volumes and clips, and their experiments."""

from typing import Any

import catalogue

LEARNERS: dict[str, catalogue.Case] = {}

SMALL: dict[str, dict[str, Any]] = {
    "digits_augment": {"width": 8, "batch_size": 16},
}
