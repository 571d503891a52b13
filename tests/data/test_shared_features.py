"""Tasks on common features: their truth, and that it is common."""

import jax
import numpy as np

from jaxdl.data import shared_features

KEY = jax.random.key(0)


def test_all_tasks_are_linear_in_so_many_features():
    tasks = shared_features.tasks(count=30, features=6)
    batch = tasks.draw(KEY, 500)
    assert batch["input"].shape == (500, 40) and batch["target"].shape == (500, 30)
    values = np.linalg.svd(np.asarray(batch["target"]), compute_uv=False)
    assert values[5] > 1 and values[6] < 1e-3
    hidden = np.tanh(np.asarray(batch["input"], np.float64) @ tasks.inner)
    exact = hidden @ tasks.outer @ tasks.weights
    np.testing.assert_allclose(batch["target"], exact, atol=1e-5)
    assert 0.2 < np.median(batch["target"].var(0)) < 1.2


def test_the_tasks_are_those_of_their_seed():
    made, again = (shared_features.tasks().examples(3, seed=1) for _ in range(2))
    assert np.array_equal(made["target"], again["target"])
    one, same, other = (shared_features.tasks(seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(one.weights, same.weights)
    assert not np.array_equal(one.weights, other.weights)


def test_examples_are_numbers_under_a_trace():
    def traced(x):
        made = shared_features.tasks().examples(3, seed=1)
        assert isinstance(made["input"], np.ndarray)
        return x

    jax.jit(traced)(1.0)
