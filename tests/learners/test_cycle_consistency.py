"""CycleGAN against a step of PyTorch (tests/fixtures/make_adversarial.py)."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import cycle_consistency
from jaxdl.losses import adversarial as losses
from jaxdl.models import mlp, pixelwise

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "adversarial.npz")
KEY = jax.random.key(0)
BATCH = {name: jnp.asarray(FIXTURE[f"cycle/{name}"]) for name in ("first", "second")}
TRANSLATOR = pixelwise.Pixelwise(features=(4,))


def translation(game=None, **options):
    """The fixture's networks."""
    critic = mlp.MLP(features=(5,), outputs=1)
    return cycle_consistency.translation(
        (TRANSLATOR, TRANSLATOR),
        (critic, critic),
        game or losses.least_squares(),
        (optax.sgd(0.1), optax.sgd(0.1)),
        **options,
    )


def stored(when, side):
    """Parameters in the fixture."""
    return {
        name: {
            layer: {
                leaf: jnp.asarray(FIXTURE[f"cycle/{when}/{side}/{name}/{layer}/{leaf}"])
                for leaf in ("kernel", "bias")
            }
            for layer in ("hidden_0", "output")
        }
        for name in ("first", "second")
    }


def started(learner):
    """The state that holds the fixture's first parameters."""
    state = learner.init(KEY, BATCH)
    return cycle_consistency.State(
        *(
            part._replace(params=stored("before", side))
            for part, side in zip(state, state._fields, strict=True)
        )
    )


def test_a_step_is_pytorchs():
    learner = translation()
    after, measured = jax.jit(learner.step)(started(learner), BATCH, KEY)
    for part, side in zip(after, after._fields, strict=True):
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
            part.params,
            stored("after", side),
        )
    found = metrics.values(measured)
    names = ("critics/loss", "translators/loss", "translators/cycle")
    np.testing.assert_allclose([found[n] for n in names], FIXTURE["cycle/losses"], rtol=1e-5)


class Patches(nn.Module):
    """Scores every patch of an image."""

    outputs: int = 1

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Conv(self.outputs, (3, 3), name="output")(x)


def judged(critic):
    """A learner whose critics are of one kind, its state, and a batch of images."""
    taught = cycle_consistency.translation(
        (TRANSLATOR, TRANSLATOR), (critic, critic), losses.least_squares(), (optax.sgd(0.1),) * 2
    )
    keys = jax.random.split(KEY)
    shape = (5, 4, 4, 1)
    batch = {n: jax.random.normal(k, shape) for n, k in zip(("first", "second"), keys, strict=True)}
    return taught, taught.init(KEY, batch), batch


def test_a_critic_of_patches_has_a_say_in_every_patch():
    taught, state, batch = judged(Patches())
    after, measured = jax.jit(taught.step)(state, batch, KEY)
    params = state.critics.params
    wanted = [
        np.asarray(Patches().apply({"params": params[name]}, batch[name])).mean()
        for name in ("first", "second")
    ]
    found = metrics.values(measured)
    assert found["critics/real"] == pytest.approx(np.mean(wanted), rel=1e-5)
    assert measured["critics/real"].count == 10 and np.isfinite(list(found.values())).all()
    moved = jax.tree.map(lambda x, y: np.abs(x - y).max(), after, state)
    assert min(jax.tree.leaves(moved.critics.params)) > 0


def test_a_critic_of_two_numbers_is_refused():
    taught, state, batch = judged(Patches(outputs=2))
    with pytest.raises(errors.InputError, match="A critic must give scores"):
        taught.step(state, batch, KEY)


def test_one_model_given_twice_is_two_with_parameters_of_their_own():
    params = translation().init(KEY, BATCH).translators.params
    kernels = [np.asarray(params[name]["hidden_0"]["kernel"]) for name in ("first", "second")]
    assert np.abs(kernels[0] - kernels[1]).min() > 0


def test_evaluation_prediction_and_picture_are_of_the_same_translations():
    learner = translation(scores=lambda made, batch: {"mean": metrics.Mean.of(made[0])})
    state = started(learner)
    params = stored("before", "translators")
    made = TRANSLATOR.apply({"params": params["first"]}, BATCH["first"])
    again = TRANSLATOR.apply({"params": params["second"]}, made)
    np.testing.assert_allclose(learner.predict(state, BATCH), made, rtol=1e-6)
    found = metrics.values(jax.jit(learner.evaluate)(state, BATCH, KEY))
    assert found["mean"] == pytest.approx(float(made.mean()), rel=1e-5)
    assert found["translators/cycle"] == pytest.approx(float(FIXTURE["cycle/losses"][2]), rel=1e-5)
    show = cycle_consistency.pictures((TRANSLATOR, TRANSLATOR), BATCH["first"], BATCH["second"])
    back = TRANSLATOR.apply({"params": params["second"]}, BATCH["second"])
    there = TRANSLATOR.apply({"params": params["first"]}, back)
    columns = [
        np.concatenate(column, axis=1)
        for column in ([BATCH["first"], made, again], [BATCH["second"], back, there])
    ]
    pixels = (np.concatenate(columns, axis=2) + 1) / 2
    np.testing.assert_allclose(show(state, KEY).pixels, pixels, atol=1e-6)


def test_the_average_translates_and_does_not_teach():
    plain, averaged = translation(), translation(average=0.9)
    states = [
        jax.jit(learner.step)(started(learner), BATCH, KEY)[0] for learner in (plain, averaged)
    ]
    state = states[1]._replace(translators=states[1].translators._replace(average=None))
    jax.tree.map(
        np.testing.assert_array_equal, state.translators.params, states[0].translators.params
    )
    slow, fast = averaged.predict(states[1], BATCH), plain.predict(states[0], BATCH)
    assert np.abs(slow - fast).max() > 1e-4


def test_bad_options_are_refused_when_the_learner_is_made():
    with pytest.raises(errors.InputError, match=r"^cycle must be at least 0, got -1\.$"):
        translation(cycle=-1)
    with pytest.raises(
        errors.InputError, match=r"must have no gradient penalty, got one of w.* 3\.0"
    ):
        translation(losses.wasserstein(3.0))
