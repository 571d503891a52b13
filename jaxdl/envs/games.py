"""Games of two players who move in turn and see everything, as pure functions of a position."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Position = Any  # any pytree of arrays


class Game(NamedTuple):
    """The rules; every function is of one position and is batched by `jax.vmap`.

    actions: how many moves there are, legal or not; a move is an integer in [0, actions).
    longest: the most moves in a game.
    start: () -> the first position.
    move: (position, action) -> the position after a legal move.
    legal: position -> booleans of shape (actions,): what the player to move may do.
    ended: position -> whether the game is over.
    worth: position -> what a game that is over is worth to the player to move: 1, 0 or -1.
    observe: position -> floats, what a network is given: the board as the player to move sees it.
    """

    actions: int
    longest: int
    start: Callable[[], Position]
    move: Callable[[Position, Any], Position]
    legal: Callable[[Position], Any]
    ended: Callable[[Position], Any]
    worth: Callable[[Position], Any]
    observe: Callable[[Position], Any]


def random_moves(legal: Bool[Array, "b a"], key: Any) -> Int[Array, " b"]:
    """A legal move for each row, all equally likely."""
    return jnp.argmax(jnp.where(legal, jax.random.uniform(key, legal.shape), -1.0), -1)


def where(chosen: Bool[Array, " b"], yes: Any, no: Any) -> Any:
    """The rows of one tree of arrays or of the other."""
    return jax.tree.map(
        lambda x, y: jnp.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y), yes, no
    )


def starts(game: Game, count: int) -> Position:
    """The first position, so many times."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), game.start())


def openings(game: Game, key: Any, count: int, most: int, share: Any) -> Position:
    """Positions to begin at: a share of them after 1 to `most` random moves, the others the first.

    A random move that would end the game is not made.
    """
    share_key, length_key, move_key = jax.random.split(key, 3)
    lengths = jax.random.randint(length_key, (count,), 1, most + 1)
    lengths = jnp.where(jax.random.uniform(share_key, (count,)) < share, lengths, 0)

    def one(i: Any, positions: Position) -> Position:
        legal = jax.vmap(game.legal)(positions)
        actions = random_moves(legal, jax.random.fold_in(move_key, i))
        after = jax.vmap(game.move)(positions, actions)
        return where((i < lengths) & ~jax.vmap(game.ended)(after), after, positions)

    return jax.lax.fori_loop(0, most, one, starts(game, count))


def playouts(game: Game, positions: Position, key: Any) -> Float[Array, " b"]:
    """What random moves to the end of the game bring the player to move: 1, 0 or -1."""

    def going(carry: tuple[Any, Position, Any]) -> Any:
        i, positions, _ = carry
        return (i < game.longest) & ~jax.vmap(game.ended)(positions).all()

    def one(carry: tuple[Any, Position, Any]) -> tuple[Any, Position, Any]:
        i, positions, sign = carry
        ended = jax.vmap(game.ended)(positions)
        actions = random_moves(jax.vmap(game.legal)(positions), jax.random.fold_in(key, i))
        after = jax.vmap(game.move)(positions, actions)
        return i + 1, where(ended, positions, after), jnp.where(ended, sign, -sign)

    count = len(jax.tree.leaves(positions)[0])
    start = jnp.int32(0), positions, jnp.ones(count)
    _, positions, sign = jax.lax.while_loop(going, one, start)
    return sign * jax.vmap(game.worth)(positions)
