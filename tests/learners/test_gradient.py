"""Learning by gradient against PyTorch's optimizers (tests/fixtures/make_gradient.py) and closed
forms.
"""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import gradient
from jaxdl.losses import classification, regression
from jaxdl.models import mlp

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "gradient.npz")
KEY = jax.random.key(0)
MODEL = mlp.MLP(features=(7,), classes=3)
BATCHES = [
    {"input": jnp.asarray(x), "target": jnp.asarray(t)}
    for x, t in zip(FIXTURE["input"], FIXTURE["target"], strict=True)
]
OPTIMIZERS = {
    "adam": (optax.adam(1e-2), None),
    "adamw": (optax.adamw(1e-2, weight_decay=0.1), None),
    "momentum": (optax.sgd(0.1, momentum=0.9), None),
    "nesterov": (optax.sgd(0.1, momentum=0.9, nesterov=True), None),
    "clipped": (optax.sgd(0.1, momentum=0.9), 0.2),
}


def supervised(optimizer=None, *, model=MODEL, **options):
    """A learner of the fixture's classes."""
    optimizer = optimizer or optax.sgd(0.1)
    return gradient.supervised(model, classification.cross_entropy, optimizer, **options)


def trained(learner, steps: int = len(BATCHES), start=None):
    """The states and the metrics of some steps."""
    state = learner.init(KEY, BATCHES[0])
    state = state if start is None else state._replace(params=start)
    step, states, measured = jax.jit(learner.step), [state], []
    for i in range(steps):
        state, found = step(state, BATCHES[i], jax.random.fold_in(KEY, i))
        states.append(state)
        measured.append(metrics.values(found))
    return states, measured


def stored(before: str):
    """Parameters in the fixture."""
    return {
        layer: {
            leaf: jnp.asarray(FIXTURE[f"{before}/{layer}/{leaf}"]) for leaf in ("kernel", "bias")
        }
        for layer in ("hidden_0", "output")
    }


def assert_close(tree, expected, **tolerance):
    """All leaves, and the structure."""
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), tree, expected)


def assert_equal(tree, expected):
    """To the last bit."""
    jax.tree.map(np.testing.assert_array_equal, tree, expected)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_are_pytorchs(name):
    optimizer, clip = OPTIMIZERS[name]
    states, measured = trained(supervised(optimizer, clip=clip), start=stored("start"))
    assert_close(states[1].params, stored(f"{name}/1"), atol=2e-6)
    assert_close(states[10].params, stored(f"{name}/10"), atol=5e-6)
    np.testing.assert_allclose([m["loss"] for m in measured], FIXTURE[f"{name}/losses"], rtol=1e-5)
    if clip is not None:  # torch's clip_grad_norm_ returns the norm before it clips
        norms = [m["gradient_norm"] for m in measured]
        np.testing.assert_allclose(norms, FIXTURE[f"{name}/norms"], rtol=1e-5)


class Normed(nn.Module):
    """A perceptron with batch statistics and dropout."""

    rate: float = 0.0
    dtype: object = None

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.Dense(6, dtype=self.dtype, name="hidden")(x)
        norm = nn.BatchNorm(not train, momentum=0.9, dtype=self.dtype, name="norm")
        x = nn.Dropout(self.rate, deterministic=not train, name="dropout")(norm(x))
        return nn.Dense(3, dtype=self.dtype, name="output")(x)


@pytest.mark.parametrize("parts", [2, 4])
def test_microbatches_are_the_same_step(parts):
    options = {"optimizer": optax.adam(1e-2), "clip": 0.2}
    whole, measured = trained(supervised(**options), 3)
    cut, measured_in_parts = trained(supervised(**options, microbatches=parts), 3)
    assert_close(cut[3], whole[3], atol=1e-6)
    for ours, expected in zip(measured_in_parts, measured, strict=True):
        assert ours == pytest.approx(expected, rel=1e-6)


def test_microbatches_pass_the_statistics_on():
    """Each part moves the running mean in turn; NumPy does the same."""
    learner = supervised(model=Normed(), microbatches=4)
    (before, after), _ = trained(learner, 1)
    hidden = np.asarray(nn.Dense(6).apply({"params": before.params["hidden"]}, BATCHES[0]["input"]))
    mean = np.zeros(6)
    for part in hidden.reshape(4, 4, 6):
        mean = 0.9 * mean + 0.1 * part.mean(0)
    np.testing.assert_allclose(after.statistics["batch_stats"]["norm"]["mean"], mean, atol=1e-6)


def test_microbatches_drop_different_units():
    """Two equal parts: with one mask for both, the gradient would be that of one of them."""
    half = jax.tree.map(lambda x: x[:8], BATCHES[0])
    double = jax.tree.map(lambda x: jnp.concatenate([x, x]), half)
    learner = supervised(model=Normed(rate=0.5), microbatches=2)
    state = learner.init(KEY, half)
    losses = {
        float(jax.jit(learner.step)(state, double, jax.random.key(i))[1]["loss"].total)
        for i in range(3)
    }
    same = supervised(model=Normed(rate=0.5))
    alone = {
        2
        * float(
            jax.jit(same.step)(state, half, jax.random.fold_in(jax.random.key(i), 0))[1][
                "loss"
            ].total
        )
        for i in range(3)
    }
    assert len(losses) == 3 and not losses & alone


def test_microbatches_must_divide_the_batch():
    learner = supervised(microbatches=3)
    state = learner.init(KEY, BATCHES[0])
    with pytest.raises(errors.InputError, match="must divide the batch size 16, got 3"):
        jax.eval_shape(learner.step, state, BATCHES[0], KEY)


def test_average_is_its_closed_form_and_is_what_predicts():
    decay, steps = 0.45, 9  # the limit is 2/11, 3/12, ... and passes the decay in step 8
    learner = supervised(optax.sgd(0.5), average=decay)
    states, _ = trained(learner, steps)
    weights = np.ones(1)  # of the initial parameters, then of those after each step
    for n in range(1, steps + 1):
        used = min(decay, (1 + n) / (10 + n))
        weights = np.append(used * weights, 1 - used)
    expected = jax.tree.map(
        lambda *xs: sum(w * np.asarray(x, np.float64) for w, x in zip(weights, xs, strict=True)),
        *[state.params for state in states],
    )
    final = states[-1]
    assert decay < (1 + 7) / (10 + 7) and int(final.average.steps) == steps
    assert_close(final.average.params, expected, atol=1e-6)
    outputs = MODEL.apply({"params": final.average.params}, BATCHES[0]["input"])
    np.testing.assert_allclose(learner.predict(final, BATCHES[0]), outputs, atol=1e-6)
    loss = metrics.values(learner.evaluate(final, BATCHES[0], KEY))["loss"]
    of_average = classification.cross_entropy(outputs, BATCHES[0])["loss"].value()
    of_last = supervised().evaluate(final._replace(average=None), BATCHES[0], KEY)["loss"].value()
    assert loss == pytest.approx(of_average, rel=1e-6) and abs(loss - of_last) > 1e-3


@pytest.mark.parametrize("jit", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_the_state_can_be_donated(jit):
    """The average begins as the parameters, but in memory of its own."""
    learner = supervised(average=0.9)
    state = jit(learner.init)(KEY, BATCHES[0])
    state, _ = jax.jit(learner.step, donate_argnums=0)(state, BATCHES[0], KEY)
    assert np.isfinite(state.average.params["output"]["kernel"]).all()


def test_frozen_parameters_stay_to_the_last_bit():
    learner = supervised(
        optax.adamw(0.1, weight_decay=0.5), freeze=("^hidden_0/", "bias$"), average=0.7, clip=1.0
    )
    states, measured = trained(learner, 5)
    first, last = states[0].params, states[-1].params
    for tree in (last, states[-1].average.params):
        assert_equal(tree["hidden_0"], first["hidden_0"])
        assert_equal(tree["output"]["bias"], first["output"]["bias"])
    assert (np.asarray(last["output"]["kernel"]) != np.asarray(first["output"]["kernel"])).all()
    shapes = sorted(np.shape(x) for x in jax.tree.leaves(states[-1].optimizer))
    assert shapes == [(), (7, 3), (7, 3)]  # Adam's step counter and its two moments

    def loss(kernel):
        params = first | {"output": first["output"] | {"kernel": kernel}}
        outputs = MODEL.apply({"params": params}, BATCHES[0]["input"])
        return classification.cross_entropy(outputs, BATCHES[0])["loss"].total / 16

    norm = np.linalg.norm(jax.grad(loss)(first["output"]["kernel"]))
    assert measured[0]["gradient_norm"] == pytest.approx(norm, rel=1e-5)


def test_frozen_parameters_are_those_of_the_others_alone():
    """What is learnt beside frozen parameters is what PyTorch's optimizer would do to them."""
    states, _ = trained(supervised(optax.adam(1e-2), freeze=("hidden",)), 1, stored("start"))
    assert_close(states[1].params["output"], stored("adam/1")["output"], atol=2e-6)
    assert_equal(states[1].params["hidden_0"], stored("start")["hidden_0"])


def test_a_pattern_must_find_a_parameter():
    learner = supervised(freeze=("output", "conv"))
    with pytest.raises(
        errors.InputError,
        match="must find a parameter, got 'conv'; the parameters are hidden_0/bias, hid",
    ):
        learner.init(KEY, BATCHES[0])


def test_statistics_move_in_steps_and_serve_evaluation():
    learner = supervised(model=Normed())
    (before, after), _ = trained(learner, 1)
    hidden = np.asarray(nn.Dense(6).apply({"params": before.params["hidden"]}, BATCHES[0]["input"]))
    statistics = after.statistics["batch_stats"]["norm"]
    np.testing.assert_allclose(statistics["mean"], 0.1 * hidden.mean(0), atol=1e-6)
    np.testing.assert_allclose(statistics["var"], 0.9 + 0.1 * hidden.var(0), atol=1e-6)
    params = jax.tree.map(np.asarray, after.params)
    x = BATCHES[1]["input"] @ params["hidden"]["kernel"] + params["hidden"]["bias"][None]
    x = (x - statistics["mean"][None]) / np.sqrt(statistics["var"] + 1e-5)[None]
    x = x * params["norm"]["scale"][None] + params["norm"]["bias"][None]
    outputs = x @ params["output"]["kernel"] + params["output"]["bias"][None]
    np.testing.assert_allclose(learner.predict(after, BATCHES[1]), outputs, atol=1e-5)
    expected = classification.cross_entropy(outputs, BATCHES[1])["loss"].value()
    assert learner.evaluate(after, BATCHES[1], KEY)["loss"].value() == pytest.approx(expected)


def test_dropout_differs_by_key_and_is_off_in_evaluation():
    learner = supervised(model=mlp.MLP(features=(16,), classes=3, dropout=0.5))
    state = learner.init(KEY, BATCHES[0])
    step, evaluate = jax.jit(learner.step), jax.jit(learner.evaluate)
    keys = [jax.random.key(i) for i in (1, 1, 2)]
    same, again, other = (float(step(state, BATCHES[0], key)[1]["loss"].total) for key in keys)
    assert same == again != other
    one, two = (float(evaluate(state, BATCHES[0], key)["loss"].total) for key in keys[1:])
    assert one == two


def test_scores_are_of_evaluation_alone():
    learner = supervised(scores=classification.confusion)
    state = learner.init(KEY, BATCHES[0])
    assert set(learner.evaluate(state, BATCHES[0], KEY)) == {"loss", "accuracy", "confusion"}
    assert set(learner.step(state, BATCHES[0], KEY)[1]) == {"loss", "accuracy"}


def test_the_learning_rate_is_shown_where_the_optimizer_carries_it():
    schedule = optax.linear_schedule(1.0, 0.0, 4)
    scheduled = optax.inject_hyperparams(optax.sgd)(learning_rate=schedule)
    _, measured = trained(supervised(scheduled, clip=1.0), 3)
    assert [m["learning_rate"] for m in measured] == pytest.approx([1.0, 0.75, 0.5])
    constant = optax.inject_hyperparams(optax.adam)(learning_rate=0.03)
    _, measured = trained(supervised(constant, freeze=("bias",)), 1)
    assert measured[0]["learning_rate"] == pytest.approx(0.03)
    assert "learning_rate" not in trained(supervised(), 1)[1][0]


def test_two_learning_rates_are_not_shown_as_one():
    rates = {"a": 0.1, "b": 0.2}
    parts = {
        name: optax.inject_hyperparams(optax.sgd)(learning_rate=r) for name, r in rates.items()
    }
    labels = {"hidden_0": "a", "output": "b"}
    _, measured = trained(supervised(optax.partition(parts, labels)), 1)
    assert set(measured[0]) == {"loss", "accuracy"}


def test_hyperparameters_can_be_traced():
    """A sweep in one program: learners are built inside vmap."""

    def run(rate, clip, average):
        learner = supervised(optax.sgd(rate, momentum=0.9), clip=clip, average=average)
        state = learner.init(KEY, BATCHES[0])
        for batch in BATCHES[:2]:
            state, _ = learner.step(state, batch, KEY)
        return state.params, state.average

    sweep = [jnp.array(x) for x in ([0.03, 0.3], [0.1, 0.2], [0.5, 0.9])]
    together = jax.jit(jax.vmap(run))(*sweep)
    assert_close(jax.tree.map(lambda x: x[1], together), run(0.3, 0.2, 0.9), atol=1e-6)


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16], ids=["single", "half"])
@pytest.mark.parametrize("microbatches", [1, 2])
def test_the_state_keeps_its_shapes_and_types(dtype, microbatches):
    learner = supervised(
        optax.adamw(1e-2),
        model=Normed(rate=0.1, dtype=dtype),
        clip=1.0,
        average=0.9,
        microbatches=microbatches,
    )
    states, measured = trained(learner, 2)
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in states]
    assert shapes[0] == shapes[1] == shapes[2]
    kinds = {x.dtype for x in jax.tree.leaves((states[-1].params, states[-1].statistics))}
    assert kinds == {jnp.dtype(jnp.float32)}
    assert np.isfinite(measured[-1]["loss"])


def test_parameters_in_half_precision_are_divided_in_single():
    """257 examples would be 256 in bfloat16; all but one of them have no gradient here."""

    class Scale(nn.Module):
        @nn.compact
        def __call__(self, x, train=False):
            return x * self.param("scale", nn.initializers.zeros, (1,), jnp.bfloat16)[None]

    one = jnp.zeros((257, 1)).at[0].set(1)
    batch = {"input": one, "target": one}
    learner = gradient.supervised(Scale(), regression.squared_error, optax.sgd(1.0))
    state = learner.init(KEY, batch)
    after, _ = jax.jit(learner.step)(state, batch, KEY)
    assert after.params["scale"].dtype == jnp.bfloat16
    assert float(after.params["scale"][0]) == float(jnp.bfloat16(2 / 257))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"microbatches": 0}, "microbatches must be at least 1, got 0."),
        ({"average": 1.0}, "average must be a decay in [0, 1), got 1.0."),
        ({"average": 1}, "average must be a decay in [0, 1), got 1."),
        ({"average": -0.1}, "average must be a decay in [0, 1), got -0.1."),
        ({"clip": 0.0}, "clip must be positive, got 0.0."),
        ({"clip": -1}, "clip must be positive, got -1."),
    ],
    ids=str,
)
def test_bad_options_are_refused_when_the_learner_is_made(options, message):
    with pytest.raises(errors.InputError) as caught:
        supervised(**options)
    assert str(caught.value) == message
