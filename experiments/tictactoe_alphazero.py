"""AlphaZero learns tic-tac-toe by playing against itself, until nobody can beat it.

Data: none but the rules. The test is exact: all 4,520 positions with a move to make, solved by
minimax, and every line of play against the learnt player, in both seats.
Cost: 25 s on two CPU cores, compiling aside, for 13,000 games.
Scores: test/play/optimal, the share of positions in which the network alone makes a best move, is
0.995 (3 seeds, sd 0.002), and no line of play beats the search; with it, 0.998 are best moves.

    python -m jaxdl.launch tictactoe_alphazero --simulations 16
"""

from typing import Any

import jax.numpy as jnp
import optax

from jaxdl import metrics
from jaxdl.data import batches, tictactoe
from jaxdl.envs import tictactoe as rules
from jaxdl.envs import tree_search
from jaxdl.learners import self_play
from jaxdl.models import mlp
from jaxdl.run import AtLeast, AtMost, Run

UPDATES = 8


def experiment(
    width: int = 128,
    depth: int = 2,
    simulations: int = 32,
    opened: float = 0.75,
    learning_rate: float = 2e-3,
    steps: int = 300,
) -> Run:
    """AdamW, its rate falling to 0; a share `opened` of the games begins at a random position."""
    model = mlp.MLP(features=(width,) * depth, outputs=rules.GAME.actions + 1)
    learner = self_play.alpha_zero(
        rules.GAME,
        model,
        optax.adamw(optax.cosine_decay_schedule(learning_rate, UPDATES * steps)),
        examine,
        simulations=simulations,
        opening=8,
        updates=UPDATES,
        opened=opened,
    )
    return Run(
        learner=learner,
        train=None,
        tests={"test": batches.once(tictactoe.solved(), len(tictactoe.boards()))},
        steps=steps,
        expect=(
            AtLeast("test/play/optimal", 0.97),
            AtMost("test/play/lost_searched", 0.0),
        ),
    )


def examine(player: self_play.Player, batch: Any, key: Any) -> dict[str, Any]:
    """Its moves in all positions, of the network alone and searched; `tictactoe.score` judges."""
    positions = rules.Position(batch["mine"], batch["theirs"])
    logits, _ = player.judge(positions, key)
    free = ~(batch["mine"] | batch["theirs"])
    moves = {
        "network": jnp.argmax(tree_search.masked(logits, free), -1),
        "search": player.search(positions, key),
        "best": batch["best"],
    }
    return {"play": metrics.Collected(moves, tictactoe.score)}
