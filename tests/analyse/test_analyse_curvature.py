"""The command's tables of a trained run: the examples are those of the run, their numbers right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs

from jaxdl import errors, trained
from jaxdl.analyse import curvature


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("runs")
    result = runs.of_experiment("digits_mlp", logdir, width=4, depth=1, steps=20)
    return trained.load(result.folder)


def test_the_tables(found):
    options = curvature.Options(examples=70, iterations=12, shown=3, eigenvalues=2)
    made = curvature.analyse(found, options)
    around, largest, influential = made.tables
    rows = dict(around.rows)
    assert rows["parameters"] == 64 * 4 + 4 + 4 * 10 + 10
    assert "eigenvalue 2" in rows and "eigenvalue 3" not in rows
    batch = curvature._training(found, 70)
    loss = -jax.nn.log_softmax(found.run.learner.predict(found.state, batch))
    wanted = jnp.take_along_axis(loss, batch["target"][:, None], 1).mean()
    assert rows["loss"] == pytest.approx(float(wanted), rel=1e-4)
    numbers = [row[2] for row in largest.rows]
    assert len(numbers) == 3 and numbers == sorted(numbers, reverse=True)
    assert numbers[0] == pytest.approx(made.shown["curvature/gradient_norms"].values.max())
    for i, target, _ in (*largest.rows, *influential.rows):
        assert target == str(batch["target"][i])
    without = [row[2] for row in influential.rows]
    assert len(without) == 6 and without == sorted(without)
    assert made.shown["curvature/influence"].values.shape == (70,)


def test_examples_of_training_come_once(found):
    batch = curvature._training(found, 10_000)
    assert len(batch["target"]) == found.run.train.size
    arrays = found.run.train.arrays["input"]
    np.testing.assert_allclose(batch["input"].sum(), arrays.sum(), rtol=1e-4)


LEAST = {"examples": 2, "iterations": 1, "eigenvalues": 1, "shown": 1}


@pytest.mark.parametrize("name, least", LEAST.items())
def test_options_keep_their_rules(found, name, least):
    message = f"--{name} must be at least {least}, got {least - 1}"
    with pytest.raises(errors.InputError, match=message):
        curvature.analyse(found, curvature.Options(**{name: least - 1}))


def test_a_run_without_data_is_refused(found):
    with pytest.raises(errors.InputError, match="must be of a run with training data, got one"):
        other = found._replace(run=type("Run", (), {"train": None, "learner": found.run.learner}))
        curvature.analyse(other, curvature.Options())
