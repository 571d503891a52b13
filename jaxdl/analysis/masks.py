"""A picture of what a segmentation finds: each image, the classes that are there, those found."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, learner, summary

# Okabe and Ito's colours (2008), which the colour-blind tell apart; class 0 is black.
_COLOURS = (
    (0, 0, 0),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)


def pictures(
    taught: learner.Learner, examples: learner.Batch
) -> Callable[[Any, Any], summary.Image]:
    """A summary of a learner whose `predict` gives logits of every pixel: from top to bottom each
    input, its target, and the most likely classes; of a volume the slice in the middle.
    """
    predict = taught.predict
    if predict is None:
        raise errors.InputError("Pictures of masks must be of a learner with `predict`.")

    @jax.jit
    def pixels(state: Any) -> Array:
        shown = jax.tree.map(jnp.asarray, examples)
        found = jnp.argmax(predict(state, shown), axis=-1)
        image = _middle(shown["input"].mean(-1))
        grey = jnp.broadcast_to(jnp.clip(image, 0, 1)[..., None], (*image.shape, 3))
        masks = (coloured(_middle(mask)) for mask in (shown["target"], found))
        return jnp.concatenate([grey, *masks], axis=1)

    return lambda state, key: summary.Image(pixels(state))


def coloured(classes: Int[Array, "*b"]) -> Float[Array, "*b 3"]:
    """A colour in [0, 1] for each class; they come again after eight."""
    return jnp.asarray(_COLOURS, jnp.float32)[classes % len(_COLOURS)] / 255


def _middle(x: Any) -> Any:
    """Images (b, h, w) as they are, of volumes (b, d, h, w) the slice in the middle."""
    return x if x.ndim == 3 else x[:, x.shape[1] // 2]
