"""Q-learning against value iteration, in its tabular limit, and its parts against equations."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.envs import gridworld, pendulum
from jaxdl.learners import q_learning, replay
from jaxdl.models import dueling

KEY = jax.random.key(0)
DISCOUNT = 0.9


class Table(nn.Module):
    """A value for each cell and action."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(4, use_bias=False, kernel_init=nn.initializers.zeros, name="table")(x)


def value_iteration():
    """The best values of the 4x3 world without slips, (cells, actions)."""
    after = gridworld.moves(gridworld.ROOMS)
    prizes = np.array([{"G": 1.0, "P": -1.0}.get(c, 0.0) for c in "".join(gridworld.ROOMS)])
    values = np.zeros(after.shape)
    for _ in range(200):
        rest = np.where(prizes == 0, values.max(1), 0)
        values = (prizes - 0.04 + DISCOUNT * rest)[after]
    return values, prizes


@pytest.mark.parametrize(
    "changes",
    [{"double": False}, {"double": True, "priority": 0.6}, {"double": True, "target_every": 3}],
)
def test_a_table_comes_to_value_iteration(changes):
    """Everything is tried at random, nothing slips: the fixed point is that of Bellman's equation.

    The squared error's part of Huber's loss, as values lie within 1 of each other.
    """
    wanted, prizes = value_iteration()
    taught = q_learning.q_learning(
        gridworld.make(slip=0.0, limit=20),
        Table(),
        optax.adam(2e-2),
        q_learning.Acting(environments=16, moves=8, warmup=160, capacity=4096, least=1.0),
        q_learning.Learning(updates=32, batch_size=128, discount=DISCOUNT, **changes),
    )
    state, step = jax.jit(taught.init)(KEY, None), jax.jit(taught.step, donate_argnums=0)
    for i in range(60):
        state, _ = step(state, None, jax.random.fold_in(KEY, i))
    found = np.asarray(taught.predict(state, {"observation": jnp.eye(12)}))
    reached = np.flatnonzero((prizes == 0) & (np.arange(12) != 5))  # 5 is the wall
    np.testing.assert_allclose(found[reached], wanted[reached], atol=2e-3)
    greedy = metrics.values(taught.evaluate(state, {"episode": jnp.arange(3)}, KEY))
    assert greedy["length"] == 5
    assert greedy["return"] == pytest.approx(1 - 5 * 0.04)


def test_targets():
    """R + γⁿ Q'(s', a), a the best by Q' or, double, by Q."""
    random = np.random.default_rng(0)
    q, slow = (random.normal(size=(12, 4)).astype(np.float32) for _ in range(2))
    rows = {"table": {"kernel": jnp.asarray(q)}}, {"table": {"kernel": jnp.asarray(slow)}}
    now, target = ({"params": params} for params in rows)
    reward = random.normal(size=12).astype(np.float32)
    goes_on = np.where(np.arange(12) < 3, 0, 0.81).astype(np.float32)
    ahead = replay.Ahead(jnp.asarray(reward), jnp.eye(12), jnp.asarray(goes_on))
    for double in (False, True):
        found = q_learning.targets(Table(), now, target, ahead, double)
        chosen = (q if double else slow).argmax(1)
        wanted = reward + goes_on * slow[np.arange(12), chosen]
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_the_dueling_network_is_its_equation():
    model = dueling.Dueling(actions=3, features=(8,))
    x = jax.random.normal(KEY, (5, 4))
    params = model.init(KEY, x)["params"]
    hidden = np.maximum(x @ params["hidden_0"]["kernel"], 0)  # the biases begin at 0
    value, advantage = (hidden @ params[name]["kernel"] for name in ("value", "advantage"))
    wanted = value + advantage - advantage.mean(1, keepdims=True)
    np.testing.assert_allclose(model.apply({"params": params}, x), wanted, rtol=1e-4, atol=1e-6)


def test_what_is_drawn_has_been_written_and_is_followed_by_what_is_seen_ahead():
    """Prioritised, round a ring of 8 steps of 2 environments, 3 steps ahead."""
    acting = q_learning.Acting(environments=2, moves=5, warmup=6, capacity=16)
    learning = q_learning.Learning(updates=1, batch_size=4, ahead=3, priority=1.0)
    taught = q_learning.q_learning(gridworld.make(), Table(), optax.sgd(0.1), acting, learning)
    state, step = jax.jit(taught.init)(KEY, None), jax.jit(taught.step)
    for i in range(4):
        written = int(state.memory.written)
        weights = np.asarray(state.memory.priorities.sums)[16:].reshape(8, 2)
        oldest = max(0, written - 8)
        open_to = {t % 8 for t in range(oldest, written - 2)}
        assert {t for t in range(8) if (weights[t] > 0).all()} == open_to
        assert {t for t in range(8) if (weights[t] == 0).all()} == set(range(8)) - open_to
        state, _ = step(state, None, jax.random.fold_in(KEY, i))


def test_priorities_are_the_errors_of_the_step_to_a_power():
    """Schaul et al., algorithm 1, lines 11 and 12; of a value of 0 the error is the target."""
    acting = q_learning.Acting(environments=2, moves=2, warmup=64, capacity=64)
    learning = q_learning.Learning(updates=1, batch_size=8, priority=0.6, discount=0.0)
    world = gridworld.make(cost=0.3)
    taught = q_learning.q_learning(world, Table(), optax.sgd(0.1), acting, learning)
    state, _ = jax.jit(taught.step)(jax.jit(taught.init)(KEY, None), None, KEY)
    found = np.asarray(state.memory.priorities.sums)[64:].reshape(32, 2)
    reward = np.abs(np.asarray(state.memory.rows.outcome.reward))
    judged = found != 1  # what is new has the highest priority there was
    assert 3 <= judged.sum() <= 8
    np.testing.assert_allclose(found[judged], (reward[judged] + 1e-6) ** 0.6, rtol=1e-4)


def test_a_step_keeps_the_memory_where_it_is():
    """What a step needs beside its state does not grow with the memory, so nothing is copied."""

    def needed(capacity):
        taught = q_learning.q_learning(
            gridworld.make(),
            Table(),
            optax.sgd(0.1),
            q_learning.Acting(environments=2, moves=2, warmup=6, capacity=capacity),
            q_learning.Learning(updates=2, batch_size=4, ahead=2, priority=0.6),
        )
        state = jax.eval_shape(taught.init, KEY, None)
        made = jax.jit(taught.step, donate_argnums=0).lower(state, None, KEY).compile()
        sizes = made.memory_analysis()
        assert sizes.alias_size_in_bytes > 100 * capacity  # two observations of 12 numbers
        return sizes.temp_size_in_bytes + sizes.output_size_in_bytes - sizes.alias_size_in_bytes

    assert needed(100_000) < needed(1000) + 10_000


@pytest.mark.parametrize(
    ("acting", "learning", "message"),
    [
        ({"moves": 0}, {}, "Acting's moves must be at least 1, got 0."),
        ({"capacity": 100}, {}, "Acting's capacity must be at least 264, got 100."),
        ({"warmup": 8}, {"ahead": 2}, "Acting's warmup must be at least 16, got 8."),
        ({}, {"ahead": 0}, "Learning's ahead must be at least 1, got 0."),
        ({}, {"discount": 1.1}, "Learning's discount must lie in [0, 1], got 1.1."),
        ({}, {"priority": -1}, "Learning's priority must be at least 0, got -1."),
        ({"least": 3.0}, {}, "Acting's least must lie in [0, 1], got 3.0."),
        ({"exploration": -1}, {}, "Acting's exploration must be positive, got -1."),
    ],
)
def test_bad_settings_are_refused(acting, learning, message):
    settings = q_learning.Acting(**acting), q_learning.Learning(**learning)
    with pytest.raises(errors.InputError) as caught:
        q_learning.q_learning(gridworld.make(), Table(), optax.sgd(0.1), *settings)
    assert str(caught.value) == message


def test_actions_must_be_discrete():
    settings = q_learning.Acting(), q_learning.Learning()
    with pytest.raises(errors.InputError, match="must have Discrete actions, got Box"):
        q_learning.q_learning(pendulum.make(), Table(), optax.sgd(0.1), *settings)
