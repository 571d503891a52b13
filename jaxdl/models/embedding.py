"""A network whose outputs are compared: embeddings on a sphere, and the direction of each class.

Deng, Guo, Xue and Zafeiriou, "ArcFace" (2019), of Wang et al., "NormFace" (2017).
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import limits


class Outputs(NamedTuple):
    """Embeddings of length 1, and their cosines with the directions of the training's classes."""

    embedding: Float[Array, "b d"]
    cosines: Float[Array, "b k"]


class Embedding(nn.Module):
    """Any network called as `backbone(x, train=...)` whose outputs (b, d) are made unit vectors.

    classes: how many there are in training; the test's may be others.
    """

    backbone: nn.Module
    classes: int

    def __post_init__(self) -> None:
        limits.at_least(1, "Embedding's classes", self.classes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Outputs:
        embedding = _unit(self.backbone(x, train=train).astype(jnp.float32))
        shape = (self.classes, embedding.shape[-1])
        directions = self.param("directions", nn.initializers.normal(1.0), shape)
        return Outputs(embedding, embedding @ _unit(directions).T)


def _unit(x: Float[Array, "*b d"]) -> Float[Array, "*b d"]:
    return x / jnp.sqrt((x**2).sum(-1, keepdims=True) + 1e-12)
