"""A confusion matrix as a picture: rows are what it was, columns what it was taken for."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxdl import errors, summary

_WRITTEN = 20  # classes up to which the counts fit into the cells
_CELL, _FINE = 40, 600  # pixels of a cell with a count in it; of the whole without
_EDGE, _LETTERS = 26, 13  # pixels of a margin and of the letters
_DARK = (8, 60, 130)  # of a cell that holds all of its row


def picture(confusion: summary.Confusion, name: str) -> UInt8[np.ndarray, "h w 3"]:
    """A cell is as dark as its share of its row; few classes have the counts written into it."""
    matrix = np.asarray(confusion.matrix, np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise errors.InputError(
            f"Confusion {name!r} must have a matrix (classes, classes), got {matrix.shape}."
        )
    k = len(matrix)
    if len(confusion.classes) not in (0, k):
        raise errors.InputError(
            f"Confusion {name!r} must have {k} names of classes or none, "
            f"got {len(confusion.classes)}."
        )
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    colours = 255 + (np.array(_DARK) - 255)[None, None] * share[..., None]
    side = _CELL if k <= _WRITTEN else max(1, _FINE // k)
    cells = np.rint(colours).astype(np.uint8).repeat(side, axis=0).repeat(side, axis=1)
    if k > _WRITTEN:
        return cells
    return _labelled(cells, matrix, share, [str(c) for c in confusion.classes or range(k)])


def _labelled(
    cells: np.ndarray, matrix: np.ndarray, share: np.ndarray, classes: list[str]
) -> UInt8[np.ndarray, "h w 3"]:
    """With the counts, the classes' names on two sides, and what the sides are."""
    font = ImageFont.load_default(_LETTERS)
    longest = max(font.getlength(label) for label in classes)
    left, top = round(longest) + 2 * _EDGE, 2 * _EDGE
    paper = Image.new("RGB", (left + len(cells) + _EDGE, top + len(cells) + _EDGE), "white")
    paper.paste(Image.fromarray(cells), (left, top))
    draw = ImageDraw.Draw(paper)
    for i, label in enumerate(classes):
        middle = (i + 0.5) * _CELL
        draw.text((left - 6, top + middle), label, "black", font, "rm")
        draw.text((left + middle, top - 6), label[: _CELL // 7], "black", font, "ms")
        for j in np.flatnonzero(matrix[i]):
            ink = "white" if share[i, j] > 0.5 else "black"
            place = (left + (j + 0.5) * _CELL, top + middle)
            draw.text(place, _count(matrix[i, j]), ink, font, "mm")
    frame = (left - 1, top - 1, left + len(cells), top + len(cells))
    draw.rectangle(frame, outline="grey")
    draw.text((left + len(cells) / 2, 6), "taken for", "grey", font, "ma")
    side = Image.new("RGB", (len(cells), _EDGE - 6), "white")
    ImageDraw.Draw(side).text((len(cells) / 2, 2), "was", "grey", font, "ma")
    paper.paste(side.rotate(90, expand=True), (4, top))
    return np.asarray(paper)


def _count(number: float) -> str:
    for unit, name in ((1e6, "M"), (1e4, "k")):
        if number >= unit:
            return f"{number / (1e6 if name == 'M' else 1e3):.0f}{name}"
    return f"{number:g}"
