"""AlphaZero learns tic-tac-toe by playing against itself, and is then unbeatable.

Data: none; the rules of the game. The test is exact: all 4,520 positions, solved by minimax.
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
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 128,
    depth: int = 2,
    simulations: int = 32,
    opened: float = 0.75,
    learning_rate: float = 2e-3,
    steps: int = 300,
) -> Run:
    """AdamW."""
    model = mlp.MLP(features=(width,) * depth, outputs=rules.GAME.actions + 1)
    learner = self_play.alpha_zero(
        rules.GAME,
        model,
        optax.adamw(learning_rate),
        examine,
        simulations=simulations,
        opening=8,
        opened=opened,
    )
    return Run(
        learner=learner,
        train=None,
        tests={"test": batches.once(tictactoe.solved(), 4520)},
        steps=steps,
        expect=AtLeast("test/sound", 0.97),
    )


def examine(player: self_play.Player, batch: Any, key: Any) -> dict[str, Any]:
    """How often a move is among the best, and how many lines of play beat it."""
    positions = rules.Position(batch["mine"], batch["theirs"])
    logits, _ = player.judge(positions, key)
    alone = jnp.argmax(tree_search.masked(logits, ~(batch["mine"] | batch["theirs"])), -1)
    searched = player.search(positions, key)
    right = {
        name: jnp.take_along_axis(batch["best"], action[:, None], 1)[:, 0]
        for name, action in (("alone", alone), ("searched", searched))
    }
    return {
        "optimal": metrics.Mean.of(right["alone"]),
        "optimal_searched": metrics.Mean.of(right["searched"]),
        "lost": metrics.Collected({"alone": alone, "searched": searched}, lost),
    }


def lost(arrays):
    return {name: tictactoe.lost(actions) for name, actions in arrays.items()}
