"""The restricted Boltzmann machine: visible and hidden units, wired only across, with an energy.

P. Smolensky, "Information processing in dynamical systems" (1986); G. Hinton, "A practical guide to
training restricted Boltzmann machines" (2010). Hidden units are 0 or 1. With the field
f(h) = b + W h on visible units, p(v, h) = exp(-E(v, h)) / Z where -E(v, h) is

    bernoulli   v f(h) + c h                  visible units are 0 or 1
    softmax     v f(h) + c h                  one of `choices` neighbours is 1 (Salakhutdinov 2007)
    gaussian    v W h + c h - |v - b|^2 / 2   visible units are numbers of unit variance

A softmax unit that was not seen is all zeros, and then has no part in the energy.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import limits

KINDS = ("bernoulli", "gaussian", "softmax")


class RBM(nn.Module):
    """The distributions of one machine; called, it gives the hidden units' probabilities.

    kind: of the visible units, "bernoulli", "gaussian" or "softmax".
    choices: of a softmax unit; they lie side by side, so that `visible` is a multiple.
    deviation: of the weights at first, which are normal; 0.01 is Hinton's advice (section 8).
    Parameters: kernel (visible, hidden), visible_bias and hidden_bias.
    """

    visible: int
    hidden: int
    kind: str = "bernoulli"
    choices: int = 1
    deviation: float = 0.01

    def __post_init__(self) -> None:
        limits.at_least(1, "RBM's visible units", self.visible)
        limits.at_least(1, "RBM's hidden units", self.hidden)
        if self.kind not in KINDS:
            raise errors.InputError(
                f"RBM's kind must be bernoulli, gaussian or softmax, got {self.kind!r}."
            )
        if self.kind == "softmax" and (self.choices < 2 or self.visible % self.choices):
            raise errors.InputError(
                f"RBM's choices must be at least 2 and divide its {self.visible} visible units, "
                f"got {self.choices}."
            )
        super().__post_init__()

    def setup(self) -> None:
        small = nn.initializers.normal(self.deviation)
        self.kernel = self.param("kernel", small, (self.visible, self.hidden))
        self.visible_bias = self.param("visible_bias", nn.initializers.zeros, (self.visible,))
        self.hidden_bias = self.param("hidden_bias", nn.initializers.zeros, (self.hidden,))

    def __call__(self, v: Float[Array, "b visible"]) -> Float[Array, "b hidden"]:
        return jax.nn.sigmoid(self._hidden_field(v))

    def free_energy(self, v: Float[Array, "b visible"]) -> Float[Array, "b"]:
        """F(v) = -log sum_h exp(-E(v, h)), so that p(v) = exp(-F(v)) / Z."""
        if self.kind == "gaussian":
            visible = jnp.square(v - self.visible_bias[None]).sum(1) / 2
        else:
            visible = -(v @ self.visible_bias)
        return visible - jax.nn.softplus(self._hidden_field(v)).sum(1)

    def hidden_free_energy(self, h: Float[Array, "b hidden"]) -> Float[Array, "b"]:
        """-log of the sum, or integral, over v of exp(-E(v, h))."""
        field = self._visible_field(h)
        if self.kind == "gaussian":
            square = jnp.square(field).sum(1) - jnp.square(self.visible_bias).sum()
            visible = square / 2 + self.visible * jnp.log(2 * jnp.pi) / 2
        elif self.kind == "softmax":
            visible = jax.nn.logsumexp(self._grouped(field), axis=2).sum(1)
        else:
            visible = jax.nn.softplus(field).sum(1)
        return -visible - h @ self.hidden_bias

    def visible_mean(self, h: Float[Array, "b hidden"]) -> Float[Array, "b visible"]:
        """The visible units' means given the hidden units, which may be probabilities."""
        field = self._visible_field(h)
        if self.kind == "gaussian":
            return field
        if self.kind == "softmax":
            return jax.nn.softmax(self._grouped(field), axis=2).reshape(field.shape)
        return jax.nn.sigmoid(field)

    def visible_sample(self, h: Float[Array, "b hidden"], key: Any) -> Float[Array, "b visible"]:
        """Visible units drawn given the hidden units."""
        field = self._visible_field(h)
        if self.kind == "gaussian":
            return field + jax.random.normal(key, field.shape, field.dtype)
        if self.kind == "softmax":
            chosen = jax.random.categorical(key, self._grouped(field), axis=2)
            return jax.nn.one_hot(chosen, self.choices, dtype=field.dtype).reshape(field.shape)
        return _toss(key, jax.nn.sigmoid(field))

    def hidden_sample(self, v: Float[Array, "b visible"], key: Any) -> Float[Array, "b hidden"]:
        """Hidden units drawn given the visible units."""
        return _toss(key, self(v))

    def gibbs(self, v: Float[Array, "b visible"], key: Any) -> Float[Array, "b visible"]:
        """A sweep of Gibbs sampling: the hidden units, and from them the visible units anew."""
        down, up = jax.random.split(key)
        return self.visible_sample(self.hidden_sample(v, up), down)

    def reconstruction(self, v: Float[Array, "b visible"]) -> Float[Array, "b visible"]:
        """The visible units' means given the hidden units' probabilities."""
        return self.visible_mean(self(v))

    def _hidden_field(self, v: Any) -> Any:
        return v @ self.kernel + self.hidden_bias[None]

    def _visible_field(self, h: Any) -> Any:
        return h @ self.kernel.T + self.visible_bias[None]

    def _grouped(self, field: Any) -> Any:
        return field.reshape(field.shape[0], -1, self.choices)


def call(model: RBM, params: Any, method: str, *inputs: Any) -> Any:
    """What a method of the machine with these parameters returns."""
    return model.apply({"params": params}, *inputs, method=method)


def _toss(key: Any, probability: Any) -> Any:
    return jax.random.bernoulli(key, probability).astype(probability.dtype)
