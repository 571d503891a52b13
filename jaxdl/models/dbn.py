"""The classifier that a deep belief network becomes: its layers upwards, and logits on top.

G. Hinton, S. Osindero and Y.-W. Teh, "A fast learning algorithm for deep belief nets" (2006).
"""

import itertools

import flax.linen as nn
from jaxtyping import Array, Float

from jaxdl.models import rbm
from jaxdl.nn import limits


class DBN(nn.Module):
    """Restricted Boltzmann machines, each on the hidden units of the one below; images are flat.

    visible: pixels of 0 to 1. hidden: the units of each layer. classes: the width of the logits.
    Parameters: `layer_0` and so on, each a machine's, and `output`.
    """

    visible: int
    hidden: tuple[int, ...]
    classes: int

    def __post_init__(self) -> None:
        limits.at_least(1, "DBN's hidden", self.hidden)
        limits.at_least(1, "DBN's layers", len(self.hidden))
        limits.at_least(1, "DBN's classes", self.classes)
        super().__post_init__()

    def machines(self) -> list[rbm.RBM]:
        """The layers, each by itself."""
        widths = (self.visible, *self.hidden)
        return [rbm.RBM(*pair, parent=None) for pair in itertools.pairwise(widths)]

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Float[Array, "b k"]:
        x = x.reshape(x.shape[0], -1)
        for i, layer in enumerate(self.machines()):
            x = layer.clone(parent=self, name=f"layer_{i}")(x)
        return nn.Dense(self.classes, name="output")(x)
