"""DCGAN's networks against PyTorch's layers (tests/fixtures/make_adversarial.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import dcgan

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "adversarial.npz")
KEY = jax.random.key(0)
GENERATOR = dcgan.Generator(features=(4, 3), classes=3)
CRITIC = dcgan.Critic(features=(3, 4), classes=3)
NOISE, LABELS = jnp.asarray(FIXTURE["dcgan/noise"]), jnp.asarray(FIXTURE["dcgan/labels"], jnp.int32)
MADE = jnp.asarray(FIXTURE["dcgan/made"])


def test_networks_are_pytorchs():
    for model, before, inputs, wanted in (
        (GENERATOR, "generator", NOISE, "made"),
        (CRITIC, "critic", MADE, "score"),
    ):
        variables = model.init(KEY, inputs, LABELS)
        start = f"dcgan/{before}/"
        found = {name.removeprefix(start) for name in FIXTURE if name.startswith(start)}
        params = jax.tree_util.tree_map_with_path(
            lambda path, x, start=start: jnp.asarray(
                FIXTURE[start + jax.tree_util.keystr(path, simple=True, separator="/")]
            ),
            variables["params"],
        )
        assert len(found) == len(jax.tree.leaves(params))
        assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, variables["params"])
        outputs, _ = model.apply(
            {**variables, "params": params}, inputs, LABELS, train=True, mutable=["batch_stats"]
        )
        np.testing.assert_allclose(outputs, FIXTURE[f"dcgan/{wanted}"], atol=2e-6)


def test_sizes_follow_the_layers():
    model = dcgan.Generator(start=(3, 4), features=(4, 2, 2), channels=3)
    made = jax.eval_shape(lambda: model.init_with_output(KEY, NOISE)[0])
    assert made.shape == (4, 24, 32, 3)
    critic = dcgan.Critic(features=(2,), norm=None)
    scores = jax.eval_shape(lambda: critic.init_with_output(KEY, jnp.zeros((2, 6, 6, 3)))[0])
    assert scores.shape == (2, 1)


def test_labels_and_classes_come_together():
    with pytest.raises(
        errors.InputError, match=r"^Generator must be called with labels just where"
    ):
        GENERATOR.init(KEY, NOISE)
    with pytest.raises(errors.InputError, match=r"^Critic must be .* got labels for classes=None"):
        dcgan.Critic().init(KEY, MADE, LABELS)


@pytest.mark.parametrize("field", ["start", "features", "channels", "classes"])
def test_bad_fields_are_refused(field):
    value = (0, 2) if field in ("start", "features") else 0
    with pytest.raises(errors.InputError, match=f"Generator's {field} must"):
        dcgan.Generator(**{field: value})
    if field in ("features", "classes"):
        with pytest.raises(errors.InputError, match=f"Critic's {field} must"):
            dcgan.Critic(**{field: value})
