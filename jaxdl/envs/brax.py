"""Bodies with joints and motors, from the physics library brax (Freeman et al. 2021).

The user installs it (pip install brax): MuJoCo's tasks, in brax's own physics or in MuJoCo's (mjx).
Its authors extend it no longer, and it says so in a warning; version 0.14.2 runs with JAX 0.10.2.
"""

import contextlib
import warnings
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxdl import errors
from jaxdl.envs import environment


def make(name: str, backend: str = "spring", limit: int = 1000) -> environment.Environment:
    """The task of this name in brax: "inverted_double_pendulum", "reacher", "ant", "walker2d", …

    backend: its physics: "spring" and "positional" are fast, "generalized" and "mjx" exact.
    Actions are in [-1, 1]. errors.MissingError: brax is not installed.
    """
    load = _tolerated()(_library().get_environment)
    # brax reads its bodies into arrays. A sweep may ask for them while it traces, and on a mesh;
    # in a thread of their own there is neither.
    with futures.ThreadPoolExecutor(1) as thread:
        made = thread.submit(load, name, backend=backend).result()
    reset, move = _tolerated()(made.reset), _tolerated()(made.step)
    first = jax.eval_shape(reset, jax.random.key(0))

    def step(
        state: Any, action: Float[Array, "a"], key: Any
    ) -> tuple[Any, Float[Array, ""], Bool[Array, ""]]:
        state = move(state, action)
        return state, state.reward, state.done > 0

    def observe(state: Any) -> Float[Array, "d"]:
        return state.obs.astype(jnp.float32)

    seen = environment.Box(first.obs.shape)
    moved = environment.Box((made.action_size,), -1.0, 1.0)
    return environment.Environment(reset, step, observe, seen, moved, limit)


@contextlib.contextmanager
def _tolerated() -> Iterator[None]:
    """What a user can do nothing about: brax warns, and adds arrays of different ranks."""
    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        yield


def _library() -> Any:
    return errors.needed("This environment", "brax.envs")
