"""Soft actor-critic against PyTorch (tests/fixtures/make_soft_actor_critic.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.envs import cartpole, pendulum
from jaxdl.learners import gradient, replay, soft_actor_critic
from jaxdl.models import soft_actor_critic as models
from jaxdl.nn import distributions

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "soft_actor_critic.npz")
KEY = jax.random.key(0)
BOTH = soft_actor_critic.Models(
    models.Actor(actions=2, features=(8,)), models.Critics(features=(8,))
)
GIVEN = {name[6:]: jnp.asarray(FIXTURE[name]) for name in FIXTURE if name.startswith("given/")}


def network(path):
    """A perceptron of the fixture."""
    return {
        layer: {leaf: jnp.asarray(FIXTURE[f"{path}/{layer}/{leaf}"]) for leaf in ("kernel", "bias")}
        for layer in ("hidden_0", "output")
    }


def stored(when):
    """The parameters, and those of the slow critics."""
    critics, slow = (
        {f"critic_{i}": network(f"{when}/{name}_{i}") for i in range(2)}
        for name in ("critic", "slow")
    )
    params = {
        "actor": {"perceptron": network(f"{when}/actor_0")},
        "critics": critics,
        "log_temperature": jnp.asarray(FIXTURE[f"{when}/log_temperature"]),
    }
    return params, slow


def assert_close(tree, expected, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), tree, expected)


@pytest.fixture
def drawn(monkeypatch):
    """The policy draws the fixture's noise: in turn, where an action is drawn."""
    noises = []

    def normal(key, shape=(), dtype=float):
        return noises.pop(0)

    monkeypatch.setattr(distributions.jax.random, "normal", normal)
    return noises


def test_the_density_of_tanh_is_torchs():
    policy = distributions.TanhNormal(*(FIXTURE[f"density/{name}"] for name in ("mean", "scale")))
    inside = np.abs(FIXTURE["density/action"]).max(1) < 0.9999  # nearer to 1 float32 knows nothing
    assert inside.mean() > 0.7
    found = policy.log_prob(jnp.asarray(FIXTURE["density/action"]))
    wanted = FIXTURE["density/log_prob"]
    np.testing.assert_allclose(found[inside], wanted[inside], rtol=2e-4, atol=2e-4)


def test_an_update_is_torchs(drawn):
    (params, slow), (after, slow_after) = stored("before"), stored("after")
    ahead = replay.Ahead(GIVEN["reward"], GIVEN["after"], 0.97 * (1 - GIVEN["terminated"]))
    drawn.append(GIVEN["noise_after"])
    make = jax.jit(lambda *given: soft_actor_critic.targets(BOTH, *given))
    target = make(params, slow, ahead, KEY)
    np.testing.assert_allclose(target, GIVEN["target"], rtol=1e-5, atol=1e-5)
    inner = gradient.minimise(
        lambda key, batch: {"params": params},
        lambda *given: soft_actor_critic.objective(BOTH, -2.0, *given),
        optax.adam(3e-3),
        evaluate=lambda *_: {},
    )
    batch = {"observation": GIVEN["seen"], "action": GIVEN["done"], "target": target}
    drawn.append(GIVEN["noise"])
    state, told = jax.jit(inner.step)(inner.init(KEY, None), batch, KEY)
    told = metrics.values(told)
    assert told["critic_loss"] == pytest.approx(float(FIXTURE["loss/critic"]), rel=1e-5)
    assert told["actor_loss"] == pytest.approx(float(FIXTURE["loss/actor"]), rel=1e-5)
    assert_close(state.params, after, atol=2e-6)
    assert_close(
        optax.incremental_update(state.params["critics"], slow, 0.05), slow_after, atol=2e-6
    )


def small(**changes):
    settings = {"environments": 2, "moves": 4, "warmup": 8, "capacity": 32, "updates": 2}
    return soft_actor_critic.Settings(**settings | {"batch_size": 4} | changes)


def learner(environment=None, **changes):
    return soft_actor_critic.soft_actor_critic(
        environment or pendulum.make(limit=6),
        models.Actor(actions=1, features=(8,)),
        models.Critics(features=(8,)),
        optax.adam(1e-2),
        small(**changes),
    )


def test_a_step_acts_in_the_box_then_learns_and_the_slow_critics_follow():
    made = learner(rate=0.25)
    before = jax.jit(made.init)(KEY, None)
    assert int(before.memory.written) == 4  # the warm-up, two at a time
    state, told = jax.jit(made.step)(before, None, KEY)
    assert int(state.memory.written) == 8
    action = np.asarray(state.memory.rows.action[:8])
    assert np.abs(action).max() <= 1 < np.unique(action).size
    values = metrics.values(told)
    assert values["length"] == 6
    assert values["return"] < 0
    moved = [
        np.abs(x - y).max()
        for x, y in zip(jax.tree.leaves(state.slow), jax.tree.leaves(before.slow), strict=True)
    ]
    assert 0 < max(moved) < 0.02  # two Adam steps of 0.01, a quarter of the way each
    torque = made.predict(state, {"observation": jnp.zeros((5, 3))})
    assert torque.shape == (5, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"updates": 0}, "Settings' updates must be at least 1, got 0."),
        ({"discount": 1.5}, r"Settings' discount must lie in \[0, 1\], got 1.5."),
        ({"rate": -1.0}, r"Settings' rate must lie in \[0, 1\], got -1.0."),
        ({"environment": cartpole.make()}, "actions must be a Box of one axis, got Discrete"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(errors.InputError, match=message):
        learner(**changes)


def test_a_memory_must_hold_a_transition_of_each_environment():
    with pytest.raises(errors.InputError, match=r"at least its 2 environments, got 1\."):
        learner(capacity=1).init(KEY, None)
