"""Monte Carlo tree search, guided by a network or plain, and matches between players.

Guided: the search of Gumbel AlphaZero (Danihelka et al., "Policy improvement by planning with
Gumbel", 2022), from mctx: it improves a policy with few simulations, too. Plain: UCT (Kocsis and
Szepesvári 2006), which knows nothing of a game but its rules and random games. The extra `rl`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.envs import games

# (positions, key) -> logits of the moves and the value to the player to move, in [-1, 1]
Judge = Callable[[games.Position, Any], tuple[Any, Any]]
Player = Callable[[games.Position, Any], Any]  # (positions, key) -> a move in each


def imported() -> Any:
    """The library mctx."""
    return errors.needed("Tree search", "mctx")


def masked(logits: Float[Array, "*b a"], legal: Bool[Array, "*b a"]) -> Float[Array, "*b a"]:
    """Logits that leave an illegal move no chance; finite, as a game that is over has none."""
    return jnp.where(legal, logits, jnp.finfo(logits.dtype).min)


def guided(
    game: games.Game,
    judge: Judge,
    positions: games.Position,
    key: Any,
    *,
    simulations: int,
    noise: Any = 1.0,
) -> tuple[Int[Array, " b"], Float[Array, "b a"], Float[Array, " b"]]:
    """A move in each position, the improved policy that it comes from, and the improved value.

    noise: the scale of the Gumbel noise: 1 samples moves from the improved policy, as learning
        needs it; 0 plays the best one.
    """
    library = imported()
    root_key, key = jax.random.split(key)
    search = library.gumbel_muzero_policy(
        (),
        key,
        _root(game, judge, positions, root_key),
        _model(game, judge),
        simulations,
        ~jax.vmap(game.legal)(positions),
        # Values lie in [-1, 1] as they are; stretched at each position, to where the worst move has
        # 0 and the best 1, moves that are as good as each other would seem far apart.
        qtransform=functools.partial(
            library.qtransform_completed_by_mix_value, rescale_values=False
        ),
        gumbel_scale=noise,
    )
    return search.action, search.action_weights, search.search_tree.summary().value


def plain(
    game: games.Game,
    positions: games.Position,
    key: Any,
    *,
    simulations: int,
    exploration: float = 1.0,
) -> Int[Array, " b"]:
    """The most visited move of a search that values each new position by one random game.

    exploration: the weight of the confidence bound, beside values in [-1, 1].
    """

    def judge(positions: games.Position, key: Any) -> tuple[Any, Any]:
        value = games.playouts(game, positions, key)
        return jnp.zeros((len(value), game.actions)), value

    def bound(key: Any, tree: Any, node: Any, depth: Any = None) -> Any:
        """Unvisited moves first, in random order; then the highest upper confidence bound, UCB1."""
        visits = tree.children_visits[node]
        wide = jnp.sqrt(jnp.log(tree.node_visits[node]) / jnp.maximum(visits, 1))
        score = tree.qvalues(node) + exploration * wide
        score = jnp.where(visits > 0, score, 1e3 + jax.random.uniform(key, visits.shape))
        legal = tree.children_prior_logits[node] >= 0  # the judge's logits are zeros, but masked
        return jnp.argmax(jnp.where(legal, score, -jnp.inf)).astype(jnp.int32)

    root_key, key = jax.random.split(key)
    tree = imported().search(
        (),
        key,
        root=_root(game, judge, positions, root_key),
        recurrent_fn=_model(game, judge),
        root_action_selection_fn=bound,
        interior_action_selection_fn=bound,
        num_simulations=simulations,
        invalid_actions=~jax.vmap(game.legal)(positions),
    )
    return jnp.argmax(tree.summary().visit_counts, -1).astype(jnp.int32)


def match(
    game: games.Game, player: Player, opponent: Player, key: Any, pairs: int
) -> Float[Array, " n"]:
    """Games from the first position, in `pairs` of them the player moves first, in `pairs` second.

    What each was worth to the player: 1, 0 or -1; those where it moved first come first.
    """

    def going(carry: Any) -> Any:
        i, boards, _ = carry
        ended = jnp.stack([jax.vmap(game.ended)(board).all() for board in boards])
        return (i < game.longest) & ~ended.all()

    def ply(carry: Any) -> Any:
        """In the first boards it is the player's turn, in the second the opponent's; then they
        change places.
        """
        i, boards, results = carry
        keys = jax.random.split(jax.random.fold_in(key, i))
        moved = [
            _moved(game, who, board, result, sign, k)
            for who, board, result, sign, k in zip(
                (player, opponent), boards, results, (-1, 1), keys, strict=True
            )
        ]
        (first, first_result), (second, second_result) = moved
        return i + 1, (second, first), (second_result, first_result)

    start = games.starts(game, pairs)
    none = jnp.zeros(pairs)
    plies, _, results = jax.lax.while_loop(going, ply, (jnp.int32(0), (start, start), (none, none)))
    began, followed = results
    swapped = plies % 2 == 1
    first, second = jnp.where(swapped, followed, began), jnp.where(swapped, began, followed)
    return jnp.concatenate([first, second])


def _moved(
    game: games.Game, who: Player, boards: Any, results: Any, sign: int, key: Any
) -> tuple[Any, Any]:
    """The boards after a move, and the results with those of the games that it ended.

    sign: 1 where the player is to move next, -1 where the opponent is.
    """
    over = jax.vmap(game.ended)(boards)
    after = jax.vmap(game.move)(boards, who(boards, key))
    ends = ~over & jax.vmap(game.ended)(after)
    results = jnp.where(ends, sign * jax.vmap(game.worth)(after), results)
    return games.where(over, boards, after), results


def _root(game: games.Game, judge: Judge, positions: games.Position, key: Any) -> Any:
    logits, value = judge(positions, key)
    logits = masked(logits, jax.vmap(game.legal)(positions))
    return imported().RootFnOutput(prior_logits=logits, value=value, embedding=positions)


def _model(game: games.Game, judge: Judge) -> Callable[..., Any]:
    """The rules as mctx asks for them: after a move it is the other's turn, so the value is the
    opposite of what it is to them; where the game is over there is none.
    """
    output = imported().RecurrentFnOutput

    def model(_: Any, key: Any, actions: Any, positions: games.Position) -> tuple[Any, Any]:
        after = jax.vmap(game.move)(positions, actions)
        ended = jax.vmap(game.ended)(after)
        logits, value = judge(after, key)
        found = output(
            reward=jnp.where(ended, -jax.vmap(game.worth)(after), 0.0),
            discount=jnp.where(ended, 0.0, -1.0),
            prior_logits=masked(logits, jax.vmap(game.legal)(after)),
            value=value,
        )
        return found, after

    return model
