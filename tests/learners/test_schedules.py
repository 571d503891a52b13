"""The schedule is optax's, and its peak may be traced."""

import jax
import numpy as np
import optax
import pytest

from jaxdl import errors
from jaxdl.learners import schedules


@pytest.mark.parametrize(("steps", "warmup", "rise"), [(100, 0.1, 10), (40, 0.05, 2), (1, 0.1, 1)])
def test_is_optaxs_with_a_traced_peak(steps, warmup, rise):
    wanted = optax.warmup_cosine_decay_schedule(0.0, 0.3, rise, max(steps, rise + 1))

    @jax.jit
    def ours(peak, step):
        return schedules.warmup_cosine(peak, steps, warmup)(step)

    for step in {0, rise, steps // 2, steps}:
        np.testing.assert_allclose(ours(0.3, step), wanted(step), rtol=1e-6)


def test_a_share_below_one_is_asked_for():
    with pytest.raises(errors.InputError, match=r"warmup must lie in \[0, 1\), got 1"):
        schedules.warmup_cosine(0.1, 10, 1.0)
