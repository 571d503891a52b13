"""Small random changes of images that leave what they show: shifts, flips, turns, erased squares.

Each is a function of one image and a key that runs inside jit; `each` makes one of a batch of them,
every image with a key of its own, and `inputs` one of whole batches, as `batches.shuffled` takes
it. Colours: colour.py; mixtures of examples and their targets: mix.py. Erasing: DeVries and Taylor,
"Improved regularization of convolutional neural networks with Cutout" (2017).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import limits

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


def inputs(*changes: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`each` for a batch: all changes to every image of its "input", which keeps its shape or, by a
    crop, gets that of the crop.
    """
    augment = each(*changes)
    return lambda batch, key: batch | {"input": augment(batch["input"], key)}


def shift(image: Float[Array, "h w c"], key: Any, *, pixels: int) -> Float[Array, "h w c"]:
    """Moves an image by up to so many pixels, each way and each axis by chance; zeros come in."""
    limits.at_least(0, "A shift's pixels", pixels)
    padded = jnp.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)))
    down, right = jax.random.randint(key, (2,), 0, 2 * pixels + 1)
    return jax.lax.dynamic_slice(padded, (down, right, 0), image.shape)


def flip(
    image: Float[Array, "h w c"], key: Any, *, rate: float | Array = 0.5
) -> Float[Array, "h w c"]:
    """Mirrors left and right with this probability."""
    limits.share("A flip's rate", rate)
    return jnp.where(jax.random.bernoulli(key, rate), image[:, ::-1], image)


def crop(image: Float[Array, "h w c"], key: Any, *, size: int) -> Float[Array, "size size c"]:
    """A square of `size` by `size` pixels, somewhere whole inside the image."""
    top, left = _corner(image, key, size, "crop")
    return jax.lax.dynamic_slice(image, (top, left, 0), (size, size, image.shape[-1]))


def rotate(
    image: Float[Array, "h w c"], key: Any, *, degrees: float | Array
) -> Float[Array, "h w c"]:
    """Turns by an angle drawn evenly from -degrees to degrees, about the image's centre."""
    angle = jnp.deg2rad(degrees) * jax.random.uniform(key, minval=-1.0)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return warp(image, jnp.array([[cos, sin], [-sin, cos]]))


def warp(
    image: Float[Array, "h w c"],
    matrix: Float[Array, "2 2"],
    offset: Float[Array, "2"] | None = None,
) -> Float[Array, "h w c"]:
    """The image whose pixel at p, from the centre, is the old one's at matrix p + offset; pixels
    between four are their linear mean, those outside are zero.
    """
    height, width, _ = image.shape
    centre = jnp.array([height - 1, width - 1]) / 2
    rows, columns = jnp.mgrid[:height, :width]
    places = jnp.stack([rows, columns]).reshape(2, -1) - centre[:, None]
    sources = matrix @ places + (centre if offset is None else centre + offset)[:, None]
    pick = jax.vmap(
        lambda plane: jax.scipy.ndimage.map_coordinates(plane, list(sources), 1, "constant"),
        in_axes=-1,
        out_axes=-1,
    )
    return pick(image).reshape(image.shape)


def noise(
    image: Float[Array, "h w c"], key: Any, *, deviation: float | Array
) -> Float[Array, "h w c"]:
    """Adds normal noise of this standard deviation to each pixel."""
    return image + deviation * jax.random.normal(key, image.shape, image.dtype)


def erase(image: Float[Array, "h w c"], key: Any, *, size: int) -> Float[Array, "h w c"]:
    """Sets a square of `size` by `size` pixels to zero, somewhere whole inside the image."""
    height, width, _ = image.shape
    top, left = _corner(image, key, size, "erased square")
    rows, columns = jnp.arange(height) - top, jnp.arange(width) - left
    inside = ((rows >= 0) & (rows < size))[:, None] & ((columns >= 0) & (columns < size))[None]
    return jnp.where(inside[..., None], 0, image)


def moved(images: Float[np.ndarray, "b h w c"], pixels: int, seed: int) -> np.ndarray:
    """Images shifted as by `shift`, once and on the host: a test set of its own."""
    limits.at_least(0, "A shift's pixels", pixels)
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


def _corner(image: Any, key: Any, size: int, thing: str) -> Any:
    """The upper left pixel of a square that lies inside the image, each as likely."""
    height, width, _ = image.shape
    if not 0 <= size <= min(height, width):
        raise errors.InputError(
            f"The {thing} must fit into an image of {height} x {width}, got size {size}."
        )
    return jax.random.randint(key, (2,), 0, jnp.array([height - size + 1, width - size + 1]))
