"""The networks of soft actor-critic (Haarnoja et al. 2018): a policy, and critics of actions."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.models import mlp
from jaxdl.nn import distributions, limits

LOG_SCALES = (-20.0, 2.0)  # the range of the paper's code, github.com/rail-berkeley/softlearning


class Actor(nn.Module):
    """Observations (b, ...) to actions in (-1, 1), tanh of independent normal numbers.

    actions: how many numbers an action has.
    """

    actions: int
    features: tuple[int, ...] = (256, 256)
    act: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"]) -> distributions.TanhNormal:
        both = mlp.MLP(self.features, outputs=2 * self.actions, act=self.act, name="perceptron")(x)
        mean, log_scale = jnp.split(both, 2, axis=-1)
        return distributions.TanhNormal(mean, jnp.exp(jnp.clip(log_scale, *LOG_SCALES)))


class Critics(nn.Module):
    """Observations (b, ...) and actions (b, a) to the value that each of `count` critics gives."""

    count: int = 2
    features: tuple[int, ...] = (256, 256)
    act: Callable[[Array], Array] = nn.relu

    def __post_init__(self) -> None:
        limits.at_least(1, "Critics' count", self.count)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *shape"], action: Float[Array, "b a"]
    ) -> Float[Array, "critics b"]:
        x = jnp.concatenate([x.reshape(x.shape[0], -1), action], -1)
        values = [
            mlp.MLP(self.features, outputs=1, act=self.act, name=f"critic_{i}")(x)[:, 0]
            for i in range(self.count)
        ]
        return jnp.stack(values)
