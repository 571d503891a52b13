"""Attributions as people look at them: over images, in the words of a text, as bars of a table's
columns, along a series. Red speaks for the score, blue against it; each example by its own largest.

TensorBoard's text tab lets no colour of HTML through, only Markdown; so a text is marked with
coloured squares there, and drawn in colour as a picture beside.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from jaxdl import errors, summary

_FOR, _AGAINST = np.array([214, 39, 40]), np.array([31, 119, 180])  # matplotlib's red and blue
_PAPER, _INK, _LINE = (255, 255, 255), (30, 30, 30), (150, 150, 150)
_STRONG, _SOME = 0.6, 0.25  # parts of the largest from which a word has a square, deep or light
_FONT, _ROW, _WIDE = 14, 22, 640  # pixels: of letters, of a line, of a picture
_MOST = 50  # bars in a picture
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
    strength = _scaled(heat.sum(-1))[..., None]
    colour = np.where(strength > 0, _FOR, _AGAINST) / 255
    part = np.abs(strength)
    # Half as bright beneath, so that a white pixel does not outshine a red one.
    return summary.Image(np.concatenate([shown, (1 - part) * grey / 2 + part * colour], axis=2))


def text(tokens: Sequence[Sequence[str]], heat: Any) -> summary.Text:
    """Texts, a line each, with a coloured square before the words that count, the strongest bold;
    heat (b, t or more): of each word, the rest of the row unread.
    """
    lines = [
        " ".join(_marked(word, value) for word, value in zip(words, row, strict=False))
        for words, row in zip(tokens, _scaled(np.asarray(heat, np.float32)), strict=True)
    ]
    return summary.Text("\n\n".join([LEGEND, *lines]))


def text_picture(tokens: Sequence[Sequence[str]], heat: Any) -> summary.Image:
    """The same texts with their words on colours."""
    font = ImageFont.load_default(_FONT)
    placed, x, y = [], 4, 3
    for words, row in zip(tokens, _scaled(np.asarray(heat, np.float32)), strict=True):
        for word, value in zip(words, row, strict=False):
            wide = int(font.getlength(word)) + 8
            if x + wide > _WIDE and x > 4:
                x, y = 4, y + _ROW
            placed.append((x, y, wide, word, value))
            x += wide + 2
        x, y = 4, y + _ROW + 8
    picture, draw = _sheet(_WIDE, y)
    for x, y, wide, word, value in placed:
        draw.rectangle((x, y, x + wide, y + _ROW - 4), fill=_tint(value))
        draw.text((x + 4, y + 1), word, fill=_INK, font=font)
    return summary.Image(np.asarray(picture))


def bars(names: Sequence[str], values: Any) -> summary.Image:
    """A bar for each name, to the right of the line in the middle where it speaks for the score; of
    more than 50 names those with the largest.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(names),) or not len(names):
        raise errors.InputError(
            f"Bars must be of a value for each of {len(names)} names, got {list(values.shape)}."
        )
    kept: list[int] = sorted(np.argsort(-np.abs(values), kind="stable")[:_MOST].tolist())
    names, values = [names[i] for i in kept], values[kept]
    font = ImageFont.load_default(_FONT)
    left = 8 + int(max(font.getlength(name) for name in names)) + 8
    reach = (_WIDE - left - 8) // 2
    middle = left + reach
    picture, draw = _sheet(_WIDE, len(names) * _ROW + 8)
    for i, (name, part) in enumerate(zip(names, _scaled(values[None])[0], strict=True)):
        top = 4 + i * _ROW
        draw.text((8, top + 2), name, fill=_INK, font=font)
        ends = sorted((middle, middle + round(float(part) * reach)))
        colour = tuple(map(int, _FOR if part > 0 else _AGAINST))
        draw.rectangle((ends[0], top + 3, ends[1], top + _ROW - 5), fill=colour)
    draw.line((middle, 0, middle, picture.height), fill=_LINE)
    return summary.Image(np.asarray(picture))


def series(values: Any, heat: Any) -> summary.Image:
    """Series (b, t, d), a picture each: a curve for every variable, over the heat of each step,
    summed over variables.
    """
    values, heat = np.asarray(values, np.float64), np.asarray(heat, np.float64)
    if values.ndim != 3 or heat.shape != values.shape:
        raise errors.InputError(
            "Pictures of series must be of values (b, t, d) and a heat of the same shape, "
            f"got {list(values.shape)} and {list(heat.shape)}."
        )
    tall = _WIDE // 4
    pictures = []
    for curves, row in zip(values, _scaled(heat.sum(-1)), strict=True):
        picture, draw = _sheet(_WIDE, tall)
        edges = np.linspace(0, _WIDE, len(curves) + 1)
        for i, value in enumerate(row):
            draw.rectangle((edges[i], 0, edges[i + 1], tall), fill=_tint(value))
        low, high = curves.min(), curves.max()
        y = tall - 8 - (curves - low) / max(high - low, 1e-12) * (tall - 16)
        for curve in y.T:
            points = list(zip((edges[:-1] + edges[1:]) / 2, curve, strict=True))
            draw.line(points, fill=_INK, width=2)
        pictures.append(np.asarray(picture))
    return summary.Image(np.stack(pictures))


def _scaled(heat: Float[np.ndarray, "b *shape"]) -> Float[np.ndarray, "b *shape"]:
    """Each example's values over the largest size among them; what is no number counts nothing."""
    heat = np.nan_to_num(heat, nan=0, posinf=0, neginf=0)
    largest = np.abs(heat).max(tuple(range(1, heat.ndim)), keepdims=True)
    return heat / np.where(largest > 0, largest, 1)


def _tint(value: Any) -> tuple[int, ...]:
    """White for 0, red for 1, blue for -1."""
    colour = _FOR if value > 0 else _AGAINST
    part = min(1.0, abs(float(value))) * 0.75  # ink stays readable on the deepest
    return tuple(round(float(c)) for c in 255 + part * (colour - 255))


def _sheet(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (width, height), _PAPER)
    return picture, ImageDraw.Draw(picture)


def _marked(word: str, value: Any) -> str:
    """A word in Markdown that shows it as it is, behind its square."""
    plain = re.sub(r"([\\`*_{}\[\]()#+\-.!|~])", r"\\\1", html.escape(word, quote=False)) or "␣"
    size = abs(value)
    if size < _SOME:
        return plain
    if size < _STRONG:
        return ("🟧" if value > 0 else "🟪") + plain
    return ("🟥" if value > 0 else "🟦") + f"**{plain}**"
