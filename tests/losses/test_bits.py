"""The loss over bits against scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from jaxdl import errors
from jaxdl.losses import bits


def test_scikit_learn():
    logits = 3 * jax.random.normal(jax.random.key(0), (4, 5, 3))
    target = jax.random.bernoulli(jax.random.key(1), 0.5, logits.shape).astype(jnp.uint8)
    mask = jnp.arange(5)[None] < jnp.array([5, 2, 0, 3])[:, None]
    for batch in ({"target": target}, {"target": target, "mask": mask}):
        inside = np.broadcast_to(np.asarray(batch.get("mask", True)), (4, 5))
        y, p = (
            np.asarray(target)[inside].ravel(),
            np.asarray(jax.nn.sigmoid(logits))[inside].ravel(),
        )
        measured = bits.cross_entropy(logits, batch)
        wanted = sklearn.metrics.log_loss(y, np.float64(p))
        assert measured["loss"].value() == pytest.approx(wanted, rel=1e-5)
        assert measured["error"].value() == pytest.approx(np.mean((p > 0.5) != y))


def test_another_shape_is_refused():
    with pytest.raises(errors.InputError, match=r"target's shape \(2, 3\), got \(2, 4\)"):
        bits.cross_entropy(jnp.zeros((2, 4)), {"target": jnp.zeros((2, 3))})
