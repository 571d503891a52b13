"""Self-play against literal loops, and against exact play."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.envs import tictactoe, tree_search
from jaxdl.learners import self_play
from jaxdl.models import mlp

KEY = jax.random.key(0)
MODEL = mlp.MLP(features=(16,), outputs=10)


def learner(**changes):
    settings = {"simulations": 4, "parallel": 6, "moves": 9, "memory": 20, "updates": 2}
    settings |= {"batch_size": 8, "opening": 3} | changes
    game = tictactoe.GAME
    return self_play.alpha_zero(game, MODEL, optax.adam(1e-2), lambda *_: {}, **settings)


def literal(reward, ended, value, trace):
    """What came of the moves of one game after another, from the end back."""
    found = np.zeros(len(reward))
    for t in reversed(range(len(reward))):
        if ended[t]:
            found[t] = reward[t]
        elif t + 1 == len(reward):
            found[t] = value[t]
        else:
            found[t] = -(1 - trace) * value[t + 1] - trace * found[t + 1]
    return found


@pytest.mark.parametrize("trace", [1.0, 0.7, 0.0])
def test_outcomes(trace):
    random = np.random.default_rng(0)
    ended = random.random((30, 5)) < 0.15
    reward = np.where(ended, random.integers(-1, 2, (30, 5)), 0).astype(np.float32)
    value = random.normal(size=(30, 5)).astype(np.float32)
    found = self_play.outcomes(*map(jnp.asarray, (reward, ended, value)), trace)
    for g in range(5):
        wanted = literal(reward[:, g], ended[:, g], value[:, g], trace)
        np.testing.assert_allclose(found[:, g], wanted, rtol=1e-5, atol=1e-6)


def test_the_loss_is_alphazeros():
    """(z - v)² - π log p, over legal moves; a move that was not made counts nothing."""
    random = np.random.default_rng(1)
    legal = random.random((6, 9)) < 0.6
    legal[:, 0], legal[5] = True, False
    policy = np.where(legal, random.random((6, 9)), 0)
    policy /= np.maximum(policy.sum(1, keepdims=True), 1e-9)
    seen, value = random.random((6, 3, 3, 2)), random.uniform(-1, 1, 6)
    batch = {"observation": seen, "legal": legal, "policy": policy, "value": value}
    batch = {name: jnp.asarray(x, bool if name == "legal" else float) for name, x in batch.items()}
    variables = MODEL.init(KEY, batch["observation"])
    told = metrics.values(self_play.objective(MODEL, variables, batch, KEY)[0])
    outputs = np.asarray(MODEL.apply(variables, batch["observation"]), np.float64)
    policy_loss, value_loss = [], []
    for row in range(5):
        allowed = np.flatnonzero(legal[row])
        logits = outputs[row, allowed]
        log_policy = logits - np.log(np.exp(logits).sum())
        policy_loss.append(-(policy[row, allowed] * log_policy).sum())
        value_loss.append((value[row] - np.tanh(outputs[row, 9])) ** 2)
    assert told["policy_loss"] == pytest.approx(np.mean(policy_loss), rel=1e-5)
    assert told["value_loss"] == pytest.approx(np.mean(value_loss), rel=1e-5)
    assert told["loss"] == pytest.approx((sum(policy_loss) + sum(value_loss)) / 6, rel=1e-5)


def replayed(memory, g):
    """The games of a row of the memory, played again by the rules, from what each move saw."""
    for t in range(len(memory.ended)):
        if not memory.legal[t, g].any():
            continue
        seen = memory.observation[t, g].reshape(9, 2)
        position = tictactoe.Position(jnp.asarray(seen[:, 0] > 0), jnp.asarray(seen[:, 1] > 0))
        yield t, position


def test_a_step_remembers_the_games_it_plays():
    taught = learner()
    step, state = jax.jit(taught.step), jax.jit(taught.init)(KEY, None)
    for i in range(3):
        state, told = step(state, None, jax.random.fold_in(KEY, i))
    memory = jax.tree.map(np.asarray, state.memory)
    assert memory.legal.any(-1).all()  # 27 moves were made, 20 are kept
    np.testing.assert_allclose(memory.policy.sum(-1), 1, rtol=1e-5)
    assert memory.policy[~memory.legal].max() < 1e-6
    for g in range(6):
        for t, position in replayed(memory, g):
            np.testing.assert_array_equal(tictactoe.GAME.legal(position), memory.legal[t, g])
            assert not tictactoe.GAME.ended(position)
            if t + 1 == len(memory.ended):
                continue
            stones = memory.observation[t + 1, g].sum() - memory.observation[t, g].sum()
            assert memory.ended[t, g] or stones == 1
            if memory.ended[t, g]:
                afters = [
                    tictactoe.GAME.move(position, a) for a in np.flatnonzero(memory.legal[t, g])
                ]
                ends = {-float(tictactoe.GAME.worth(a)) for a in afters if tictactoe.GAME.ended(a)}
                assert memory.reward[t, g] in ends
            else:
                assert memory.reward[t, g] == 0
    values = metrics.values(told)
    assert 2 <= values["length"] <= 9  # after at most three random moves
    assert 0 <= values["decided"] <= 1
    assert values["search_entropy"] <= np.log(9)


def test_the_player_examined_searches_without_noise():
    def examine(player, batch, key):
        moves = [player.search(batch, k) for k in jax.random.split(key)]
        return {"same": metrics.Mean.of(moves[0] == moves[1])}

    taught = self_play.alpha_zero(
        tictactoe.GAME, MODEL, optax.sgd(0.1), examine, simulations=8, moves=1, parallel=2
    )
    state = taught.init(KEY, None)
    positions = tictactoe.Position(jnp.eye(9, dtype=bool), jnp.roll(jnp.eye(9, dtype=bool), 1, 1))
    assert taught.evaluate(state, positions, KEY)["same"].value() == 1


def test_illegal_moves_have_no_chance():
    legal = jnp.array([[True, False, True], [False, False, False]])
    policy = jax.nn.softmax(tree_search.masked(jnp.ones((2, 3)), legal))
    np.testing.assert_allclose(policy[0], [0.5, 0, 0.5])
    assert np.isfinite(policy[1]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"simulations": 0}, "Self-play's simulations must be at least 1, got 0."),
        ({"memory": 8}, "Self-play's memory must be at least 9, got 8."),
        ({"updates": 0}, "Self-play's updates must be at least 1, got 0."),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(errors.InputError) as caught:
        learner(**changes)
    assert str(caught.value) == message
