"""Low-rank adapters against PEFT; what is frozen stays, what is fresh is learnt."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from jaxdl import errors
from jaxdl.learners import gradient, low_rank
from jaxdl.losses import regression
from jaxdl.models import mlp

FIXTURE = dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "low_rank.npz"))
MODEL = mlp.MLP(features=(7,), outputs=3)
KEY = jax.random.key(0)
STEPS, RANK, ALPHA = 5, 2, 6.0  # as make_low_rank.py


def stored(before):
    """The arrays below a name, as a tree."""
    flat = {k.removeprefix(before + "/"): v for k, v in FIXTURE.items() if k.startswith(before)}
    return jax.tree.map(jnp.asarray, traverse_util.unflatten_dict(flat, sep="/"))


def assert_close(found, wanted, atol=1e-6):
    assert jax.tree.structure(found) == jax.tree.structure(wanted)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=atol), found, wanted)


def start(key):
    return {"params": stored("start/model")}


def batch(step):
    return {
        "input": jnp.array(FIXTURE["input"][step]),
        "target": jnp.array(FIXTURE["target"][step]),
    }


def trained(learner, steps=STEPS):
    """The state at first and after some steps of PEFT's batches."""
    state = first = jax.jit(learner.init)(KEY, batch(0))
    step = jax.jit(learner.step)
    for i in range(steps):
        state, _ = step(state, batch(i), KEY)
    return first, state


def test_steps_outputs_and_merge_are_those_of_peft():
    learner = low_rank.lora(
        MODEL,
        start,
        regression.squared_error,
        optax.sgd(0.1),
        rank=RANK,
        alpha=ALPHA,
        learn=(),
    )
    state = jax.jit(learner.init)(KEY, batch(0))
    assert jax.tree.structure(state.params) == jax.tree.structure(stored("start"))
    assert_close(state.params["model"], stored("start/model"), atol=0)
    state = state._replace(params=stored("start"))
    step = jax.jit(learner.step)
    for i in range(STEPS):
        state, _ = step(state, batch(i), KEY)
    assert_close(state.params, stored("end"))
    np.testing.assert_allclose(learner.predict(state, batch(0)), FIXTURE["outputs"], atol=1e-6)
    merged = low_rank.Adapted(MODEL, RANK, ALPHA).merged(state.params)
    assert_close(merged, stored("merged"))
    outputs = MODEL.apply({"params": merged}, batch(0)["input"])
    np.testing.assert_allclose(outputs, FIXTURE["outputs"], atol=1e-6)


def test_at_first_adapters_change_nothing_and_the_optimizer_holds_them_alone():
    learner = low_rank.lora(
        MODEL, start, regression.squared_error, optax.adam(0.1), rank=RANK, learn=()
    )
    first, last = trained(learner, 1)
    outputs = MODEL.apply(start(KEY), batch(0)["input"])
    np.testing.assert_allclose(learner.predict(first, batch(0)), outputs, atol=1e-6)
    down = np.asarray(first.params["adapters"]["hidden_0"]["kernel"]["down"])
    assert 0.5 / np.sqrt(5) < np.abs(down).max() <= 1 / np.sqrt(5)
    sizes = sorted(x.size for x in jax.tree.leaves(last.optimizer))
    assert sizes == sorted([1, *2 * [5 * RANK, RANK * 7, 7 * RANK, RANK * 3]])  # Adam's moments
    assert_close(last.params["model"], first.params["model"], atol=0)


def test_what_is_learnt_whole_has_no_adapter_and_a_shape_of_its_own():
    model = mlp.MLP(features=(7,), outputs=2)
    learner = low_rank.lora(model, start, pick_two, optax.sgd(0.1), rank=RANK)
    first, last = trained(learner)
    assert set(first.params["adapters"]) == {"hidden_0"}
    assert first.params["model"]["output"]["kernel"].shape == (7, 2)
    assert_close(last.params["model"]["hidden_0"], stored("start/model/hidden_0"), atol=0)
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), last.params, first.params)
    assert moved["model"]["output"] == {"kernel": True, "bias": True}
    assert moved["adapters"]["hidden_0"]["kernel"] == {"down": True, "up": True}


@pytest.mark.parametrize("learn", ["nothing/|output/", "^output/", "^output/|^nothing/"])
def test_any_regular_expression_says_what_is_learnt(learn):
    for kind, of in ((low_rank.lora, "model"), (low_rank.probe, None)):
        taught = kind(MODEL, start, regression.squared_error, optax.sgd(0.1), learn=(learn,))
        first, last = (
            state.params if of is None else state.params[of] for state in trained(taught)
        )
        moved = jax.tree.map(lambda x, y: bool((x != y).any()), last, first)
        assert moved["output"] == {"kernel": True, "bias": True}
        assert moved["hidden_0"] == {"kernel": False, "bias": False}


def test_what_is_learnt_must_be_there():
    taught = low_rank.probe(MODEL, start, pick_two, optax.sgd(0.1), learn=("haed/",))
    with pytest.raises(errors.InputError, match="learn must find a parameter, got 'haed/'"):
        taught.init(KEY, batch(0))


def pick_two(outputs, batch):
    return regression.squared_error(outputs, {"target": batch["target"][:, :2]})


def test_a_probe_is_least_squares_on_the_trained_features():
    """The closed-form solution is where its steps stay."""
    model = mlp.MLP(features=(7,), outputs=2)
    learner = low_rank.probe(model, start, pick_two, optax.sgd(1.0))
    state = learner.init(KEY, batch(0))
    hidden = stored("start/model/hidden_0")
    assert_close(state.params["hidden_0"], hidden, atol=0)
    features = np.maximum(FIXTURE["input"][0] @ hidden["kernel"] + hidden["bias"][None], 0)
    design = np.concatenate([features, np.ones((16, 1))], 1)
    solution = np.linalg.lstsq(design, FIXTURE["target"][0][:, :2], rcond=None)[0]
    output = {"kernel": jnp.float32(solution[:-1]), "bias": jnp.float32(solution[-1])}
    state = state._replace(params=state.params | {"output": output})
    after, _ = jax.jit(learner.step)(state, batch(0), KEY)
    assert_close(after.params, state.params, atol=1e-5)
    after, _ = jax.jit(learner.step)(state, batch(1), KEY)  # of other data it is none
    assert np.abs(after.params["output"]["bias"] - output["bias"]).max() > 1e-2


def test_a_start_may_learn_first():
    taught = gradient.supervised(MODEL, regression.squared_error, optax.sgd(0.1))
    begun = low_rank.trained(taught, lambda key: batch(0), 3)
    key = jax.random.key(7)
    init_key, _ = jax.random.split(key)
    state = taught.init(init_key, batch(0))
    for _ in range(3):
        state, _ = taught.step(state, batch(0), KEY)
    assert_close(begun(key)["params"], state.params)
    fine = gradient.supervised(
        low_rank.Started(MODEL, begun, ()), regression.squared_error, optax.sgd(0.1)
    )
    assert_close(fine.init(KEY, batch(0)).params, begun_under(KEY, begun))


def begun_under(key, begun):
    """What a start gives a learner that is begun with this key."""
    param_key, _ = jax.random.split(key)
    return begun(jax.random.fold_in(param_key, 1))["params"]


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(errors.InputError, match=r"^rank must be at least 1, got 0\.$"):
        low_rank.lora(MODEL, start, regression.squared_error, optax.sgd(1), rank=0)
    nothing = low_rank.Adapted(MODEL, targets=("conv",))
    with pytest.raises(errors.InputError, match=r"targets must find a parameter, got conv; .*outp"):
        nothing.init({"params": KEY}, batch(0)["input"])
    wide = low_rank.Started(mlp.MLP(features=(8,), outputs=3), start)
    with pytest.raises(
        errors.InputError,
        match=r"hidden_0/kernel must have the shape \(5, 8\), got \(5, 7\)\.",
    ):
        wide.init({"params": KEY}, batch(0)["input"])
    deep = low_rank.Started(mlp.MLP(features=(7, 7), outputs=3), start)
    with pytest.raises(errors.InputError, match=r"hidden_1/kernel must have .* got none\."):
        deep.init({"params": KEY}, batch(0)["input"])
