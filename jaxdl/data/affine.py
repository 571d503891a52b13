"""Images under affine maps: a test of what a network knows of things it has seen upright alone.

As affNIST (Tieleman 2013): each image is turned, sheared, stretched and moved by chance.
"""

from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import ndimage


def changed(
    images: Float[np.ndarray, "b h w c"],
    degrees: float = 30.0,
    shear: float = 0.25,
    stretch: float = 0.25,
    pixels: float = 1.0,
    seed: int = 0,
) -> Float[np.ndarray, "b h w c"]:
    """Each image turned by up to `degrees` either way, sheared sideways by up to this slope,
    stretched along each axis by 1 - stretch to 1 + stretch, and moved by up to so many pixels.

    Pixels are linear means of the old ones, and zero where there are none.
    """
    random = np.random.default_rng(seed)
    out = np.empty_like(images)
    centre = (np.array(images.shape[1:3]) - 1) / 2
    for image, result in zip(images, out, strict=True):
        angle = np.deg2rad(random.uniform(-degrees, degrees))
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        sheared = np.array([[1, 0], [random.uniform(-shear, shear), 1]])
        stretched = np.diag(random.uniform(1 - stretch, 1 + stretch, 2))
        back = np.linalg.inv(turned @ sheared @ stretched)  # where a pixel comes from
        offset: Any = centre + random.uniform(-pixels, pixels, 2) - back @ centre
        for channel in range(images.shape[-1]):
            result[..., channel] = ndimage.affine_transform(
                image[..., channel], back, offset, order=1, mode="grid-constant"
            )
    return out
