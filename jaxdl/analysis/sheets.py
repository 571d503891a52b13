"""Attributions drawn as sheets that can be shown by themselves, each under its legend: texts, bars
of a table's features, series. Red speaks for the output, blue against it.

A sheet is twice as wide as TensorBoard shows a picture at first, so that it is read at both sizes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxdl import errors, summary
from jaxdl.analysis import heat as heats

_PAPER, _INK, _FAINT = (255, 255, 255), (30, 30, 30), (110, 110, 110)
_WIDE, _FONT, _ROW, _EDGE = 704, 26, 40, 8  # pixels: of a sheet, of letters, of a line, of a margin
_TALL = 150  # pixels of a panel of curves
_BARS = 50  # the most on a sheet
# Of curves, the most that are told apart on red and blue; four are matplotlib's.
_CURVES = (_INK, (44, 160, 44), (148, 103, 189), (140, 86, 75), (188, 189, 34))
_LETTERS = ImageFont.load_default(_FONT)

Band = UInt8[np.ndarray, "h w 3"]


def texts(
    tokens: Sequence[Sequence[str]], heat: Any, captions: Sequence[str] = ()
) -> summary.Image:
    """Texts with their words on colours; heat (b, t or more): of each word, the rest of the row
    unread. captions: a line over each text.
    """
    rows = heats.scaled(np.asarray(heat, np.float32))
    bands = [_legend("each text by its largest")]
    for i, (words, row) in enumerate(zip(tokens, rows, strict=True)):
        bands += [_line(caption, _FAINT) for caption in captions[i : i + 1]]
        bands.append(_words(words, row))
    return summary.Image(np.concatenate(bands))


def bars(names: Sequence[str], values: Any, caption: str = "") -> summary.Image:
    """A bar and its value for each name, to the right of the line in the middle where it speaks for
    the output; of more than 50 names those with the largest. caption: a line under the legend.
    """
    values = np.asarray(values, np.float64)
    if values.shape != (len(names),) or not len(names):
        raise errors.InputError(
            f"Bars must be of a value for each of {len(names)} names, got {list(values.shape)}."
        )
    kept: list[int] = sorted(np.argsort(-np.abs(values), kind="stable")[:_BARS].tolist())
    labels = [_cut(names[i], _WIDE // 2) for i in kept]
    values = values[kept]
    numbers = [f"{value:.3g}" for value in values]
    left = 2 * _EDGE + _longest(labels)
    right = _WIDE - 2 * _EDGE - _longest(numbers)
    middle, reach = (left + right) // 2, (right - left) // 2
    picture, draw = _sheet(len(labels) * _ROW)
    for i, part in enumerate(heats.scaled(values[None])[0]):
        y = i * _ROW + _ROW // 2
        draw.text((_EDGE, y), labels[i], _INK, _LETTERS, "lm")
        draw.text((_WIDE - _EDGE, y), numbers[i], _INK, _LETTERS, "rm")
        ends = sorted((middle, middle + round(float(part) * reach)))
        draw.rectangle((ends[0], y - 13, ends[1], y + 13), fill=heats.colour(part))
    draw.line((middle, 0, middle, picture.height), _FAINT)
    said = [_line(caption, _FAINT)] if caption else []
    return summary.Image(np.concatenate([_legend(), *said, np.asarray(picture)]))


def series(
    values: Any, heat: Any, names: Sequence[str] = (), captions: Sequence[str] = ()
) -> summary.Image:
    """Series (b, t, d), a panel each under the one before: a curve for every variable, each in the
    range of its own values, over the heat of each step, summed over variables; of more than five
    the ones with the most heat. names: of the variables. captions: a line over each panel.
    """
    values, heat = np.asarray(values, np.float64), np.asarray(heat, np.float64)
    if values.ndim != 3 or heat.shape != values.shape:
        raise errors.InputError(
            "Pictures of series must be of values (b, t, d) and a heat of the same shape, "
            f"got {list(values.shape)} and {list(heat.shape)}."
        )
    most = np.argsort(-np.nan_to_num(np.abs(heat)).sum((0, 1)), kind="stable")[: len(_CURVES)]
    kept: list[int] = sorted(most.tolist())
    shown = values[..., kept]
    low, high = shown.min((0, 1)), shown.max((0, 1))
    bands = [_legend("each by its largest step")]
    for i, name, a, b in zip(range(len(kept)), (names[i] for i in kept), low, high, strict=True):
        span = f"{a:.3g} to {b:.3g}" if b > a else f"always {a:.3g}"
        bands.append(_line(f"{name}: {span}", _INK, _CURVES[i]))
    # A variable that does not move is drawn in the middle.
    parts = np.where(high > low, (shown - low) / np.where(high > low, high - low, 1), 0.5)
    for i, row in enumerate(heats.scaled(heat.sum(-1))):
        bands += [_line(caption, _FAINT) for caption in captions[i : i + 1]]
        bands += [_panel(parts[i], row), _steps(len(row))]
    return summary.Image(np.concatenate(bands))


def _words(words: Sequence[str], row: np.ndarray) -> Band:
    """As many lines as the words need."""
    placed, x, line = [], _EDGE, 0
    for word, value in zip(words, row, strict=False):
        shown = _cut(word, _WIDE - 4 * _EDGE)
        wide = _longest([shown]) + 12
        if x + wide > _WIDE - _EDGE and x > _EDGE:
            x, line = _EDGE, line + 1
        placed.append((x, line * _ROW, wide, shown, value))
        x += wide + 2
    picture, draw = _sheet((line + 1) * _ROW + _EDGE)
    for x, y, wide, word, value in placed:
        draw.rectangle((x, y + 1, x + wide, y + _ROW - 3), fill=heats.tint(value))
        draw.text((x + 6, y + _ROW // 2 - 1), word, _INK, _LETTERS, "lm")
    return np.asarray(picture)


def _panel(curves: np.ndarray, row: np.ndarray) -> Band:
    """Curves (t, d) from 0 to 1 over a row of heat (t,)."""
    picture, draw = _sheet(_TALL)
    edges = np.linspace(_EDGE, _WIDE - _EDGE, len(row) + 1)
    for i, value in enumerate(row):
        draw.rectangle((edges[i], 0, edges[i + 1], _TALL), fill=heats.tint(value))
    draw.rectangle((_EDGE, 0, _WIDE - _EDGE, _TALL - 1), outline=_FAINT, width=2)
    y = _TALL - 12 - curves * (_TALL - 24)
    for curve, ink in zip(y.T, _CURVES, strict=False):
        points = list(zip((edges[:-1] + edges[1:]) / 2, curve, strict=True))
        draw.line(points, ink, 3)
    return np.asarray(picture)


def _steps(count: int) -> Band:
    """The axis below a panel."""
    picture, draw = _sheet(_ROW + _EDGE)
    y = _ROW // 2
    draw.text((_EDGE, y), "0", _FAINT, _LETTERS, "lm")
    draw.text((_WIDE // 2, y), "step", _FAINT, _LETTERS, "mm")
    draw.text((_WIDE - _EDGE, y), str(count - 1), _FAINT, _LETTERS, "rm")
    return np.asarray(picture)


def _legend(note: str = "") -> Band:
    """What the colours say."""
    picture, draw = _sheet(_ROW + _EDGE)
    x, y = _EDGE, _ROW // 2
    for sign, said in ((1, "for the output"), (-1, "against it")):
        draw.rectangle((x, y - 11, x + 22, y + 11), fill=heats.colour(sign))
        draw.text((x + 30, y), said, _INK, _LETTERS, "lm")
        x += 30 + _longest([said]) + 20
    draw.text((_WIDE - _EDGE, y), note, _FAINT, _LETTERS, "rm")
    return np.asarray(picture)


def _line(said: str, ink: tuple[int, ...], stroke: tuple[int, ...] | None = None) -> Band:
    """A line of text, behind a stroke where it tells of a curve."""
    picture, draw = _sheet(_ROW)
    x = _EDGE
    if stroke is not None:
        draw.line((x, _ROW // 2, x + 40, _ROW // 2), stroke, 4)
        x += 52
    draw.text((x, _ROW // 2), _cut(said, _WIDE - x - _EDGE), ink, _LETTERS, "lm")
    return np.asarray(picture)


def _sheet(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("RGB", (_WIDE, height), _PAPER)
    return picture, ImageDraw.Draw(picture)


def _longest(words: Sequence[str]) -> int:
    return int(np.ceil(max(_LETTERS.getlength(word) for word in words)))


def _cut(word: str, wide: int) -> str:
    """A word, cut to this many pixels."""
    if _longest([word]) <= wide:
        return word
    while word and _longest([word + "…"]) > wide:
        word = word[:-1]
    return word + "…"
