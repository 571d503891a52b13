"""Learners of images, volumes and clips, and their experiments."""

from typing import Any

import catalogue

LEARNERS: dict[str, catalogue.Case] = {}

SMALL: dict[str, dict[str, Any]] = {
    "digits_augment": {"width": 8, "batch_size": 16},
    "shapes_unet": {"width": 4, "scales": 2, "batch_size": 4},
    "volumes_unet": {"width": 2, "scales": 2, "batch_size": 2},
}
