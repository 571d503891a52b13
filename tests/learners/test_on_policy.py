"""Acting and learning from it, against Stable-Baselines3 (tests/fixtures/make_on_policy.py), and
against what can be told without learning.
"""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics, run
from jaxdl.envs import bandit, cartpole, environment, pendulum
from jaxdl.learners import advantages, gradient, moments, on_policy, rollouts
from jaxdl.models import actor_critic
from jaxdl.nn import distributions
from jaxdl.train import mesh, program

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "on_policy.npz")
KEY = jax.random.key(0)


class Even(nn.Module):
    """A policy that looks at nothing, and values nothing."""

    actions: int = 2

    @nn.compact
    def __call__(self, x):
        logits = self.param("logits", nn.initializers.zeros, (self.actions,))
        logits = jnp.broadcast_to(logits, (len(x), self.actions))
        return distributions.Categorical(logits), jnp.zeros(len(x))


def stored(before):
    """What the fixture has below a name, as a tree."""
    tree = {}
    for path in FIXTURE:
        if path.startswith(f"{before}/"):
            *folders, leaf = path.removeprefix(f"{before}/").split("/")
            node = tree
            for folder in folders:
                node = node.setdefault(folder, {})
            node[leaf] = jnp.asarray(FIXTURE[path])
    return tree


def stepped(learner, steps=1):
    """The state and what was told, step by step."""
    state, step, told = learner.init(KEY, None), jax.jit(learner.step), []
    for i in range(steps):
        state, measured = step(state, None, jax.random.fold_in(KEY, i))
        told.append(metrics.values(measured))
    return state, told


def test_advantages_are_stable_baselines():
    of = stored("advantages")
    wanted, returns = of.pop("advantage"), of.pop("return")
    discount, trace = (float(FIXTURE[name]) for name in ("discount", "trace"))
    found = advantages.generalised(**of, discount=discount, trace=trace)
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    np.testing.assert_allclose(found + of["value"], returns, atol=2e-6)


@pytest.mark.parametrize("name", ["ppo", "ppo continuous", "a2c"])
def test_an_update_is_stable_baselines(name):
    """The weight of the values is 1: theirs is half of a loss that has no half in it."""
    continuous = name == "ppo continuous"
    model = actor_critic.ActorCritic(2 if continuous else 3, continuous, features=(7,))
    start, batch = stored(f"{name}/start"), stored(f"{name}/batch")
    if name == "a2c":
        objective, passes = on_policy.policy_gradient, on_policy.Passes()
        options = model, 1.0, 0.01
    else:
        objective, passes = on_policy.proximal, on_policy.Passes(standardise=True)
        options = model, 0.2, None, 1.0, 0.01
    inner = gradient.minimise(
        lambda key, batch: {"params": start},
        lambda *arguments: objective(*options, *arguments),
        optax.sgd(0.1),
        evaluate=lambda *_: {},
        clip=0.5,
    )
    network, measured = on_policy._learnt(inner, inner.init(KEY, None), batch, passes, KEY)
    jax.tree.map(
        lambda found, wanted: np.testing.assert_allclose(found, wanted, atol=2e-6),
        network.params,
        stored(f"{name}/after"),
    )
    found, told = metrics.values(measured), stored(f"{name}/told")
    assert found["policy_loss"] == pytest.approx(float(told["policy_loss"]), abs=1e-6)
    assert found["entropy"] == pytest.approx(-float(told["entropy"]), rel=1e-5)
    assert 2 * found["value_loss"] == pytest.approx(float(told["value_loss"]), rel=1e-5)
    explained = on_policy._explained(batch["return"], batch["advantage"], jnp.ones(48, bool))
    assert explained.value() == pytest.approx(float(told["explained_variance"]), abs=1e-5)
    if name != "a2c":
        assert found["kl"] == pytest.approx(float(told["kl"]), rel=1e-4)
        assert found["clip_fraction"] == pytest.approx(float(told["clip_fraction"]))


def test_values_that_move_far_get_no_gradient():
    """The larger of two errors: where that is the clipped one, nothing pulls any more."""
    batch = {
        "observation": jnp.zeros((3, 1)),
        "action": jnp.zeros(3, jnp.int32),
        "log_prob": jnp.log(jnp.full(3, 0.5)),
        "advantage": jnp.zeros(3),
        "return": jnp.array([1.0, 1.0, -1.0]),
        "value": jnp.array([0.0, 0.4, 0.0]),  # and now they are 0.5
    }

    class Valued(Even):
        @nn.compact
        def __call__(self, x):
            return Even(name="even")(x)[0], self.param("value", nn.initializers.zeros, (3,))

    def loss(value, clip_value):
        params = {"value": value, "even": {"logits": jnp.zeros(2)}}
        told, _ = on_policy.proximal(
            Valued(), 0.2, clip_value, 1.0, 0.0, {"params": params}, batch, KEY
        )
        return told["value_loss"].total

    slope = jax.grad(loss)(jnp.full(3, 0.5), 0.2)
    np.testing.assert_allclose(slope, [0.0, -0.5, 1.5], atol=1e-6)
    assert float(loss(jnp.full(3, 0.5), 0.2)) == pytest.approx((0.8**2 + 0.5**2 + 1.5**2) / 2)
    np.testing.assert_allclose(jax.grad(loss)(jnp.full(3, 0.5), None), [-0.5, -0.5, 1.5])


def test_reinforce_follows_the_gradient_of_the_expected_return():
    """Of a bandit it is known: π_i (mean_i - what is expected)."""
    means, likely = np.array([1.0, 2.0, 4.0]), np.full(3, 1 / 3)
    world = bandit.make(tuple(means), deviation=0.1)
    state, _ = stepped(on_policy.reinforce(world, Even(3), optax.sgd(1.0), episodes=40_000))
    wanted = likely * (means - likely @ means)
    np.testing.assert_allclose(state.network.params["logits"], wanted, atol=0.03)


def test_reinforce_learns_from_whole_first_episodes_alone():
    """Episodes of 1 or of 4 steps that earn 1 each: the mean length tells how many of which."""

    def step(left, action, key):
        return left - 1, jnp.float32(1), left == 1

    world = environment.Environment(
        lambda key: jnp.where(jax.random.bernoulli(key), 4, 1),
        step,
        lambda left: left[None].astype(jnp.float32),
        environment.Box((1,)),
        environment.Discrete(2),
        limit=9,
    )
    learner = on_policy.reinforce(world, Even(), optax.sgd(0.0), episodes=64, discount=1.0)
    state, (told,) = stepped(learner)
    long = (told["length"] - 1) / 3
    assert 0.2 < long < 0.8 and state.episodes is None
    assert told["return"] == told["length"]
    steps = 1 + 3 * long
    assert told["policy_loss"] == pytest.approx(np.log(2) * (1 + 9 * long) / steps, rel=1e-5)
    assert told["value_loss"] == pytest.approx((1 + 29 * long) / steps / 2, rel=1e-5)


@pytest.mark.parametrize("kind", [on_policy.reinforce, on_policy.a2c, on_policy.ppo])
def test_each_finds_the_better_arm(kind):
    world = bandit.make((0.0, 1.0, 0.5), deviation=0.1)
    many = {"episodes": 64} if kind is on_policy.reinforce else {"environments": 64, "length": 2}
    model = actor_critic.ActorCritic(3, features=(8,))
    learner = kind(world, model, optax.adam(0.03), **many)
    state, told = stepped(learner, 40)
    assert told[-1]["entropy"] < min(0.6, told[0]["entropy"])
    assert told[-1]["return"] > told[0]["return"] + 0.3
    best = metrics.values(learner.evaluate(state, {"episode": jnp.arange(50)}, KEY))
    assert best["return"] == pytest.approx(1, abs=0.1) and best["length"] == 1


def test_episodes_go_on_from_step_to_step():
    """Of at most 10 steps, 4 a rollout: ends come when they must, with all that was earned."""
    learner = on_policy.a2c(
        cartpole.make(limit=10), Even(), optax.sgd(0.0), environments=3, length=4
    )
    state, told = stepped(learner, 3)
    ended = [found for found in told if np.isfinite(found["return"])]
    assert ended and all(found["return"] == found["length"] <= 10 for found in ended)
    assert np.isnan(told[0]["return"]) and np.isnan(told[1]["return"])  # 8 steps: nothing falls yet
    assert state.episodes.length.max() < 10


def test_actions_stay_in_their_box():
    world = pendulum.make()
    learner = on_policy.ppo(
        world,
        actor_critic.ActorCritic(1, continuous=True, features=(4,)),
        optax.sgd(0.0),
        environments=2,
        length=4,
        epochs=1,
        minibatches=1,
    )
    state = learner.init(KEY, None)
    params = state.network.params
    params["actor"]["output"]["bias"] = jnp.full(1, 9.0)
    state = state._replace(network=state.network._replace(params=params))
    found = learner.predict(state, {"observation": jnp.zeros((5, 3))})
    np.testing.assert_array_equal(found, np.full((5, 1), 2.0))


def test_moments_are_those_of_everything_at_once():
    random = np.random.default_rng(0)
    parts = [random.normal(3, 2, (n, 4)).astype(np.float32) for n in (5, 1, 70)]
    found = moments.none((4,))
    np.testing.assert_array_equal(
        moments.standardised(found, jnp.asarray(parts[0][:1])), parts[0][:1]
    )
    for part in parts:
        found = moments.joined(found, jnp.asarray(part))
    together = np.concatenate(parts).astype(np.float64)
    np.testing.assert_allclose(found.mean, together.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.variance, together.var(0), rtol=1e-5)
    far = np.array([[3.0, 5.0, 300.0, -300.0]], np.float32)
    wanted = np.clip((far - together.mean(0)) / together.std(0), -10, 10)
    np.testing.assert_allclose(moments.standardised(found, jnp.asarray(far)), wanted, rtol=1e-4)


def test_rewards_are_in_deviations_of_the_discounted_returns():
    """The running returns of Gymnasium's NormalizeReward, written out step by step."""
    random = np.random.default_rng(0)
    reward = random.normal(size=(2, 6, 3)).astype(np.float32)
    ended = random.random((2, 6, 3)) < 0.3
    running, every, state = np.zeros(3), [], (moments.none(()), jnp.zeros(3))
    for rollout in range(2):
        for t in range(6):
            running = 0.9 * running + reward[rollout, t]
            every.append(running.copy())
            running[ended[rollout, t]] = 0
        over, none = jnp.asarray(ended[rollout]), jnp.zeros((6, 3))
        outcome = environment.Outcome(none, jnp.asarray(reward[rollout]), over, over, none, none)
        state, found = rollouts.rewards(state, outcome, 0.9)
        wanted = reward[rollout] / np.array(every).std()
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        np.testing.assert_allclose(state[1], running, rtol=1e-5, atol=1e-6)


def test_observations_are_standardised_by_what_was_seen_before():
    learner = on_policy.ppo(
        cartpole.make(),
        actor_critic.ActorCritic(2, features=(4,)),
        optax.sgd(0.0),
        environments=4,
        length=8,
        normalize_observations=True,
    )
    state, _ = stepped(learner, 2)
    assert int(state.seen.count) == 64
    observation = state.seen.mean[None] + jnp.sqrt(state.seen.variance)[None]
    policy, _ = actor_critic.ActorCritic(2, features=(4,)).apply(
        {"params": state.network.params}, jnp.ones((1, 4))
    )
    wanted = policy.mode()
    np.testing.assert_array_equal(learner.predict(state, {"observation": observation}), wanted)


def test_where_returns_do_not_vary_there_is_nothing_to_explain():
    returns = jnp.float32(0.1) + jnp.arange(8) * 1e-9  # as rounding leaves them
    assert on_policy._explained(returns, jnp.ones(8), jnp.ones(8, bool)).count == 0


@pytest.mark.parametrize("limit", [3, 5, 100])
def test_each_step_has_the_values_of_what_was_seen_before_and_after_it(limit):
    """Of episodes cut every few steps, against the values of all observations, one by one."""
    world = pendulum.make(limit)
    episodes = environment.begun(world, KEY, 4)
    act = actor_critic.ActorCritic(1, continuous=True)
    params = act.init(KEY, jnp.ones((1, 3)))
    for i in range(2):
        episodes, rollout = rollouts.played(
            world, lambda seen: act.apply(params, seen), episodes, 8, jax.random.key(i)
        )
        ended = np.asarray(rollout.outcome.truncated)
        assert ended.sum() == 4 * ((8 * (i + 1)) // limit - (8 * i) // limit)
        found = rollouts.values(lambda seen: act.apply(params, seen)[1], rollout, limit)
        seen = rollout.observation, rollout.outcome.observation
        wanted = (act.apply(params, x.reshape(-1, 3))[1].reshape(8, 4) for x in seen)
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), found, tuple(wanted))


def test_environments_lie_over_the_devices_that_share_a_batch():
    learner = on_policy.ppo(
        pendulum.make(),
        actor_critic.ActorCritic(1, continuous=True),
        optax.adam(1e-3),
        normalize_observations=True,
        normalize_rewards=True,
    )
    devices = jax.sharding.AbstractMesh((4,), ("data",))
    placed = mesh.shardings(jax.eval_shape(learner.init, KEY, None), devices, on_policy.RULES)
    cut = {x.spec for x in jax.tree.leaves((placed.episodes, placed.earned[1]))}
    assert cut == {jax.P("data")}
    whole = jax.tree.leaves((placed.network, placed.seen, placed.earned[0]))
    assert {x.spec for x in whole} == {jax.P()}


def test_two_devices_take_the_steps_of_one():
    """With its environments cut over them, as a run with `--mesh data=2` has it."""
    taught = on_policy.ppo(
        pendulum.make(limit=6),
        actor_critic.ActorCritic(1, continuous=True, features=(8,)),
        optax.sgd(1e-2),
        environments=4,
        length=8,
        normalize_observations=True,
        normalize_rewards=True,
    )
    found = []
    for sizes in (None, {"data": 2}):
        made = program.Program(
            run.Run(learner=taught, train=None, steps=4, mesh=sizes, rules=on_policy.RULES), 0, None
        )
        carry = made.begin()
        over = {len(x.sharding.device_set) for x in jax.tree.leaves(carry.state.episodes)}
        assert over == {1 if sizes is None else 2}
        found.append(made.advance(carry, None, 0, 3).state)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5), *found)


def test_every_epoch_has_each_example_once_in_an_order_of_its_own():
    orders = np.asarray(on_policy._orders(KEY, 400, 6))
    np.testing.assert_array_equal(np.sort(orders), np.tile(np.arange(6), (400, 1)))
    places = np.stack([np.bincount(column, minlength=6) for column in orders.T]) / 400
    np.testing.assert_allclose(places, 1 / 6, atol=0.08)  # each anywhere, equally often


def test_refuses_what_cannot_be_meant():
    world, model, optimizer = cartpole.make(), Even(), optax.sgd(0.1)
    for options, said in (
        ({"environments": 0}, "environments must be at least 1, got 0"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"discount": 1.1}, r"discount must lie in \[0, 1\], got 1.1"),
        ({"trace": -0.1}, r"trace must lie in \[0, 1\], got -0.1"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"clip_ratio": -0.2}, r"clip_ratio must be positive, got -0\.2"),
        ({"clip_value": 0.0}, r"clip_value must be positive, got 0\.0"),
        ({"environments": 3, "length": 5, "minibatches": 4}, "must divide .* got 4 of 15"),
        ({"environments": 2, "length": 2, "minibatches": 4}, "parts of at least 2, got 4 of 4"),
    ):
        with pytest.raises(errors.InputError, match=said):
            on_policy.ppo(world, model, optimizer, **options)
    endless = on_policy.ppo(cartpole.make(limit=0), model, optimizer)
    with pytest.raises(errors.InputError, match="An environment's limit must be at least 1, got 0"):
        endless.init(KEY, None)
    with pytest.raises(errors.InputError, match="ActorCritic's actions must be at least 1, got 0"):
        actor_critic.ActorCritic(0)
