"""Games against pgx's rules and known counts, and tree search against exact play."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pgx
import pytest

from jaxdl import errors
from jaxdl.data import tictactoe as solution
from jaxdl.envs import games, pgx_games, tictactoe, tree_search

KEY = jax.random.key(0)
GAME = tictactoe.GAME
SOLVED = solution.solved()
POSITIONS = tictactoe.Position(jnp.asarray(SOLVED["mine"]), jnp.asarray(SOLVED["theirs"]))


def at_random(positions, key):
    return games.random_moves(jax.vmap(GAME.legal)(positions), key)


def test_tic_tac_toe_is_pgxs():
    """Random games side by side; pgx keeps who is who where we keep mine and theirs."""
    env = pgx.make("tic_tac_toe")
    states = jax.vmap(env.init)(jax.random.split(KEY, 200))
    positions = games.starts(GAME, 200)
    step, move = jax.jit(jax.vmap(env.step)), jax.jit(jax.vmap(GAME.move))
    playing = np.ones(200, bool)
    for i in range(9):
        np.testing.assert_array_equal(
            jax.vmap(GAME.observe)(positions)[playing], states.observation[playing]
        )
        legal = jax.vmap(GAME.legal)(positions)
        np.testing.assert_array_equal(legal[playing], states.legal_action_mask[playing])
        actions = at_random(positions, jax.random.fold_in(KEY, i))
        states, positions = step(states, actions), move(positions, actions)
        worth = jnp.take_along_axis(states.rewards, states.current_player[:, None], 1)[:, 0]
        over = np.asarray(jax.vmap(GAME.ended)(positions))
        np.testing.assert_array_equal(over[playing], states.terminated[playing])
        np.testing.assert_array_equal(jax.vmap(GAME.worth)(positions)[playing], worth[playing])
        playing &= ~over
    assert not playing.any()


def test_connect_four_is_pgxs_from_the_movers_seat():
    """Four in a column by the first player, who is the last to move: lost to who would be next."""
    game = pgx_games.connect_four()
    assert (game.actions, game.longest) == (7, 42)
    position = game.start()
    for action in (0, 1, 0, 1, 0, 1):
        assert not game.ended(position)
        position = game.move(position, action)
    assert float(game.observe(position)[..., 0].sum()) == 3
    position = game.move(position, 0)
    assert bool(game.ended(position))
    assert float(game.worth(position)) == -1
    full = functools.reduce(game.move, [0] * 6, game.start())
    np.testing.assert_array_equal(game.legal(full), [False] + [True] * 6)


def test_random_games_end_as_often_as_they_do():
    """Of uniformly random games the first player wins 58.5 %, 12.7 % are drawn."""
    count = 20_000
    found = np.asarray(games.playouts(GAME, games.starts(GAME, count), KEY))
    assert np.mean(found == 1) == pytest.approx(0.585, abs=4 * (0.25 / count) ** 0.5)
    assert np.mean(found == 0) == pytest.approx(0.127, abs=4 * (0.12 / count) ** 0.5)


def test_openings_are_random_positions_that_go_on():
    positions = games.openings(GAME, KEY, 4000, 8, 0.75)
    made = np.asarray(positions.mine.sum(1) + positions.theirs.sum(1))
    assert not jax.vmap(GAME.ended)(positions).any()
    assert np.mean(made == 0) == pytest.approx(0.25, abs=0.03)
    assert np.mean(made == 1) == pytest.approx(0.75 / 8, abs=0.02)
    assert set(made) == set(range(9))
    assert not games.openings(GAME, KEY, 10, 8, 0.0).mine.any()


def coded(mine, theirs):
    """A number for each position, in base 3."""
    return ((1 * mine + 2 * theirs) * 3 ** np.arange(9)[None]).sum(1)


VALUE, MOVE = np.zeros(3**9, np.float32), np.zeros(3**9, np.int32)
CODES = coded(SOLVED["mine"], SOLVED["theirs"])
VALUE[CODES] = [solution.value(board) for board in solution.boards()]
MOVE[CODES] = SOLVED["best"].argmax(1)


def exact(positions, key):
    """A judge that knows what best play brings, and prefers no move."""
    code = coded(*positions)
    return jnp.zeros((len(code), 9)), jnp.asarray(VALUE)[code]


def perfect(positions, key):
    """A best move; where the game is over, any."""
    return jnp.asarray(MOVE)[coded(*positions)]


def kept(actions):
    """Of every position, whether a move keeps its value."""
    return SOLVED["best"][np.arange(len(SOLVED["best"])), np.asarray(actions)]


def test_a_search_that_is_told_the_truth_plays_like_minimax():
    search = functools.partial(tree_search.guided, GAME, exact, simulations=9, noise=0.0)
    actions, policy, value = jax.jit(search)(POSITIONS, KEY)
    free = np.asarray(jax.vmap(GAME.legal)(POSITIONS).sum(1))
    assert kept(actions)[free >= 7].all()  # one look at each move
    assert kept(actions).mean() > 0.99  # where looks are left, some go to the other's mistakes
    assert np.asarray(policy)[~np.asarray(jax.vmap(GAME.legal)(POSITIONS))].max() < 1e-6
    assert (np.asarray(policy) * SOLVED["best"]).sum(1).mean() > 0.95
    # The value is a mean over what was looked at: it leans to the truth and does not exceed it.
    truth = np.asarray(exact(POSITIONS, KEY)[1])
    assert [np.mean(value[truth == outcome]) for outcome in (-1, 0, 1)] == sorted(
        np.mean(value[truth == outcome]) for outcome in (-1, 0, 1)
    )
    assert np.abs(value).max() <= 1


def test_a_plain_search_finds_the_best_moves_of_an_endgame():
    few = np.flatnonzero(np.asarray(jax.vmap(GAME.legal)(POSITIONS).sum(1)) <= 4)[::25]
    some = jax.tree.map(lambda x: x[few], POSITIONS)
    search = functools.partial(tree_search.plain, GAME, simulations=150)
    actions = np.asarray(jax.jit(search)(some, KEY))
    assert len(few) > 50
    assert SOLVED["best"][few, actions].mean() > 0.97


def test_a_match_is_told_from_the_players_side():
    """Perfect play never loses to random play, and mostly wins, whoever of the two is asked."""
    won = tree_search.match(GAME, perfect, at_random, KEY, 50)
    assert won.shape == (100,)
    assert float(won.min()) >= 0
    assert np.mean(won[:50] > 0) > 0.9 > 0.6 < np.mean(won[50:] > 0)
    lost = tree_search.match(GAME, at_random, perfect, KEY, 50)
    assert float(lost.max()) <= 0
    assert np.mean(lost[50:] < 0) > 0.9


@pytest.mark.parametrize(
    ("module", "make"), [("mctx", tree_search.imported), ("pgx", pgx_games.connect_four)]
)
def test_without_the_extra_its_name_is_told(module, make, monkeypatch):
    pgx_games.load.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(errors.MissingError, match=f'must have {module}, .*\n.*"jaxdl\\[rl\\]"'):
        make()
