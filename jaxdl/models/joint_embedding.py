"""An encoder with a projector, and perhaps a predictor, as learners of views train it.

Chen et al., "A simple framework for contrastive learning of visual representations" (2020), found
that what is contrasted should be a projection and what is kept the features before it; Grill et
al., "Bootstrap your own latent" (2020), put a predictor behind.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.nn import limits


class Embedded(NamedTuple):
    """Features to keep, their projection, and the prediction of another view's projection."""

    features: Float[Array, "b d"]
    projection: Float[Array, "b p"]
    prediction: Float[Array, "b p"]  # without a predictor the projection itself


class JointEmbedding(nn.Module):
    """prediction = predictor(projection), projection = projector(features), features = encoder(x).

    Each is a module called as `module(x, train)`, such as an MLP or a CNN.
    """

    encoder: nn.Module
    projector: nn.Module
    predictor: nn.Module | None = None

    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Embedded:
        features = self.encoder(x, train)
        projection = self.projector(features, train)
        if self.predictor is None:
            return Embedded(features, projection, projection)
        return Embedded(features, projection, self.predictor(projection, train))


class Prototypes(nn.Module):
    """DINO's head: an MLP to a short code of unit length, and its cosines with `count` prototypes.

    Caron et al., "Emerging properties in self-supervised vision transformers" (2021), appendix C:
    the last layer has no bias, and its weights have unit length (their norm is fixed at 1).
    """

    features: tuple[int, ...] = (128,)
    code: int = 32
    count: int = 64

    def __post_init__(self) -> None:
        limits.at_least(1, "Prototypes' features", self.features)
        limits.at_least(1, "Prototypes' code", self.code)
        limits.at_least(1, "Prototypes' count", self.count)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], train: bool = False) -> Float[Array, "b k"]:
        for i, width in enumerate(self.features):
            x = nn.gelu(nn.Dense(width, name=f"hidden_{i}")(x))
        code = _unit(nn.Dense(self.code, name="code")(x), -1)
        shape = (self.code, self.count)
        return code @ _unit(self.param("prototypes", nn.initializers.normal(1.0), shape), 0)


def _unit(x: Any, axis: int) -> Any:
    """Vectors of length 1; the small number keeps the gradient of a zero vector finite."""
    return x / jnp.sqrt((x**2).sum(axis, keepdims=True) + 1e-12)
