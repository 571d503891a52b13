"""A small convolutional trunk: from images to a map of features on a coarser grid.

Strided convolutions, then residual blocks at the grid (He et al. 2015). There is no pool, which
would forget where inside its window an edge lies.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import activation, convolution, limits, normalization

GROUP = 4  # channels that are normalised together; small, as trunks are narrow
group_norm = functools.partial(nn.GroupNorm, num_groups=None, group_size=GROUP, epsilon=1e-5)


class Trunk(nn.Module):
    """A convolution of stride 2 for each of `features`, then `depth` residual blocks of the last.

    The map is 2^len(features) times smaller than the image, rounded up.
    """

    features: tuple[int, ...] = (32, 64)
    depth: int = 2
    norm: normalization.Norm = group_norm
    act: Callable[[Array], Array] = activation.relu
    dtype: Any = None

    def __post_init__(self) -> None:
        limits.at_least(1, "Trunk's features", self.features)
        limits.at_least(0, "Trunk's depth", self.depth)
        if self.norm is group_norm and any(width % GROUP for width in self.features):
            raise errors.InputError(
                f"Trunk's features must be multiples of {GROUP}, a group of its norm, "
                f"got {self.features}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool = False
    ) -> Float[Array, "b h2 w2 d"]:
        for i, width in enumerate(self.features):
            x = self.act(self._layer(x, width, 2, f"stem_{i}", train))
        for i in range(self.depth):
            width = x.shape[-1]
            y = self.act(self._layer(x, width, 1, f"block_{i}_1", train))
            x = self.act(x + self._layer(y, width, 1, f"block_{i}_2", train))
        return x

    def _layer(self, x: Array, width: int, stride: int, name: str, train: bool) -> Array:
        conv = nn.Conv(
            width,
            (3, 3),
            (stride, stride),
            padding=1,
            use_bias=False,
            conv_general_dilated=convolution.convolve,
            dtype=self.dtype,
            name=f"{name}_conv",
        )
        return normalization.normalize(
            self.norm, conv(x), train, dtype=self.dtype, name=f"{name}_norm"
        )
