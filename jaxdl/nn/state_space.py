"""The selective state space (Gu and Dao 2023, "Mamba", section 3): a linear recurrence whose decay
and inputs depend on the token.

For each channel and each of its states, with the step dt and the vectors B, C of a token,

    h_t = exp(dt_t a) h_{t-1} + dt_t B_t x_t,      y_t = C_t . h_t + skip x_t.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def scan(
    x: Float[Array, "b t c"],
    step: Float[Array, "b t c"],
    rate: Float[Array, "s c"],
    into: Float[Array, "b t s"],
    out: Float[Array, "b t s"],
    skip: Float[Array, "c"],
    state: Float[Array, "b s c"],
    chunk: int = 16,
    parallel: bool | None = None,
) -> tuple[Float[Array, "b t c"], Float[Array, "b s c"]]:
    """The outputs y and the state after the last token, begun from `state`; in float32.

    x, step (dt), rate (a, negative), into (B), out (C) as in the equation. Only the states between
    chunks of tokens are kept for the backward pass; those within are computed again, as in the
    paper's kernel (section 3.3.2). parallel: whether a chunk's tokens are taken all at once, by an
    associative scan; by default everywhere but on CPU, where one after the other takes a tenth of
    the time. Channels come last: with the states last it takes twice the time on CPU.
    """
    time = x.shape[1]
    chunk = min(chunk, time)
    count = -(-time // chunk)

    def cut(a: Array) -> Array:
        # A step of 0, that of the padding, leaves the state as it is.
        a = jnp.pad(a.astype(jnp.float32), ((0, 0), (0, count * chunk - time), (0, 0)))
        return a.reshape(a.shape[0], count, chunk, a.shape[2]).transpose(1, 2, 0, 3)

    if parallel is None:
        parallel = jax.default_backend() != "cpu"
    rate = rate.astype(jnp.float32)
    inner = jax.checkpoint(_together if parallel else _in_turn, prevent_cse=False)
    last, y = jax.lax.scan(
        lambda state, inputs: inner(rate, state, inputs),
        state.astype(jnp.float32),
        tuple(map(cut, (x, step, into, out))),
    )
    y = jnp.moveaxis(y.reshape(count * chunk, *y.shape[2:])[:time], 0, 1)
    return y + x.astype(jnp.float32) * skip[None, None], last


def _in_turn(rate: Array, state: Array, inputs: Any) -> tuple[Array, Array]:
    """A chunk's tokens one after the other."""

    def one(state: Array, token: Any) -> tuple[Array, Array]:
        x, step, into, out = token
        state = jnp.exp(step[:, None] * rate[None]) * state + (step * x)[:, None] * into[:, :, None]
        return state, (state * out[:, :, None]).sum(1)

    return jax.lax.scan(one, state, inputs)


def _together(rate: Array, state: Array, inputs: Any) -> tuple[Array, Array]:
    """A chunk's tokens at once."""
    x, step, into, out = inputs
    decay = jnp.exp(step[:, :, None] * rate[None, None])
    driven = (step * x)[:, :, None] * into[..., None]
    through, alone = jax.lax.associative_scan(_after, (decay, driven))
    states = through * state[None] + alone
    return states[-1], (states * out[..., None]).sum(2)


def _after(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
    """Two steps h -> decay h + driven as one."""
    return first[0] * second[0], first[1] * second[0] + second[1]
