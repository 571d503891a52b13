"""Learning rates over the steps of a run, for optax, whose values may be traced by a sweep."""

from collections.abc import Callable
from typing import Any

import optax
from jaxtyping import Array

from jaxdl.nn import limits


def warmup_cosine(peak: float | Array, steps: int, warmup: float = 0.1) -> Callable[[Any], Any]:
    """From 0 up to `peak` in a share `warmup` of the steps, and down to 0 as half a cosine does.

    The rise: Goyal et al., "Accurate, large minibatch SGD" (2017); the fall: Loshchilov and Hutter,
    "SGDR" (2016). optax's own schedule of this shape takes no traced peak.
    """
    limits.at_least(1, "A schedule's steps", steps)
    limits.rate("A schedule's warmup", warmup)
    rise = max(1, int(warmup * steps))
    shape = optax.warmup_cosine_decay_schedule(0.0, 1.0, rise, max(steps, rise + 1))
    return lambda step: peak * shape(step)
