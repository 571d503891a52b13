"""Tic-tac-toe solved: all its positions, what is best in each, and whether a player can be beaten.

Plain Python over a board of nine cells, 1 for the first player's stones and -1 for the second's;
it knows nothing of the rules in jaxdl/envs/tictactoe.py.
"""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

Board = tuple[int, ...]
EMPTY: Board = (0,) * 9
LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def to_move(board: Board) -> int:
    """Whose turn it is: 1 for the first player, -1 for the second."""
    return 1 if sum(board) == 0 else -1


def moves(board: Board) -> list[int]:
    """The free cells."""
    return [cell for cell in range(9) if board[cell] == 0]


def moved(board: Board, cell: int) -> Board:
    """The board after a move."""
    return (*board[:cell], to_move(board), *board[cell + 1 :])


def winner(board: Board) -> int:
    """1 or -1 where that player has a line, else 0."""
    return next((board[a] for a, b, c in LINES if board[a] == board[b] == board[c] != 0), 0)


@functools.cache
def value(board: Board) -> int:
    """What best play on both sides brings the player to move: 1, 0 or -1 (minimax)."""
    if winner(board) or not moves(board):
        return winner(board) * to_move(board)
    return max(-value(moved(board, cell)) for cell in moves(board))


@functools.cache
def boards() -> tuple[Board, ...]:
    """All 4,520 positions in which somebody can move, in a fixed order."""
    found, front = {}, [EMPTY]
    while front:
        board = front.pop()
        if board not in found and not winner(board) and moves(board):
            found[board] = None
            front += [moved(board, cell) for cell in moves(board)]
    return tuple(found)


def solved() -> dict[str, Any]:
    """Every position with its best moves.

    mine, theirs: stones of the player to move and of the other, booleans of shape (4520, 9).
    best: the moves that keep the value, booleans of shape (4520, 9).
    """
    stones = np.array(boards()) * np.array([[to_move(board)] for board in boards()])
    best = np.zeros(stones.shape, bool)
    for row, board in zip(best, boards(), strict=True):
        for cell in moves(board):
            row[cell] = -value(moved(board, cell)) == value(board)
    return {"mine": stones == 1, "theirs": stones == -1, "best": best}


def score(moves: Mapping[str, Any]) -> dict[str, float]:
    """What a player is worth that has made a move in each position of `solved()`.

    moves: those of its "network" alone and of its "search", shape (4520,), and the "best" ones.
    optimal, optimal_searched: the share of positions in which the network, and the search, make a
    best move. lost, lost_searched: how many lines of play beat them.
    """
    told = {}
    for name, who in (("", "network"), ("_searched", "search")):
        actions = np.asarray(moves[who])
        told[f"optimal{name}"] = np.take_along_axis(moves["best"], actions[:, None], 1).mean()
        told[f"lost{name}"] = lost(actions)
    return told


def lost(actions: Any) -> int:
    """How many lines of play beat the player that makes these moves, from either seat.

    actions: its move in each of `boards()`, shape (4520,).
    """
    replies = dict(zip(boards(), np.asarray(actions).tolist(), strict=True))
    return sum(_lost(EMPTY, seat, replies, {}) for seat in (1, -1))


def _lost(board: Board, seat: int, replies: Mapping[Board, int], known: dict[Board, int]) -> int:
    if winner(board) or not moves(board):
        return int(winner(board) == -seat)
    if board not in known:
        cells = [replies[board]] if to_move(board) == seat else moves(board)
        known[board] = sum(_lost(moved(board, cell), seat, replies, known) for cell in cells)
    return known[board]
