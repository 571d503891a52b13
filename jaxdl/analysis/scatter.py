"""Points in the plane as a picture, coloured by their label, with the labels' names beside them."""

import colorsys
from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, Num, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxdl import errors

_SIDE, _EDGE, _DOT, _LETTERS = 480, 14, 4, 20  # pixels
_SMOOTH = 3  # drawn so much larger first
_NAMED = 20  # labels up to which a list of them fits beside the points
# P. Tol, "Colour schemes" (2021), "bright" and "vibrant", without the greys.
_COLOURS = (
    *((68, 119, 170), (238, 102, 119), (34, 136, 51), (204, 187, 68), (102, 204, 238)),
    *((170, 51, 119), (238, 119, 51), (0, 153, 136), (204, 51, 17), (51, 34, 136)),
)


def picture(
    points: Num[np.ndarray, "b 2"],
    labels: Integer[np.ndarray, "b"] | None = None,
    names: Sequence[str] = (),
) -> UInt8[np.ndarray, "h w 3"]:
    """The points, scaled to fill a square alike in both directions.

    labels: whole numbers from 0; names: theirs, else the numbers stand beside the colours.
    """
    known = np.isfinite(points).all(1)
    if not known.any():
        raise errors.InputError("A picture of points must have a finite one, got none.")
    kinds = np.zeros(len(points), int) if labels is None else labels
    points, kinds = points[known], np.asarray(kinds)[known]
    colours = palette(int(kinds.max()) + 1)
    span = max(float(np.ptp(points, axis=0).max()), 1e-12)
    middle = (points.max(0) + points.min(0))[None] / 2
    room = _SIDE - 2 * _EDGE
    places = _SMOOTH * (_SIDE / 2 + room * (points - middle) * np.array([[1, -1]]) / span)
    large = Image.new("RGB", (_SMOOTH * _SIDE, _SMOOTH * _SIDE), "white")
    draw = ImageDraw.Draw(large)
    for (x, y), kind in zip(places, kinds, strict=True):
        draw.circle((x, y), _SMOOTH * _DOT, fill=colours[kind])
    square = large.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    present = [int(kind) for kind in np.unique(kinds)]
    if labels is None or len(present) > _NAMED:
        return np.asarray(square)
    return np.asarray(
        _with_names(square, colours, {i: names[i] if i < len(names) else str(i) for i in present})
    )


def palette(count: int) -> list[tuple[int, int, int]]:
    """So many colours; more than ten go round the circle of hues."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    wheel = (colorsys.hsv_to_rgb(i / count, 0.75, 0.8) for i in range(count))
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in wheel]


def _with_names(
    square: Image.Image, colours: Sequence[tuple[int, int, int]], names: dict[int, str]
) -> Image.Image:
    font = ImageFont.load_default(_LETTERS)
    width = round(max(font.getlength(name) for name in names.values())) + 3 * _EDGE
    whole = Image.new("RGB", (_SIDE + width, _SIDE), "white")
    whole.paste(square, (0, 0))
    draw = ImageDraw.Draw(whole)
    for row, (kind, name) in enumerate(names.items()):
        y = (row + 0.5) * _SIDE / max(len(names), _SIDE // (2 * _EDGE))
        draw.circle((_SIDE + _EDGE // 2, y), 7, fill=colours[kind])
        draw.text((_SIDE + 2 * _EDGE, y), name, "black", font, "lm")
    return whole
