"""How likely a Boltzmann machine finds data: log p(v) = -F(v) - log Z, with log Z by enumeration or
by annealed importance sampling (Neal 2001; Salakhutdinov and Murray, "On the quantitative analysis
of deep belief networks", 2008).
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.models import rbm
from jaxdl.nn import limits

MOST = 2**20  # states that are enumerated
_TOGETHER = 2**12  # of them at a time


class Estimate(NamedTuple):
    """log Z, and the standard deviation of the estimate by the spread of its chains."""

    value: Float[Array, ""]
    deviation: Float[Array, ""]


def exact(model: rbm.RBM, params: Any) -> Float[Array, ""]:
    """log Z by summing over all states of the hidden units or of the visible ones, whichever are
    fewer, and over the other side's in closed form.
    """
    hidden, visible = 2**model.hidden, _visible_states(model)
    if min(hidden, visible) > MOST:
        raise errors.InputError(
            f"log Z can be enumerated for at most {MOST:,} states of one side, got "
            f"{model.hidden} hidden units and {model.visible} visible ones. "
            "Estimate it with partition.annealed."
        )
    method = "hidden_free_energy" if hidden <= visible else "free_energy"

    def one(number: Any) -> Any:
        state = _bits(number, model.hidden) if hidden <= visible else _seen(number, model)
        return -rbm.call(model, params, method, state[None])[0]

    numbers = jnp.arange(min(hidden, visible), dtype=jnp.uint32)
    return jax.nn.logsumexp(jax.lax.map(one, numbers, batch_size=_TOGETHER))


def annealed(
    model: rbm.RBM,
    params: Any,
    key: Any,
    temperatures: int = 1000,
    chains: int = 100,
    visible_bias: Float[Array, "visible"] | None = None,
) -> Estimate:
    """log Z by annealing chains from a machine without weights, whose log Z is known.

    From it to the machine asked for the parameters go in so many equal steps. A chain's weight is
    the product of p_k(v) / p_{k-1}(v) without their Z, at v drawn by a Gibbs sweep of machine k-1;
    the mean of the weights is Z over the first machine's.
    visible_bias: of the first machine, best such that its means are the data's; None is 0.
    """
    limits.at_least(1, "Annealed importance sampling's temperatures", temperatures)
    limits.at_least(2, "Annealed importance sampling's chains", chains)
    first = jax.tree.map(jnp.zeros_like, params)
    if visible_bias is not None:
        first = first | {"visible_bias": visible_bias}

    def machine(k: Any) -> Any:
        way = k / temperatures
        return jax.tree.map(lambda x, y: (1 - way) * x + way * y, first, params)

    def anneal(carry: Any, k: Any) -> tuple[Any, None]:
        v, weight = carry
        before, after = (rbm.call(model, machine(at), "free_energy", v) for at in (k - 1, k))
        step_key = jax.random.fold_in(key, k)
        v = rbm.call(model, machine(k), "gibbs", v, step_key)
        return (v, weight + before - after), None

    silent = jnp.zeros((chains, model.hidden))
    start = rbm.call(model, first, "visible_sample", silent, jax.random.fold_in(key, 0))
    ladder = jnp.arange(1, temperatures + 1)
    (_, weights), _ = jax.lax.scan(anneal, (start, jnp.zeros(chains)), ladder)
    return _estimate(_silent(model, first), weights)


def _visible_states(model: rbm.RBM) -> float | int:
    """How many there are."""
    if model.kind == "gaussian":
        return math.inf
    if model.kind == "softmax":
        return model.choices ** (model.visible // model.choices)
    return 2**model.visible


def _seen(number: Any, model: rbm.RBM) -> Float[Array, "visible"]:
    """The visible units' state of this number."""
    if model.kind != "softmax":
        return _bits(number, model.visible)
    places = model.choices ** jnp.arange(model.visible // model.choices, dtype=jnp.uint32)
    return jax.nn.one_hot(number // places % model.choices, model.choices).reshape(-1)


def _bits(number: Any, count: int) -> Float[Array, "n"]:
    return (number >> jnp.arange(count, dtype=jnp.uint32) & 1).astype(jnp.float32)


def _silent(model: rbm.RBM, params: Any) -> Float[Array, ""]:
    """log Z of a machine without weights and hidden biases."""
    silent = jnp.zeros((1, model.hidden))
    free = rbm.call(model, params, "hidden_free_energy", silent)
    return model.hidden * jnp.log(2) - free[0]


def _estimate(first: Any, weights: Float[Array, "chains"]) -> Estimate:
    relative = jnp.exp(weights - weights.max())
    value = first + weights.max() + jnp.log(relative.mean())
    return Estimate(value, relative.std(ddof=1) / relative.mean() / jnp.sqrt(len(weights)))
