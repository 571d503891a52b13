"""Small random changes of images that leave what they show: shifts, noise, erased squares.

Each is a function of one image and a key that runs inside jit; `each` makes one of a batch of them,
every image with a key of its own. Erasing: DeVries and Taylor, "Improved regularization of
convolutional neural networks with Cutout" (2017).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors

Augment = Callable[[Any, Any], Any]  # (images (b, h, w, c), key) -> images of the same shape


def each(*changes: Callable[[Any, Any], Any]) -> Augment:
    """All changes, one after another, to every image of a batch by itself."""

    def one(image: Any, key: Any) -> Any:
        for i, change in enumerate(changes):
            image = change(image, jax.random.fold_in(key, i))
        return image

    def augment(images: Any, key: Any) -> Any:
        return jax.vmap(one)(images, jax.random.split(key, len(images)))

    return augment


def shift(image: Float[Array, "h w c"], key: Any, *, pixels: int) -> Float[Array, "h w c"]:
    """Moves an image by up to so many pixels, each way and each axis by chance; zeros come in."""
    padded = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)))
    down, right = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(padded, (down, right, 0), image.shape)


def noise(
    image: Float[Array, "h w c"], key: Any, *, deviation: float | Array
) -> Float[Array, "h w c"]:
    """Adds normal noise of this standard deviation to each pixel."""
    return image + deviation * jax.random.normal(key, image.shape, image.dtype)


def erase(image: Float[Array, "h w c"], key: Any, *, size: int) -> Float[Array, "h w c"]:
    """Sets a square of `size` by `size` pixels to zero, somewhere whole inside the image."""
    height, width, _ = image.shape
    if not 0 <= size <= min(height, width):
        raise errors.InputError(
            f"The erased square must fit into an image of {height} x {width}, got size {size}."
        )
    top, left = jax.random.randint(key, (2,), 0, jnp.array([height - size + 1, width - size + 1]))
    rows, columns = jnp.arange(height) - top, jnp.arange(width) - left
    inside = ((rows >= 0) & (rows < size))[:, None] & ((columns >= 0) & (columns < size))[None]
    return jnp.where(inside[..., None], 0, image)


def moved(images: Float[np.ndarray, "b h w c"], pixels: int, seed: int) -> np.ndarray:
    """Images shifted as by `shift`, once and on the host: a test set of its own."""
    random = np.random.default_rng(seed)
    _, height, width, _ = images.shape
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    offsets = random.integers(0, 2 * pixels + 1, (len(images), 2))
    return np.stack(
        [
            image[down : down + height, right : right + width]
            for image, (down, right) in zip(padded, offsets, strict=True)
        ]
    )
