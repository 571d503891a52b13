"""Hyperparameters as values in the program: what a sweep in one compilation needs."""

import inspect
import typing

import jax
import optax
import pytest
import test_experiments

from jaxdl import errors, experiment
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp

OPTIMIZERS = {
    "sgd": lambda rate: optax.sgd(rate, momentum=rate, nesterov=True),
    "adam": lambda rate: optax.adam(rate, b1=rate, eps=rate),
    "adamw": lambda rate: optax.adamw(rate, weight_decay=rate),
    "cosine": lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 10, alpha=rate)),
    "linear": lambda rate: optax.adam(optax.linear_schedule(0.0, rate, 10)),
    # optax.warmup_cosine_decay_schedule compares its peak with 0: scale one of peak 1 instead.
    "warmup": lambda rate: optax.adam(
        lambda step: rate * optax.warmup_cosine_decay_schedule(0.0, 1.0, 2, 10)(step)
    ),
}


def shapes(whole, *values):
    """The shapes of what a learner does when its hyperparameters are traced."""

    def run(*values):
        taught, batch, test = whole(*values)
        state = taught.init(jax.random.key(0), batch)
        after, measured = taught.step(state, batch, jax.random.key(1))
        return after, measured, taught.evaluate(after, test, jax.random.key(2))

    return jax.eval_shape(run, *values)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_gradient_learner_takes_traced_numbers(name):
    def whole(rate, clip, average, dropout):
        model = mlp.MLP(features=(4,), classes=3, dropout=dropout)
        taught = gradient.supervised(
            model, classification.cross_entropy, OPTIMIZERS[name](rate), clip=clip, average=average
        )
        numbers = jax.numpy.zeros((2, 5)), jax.numpy.zeros(2, int)
        batch = dict(zip(("input", "target"), numbers, strict=True))
        return taught, batch, batch

    state, measured, _ = shapes(whole, 0.1, 1.0, 0.9, 0.5)
    assert state.average is not None and "gradient_norm" in measured


# What makes the data or shapes them, and so is no value in a program.
SHAPING = {
    "digits_fedprox": {"concentration"},
    "digits_mae": {"ratio"},
    "digits_calibration": {"coverage"},
    "digits_explain": {"clutter", "noise"},
    "ising_vqe": {"field"},
    "motion_conv3d": {"noise"},
    "patterns_hopfield": {"flipped"},
    "patterns_modern_hopfield": {"noise"},
    "shapes_unet": {"noise"},
    "volumes_unet": {"noise"},
}


def branches(path):
    """Nothing, and each value of each Literal that is not its default."""
    parameters = inspect.signature(experiment.File(path).function).parameters.values()
    return [{}] + [
        {p.name: value}
        for p in parameters
        if typing.get_origin(p.annotation) is typing.Literal
        for value in typing.get_args(p.annotation)
        if value != p.default
    ]


CASES = [(path, chosen) for path in test_experiments.FILES for chosen in branches(path)]


@pytest.mark.parametrize(
    ("path", "chosen"), CASES, ids=["-".join([p.stem, *c.values()]) for p, c in CASES]
)
def test_every_experiment_takes_traced_numbers(path, chosen, tmp_path):
    function = experiment.File(path).function
    small = {"steps": 2} | test_experiments.SMALL.get(path.stem, {}) | chosen
    if path.stem in test_experiments.WRITERS:
        test_experiments.WRITERS[path.stem](tmp_path)
        small["folder"] = str(tmp_path)
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    floats = [name for name, default in defaults.items() if isinstance(default, float)]
    assert floats
    floats = [name for name in floats if name not in SHAPING.get(path.stem, {}) | small.keys()]
    try:
        plain = function(**small)
    except errors.MissingError as error:
        pytest.skip(str(error))

    batch = None
    if plain.train is not None:
        shape = jax.eval_shape(plain.train.select, plain.train.open(0).first(), 0)
        batch = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), shape)
    select, data = next(iter(next(iter(plain.tests.values())).once()))

    def whole(*values):
        learner = function(**small, **dict(zip(floats, values, strict=True))).learner
        return learner, batch, select(data, 0)

    shapes(whole, *[defaults[name] for name in floats])
