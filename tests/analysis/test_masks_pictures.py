"""Pictures of masks: the input, what is there, what is found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, learner
from jaxdl.analysis import masks


def taught(predict):
    return learner.Learner(None, None, None, predict)


@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 5, 3, 4)])
def test_one_below_the_other_in_colours(shape):
    target = np.random.default_rng(0).integers(0, 3, shape)
    examples = {"input": np.full((*shape, 1), 0.5, np.float32), "target": target}
    shown = masks.pictures(
        # What is 0 is taken for 3, all else for 0.
        taught(lambda state, batch: jax.nn.one_hot(jnp.where(batch["target"] == 0, state, 0), 4)),
        examples,
    )
    found = np.asarray(shown(3, None).pixels)
    assert found.shape == (2, 9, 4, 3)
    np.testing.assert_allclose(found[:, :3], 0.5)
    middle = target if len(shape) == 3 else target[:, 2]
    np.testing.assert_allclose(found[:, 3:6], masks.coloured(jnp.asarray(middle)))
    np.testing.assert_allclose(found[:, 6:], masks.coloured(jnp.where(middle == 0, 3, 0)))
    assert len({tuple(row) for row in np.asarray(masks.coloured(jnp.arange(8)))}) == 8


def test_of_what_predicts_alone():
    with pytest.raises(errors.InputError, match="must be of a learner with `predict`"):
        masks.pictures(taught(None), {})
