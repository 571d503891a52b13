"""Arrays of pixels as pictures for people: scaled, laid out as a grid, enlarged, as PNG."""

import io
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxdl import errors

_VISIBLE = 256  # pixels of the longer side up to which a picture is enlarged
_GAP = 128  # the grey of the lines between the pictures of a grid


def arrange(pixels: Any, name: str) -> UInt8[np.ndarray, "h w c"]:
    """One picture of bytes from (h, w), (h, w, c) or (n, h, w, c) with 1, 3 or 4 channels.

    Floats are clipped to [0, 1] and scaled, booleans are black and white, integers are clipped to
    [0, 255]; NaN is black. Pictures of a batch stand row by row in a grid with lines of one pixel
    between them. A small result is enlarged by a whole factor, so that its pixels stay square and
    sharp.
    """
    batch = tiles(pixels, name)
    grid = batch[0] if len(batch) == 1 else _grid(batch)
    factor = max(1, _VISIBLE // max(grid.shape[:2]))
    return grid.repeat(factor, axis=0).repeat(factor, axis=1)


def tiles(pixels: Any, name: str) -> UInt8[np.ndarray, "n h w c"]:
    """The pictures of a batch one by one, as bytes; shapes and values as for `arrange`."""
    return _bytes(_batch(np.asarray(pixels), name))


def png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    """The file of a grey, RGB or RGBA picture."""
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()


def _batch(pixels: np.ndarray, name: str) -> np.ndarray:
    shape = pixels.shape
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3, 4) or pixels.size == 0:
        raise errors.InputError(
            f"Image {name!r} must have shape (height, width), (height, width, channels) or "
            f"(n, height, width, channels) with 1, 3 or 4 channels, got {shape}. "
            "Grey images need pixels[..., None]."
        )
    return pixels


def _bytes(pixels: np.ndarray) -> UInt8[np.ndarray, "n h w c"]:
    if np.issubdtype(pixels.dtype, np.integer):
        return np.clip(pixels, 0, 255).astype(np.uint8)
    # Of bfloat16 and float8 NumPy does not know that they are floats, so everything else is one.
    unit = np.clip(np.nan_to_num(pixels.astype(np.float32), nan=0.0), 0.0, 1.0)
    return np.rint(unit * 255.0).astype(np.uint8)


def _grid(batch: UInt8[np.ndarray, "n h w c"]) -> UInt8[np.ndarray, "rows columns c"]:
    n, height, width, channels = batch.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    shape = (rows * (height + 1) - 1, columns * (width + 1) - 1, channels)
    grid = np.full(shape, _GAP, np.uint8)
    for index, image in enumerate(batch):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        grid[top : top + height, left : left + width] = image
    return grid
