"""Binary images drawn from grey ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxdl import errors
from jaxdl.data import binary


@pytest.mark.parametrize(
    "drawn", [binary.drawn, lambda batch: binary.draw(batch, jax.random.key(0))]
)
def test_drawn_pixels_have_the_greys_as_their_means(drawn):
    grey = np.array([0.0, 0.25, 0.9, 1.0], np.float32)
    batch = {"input": jnp.asarray(np.tile(grey, (4000, 1))), "target": np.arange(4000)}
    found = drawn(jax.tree.map(np.asarray, batch))
    assert found["target"] is not None and found["input"].dtype == np.float32
    assert set(np.unique(found["input"])) == {0, 1}
    mean = np.asarray(found["input"]).mean(0)
    assert mean[0] == 0 and mean[3] == 1
    np.testing.assert_allclose(mean, grey, atol=0.03)  # four standard errors


def test_independent_pixels_against_scipys_bernoulli():
    random = np.random.default_rng(0)
    train, test = (random.random((n, 2, 3)).round().astype(np.float32) for n in (9, 5))
    probability = (train.sum(0) + 0.5) / 10
    wanted = stats.bernoulli.logpmf(test, probability[None]).sum((1, 2)).mean()
    assert binary.independent(train, test) == pytest.approx(wanted, rel=1e-5)


def test_what_are_no_probabilities_is_refused():
    with pytest.raises(errors.InputError, match=r"lie in \[0, 1\], got 0.0 to 16.0."):
        binary.drawn({"input": np.array([[0.0, 16.0]])})
