"""Replay against literal loops in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.envs import environment as environments
from jaxdl.envs import pendulum
from jaxdl.learners import replay

KEY = jax.random.key(0)


def numbered(steps, count=3, capacity=5):
    """A ring whose transition t of environment e is observed as 10 t + e."""
    outcome = environments.Outcome(
        *(jnp.zeros(count, kind) for kind in (float, float, bool, bool, int, float))
    )
    rows = replay.Transition(jnp.zeros(count), jnp.zeros(count), outcome)
    rows = jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape), x.dtype), rows)
    memory = replay.Ring(rows, jnp.int32(0))
    for t in range(steps):
        seen = 10.0 * t + jnp.arange(count)
        memory = replay.write(memory, replay.Transition(seen, seen, outcome._replace(reward=seen)))
    return memory


@pytest.mark.parametrize(("steps", "length"), [(2, 1), (4, 3), (5, 2), (13, 1), (13, 4), (13, 5)])
def test_windows_are_what_followed_and_all_are_drawn(steps, length):
    memory = numbered(steps)
    time, which = replay.uniform(memory, KEY, 500, length)
    seen = np.asarray(replay.windows(memory, time, which, length).observation)
    for k in range(1, length):
        np.testing.assert_array_equal(seen[k] - seen[0], 10 * k)
    first = range(max(0, steps - 5), steps - length + 1)
    assert set(seen[0]) == {10 * t + e for t in first for e in range(3)}


def literal(reward, terminated, truncated, discount):
    """The return of one window, how far it goes, and the weight of the value at its end."""
    total, weight = 0.0, 1.0
    for k in range(len(reward)):
        total += weight * reward[k]
        weight *= discount
        if terminated[k] or truncated[k]:
            return total, k, 0.0 if terminated[k] else weight
    return total, len(reward) - 1, weight


@pytest.mark.parametrize("length", [1, 3, 6])
def test_returns_stop_where_an_episode_does(length):
    random = np.random.default_rng(length)
    reward = random.normal(size=(length, 40)).astype(np.float32)
    terminated = random.random((length, 40)) < 0.2
    truncated = ~terminated & (random.random((length, 40)) < 0.2)
    seen = np.arange(length * 40, dtype=np.float32).reshape(length, 40, 1)
    zero = jnp.zeros((length, 40))
    outcome = environments.Outcome(
        *map(jnp.asarray, (seen, reward, terminated, truncated)), zero, zero
    )
    found = replay.returns(replay.Transition(zero, zero, outcome), 0.9)
    for b in range(40):
        total, last, weight = literal(reward[:, b], terminated[:, b], truncated[:, b], 0.9)
        assert float(found.reward[b]) == pytest.approx(total, rel=1e-5, abs=1e-6)
        assert float(found.discount[b]) == pytest.approx(weight, rel=1e-6)
        if weight:
            assert float(found.observation[b, 0]) == seen[last, b, 0]


def test_a_tree_draws_in_proportion_to_the_weights():
    random = np.random.default_rng(0)
    weights = random.random(11).astype(np.float32)
    weights[[2, 10]] = 0
    sums = replay.weigh(replay.tree(11), jnp.arange(11), jnp.asarray(weights))
    sums = replay.weigh(sums, jnp.array([4, 7, 4]), jnp.array([2.0, 3.0, 2.0]))
    weights[[4, 7]] = 2, 3
    assert float(sums[1]) == pytest.approx(weights.sum(), rel=1e-6)
    leaf, weight = replay.draw(sums, KEY, 4000)
    np.testing.assert_allclose(weight, weights[leaf], rtol=1e-6)
    shares = np.bincount(leaf, minlength=11) / 4000
    # One from each of equal parts of the sum: as often as it should be, but for the two at an edge.
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=1.01 * 2 / 4000)


def test_what_is_likely_counts_less():
    """(1 / (N P))^β over the largest of the batch (Schaul et al., section 3.4)."""
    memory = numbered(5)._replace(priorities=replay.Priorities(replay.tree(15), jnp.ones(())))
    priority = np.random.default_rng(0).uniform(0.1, 3, 15)
    place = jnp.arange(15)
    memory = replay.prioritise(memory, place // 3, place % 3, jnp.asarray(priority, jnp.float32))
    assert float(memory.priorities.highest) == pytest.approx(priority.max())
    time, which, weight = replay.drawn(memory, KEY, 6, 1, 0.4)
    wanted = (15 * priority / priority.sum())[np.asarray(time * 3 + which)] ** -0.4
    np.testing.assert_allclose(weight, wanted / wanted.max(), rtol=1e-4)


def test_there_must_be_room():
    environment = pendulum.make()
    with pytest.raises(errors.InputError, match=r"at least its 4 environments, got 3\."):
        replay.ring(environment, environments.begun(environment, KEY, 4), 3)
    with pytest.raises(errors.InputError, match=r"at least 1 leaf, got 0\."):
        replay.tree(0)
