"""From bytes to numbers on the device: images stay uint8, a quarter of the memory, until used."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float32, UInt8


def brightness(images: UInt8[Array, "b h w c"]) -> Float32[Array, "b h w c"]:
    """Bytes 0 to 255 as floats in [0, 1]."""
    return images.astype(jnp.float32) / 255.0


def scale(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with its "input", uint8 images, as brightness in [0, 1]: a transform of batches."""
    return batch | {"input": brightness(batch["input"])}
