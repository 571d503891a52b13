"""Two perceptrons, one to act and one to judge (Barto, Sutton and Anderson 1983).

With the widths and the orthogonal beginnings that Schulman et al. (2017) took for proximal policy
optimisation; Engstrom et al. (2020) and Andrychowicz et al. (2021) found that those matter.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import dense, distributions, initializers, limits


class ActorCritic(nn.Module):
    """Observations (b, ...) to a distribution of actions, and the value (b,) of each.

    actions: how many there are to choose from; of continuous ones, how many numbers one has.
    continuous: actions are normal about the actor's output, with a spread that does not depend on
        what is observed.
    """

    actions: int
    continuous: bool = False
    features: tuple[int, ...] = (64, 64)
    act: Callable[[Array], Array] = nn.tanh

    def __post_init__(self) -> None:
        limits.at_least(1, "ActorCritic's actions", self.actions)
        limits.at_least(1, "ActorCritic's features", self.features)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"]) -> tuple[Any, Float[Array, "b"]]:
        x = x.reshape(x.shape[0], -1)
        # A small last layer: at first all actions are about equally likely.
        actor = Tower((*self.features, self.actions), self.act, 0.01, name="actor")(x)
        value = Tower((*self.features, 1), self.act, 1.0, name="critic")(x)[:, 0]
        if not self.continuous:
            return distributions.Categorical(actor), value
        log_scale = self.param("log_scale", nn.initializers.zeros, (self.actions,))
        scale = jnp.broadcast_to(jnp.exp(log_scale), actor.shape)
        return distributions.Normal(actor, scale), value


class Tower(nn.Module):
    """Dense layers, the last one linear; `scale` is of its orthogonal beginning."""

    features: tuple[int, ...]
    act: Callable[[Array], Array]
    scale: float

    @nn.compact
    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b k"]:
        for i, width in enumerate(self.features[:-1]):
            root = initializers.orthogonal(2**0.5)
            x = self.act(dense.Dense(width, kernel_init=root, name=f"hidden_{i}")(x))
        last = initializers.orthogonal(self.scale)
        return dense.Dense(self.features[-1], kernel_init=last, name="output")(x)
