"""A probe of features that tell all, and of features that tell nothing."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.losses import probe

RANDOM = np.random.default_rng(0)
TARGET = (np.arange(400) % 4).astype(np.int32)
LABELLED = (np.arange(400) < 100).astype(np.int32)


def accuracy(features, shots=5, labelled=LABELLED):
    batch = {"target": TARGET, "labelled": labelled}
    return metrics.values(probe.few_shot(shots, 5)(jnp.asarray(features, jnp.float32), batch))[
        "probe"
    ]


def test_features_that_tell_the_class_and_those_that_do_not():
    noise = RANDOM.standard_normal((400, 6))
    assert accuracy(np.eye(4)[TARGET]) == 1
    assert accuracy(1e-3 * np.eye(4)[TARGET] + 7) == 1  # whatever their scale and place
    assert accuracy(noise) == pytest.approx(0.25, abs=0.08)
    assert accuracy(np.ones((400, 3))) == pytest.approx(0.25)


def test_it_learns_from_what_is_labelled_alone():
    features = np.eye(4)[np.where(LABELLED == 1, TARGET, (TARGET + 1) % 4)]
    assert accuracy(features) == 0


def test_bad_input_is_refused():
    with pytest.raises(errors.InputError, match="must be at least 1, got 0 and 10"):
        probe.few_shot(0)
    with pytest.raises(errors.InputError, match="find 30 labelled examples of each class, got 25"):
        accuracy(np.eye(4)[TARGET], shots=30)
