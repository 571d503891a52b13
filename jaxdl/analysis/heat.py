"""Attributions as colours: over images, and in the words of a text. Red speaks for the output, blue
against it; each example by its own largest. What is drawn under a legend is in sheets.py.

TensorBoard's text tab lets no colour of HTML through, only Markdown; so a text is marked with
coloured squares there, and drawn in colour as a sheet beside.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdl import errors, summary

_FOR, _AGAINST = np.array([214, 39, 40]), np.array([31, 119, 180])  # matplotlib's red and blue
_STRONG, _SOME = 0.6, 0.25  # parts of the largest from which a word has a square, deep or light
LEGEND = "🟥 🟧 for what it says, strongly and somewhat · 🟦 🟪 against it"


def overlay(images: Any, heat: Any) -> summary.Image:
    """Images (b, h, w, c) with values in [0, 1], and beside each the same in grey under the heat
    (b, h, w, c or 1), summed over its channels; other ranges are stretched over [0, 1].
    """
    images, heat = np.asarray(images, np.float32), np.asarray(heat, np.float32)
    if images.ndim != 4 or heat.shape[:3] != images.shape[:3] or heat.ndim != 4:
        raise errors.InputError(
            "An overlay must be of images (b, h, w, c) and a heat for their pixels, "
            f"got {list(images.shape)} and {list(heat.shape)}."
        )
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        images = (images - low) / max(high - low, 1e-12)
    grey = images.mean(-1, keepdims=True).repeat(3, -1)
    shown = images if images.shape[-1] == 3 else grey
    strength = scaled(heat.sum(-1))[..., None]
    hue = np.where(strength > 0, _FOR, _AGAINST) / 255
    part = np.abs(strength)
    # Half as bright beneath, so that a white pixel does not outshine a red one.
    return summary.Image(np.concatenate([shown, (1 - part) * grey / 2 + part * hue], axis=2))


def text(tokens: Sequence[Sequence[str]], heat: Any) -> summary.Text:
    """Texts, a line each, with a coloured square before the words that count, the strongest bold;
    heat (b, t or more): of each word, the rest of the row unread.
    """
    lines = [
        " ".join(_marked(word, value) for word, value in zip(words, row, strict=False))
        for words, row in zip(tokens, scaled(np.asarray(heat, np.float32)), strict=True)
    ]
    return summary.Text("\n\n".join([LEGEND, *lines]))


def scaled(heat: Float[np.ndarray, "b *shape"]) -> Float[np.ndarray, "b *shape"]:
    """Each example's values over the largest size among them; what is no number counts nothing."""
    heat = np.nan_to_num(heat, nan=0, posinf=0, neginf=0)
    largest = np.abs(heat).max(tuple(range(1, heat.ndim)), keepdims=True)
    return heat / np.where(largest > 0, largest, 1)


def colour(value: Any) -> tuple[int, ...]:
    """Red for what is positive, else blue."""
    return tuple(map(int, _FOR if value > 0 else _AGAINST))


def tint(value: Any) -> tuple[int, ...]:
    """White for 0, red for 1, blue for -1."""
    part = min(1.0, abs(float(value))) * 0.75  # ink stays readable on the deepest
    return tuple(round(255 + part * (c - 255)) for c in colour(value))


def _marked(word: str, value: Any) -> str:
    """A word in Markdown that shows it as it is, behind its square."""
    plain = re.sub(r"([\\`*_{}\[\]()#+\-.!|~])", r"\\\1", html.escape(word, quote=False)) or "␣"
    size = abs(value)
    if size < _SOME:
        return plain
    if size < _STRONG:
        return ("🟧" if value > 0 else "🟪") + plain
    return ("🟥" if value > 0 else "🟦") + f"**{plain}**"
