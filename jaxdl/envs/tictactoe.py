"""Tic-tac-toe: three in a row, column or diagonal of a 3×3 board win."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxdl.envs import games

# The eight lines as booleans of shape (8, 9); cells are numbered row by row.
LINES = np.zeros((8, 9), bool)
for _row, _cells in enumerate(("012", "345", "678", "036", "147", "258", "048", "246")):
    LINES[_row, [int(cell) for cell in _cells]] = True


class Position(NamedTuple):
    """Whose stones lie where; the player to move is "me"."""

    mine: Bool[Array, "9"]
    theirs: Bool[Array, "9"]


def _start() -> Position:
    return Position(jnp.zeros(9, bool), jnp.zeros(9, bool))


def _move(position: Position, action: Any) -> Position:
    return Position(position.theirs, position.mine.at[action].set(True))


def _legal(position: Position) -> Bool[Array, "9"]:
    return ~(position.mine | position.theirs)


def _lost(position: Position) -> Bool[Array, ""]:
    """Whether whoever moved last has a line."""
    return (position.theirs[None] | ~LINES).all(1).any()


def _ended(position: Position) -> Bool[Array, ""]:
    return _lost(position) | ~_legal(position).any()


def _worth(position: Position) -> Float[Array, ""]:
    return -_lost(position).astype(jnp.float32)


def _observe(position: Position) -> Float[Array, "3 3 2"]:
    return jnp.stack(position, -1).reshape(3, 3, 2).astype(jnp.float32)


GAME = games.Game(
    actions=9,
    longest=9,
    start=_start,
    move=_move,
    legal=_legal,
    ended=_ended,
    worth=_worth,
    observe=_observe,
)
