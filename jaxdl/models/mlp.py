"""The multilayer perceptron: dense layers with a nonlinearity between.

Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import dropout, limits, normalization


class MLP(nn.Module):
    """Dense layers of `features` units each, then a linear one; images are flattened.

    classes, outputs: the width of the last layer, one of them: logits of classes or plain numbers.
    act: a function, or the name of one in `flax.linen` ("relu", "gelu", "tanh", ...).
    norm: makes a layer before each activation, such as nn.LayerNorm or nn.BatchNorm.
    dropout: the rate after each activation (Srivastava et al. 2014).
    """

    features: tuple[int, ...] = (64, 32)
    classes: int | None = None
    outputs: int | None = None
    act: Callable[[Array], Array] | str = nn.relu
    norm: normalization.Norm | None = None
    dropout: float | Array = 0.0
    dtype: Any = None

    def __post_init__(self) -> None:
        if (self.classes is None) == (self.outputs is None):
            raise errors.InputError(
                "MLP must have either classes or outputs, got "
                f"classes={self.classes} and outputs={self.outputs}."
            )
        if isinstance(self.act, str) and not callable(getattr(nn, self.act, None)):
            raise errors.InputError(
                f"MLP's act must be a function or the name of one in flax.linen, got {self.act!r}."
            )
        limits.at_least(1, "MLP's features", self.features)
        limits.at_least(1, "MLP's classes", self.classes)
        limits.at_least(1, "MLP's outputs", self.outputs)
        limits.rate("MLP's dropout", self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Float[Array, "b k"]:
        act = getattr(nn, self.act) if isinstance(self.act, str) else self.act
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.features):
            x = nn.Dense(width, dtype=self.dtype, name=f"hidden_{i}")(x)
            if self.norm is not None:
                x = normalization.normalize(self.norm, x, train, dtype=self.dtype, name=f"norm_{i}")
            x = act(x)
            x = dropout.Dropout(self.dropout, name=f"dropout_{i}")(x, train)
        width = self.outputs if self.classes is None else self.classes
        assert width is not None  # checked above
        return nn.Dense(width, dtype=self.dtype, name="output")(x)
