"""Derivatives by hyperparameters through training: finite differences, a closed form, the run."""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, learner, metrics, run
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.sweep import hypergradient

NUMBERS = {"rate": 0.02, "decay": 0.05, "spread": 0.3, "dropout": 0.2}


def network(
    rate: float = 0.02,
    decay: float = 0.05,
    spread: float = 0.3,
    dropout: float = 0.2,
    width: int = 4,
    steps: int = 20,
) -> run.Run:
    """A smooth network; the first feature is always 0, so that Adam's moments of it are 0 too."""

    def noised(batch, key):
        noise = jax.random.normal(key, batch["input"].shape)
        return batch | {"input": batch["input"] + spread * noise * (batch["input"] != 0)}

    model = mlp.MLP(features=(width,), classes=3, act=nn.tanh, dropout=dropout)
    optimizer = optax.adamw(rate, weight_decay=decay)
    examples = runs.examples(24)
    examples["input"][:, 0] = 0
    return run.Run(
        learner=gradient.supervised(model, classification.cross_entropy, optimizer),
        train=batches.shuffled(examples, 8, augment=noised),
        tests={"test": batches.once(runs.examples(10), 4)},
        steps=steps,
    )


def precise(rate: float = 0.02, decay: float = 0.05, spread: float = 0.3) -> run.Run:
    """The network with parameters, and so all that follows from them, in float64."""
    made = network(rate, decay, spread, dropout=0.0)

    def widened(x):
        return x.astype(jnp.float64) if x.dtype == jnp.float32 else x

    def init(key, batch):
        return jax.tree.map(widened, made.learner.init(key, batch))

    def evaluate(state, batch, key):
        logits = made.learner.predict(state, batch)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"])
        return {"loss": metrics.Mean(losses.sum(), losses.size * 1.0)}

    return dataclasses.replace(made, learner=made.learner._replace(init=init, evaluate=evaluate))


def test_it_equals_finite_differences():
    at = {name: NUMBERS[name] for name in ("rate", "decay", "spread")}
    with jax.enable_x64(True):
        loss = hypergradient.objective(precise, list(at), 12)
        _, found = jax.value_and_grad(loss)(at)
        for name, number in at.items():
            width = 1e-3 * number
            above, below = (loss(at | {name: number + d}) for d in (width, -width))
            difference = float(above - below) / (2 * width)
            assert abs(difference) > 1e-4
            np.testing.assert_allclose(float(found[name]), difference, rtol=1e-3)


def test_it_is_of_the_very_run(tmp_path):
    made = network(**NUMBERS, steps=6)
    wanted = runs.train(made, tmp_path / "run", seed=3).metrics["test/loss"]
    function = hypergradient.objective(network, ["rate"], 6, given=NUMBERS, seed=3)
    assert float(function({"rate": 0.02})) == pytest.approx(wanted, rel=1e-5)


def halving(rate: float = 0.1, size: int = 3, steps: int = 100, noise: float = 0.0) -> run.Run:
    """Gradient descent on half the square of a vector: (1 - rate)^K of the first."""

    def init(key, batch):
        return jnp.arange(1.0, size + 1)

    def step(state, batch, key):
        return state - rate * state, {"loss": metrics.Mean.of(state**2)}

    def evaluate(state, batch, key):
        error = (state**2).sum() + jnp.sqrt(jnp.where(noise > 0, -1.0, 0.0))
        count = {"size": metrics.Confusion.of(jnp.zeros(1, int), jnp.zeros(1, int), 2)}
        return {"loss": metrics.Mean.of(error / 2), "root": metrics.RootMean.of(error)} | count

    return run.Run(
        learner=learner.Learner(init, step, evaluate),
        train=None,
        tests={"test": batches.once({"input": np.zeros((2, 1), np.float32)}, 2)},
        steps=steps,
    )


@pytest.mark.parametrize("steps", [1, 2, 12, 100, None])
def test_gradient_descent_on_a_quadratic(steps):
    count = 100 if steps is None else steps
    value, found = hypergradient.hypergradient(halving, {"rate": 0.1}, steps)
    half = 14 / 2  # of 1² + 2² + 3²
    assert value == pytest.approx(half * 0.9 ** (2 * count), rel=1e-4)
    assert found["rate"] == pytest.approx(-half * 2 * count * 0.9 ** (2 * count - 1), rel=1e-4)
    root, slope = hypergradient.hypergradient(halving, {"rate": 0.1}, steps, tag="test/root")
    assert root == pytest.approx(math.sqrt(14) * 0.9**count, rel=1e-4)
    assert slope["rate"] == pytest.approx(-math.sqrt(14) * count * 0.9 ** (count - 1), rel=1e-4)


def test_memory_grows_with_the_root_of_the_steps():
    size, steps = 10_000, 400
    loss = hypergradient.objective(halving, ["rate"], steps, given={"size": size})
    compiled = jax.jit(jax.grad(loss)).lower({"rate": 0.1}).compile()
    states = compiled.memory_analysis().temp_size_in_bytes / (4 * size)
    assert states < 4 * math.sqrt(steps)


@pytest.mark.parametrize(
    "names, asked, message",
    [
        (["size"], {}, "must be a float that goes into arithmetic alone, got size"),
        (["width"], {}, "must be one of rate, size, steps, noise, got width"),
        (["rate"], {"steps": 0}, "must be at least 1, got 0"),
        (["rate"], {"tag": "valid/loss"}, r"must be of a test \(test\), got 'valid/loss'"),
        (["rate"], {"tag": "test/size"}, r"must be a mean \(loss, root\), got 'size'"),
    ],
    ids=str,
)
def test_what_is_refused(names, asked, message):
    with pytest.raises(errors.InputError, match=message) as caught:
        hypergradient.objective(halving, names, **asked)
    assert "\n" not in str(caught.value)
    if names == ["size"]:
        with pytest.raises(errors.InputError, match=message):
            hypergradient.hypergradient(halving, {"size": 3.0}, 2)


def test_what_has_diverged_is_refused():
    with pytest.raises(errors.NonFiniteError, match=r"must be finite, got .* for rate"):
        hypergradient.hypergradient(halving, {"rate": 5.0}, 100)


def test_a_loop_of_unknown_length_is_refused():
    def looping(rate: float = 0.1) -> run.Run:
        made = halving(rate)

        def step(state, batch, key):
            def shrink(state):
                return state - rate * state

            return jax.lax.while_loop(lambda x: x.sum() > 1, shrink, state), {}

        return dataclasses.replace(made, learner=made.learner._replace(step=step))

    with pytest.raises(errors.InputError, match="must have no loop of unknown length") as caught:
        hypergradient.hypergradient(looping, {"rate": 0.1}, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["every other step", "where finite", "checkpoint", "scan"])
def test_square_roots_inside_branches_and_loops(kind):
    """The first feature is always 0, so that Adam's moments of it are 0 too."""

    def adaptive(rate: float = 0.02) -> run.Run:
        optimizer = optax.adam(rate)
        if kind == "every other step":
            optimizer = optax.MultiSteps(optimizer, 2).gradient_transformation()
        if kind == "where finite":
            optimizer = optax.apply_if_finite(optimizer, 3)
        made = network()
        model = mlp.MLP(features=(4,), classes=3, act=nn.tanh)
        taught = gradient.supervised(model, classification.cross_entropy, optimizer)
        step = taught.step
        if kind == "checkpoint":
            taught = taught._replace(step=jax.checkpoint(step))
        if kind == "scan":

            def twice(state, batch, key):
                state, found = jax.lax.scan(lambda s, k: step(s, batch, k), state, key[None])
                return state, jax.tree.map(lambda x: x[0], found)

            taught = taught._replace(step=twice)
        return dataclasses.replace(made, learner=taught)

    _, found = hypergradient.hypergradient(adaptive, {"rate": 0.02}, 4)
    loss = hypergradient.objective(adaptive, ["rate"], 4)
    above, below = (float(loss({"rate": 0.02 + d})) for d in (1e-3, -1e-3))
    assert found["rate"] == pytest.approx((above - below) / 2e-3, rel=0.02)


def test_floats_may_be_written_as_whole_numbers():
    def whole(rate: float = 0) -> run.Run:
        return halving(rate)

    def required(rate: float) -> run.Run:
        return halving(rate)

    assert hypergradient.hypergradient(whole, {"rate": 0.0}, 1).gradient == {"rate": -14}
    wanted = hypergradient.hypergradient(halving, {"rate": 0.1}, 2)
    assert hypergradient.hypergradient(required, {"rate": 0.1}, 2) == wanted
    loss = hypergradient.objective(whole, ["rate"], 2, given={"rate": 1})
    assert float(loss({"rate": 0.1})) == pytest.approx(wanted.value)
    with pytest.raises(errors.InputError, match="must have a value, got none for rate"):
        hypergradient.objective(required, ["rate"], 2)
