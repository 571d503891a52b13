"""The distributions that policies draw actions from, as pytrees a model can return.

All but `Categorical` are over vectors: the last axis is theirs, and its numbers are independent.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Leaf = Any  # an array, or whatever a JAX transformation puts in its place
LOG_ROOT_TAU = 0.9189385332046727  # log √(2π)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Categorical:
    """Of a classes, softmax(logits); `logits` is (*b, a), and may be -inf."""

    logits: Leaf

    def sample(self, key: Any) -> Int[Array, "*b"]:
        """One class each."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def mode(self) -> Int[Array, "*b"]:
        """The likeliest."""
        return jnp.argmax(self.logits, -1).astype(jnp.int32)

    def log_prob(self, x: Int[Array, "*b"]) -> Float[Array, "*b"]:
        """The log of the probability of a class."""
        chosen = jax.nn.one_hot(x, self.logits.shape[-1], dtype=bool)
        # A mask, not a look-up, whose gradient would be a scatter.
        return jnp.where(chosen, jax.nn.log_softmax(self.logits), 0).sum(-1)

    def entropy(self) -> Float[Array, "*b"]:
        """In nats."""
        return _expected(self.logits, self.logits, -1.0)

    def divergence(self, other: "Categorical") -> Float[Array, "*b"]:
        """KL(self ‖ other) in nats."""
        return _expected(self.logits, self.logits) - _expected(self.logits, other.logits)


def _expected(logits: Array, of: Array, sign: float = 1.0) -> Array:
    """The mean of log softmax(of) under softmax(logits); what never comes counts nothing."""
    likely = jax.nn.softmax(logits)
    logs = jnp.where(likely > 0, jax.nn.log_softmax(of), 0)  # else 0 · -inf, also in the gradient
    return sign * (likely * logs).sum(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normal:
    """Independent normal numbers; `mean` and `scale` are (*b, a), the scale positive."""

    mean: Leaf
    scale: Leaf

    def sample(self, key: Any) -> Float[Array, "*b a"]:
        """One vector each; its gradient flows to mean and scale."""
        return self.mean + self.scale * jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def mode(self) -> Float[Array, "*b a"]:
        """The likeliest."""
        return self.mean

    def log_prob(self, x: Float[Array, "*b a"]) -> Float[Array, "*b"]:
        """The log of the density of a vector."""
        z = (x - self.mean) / self.scale
        return (-(z**2) / 2 - jnp.log(self.scale) - LOG_ROOT_TAU).sum(-1)

    def entropy(self) -> Float[Array, "*b"]:
        """In nats."""
        return (0.5 + LOG_ROOT_TAU + jnp.log(self.scale)).sum(-1)

    def divergence(self, other: "Normal") -> Float[Array, "*b"]:
        """KL(self ‖ other) in nats."""
        wide = self.scale**2 + (self.mean - other.mean) ** 2
        return (jnp.log(other.scale / self.scale) + wide / (2 * other.scale**2) - 0.5).sum(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TanhNormal:
    """tanh of independent normal numbers, in (-1, 1); `mean` and `scale` are the normal's."""

    mean: Leaf
    scale: Leaf

    def sample(self, key: Any) -> Float[Array, "*b a"]:
        """One vector each; its gradient flows to mean and scale."""
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Any) -> tuple[Float[Array, "*b a"], Float[Array, "*b"]]:
        """A vector, and its log density from before the tanh, which loses digits near ±1."""
        x = self._normal().sample(key)
        return jnp.tanh(x), self._log_density(x)

    def mode(self) -> Float[Array, "*b a"]:
        """tanh of the mean: the median, where there is no name for the likeliest."""
        return jnp.tanh(self.mean)

    def log_prob(self, x: Float[Array, "*b a"]) -> Float[Array, "*b"]:
        """The log of the density of a vector; ±1 counts as the last number before it."""
        edge = 1 - jnp.finfo(x.dtype).epsneg
        return self._log_density(jnp.arctanh(jnp.clip(x, -edge, edge)))

    def _log_density(self, before: Array) -> Array:
        # log(1 - tanh²x) = 2 (log 2 - x - softplus(-2x)), without the difference
        slope = 2 * (jnp.log(2.0) - before - jax.nn.softplus(-2 * before))
        return self._normal().log_prob(before) - slope.sum(-1)

    def _normal(self) -> Normal:
        return Normal(self.mean, self.scale)
