"""Learning by playing against oneself."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import optax

import catalogue
from jaxdl import learner, metrics
from jaxdl.envs import tictactoe
from jaxdl.learners import self_play
from jaxdl.models import mlp


def _examined(player: self_play.Player, batch: Any, key: Any) -> learner.Metrics:
    _, value = player.judge(tictactoe.Position(*batch), key)
    moves = player.search(tictactoe.Position(*batch), key)
    return {"value": metrics.Mean.of(value), "move": metrics.Mean.of(moves)}


def _learner() -> learner.Learner:
    return self_play.alpha_zero(
        tictactoe.GAME,
        mlp.MLP(features=(16,), outputs=10),
        optax.sgd(1e-2),
        _examined,
        simulations=4,
        parallel=4,
        moves=9,
        memory=18,
        updates=2,
        batch_size=8,
        opening=2,
    )


def _positions() -> Any:
    mine = jnp.asarray(np.eye(9, dtype=bool)[:4])
    return mine, jnp.roll(mine, 1, axis=1)


LEARNERS = {"alphazero": catalogue.Case(_learner, test=_positions, random=True)}

SMALL = {
    "tictactoe_alphazero": {"width": 8, "depth": 1, "simulations": 2},
    "connect4_alphazero": {
        "width": 8,
        "depth": 1,
        "simulations": 2,
        "parallel": 2,
        "episodes": 2,
    },
}
