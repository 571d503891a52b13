"""What people look at in a self-organising map: pictures of its grid.

The U-matrix: A. Ultsch and H. Siemon, "Kohonen's self organizing feature maps for exploratory data
analysis" (1990). Component planes and hits: J. Vesanto, "SOM-based data visualization methods"
(1999). In a picture of a hexagonal grid odd rows stand half a unit to the right.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Shaped

from jaxdl import errors, summary
from jaxdl.learners import competitive

_EMPTY = 0.5  # the grey beside the shifted rows of a hexagonal grid


def distances(
    grid: competitive.Grid, codebook: Float[np.ndarray, "units d"]
) -> Float[np.ndarray, "units"]:
    """The U-matrix: each unit's mean distance to its neighbours in the space of the data."""
    near = grid.neighbours()
    apart = np.linalg.norm(codebook[:, None] - codebook[None], axis=-1)
    return (apart * near).sum(1) / near.sum(1)


def distance_picture(grid: competitive.Grid, state: competitive.State) -> summary.Image:
    """The U-matrix; bright ridges part groups of units that lie close together."""
    return summary.Image(_picture(grid, _scaled(distances(grid, np.asarray(state.codebook)))))


def hit_picture(grid: competitive.Grid, state: competitive.State, inputs: Any) -> summary.Image:
    """How many of the inputs each unit wins; black wins none."""
    counts = np.bincount(np.asarray(competitive.winners(state, inputs)), minlength=grid.units)
    return summary.Image(_picture(grid, counts / max(1, counts.max())))


def component_planes(grid: competitive.Grid, state: competitive.State) -> summary.Image:
    """A picture for each feature: its value at every unit, from its least to its largest."""
    planes = np.asarray(state.codebook).T
    return summary.Image(np.stack([_picture(grid, _scaled(plane)) for plane in planes]))


def codebook_picture(
    grid: competitive.Grid, state: competitive.State, height: int, width: int
) -> summary.Image:
    """The units' points as grey images with values in [0, 1], each where its unit stands."""
    codebook = np.asarray(state.codebook)
    if height * width != codebook.shape[1]:
        raise errors.InputError(
            f"Height times width must be the {codebook.shape[1]} features, got {height}x{width}."
        )
    return summary.Image(_picture(grid, codebook.reshape(-1, height, width)))


def _scaled(values: Float[np.ndarray, "units"]) -> Float[np.ndarray, "units"]:
    """From 0, the least, to 1, the largest."""
    span = np.ptp(values)
    return (values - values.min()) / (span if span > 0 else 1)


def _picture(
    grid: competitive.Grid, tiles: Shaped[np.ndarray, "units ..."]
) -> Float[np.ndarray, "h w 1"]:
    """Tiles, or single values, laid out as the units stand."""
    if tiles.ndim == 1:
        tiles = tiles[:, None, None].repeat(2, 1).repeat(2, 2)  # two pixels wide: half is one
    _, height, width = tiles.shape
    shift = width // 2 if grid.cells == "hexagonal" else 0
    out = np.full((grid.rows * height, grid.columns * width + shift, 1), _EMPTY, np.float32)
    for unit, tile in enumerate(tiles):
        row, column = divmod(unit, grid.columns)
        left = column * width + row % 2 * shift
        out[row * height : (row + 1) * height, left : left + width, 0] = tile
    return out
