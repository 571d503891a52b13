"""Environments against Gymnasium's (tests/fixtures/make_environments.py) and printed answers."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.envs import acrobot, bandit, cartpole, environment, gridworld, pendulum

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "environments.npz")
KEY = jax.random.key(0)
CLASSIC = {"cartpole": cartpole, "pendulum": pendulum, "acrobot": acrobot}
ALL = {
    **{name: module.make() for name, module in CLASSIC.items()},
    "gridworld": gridworld.make(),
    "bandit": bandit.make((0.0, 1.0)),
}
# Russell and Norvig (1995), figure 17.3: what each cell is worth under the best policy.
WORTH = [[0.812, 0.868, 0.918], [0.762, None, 0.660], [0.705, 0.655, 0.611, 0.388]]


def recorded(name):
    """The arrays of one environment."""
    keys = "before", "action", "after", "observation", "reward", "terminated"
    return [FIXTURE[f"{name}/{key}"] for key in keys]


def packed(name, numbers):
    """A state of ours."""
    numbers = jnp.asarray(numbers)
    return numbers if name == "acrobot" else CLASSIC[name].State(*numbers.T)


def flat(state):
    return np.stack(state, -1) if isinstance(state, tuple) else np.asarray(state)


@pytest.mark.parametrize("name", CLASSIC)
def test_200_steps_are_gymnasiums(name):
    made = ALL[name]
    before, action, after, observation, reward, terminated = recorded(name)
    with jax.enable_x64(
        True
    ):  # as Gymnasium: the pendulums are chaotic, an error doubles and doubles
        step, state = jax.jit(made.step), None
        for i in range(200):
            if i == 0 or terminated[i - 1]:
                state = packed(name, before[i])
            state, earned, over = step(state, jnp.asarray(action[i]), KEY)
            np.testing.assert_allclose(flat(state), after[i], atol=1e-6)
            np.testing.assert_allclose(made.observe(state), observation[i], atol=1e-6)
            assert float(earned) == pytest.approx(reward[i], abs=1e-6)
            assert bool(over) == terminated[i]


@pytest.mark.parametrize("name", CLASSIC)
def test_a_step_in_float32_is_gymnasiums(name):
    made = ALL[name]
    before, action, after, observation, reward, terminated = recorded(name)
    states = packed(name, before.astype(np.float32))
    if name != "pendulum":
        action = action.astype(np.int32)
    states, earned, over = jax.vmap(made.step, (0, 0, None))(states, jnp.asarray(action), KEY)
    np.testing.assert_allclose(flat(states), after, rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(jax.vmap(made.observe)(states), observation, rtol=3e-6, atol=3e-6)
    np.testing.assert_allclose(earned, reward, rtol=1e-5)
    np.testing.assert_array_equal(np.broadcast_to(over, 200), terminated)


@pytest.mark.parametrize("name", ALL)
def test_observes_what_it_says(name):
    made = ALL[name]
    state = made.reset(KEY)
    action = jnp.zeros(made.action.shape) if isinstance(made.action, environment.Box) else 0
    after, reward, terminated = made.step(state, jnp.asarray(action), KEY)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    for seen in (made.observe(state), made.observe(after)):
        assert (seen.shape, seen.dtype) == (made.observation.shape, jnp.float32)
        assert np.all(seen >= np.array(made.observation.low))
        assert np.all(seen <= np.array(made.observation.high))
    assert (reward.shape, terminated.shape, terminated.dtype) == ((), (), jnp.bool_)


@pytest.mark.parametrize(
    ("name", "most"),
    [("cartpole", [0.05] * 4), ("pendulum", [np.pi, 1]), ("acrobot", [0.1] * 4)],
)
def test_episodes_begin_where_gymnasiums_do(name, most):
    states = flat(jax.vmap(CLASSIC[name].reset)(jax.random.split(KEY, 1000)))
    assert np.all(np.abs(states) <= most)
    np.testing.assert_allclose(states.std(0) * np.sqrt(3), most, rtol=0.06)  # uniform


def test_an_end_and_the_limit_are_kept_apart():
    made = cartpole.make(limit=12)
    step = jax.jit(functools.partial(environment.advance, made))
    ends = []
    for action in (0, None):  # always to the left: it falls; to and fro: it stands
        episode = environment.begin(made, KEY)
        for i in range(12):
            push = jnp.int32(i % 2 if action is None else action)
            before = episode
            episode, outcome = step(
                episode, push, environment.begin(made, jax.random.fold_in(KEY, i)), KEY
            )
            if outcome.ended:
                break
        ends.append((bool(outcome.terminated), bool(outcome.truncated), int(outcome.length)))
        seen = made.observe(made.step(before.state, push, KEY)[0])
        # The last one, not the next one's first.
        np.testing.assert_allclose(outcome.observation, seen, rtol=1e-5)
        assert float(outcome.total) == int(outcome.length)
        assert (int(episode.length), float(episode.total)) == (0, 0.0)
        assert np.abs(jnp.stack(episode.state)).max() <= 0.05
    (fell, cut, length), stood = ends
    assert (fell, cut) == (True, False) and length < 12
    assert stood == (False, True, 12)


def test_an_end_at_the_limit_is_an_end():
    made = bandit.make((0.0,))
    episode = environment.begin(made, KEY)
    _, outcome = environment.advance(made, episode, jnp.int32(0), episode, KEY)
    assert outcome.terminated and not outcome.truncated


def test_examined_episodes_are_whole_and_the_same_every_time():
    made = cartpole.make(limit=50)

    def against(observations):  # push where the pole leans to
        return (observations[:, 2] > 0).astype(jnp.int32)

    found = metrics.values(jax.jit(lambda n: environment.examine(made, against, n))(jnp.arange(6)))
    one_by_one = []
    for number in range(6):
        key = jax.random.fold_in(jax.random.key(environment.EPISODES), number)
        state, length, over = made.reset(key), 0, False
        while not over and length < 50:
            action = against(made.observe(state)[None])[0]
            state, _, over = jax.jit(made.step)(state, action, key)
            length += 1
        one_by_one.append(length)
    assert len(set(one_by_one)) > 1 and max(one_by_one) <= 50
    assert found == {"return": np.mean(one_by_one), "length": np.mean(one_by_one)}


def test_the_best_values_of_the_gridworld_are_those_of_the_book():
    """Value iteration over what the world says of itself."""
    cells, worth = "".join(gridworld.ROOMS), np.zeros(12)
    after = gridworld.moves(gridworld.ROOMS)
    prize = np.array([{"G": 1.0, "P": -1.0}.get(c, 0.0) for c in cells])
    for _ in range(100):
        led = prize[after] + (prize[after] == 0) * worth[after]
        straight = 0.8 * led + 0.1 * np.roll(led, 1, 1) + 0.1 * np.roll(led, -1, 1)
        worth = straight.max(1) - 0.04
    for row, values in enumerate(WORTH):
        for column, value in enumerate(values):
            if value is not None:
                assert worth[4 * row + column] == pytest.approx(value, abs=6e-4)


def test_the_gridworld_slips_to_either_side():
    made = gridworld.make()
    keys = jax.random.split(KEY, 4000)
    cells, rewards, over = jax.vmap(made.step, (None, None, 0))(jnp.int32(2), jnp.int32(1), keys)
    counts = np.bincount(cells, minlength=12) / 4000  # from beside the prize, to the east
    np.testing.assert_allclose(counts[[3, 2, 6]], [0.8, 0.1, 0.1], atol=0.02)
    np.testing.assert_allclose(rewards, np.where(np.asarray(cells) == 3, 0.96, -0.04), rtol=1e-6)
    np.testing.assert_array_equal(over, np.asarray(cells) == 3)


def test_the_gridworld_refuses_what_is_none():
    for rows in (("S.", "."), ("S.", ".x"), ("..", ".G")):
        with pytest.raises(errors.InputError, match="A gridworld must be rows of one length"):
            gridworld.make(rows)


def test_arms_earn_their_means():
    made = bandit.make((0.0, 3.0), deviation=2.0)
    keys = jax.random.split(KEY, 4000)
    _, rewards, over = jax.vmap(made.step, (None, None, 0))(made.reset(KEY), jnp.int32(1), keys)
    assert float(rewards.mean()) == pytest.approx(3, abs=0.1)
    assert float(rewards.std()) == pytest.approx(2, abs=0.1)
    assert np.all(over)


def test_boxes_clip_and_stretch():
    box = environment.Box((2,), (-2.0, 0.0), (2.0, 10.0))
    np.testing.assert_allclose(box.clip(jnp.array([[-3.0, 5.0]])), [[-2, 5]])
    np.testing.assert_allclose(box.rescale(jnp.array([[-1.0, 1.0], [0, 0]])), [[-2, 10], [0, 5]])
