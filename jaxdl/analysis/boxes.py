"""What people look at in a detector: images with the true boxes and those it found."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxdl import errors, learner, summary
from jaxdl.losses import detection

GREEN, RED = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)


def pictures(
    taught: learner.Learner,
    decode: Callable[[Any], detection.Detections],
    batch: dict[str, np.ndarray],
    *,
    least: float = 0.3,
    scale: int = 4,
) -> Callable[[Any, Any], summary.Image]:
    """A summary: each image with its objects in green and, over them, what was found in red.

    decode: outputs -> detections, of which those with a score of `least` or more are drawn. scale:
    how much larger the picture is.
    """
    predict = taught.predict
    if predict is None:
        raise errors.InputError("pictures must be of a learner that predicts.")

    @jax.jit
    def find(state: Any) -> detection.Detections:
        return decode(predict(state, jax.tree.map(jnp.asarray, batch)))

    def show(state: Any, key: Any) -> summary.Image:
        found = jax.device_get(find(state))
        return summary.Image(
            np.stack(
                [
                    drawn(
                        drawn(_large(image, scale), boxes[labels >= 0] * scale, GREEN),
                        seen[scores >= least] * scale,
                        RED,
                    )
                    for image, boxes, labels, seen, scores in zip(
                        batch["input"],
                        batch["boxes"],
                        batch["classes"],
                        found.boxes,
                        found.scores,
                        strict=True,
                    )
                ]
            )
        )

    return show


def drawn(
    image: Float[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "n 4"],
    colour: tuple[float, float, float],
) -> Float[np.ndarray, "h w 3"]:
    """A copy with the outline of each box, one pixel thick; what lies outside is cut off."""
    image = image.copy()
    limit = np.array([image.shape[1], image.shape[0]] * 2) - 1
    for left, top, right, bottom in np.clip(np.round(np.nan_to_num(boxes)), 0, limit).astype(int):
        image[[top, bottom], left : right + 1] = colour
        image[top : bottom + 1, [left, right]] = colour
    return image


def _large(image: np.ndarray, scale: int) -> np.ndarray:
    """In [0, 1], three channels, each pixel a square of `scale`; bytes are of 255."""
    image = image / 255 if image.dtype == np.uint8 else image
    colours = np.broadcast_to(np.clip(image, 0, 1), (*image.shape[:2], 3))
    return colours.repeat(scale, 0).repeat(scale, 1)
