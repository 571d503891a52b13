"""A function of each pixel alone: 1x1 convolutions ("network in network", Lin, Chen and Yan 2013).

It changes colours and cannot move anything.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl.nn import limits


class Pixelwise(nn.Module):
    """From images to images of the same size with `channels`, the last layer linear.

    features: units of each hidden layer, the same network at every pixel.
    """

    features: tuple[int, ...] = (32, 32)
    channels: int = 1
    act: Callable[[Array], Array] = nn.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "Pixelwise's features", self.features)
        limits.at_least(1, "Pixelwise's channels", self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b h w d"]:
        for i, width in enumerate(self.features):
            x = self.act(nn.Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x))
        return nn.Dense(self.channels, dtype=self.dtype, name="output")(x)
