"""Board games from pgx (Koyama et al. 2023), user-installed: the extra `rl`.

https://github.com/sotetsuk/pgx
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxdl import errors
from jaxdl.envs import games


def connect_four() -> games.Game:
    """Connect Four: four in a line, stones fall to the bottom of seven columns of six."""
    return load("connect_four", longest=42)


# Cached: a sweep builds the game again while it traces its members over the devices, where JAX
# 0.10 can compute nothing at once.
@functools.cache
def load(name: str, longest: int) -> games.Game:
    """A game of two players, without chance and without hidden cards, by pgx's name for it.

    longest: the most moves in a game, which pgx does not tell.
    """
    # pgx makes arrays as it is imported, and a sweep traces the experiment first.
    with jax.ensure_compile_time_eval():
        env = _made(name)
        first = env.init(jax.random.key(0))

    def start() -> Any:
        return first

    return games.Game(
        actions=first.legal_action_mask.shape[0],
        longest=longest,
        start=start,
        move=env.step,
        legal=lambda position: position.legal_action_mask,
        ended=lambda position: position.terminated | position.truncated,
        worth=lambda position: position.rewards[position.current_player],
        observe=lambda position: position.observation.astype(jnp.float32),
    )


def _made(name: str) -> Any:
    return errors.needed(f"The game {name}", "pgx").make(name)
