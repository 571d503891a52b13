"""Random changes of an image's colours: brightness, contrast, saturation.

Each mixes the image with another, image + (factor - 1) (image - other): with black, with its mean
grey, or with itself in grey (Pillow's ImageEnhance; Howard, "Some improvements on deep
convolutional neural network based image classification", 2013). Values are in [0, 1] and stay
there. As in augment.py each is of one image and a key; `augment.each` makes one of a batch.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors

_LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R recommendation BT.601


def brightness(
    image: Float[Array, "h w c"], key: Any, *, amount: float | Array
) -> Float[Array, "h w c"]:
    """Multiplies the image by a factor drawn evenly from 1 - amount to 1 + amount."""
    return _away(image, jnp.zeros_like(image), key, amount)


def contrast(
    image: Float[Array, "h w c"], key: Any, *, amount: float | Array
) -> Float[Array, "h w c"]:
    """Multiplies each pixel's difference from the mean grey by such a factor."""
    return _away(image, jnp.full_like(image, grey(image).mean()), key, amount)


def saturation(
    image: Float[Array, "h w 3"], key: Any, *, amount: float | Array
) -> Float[Array, "h w 3"]:
    """Multiplies each pixel's difference from its own grey by such a factor."""
    return _away(image, jnp.broadcast_to(grey(image), image.shape), key, amount)


def grey(image: Float[Array, "h w c"]) -> Float[Array, "h w 1"]:
    """How bright each pixel looks; of one channel the image itself."""
    channels = image.shape[-1]
    if channels not in (1, 3):
        raise errors.InputError(f"Colours must be of 1 or 3 channels, got {channels}.")
    return image if channels == 1 else (image @ jnp.array(_LUMA, image.dtype))[..., None]


def _away(image: Any, other: Any, key: Any, amount: Any) -> Any:
    factor = 1 + amount * jax.random.uniform(key, minval=-1.0)
    return jnp.clip(other + factor * (image - other), 0, 1)
