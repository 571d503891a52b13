"""Hyperparameters as values in the program: what a sweep in one compilation needs."""

import inspect

import jax
import optax
import pytest
import test_experiments

from jaxdl import experiment
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
        taught, batch = whole(*values)
        state = taught.init(jax.random.key(0), batch)
        after, measured = taught.step(state, batch, jax.random.key(1))
        return after, measured, taught.evaluate(after, batch, jax.random.key(2))

    return jax.eval_shape(run, *values)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_gradient_learner_takes_traced_numbers(name):
    def whole(rate, clip, average, dropout):
        model = mlp.MLP(features=(4,), classes=3, dropout=dropout)
        taught = gradient.supervised(
            model, classification.cross_entropy, OPTIMIZERS[name](rate), clip=clip, average=average
        )
        numbers = jax.numpy.zeros((2, 5)), jax.numpy.zeros(2, int)
        return taught, dict(zip(("input", "target"), numbers, strict=True))

    state, measured, _ = shapes(whole, 0.1, 1.0, 0.9, 0.5)
    assert state.average is not None and "gradient_norm" in measured


@pytest.mark.parametrize("path", test_experiments.FILES, ids=test_experiments.named)
def test_every_experiment_takes_traced_numbers(path, tmp_path):
    function = experiment.File(path).function
    small = {"steps": 2} | test_experiments.SMALL.get(path.stem, {})
    if path.stem in test_experiments.WRITERS:
        test_experiments.WRITERS[path.stem](tmp_path)
        small["folder"] = str(tmp_path)
    defaults = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    floats = [name for name, default in defaults.items() if isinstance(default, float)]
    assert floats

    source = function(**small).train
    shape = jax.eval_shape(source.select, source.open(0).first(), 0)
    batch = jax.tree.map(lambda x: jax.numpy.zeros(x.shape, x.dtype), shape)

    def whole(*values):
        return function(**small, **dict(zip(floats, values, strict=True))).learner, batch

    shapes(whole, *[defaults[name] for name in floats])
