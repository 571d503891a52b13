"""What spoils images without intent, at five severities: noise, blur, a shift, less contrast.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations" (2019): ImageNet-C and CIFAR-10-C. Mu and Gilmer, "MNIST-C" (2019). Each is a
function of one image with values in [0, 1] and a key, that runs inside jit, as those of augment.py;
the severity may be traced, so that one program serves all five.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import ndimage

from jaxdl import errors
from jaxdl.data import augment

SEVERITIES = (1, 2, 3, 4, 5)
_DEVIATION = (0.08, 0.12, 0.18, 0.26, 0.38)  # ImageNet-C
_BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)  # CIFAR-10-C, in pixels
_SIDE = 28  # MNIST-C shifts by one to five of its 28 pixels
_CONTRAST = (0.4, 0.3, 0.2, 0.1, 0.05)  # ImageNet-C and MNIST-C


def noise(
    image: Float[Array, "h w c"], key: Any, *, severity: int | Array
) -> Float[Array, "h w c"]:
    """Normal noise on each pixel."""
    deviation = _chosen(_DEVIATION, severity)
    return jnp.clip(augment.noise(image, key, deviation=deviation), 0, 1)


def blur(image: Float[Array, "h w c"], key: Any, *, severity: int | Array) -> Float[Array, "h w c"]:
    """A Gaussian blur of 0.4 to 1 pixel; beyond the border the image goes on as it ends."""
    down, right = (
        _chosen([_blurring(side, deviation) for deviation in _BLUR], severity)
        for side in image.shape[:2]
    )
    return jnp.einsum("rh,hwc,sw->rsc", down, image, right)


def shift(
    image: Float[Array, "h w c"], key: Any, *, severity: int | Array
) -> Float[Array, "h w c"]:
    """Moved along each axis, either way by chance, by severity/28 of the side; zeros come in."""
    sides = np.array(image.shape[:2], np.float32) * (severity / _SIDE)
    signs = jax.random.rademacher(key, (2,), jnp.float32)
    return augment.warp(image, jnp.eye(2), signs * sides)


def contrast(
    image: Float[Array, "h w c"], key: Any, *, severity: int | Array
) -> Float[Array, "h w c"]:
    """Each channel drawn towards its mean: of its differences 0.4 to 0.05 are left."""
    mean = image.mean((0, 1), keepdims=True)
    return mean + _chosen(_CONTRAST, severity) * (image - mean)


KINDS: dict[str, Callable[..., Any]] = {
    "noise": noise,
    "blur": blur,
    "shift": shift,
    "contrast": contrast,
}


def corrupted(
    images: Float[Array, "b h w c"], key: Any, kind: str, severity: int | Array
) -> Float[Array, "b h w c"]:
    """A batch of images spoiled in one of the `KINDS`, each by a key of its own."""
    if kind not in KINDS:
        raise errors.InputError(f"A corruption must be one of {', '.join(KINDS)}, got {kind}.")
    if isinstance(severity, int) and severity not in SEVERITIES:
        raise errors.InputError(f"A corruption's severity must be from 1 to 5, got {severity}.")
    change = augment.each(lambda image, key: KINDS[kind](image, key, severity=severity))
    return change(images, key)


def _chosen(table: Sequence[Any], severity: Any) -> Array:
    return jnp.asarray(np.asarray(table, np.float32))[severity - 1]


def _blurring(side: int, deviation: float) -> np.ndarray:
    """The matrix that blurs along an axis of so many pixels."""
    return ndimage.gaussian_filter1d(np.eye(side, dtype=np.float32), deviation, 0, mode="nearest")
