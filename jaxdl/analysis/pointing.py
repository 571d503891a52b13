"""Whether explanations explain: they point at what is known to count, and they change with the
network.

The pointing game: Zhang et al. (2016), "Top-down neural attention by excitation backprop". The
untrained network beside it: Adebayo et al. (2018), "Sanity checks for saliency maps".
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors, learner, metrics
from jaxdl.analysis import attribution


def hits(heat: Float[Array, "b h w c"], box: Int[Array, "b 4"]) -> Bool[Array, "b"]:
    """Whether the pixel with the largest sum of |values| over channels lies in the box: top, left,
    height, width.
    """
    pixels = jnp.abs(heat).sum(-1)
    row, column = jnp.unravel_index(pixels.reshape(len(heat), -1).argmax(-1), pixels.shape[1:])
    top, left, height, width = box.T
    return (row >= top) & (row < top + height) & (column >= left) & (column < left + width)


def game(taught: learner.Learner, methods: Mapping[str, attribution.Method]) -> learner.Learner:
    """The learner, whose evaluation plays the pointing game with each method, on images with a
    "box" (b, 4) each.

    Metrics beside the learner's own: "pointing/<method>", the share of hits; "untrained/<method>",
    the same of a network as it is before the first step; "pointing/chance", the mean share of an
    image that its box takes; "pointing/incompleteness", how far the sums of "integrated_gradients",
    where it is among the methods, are from the scores less those of empty images, over those.
    """
    if taught.predict is None:
        raise errors.InputError("A pointing game must be of a learner with `predict`.")
    predict = taught.predict

    def evaluate(state: Any, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        x, box = batch["input"], batch["box"]
        share = box[:, 2] * box[:, 3] / (x.shape[1] * x.shape[2])
        found = {"pointing/chance": metrics.Mean.of(share)}
        for side, of in (("pointing", state), ("untrained", taught.init(key, batch))):
            score = attribution.scores(predict, of, batch)
            for name, method in methods.items():
                shown = method(score, x, key)
                found[f"{side}/{name}"] = metrics.Mean.of(hits(shown, box))
                if (side, name) == ("pointing", "integrated_gradients"):
                    off, change = attribution.incompleteness(shown, score, x)
                    found["pointing/incompleteness"] = metrics.Mean(off.sum(), change.sum())
        return taught.evaluate(state, batch, key) | found

    return taught._replace(evaluate=evaluate)


def alike(one: Any, other: Any) -> Float[Array, "b"]:
    """Spearman's correlation of the sizes of two attributions of each example (b, ...): near 1
    where the maps order the input's values alike, NaN where one is the same everywhere.
    """
    centred = [_ranks(jnp.abs(a).reshape(len(a), -1)) for a in (one, other)]
    norms = [jnp.sqrt((r * r).sum(-1)) for r in centred]
    return (centred[0] * centred[1]).sum(-1) / (norms[0] * norms[1])


@jax.vmap
def _ranks(values: Array) -> Array:
    """The ranks of values (n,) less their mean, which is (n - 1) / 2; of equal ones the average."""
    ordered = jnp.sort(values)
    below, up_to = (jnp.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (below + up_to - len(values)).astype(jnp.float32) / 2
