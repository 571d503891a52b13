"""How likely a Boltzmann machine finds data: log p(v) = -F(v) - log Z, with log Z by enumeration or
by annealed importance sampling (Neal 2001; Salakhutdinov and Murray, "On the quantitative analysis
of deep belief networks", 2008).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.models import rbm
from jaxdl.nn import limits

MOST = 20  # hidden units whose states are enumerated


class Estimate(NamedTuple):
    """log Z, and the standard deviation of the estimate by the spread of its chains."""

    value: Float[Array, ""]
    deviation: Float[Array, ""]


def exact(model: rbm.RBM, params: Any) -> Float[Array, ""]:
    """log Z by summing over all states of the hidden units, of the visible ones in closed form."""
    if model.hidden > MOST:
        raise errors.InputError(
            f"log Z can be enumerated for at most {MOST} hidden units, got {model.hidden}. "
            "Estimate it with partition.annealed."
        )
    numbers = jnp.arange(2**model.hidden, dtype=jnp.uint32)
    states = (numbers[:, None] >> jnp.arange(model.hidden, dtype=jnp.uint32)[None]) & 1
    free = model.apply({"params": params}, states.astype(jnp.float32), method="hidden_free_energy")
    return jax.nn.logsumexp(-free)


def annealed(
    model: rbm.RBM, params: Any, key: Any, temperatures: int = 1000, chains: int = 100
) -> Estimate:
    """log Z by annealing chains from a machine without weights, whose log Z is known.

    Between them lie so many machines, with weights and hidden biases times 1/n, 2/n ... 1. Each
    chain's weight is the product of p_k(v) / p_{k-1}(v) without their Z, at v drawn by a Gibbs
    sweep of machine k - 1; the mean of the weights is Z over the first machine's.
    """
    limits.at_least(1, "Annealed importance sampling's temperatures", temperatures)
    limits.at_least(2, "Annealed importance sampling's chains", chains)

    def scaled(k: Any) -> Any:
        warmth = k / temperatures
        heated = {name: warmth * params[name] for name in ("kernel", "hidden_bias")}
        return {"params": params | heated}

    def anneal(carry: Any, k: Any) -> tuple[Any, None]:
        v, weight = carry
        before, after = (model.apply(scaled(at), v, method="free_energy") for at in (k - 1, k))
        step_key = jax.random.fold_in(key, k)
        v = model.apply(scaled(k), v, step_key, method="gibbs")
        return (v, weight + before - after), None

    silent = jnp.zeros((chains, model.hidden))
    start = model.apply(scaled(0), silent, jax.random.fold_in(key, 0), method="visible_sample")
    ladder = jnp.arange(1, temperatures + 1)
    (_, weights), _ = jax.lax.scan(anneal, (start, jnp.zeros(chains)), ladder)
    return _estimate(_first(model, params), weights)


def _first(model: rbm.RBM, params: Any) -> Float[Array, ""]:
    """log Z of the machine without weights and hidden biases."""
    silent = jnp.zeros((1, model.hidden))
    free = model.apply({"params": params}, silent, method="hidden_free_energy")
    return model.hidden * jnp.log(2) - free[0]


def _estimate(first: Any, weights: Float[Array, "chains"]) -> Estimate:
    relative = jnp.exp(weights - weights.max())
    value = first + weights.max() + jnp.log(relative.mean())
    return Estimate(value, relative.std(ddof=1) / relative.mean() / jnp.sqrt(len(weights)))
