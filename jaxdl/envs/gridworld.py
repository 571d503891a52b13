"""A gridworld drawn in text: from S to the prize at G, round the walls # and the pits P.

The default is the 4x3 world of Russell and Norvig, "Artificial Intelligence" (1995), whose best
values are printed there.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.envs import environment

ROOMS = ("...G", ".#.P", "S...")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west: (row, column)


def make(
    rows: Sequence[str] = ROOMS, slip: float = 0.2, cost: float = 0.04, limit: int = 100
) -> environment.Environment:
    """Observed is the cell, one-hot in reading order; the actions are the MOVES.

    slip: how often a move goes to one of the sides instead, to each half as often. A wall, and the
    edge, leave one where one is. A step costs `cost`; G earns 1, P -1, and both end the episode.
    """
    cells = "".join(rows)
    if len({len(row) for row in rows}) != 1 or set(cells) - set(".#SGP") or "S" not in cells:
        raise errors.InputError(
            "A gridworld must be rows of one length, of the letters . # S G P, with an S, "
            f"got {rows}."
        )
    starts, after = np.flatnonzero([c == "S" for c in cells]), moves(rows)
    prizes = np.array([{"G": 1.0, "P": -1.0}.get(c, 0.0) for c in cells], np.float32)

    def reset(key: Any) -> Int[Array, ""]:
        return jax.random.choice(key, jnp.asarray(starts, jnp.int32))

    def step(
        cell: Int[Array, ""], action: Int[Array, ""], key: Any
    ) -> tuple[Int[Array, ""], Float[Array, ""], Bool[Array, ""]]:
        chance = jax.random.uniform(key)
        aside = jnp.where(chance < slip / 2, -1, jnp.where(chance < slip, 1, 0))
        cell = jnp.asarray(after)[cell, (action + aside) % 4]
        prize = jnp.asarray(prizes)[cell]
        return cell, prize - cost, prize != 0

    def observe(cell: Int[Array, ""]) -> Float[Array, "cells"]:
        return jax.nn.one_hot(cell, len(cells), dtype=jnp.float32)

    seen = environment.Box((len(cells),), 0.0, 1.0)
    return environment.Environment(reset, step, observe, seen, environment.Discrete(4), limit)


def moves(rows: Sequence[str]) -> Int[np.ndarray, "cells 4"]:
    """The cell that each move leads to from each cell."""
    height, width = len(rows), len(rows[0])
    after = np.arange(height * width, dtype=np.int32)[:, None].repeat(4, axis=1)
    for cell in range(height * width):
        for action, (down, right) in enumerate(MOVES):
            row, column = cell // width + down, cell % width + right
            if 0 <= row < height and 0 <= column < width and rows[row][column] != "#":
                after[cell, action] = row * width + column
    return after
