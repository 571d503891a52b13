"""Networks that judge a board and its mirror image alike, as Connect Four and its kind ask for.

Equivariance by averaging over a group of symmetries; the group here has two members (Cohen and
Welling, "Group equivariant convolutional networks", 2016).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class Mirrored(nn.Module):
    """A network of boards (b, h, w, c) whose moves are the w columns, made indifferent to sides.

    model: gives w + 1 numbers, a logit for each column and a value; called on the board and on its
        mirror image, both in one batch, and the means are taken, where a column meets its mirror
        image.
    """

    model: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool = False) -> Float[Array, "b k"]:
        both = self.model(jnp.concatenate([x, x[:, :, ::-1]]), train=train)
        seen, mirrored = jnp.split(both, 2)
        back = jnp.concatenate([mirrored[:, -2::-1], mirrored[:, -1:]], axis=1)
        return (seen + back) / 2
