"""The dueling network: how good a state is, and how much better each action is than the others.

Wang et al., "Dueling network architectures for deep reinforcement learning" (2016).
"""

from collections.abc import Callable

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl.nn import dense, limits


class Dueling(nn.Module):
    """Observations (b, ...) to a value for each action: V + A - mean A (equation 9).

    features: widths of the layers that both share.
    """

    actions: int
    features: tuple[int, ...] = (128, 128)
    act: Callable[[Array], Array] = nn.relu

    def __post_init__(self) -> None:
        limits.at_least(1, "Dueling's actions", self.actions)
        limits.at_least(1, "Dueling's features", self.features)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"]) -> Float[Array, "b a"]:
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.features):
            x = self.act(dense.Dense(width, name=f"hidden_{i}")(x))
        value = dense.Dense(1, name="value")(x)
        advantage = dense.Dense(self.actions, name="advantage")(x)
        return value + advantage - advantage.mean(-1, keepdims=True)
