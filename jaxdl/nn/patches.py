"""Images as patches: squares of pixels in reading order, the tokens of vision transformers
(Dosovitskiy et al. 2020).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import attention


class Embed(nn.Module):
    """An affine layer of each patch, a convolution whose stride is its size.

    Parameters: `kernel` (size, size, c, width), `bias`. Computed in the type of the input.
    kept: the indices of the patches wanted, of each image; default all.
    """

    size: int
    width: int
    kernel_init: attention.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], kept: Int[Array, "b m"] | None = None
    ) -> Float[Array, "b n d"]:
        pieces = cut(x, self.size)
        if kept is not None:
            pieces = jnp.take_along_axis(pieces, kept[..., None], axis=1)
        shape = (self.size, self.size, x.shape[-1], self.width)  # a convolution's
        kernel = self.param("kernel", self.kernel_init, shape).reshape(-1, self.width)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        return jnp.dot(pieces, kernel.astype(x.dtype)) + bias[None, None].astype(x.dtype)


def cut(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b n p"]:
    """Squares of size by size pixels, row by row, each flattened: n = hw/size², p = size²c."""
    b, h, w, c = x.shape
    if h % size or w % size:
        raise errors.InputError(f"Images must divide into patches of {size}, got {h} x {w} pixels.")
    squares = x.reshape(b, h // size, size, w // size, size, c).swapaxes(2, 3)
    return squares.reshape(b, -1, size * size * c)


def join(
    pieces: Float[Array, "b n p"], size: int, shape: tuple[int, int, int]
) -> Float[Array, "b h w c"]:
    """Images of this shape (h, w, c) from their patches."""
    h, w, c = shape
    squares = pieces.reshape(-1, h // size, w // size, size, size, c).swapaxes(2, 3)
    return squares.reshape(-1, h, w, c)
