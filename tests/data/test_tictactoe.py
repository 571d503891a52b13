"""The solution of tic-tac-toe against known counts and a walk through all games."""

import collections

import numpy as np

from jaxdl.data import tictactoe


def games(board=tictactoe.EMPTY):
    """The result of every game from here on, one by one."""
    if tictactoe.winner(board) or not tictactoe.moves(board):
        yield tictactoe.winner(board)
    else:
        for cell in tictactoe.moves(board):
            yield from games(tictactoe.moved(board, cell))


def test_there_are_as_many_games_as_there_are():
    assert collections.Counter(games()) == {1: 131_184, -1: 77_904, 0: 46_080}


def test_positions_and_their_values():
    assert len(tictactoe.boards()) == 4520  # of 5,478, of which 958 are ends
    ends = {
        after
        for board in tictactoe.boards()
        for after in (tictactoe.moved(board, cell) for cell in tictactoe.moves(board))
        if tictactoe.winner(after) or not tictactoe.moves(after)
    }
    assert len(ends) == 958
    assert tictactoe.value(tictactoe.EMPTY) == 0
    solved = tictactoe.solved()
    first = tictactoe.boards().index(tictactoe.EMPTY)
    assert solved["best"][first].all()  # every first move draws
    corner = tictactoe.boards().index((1, 0, 0, 0, 0, 0, 0, 0, 0))
    np.testing.assert_array_equal(np.flatnonzero(solved["best"][corner]), [4])  # but one reply
    assert solved["theirs"][corner].sum() == 1


def lines(replies, seat, board=tictactoe.EMPTY):
    """The results of all lines of play against a player, one by one."""
    if tictactoe.winner(board) or not tictactoe.moves(board):
        yield tictactoe.winner(board)
        return
    mine = tictactoe.to_move(board) == seat
    for cell in [replies[board]] if mine else tictactoe.moves(board):
        yield from lines(replies, seat, tictactoe.moved(board, cell))


def test_lines_that_beat_a_player():
    best = tictactoe.solved()["best"]
    assert tictactoe.lost(best.argmax(1)) == 0
    naive = [tictactoe.moves(board)[0] for board in tictactoe.boards()]
    replies = dict(zip(tictactoe.boards(), naive, strict=True))
    beaten = sum(result == -seat for seat in (1, -1) for result in lines(replies, seat))
    assert tictactoe.lost(naive) == beaten > 0


def test_the_network_and_the_search_are_judged_apart():
    best = tictactoe.solved()["best"]
    perfect = best.argmax(1)
    naive = np.array([tictactoe.moves(board)[0] for board in tictactoe.boards()])
    told = tictactoe.score({"network": naive, "search": perfect, "best": best})
    assert told["lost"] > 0 == told["lost_searched"]
    assert 0.3 < told["optimal"] < 0.9 < told["optimal_searched"] == 1
    assert told["lost"] > 0 == told["lost_searched"]
    beaten = tictactoe.score({"network": perfect, "search": naive, "best": best})
    assert beaten["optimal"] == 1 and beaten["lost"] == 0 < beaten["lost_searched"]
