"""The masked autoencoder: a transformer that sees some patches of an image and draws the others.

He et al., "Masked autoencoders are scalable vision learners" (2021): the encoder reads the visible
patches alone, and a smaller decoder puts a learnt token in the place of each hidden one. Positions
are learnt here; the paper's are fixed sines.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import limits, transformer


class MaskedAutoencoder(nn.Module):
    """Reads the patches of images that are kept, and draws all.

    patch: height and width of a patch; it must divide the image's.
    width, depth, heads: of the encoder; the decoder's have names of their own.
    """

    patch: int = 2
    width: int = 64
    depth: int = 2
    heads: int = 4
    decoder_width: int = 64
    decoder_depth: int = 1

    def __post_init__(self) -> None:
        for name in ("patch", "width", "depth", "heads", "decoder_width", "decoder_depth"):
            limits.at_least(1, f"MaskedAutoencoder's {name}", getattr(self, name))
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], kept: Int[Array, "b m"], train: bool = False
    ) -> tuple[Float[Array, "b n p"], Float[Array, "b m d"]]:
        """Patches as drawn, in the order of `patches`, and the encoder's features.

        kept: the indices of each image's visible patches.
        """
        pieces = patches(x, self.patch)
        count = pieces.shape[1]
        tokens = nn.Dense(self.width, name="embed")(_picked(pieces, kept))
        tokens = tokens + self._positions("positions", count, self.width)[kept]
        features = self._blocks("encoder", self.depth, tokens, train)
        seen = nn.Dense(self.decoder_width, name="decoder_embed")(features)
        hidden = self.param("mask", nn.initializers.normal(0.02), (self.decoder_width,))
        shape = (len(x), count, self.decoder_width)
        whole = jnp.broadcast_to(hidden[None, None], shape)
        whole = jax.vmap(lambda row, places, values: row.at[places].set(values))(whole, kept, seen)
        whole = whole + self._positions("decoder_positions", count, self.decoder_width)[None]
        whole = self._blocks("decoder", self.decoder_depth, whole, train)
        return nn.Dense(pieces.shape[-1], name="output")(whole), features

    def _positions(self, name: str, count: int, width: int) -> Float[Array, "n d"]:
        return self.param(name, nn.initializers.normal(1.0), (count, width))

    def _blocks(
        self, name: str, depth: int, x: Float[Array, "b n d"], train: bool
    ) -> Float[Array, "b n d"]:
        for i in range(depth):
            x, _ = transformer.Block(self.heads, name=f"{name}_{i}")(x, train)
        return nn.LayerNorm(name=f"{name}_norm")(x)


RULES = transformer.RULES  # of where parameters lie on a mesh, for Run.rules


def patches(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b n p"]:
    """Squares of size by size pixels, row by row, each flattened: n = hw/size², p = size²c."""
    b, h, w, c = x.shape
    if h % size or w % size:
        raise errors.InputError(f"Images must divide into patches of {size}, got {h} x {w} pixels.")
    squares = x.reshape(b, h // size, size, w // size, size, c).swapaxes(2, 3)
    return squares.reshape(b, -1, size * size * c)


def whole(
    pieces: Float[Array, "b n p"], size: int, shape: tuple[int, int, int]
) -> Float[Array, "b h w c"]:
    """Images of this shape (h, w, c) from their patches."""
    h, w, c = shape
    squares = pieces.reshape(-1, h // size, w // size, size, size, c).swapaxes(2, 3)
    return squares.reshape(-1, h, w, c)


def _picked(pieces: Float[Array, "b n p"], kept: Int[Array, "b m"]) -> Float[Array, "b m p"]:
    return jnp.take_along_axis(pieces, kept[..., None], axis=1)
