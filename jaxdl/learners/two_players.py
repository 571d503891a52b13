"""What games of two players share: one makes examples, the other judges them, and either is a
gradient learner whose data are a batch and the other player.

The state is a NamedTuple of two, who makes and who judges; metrics are called by its fields.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl import learner
from jaxdl.learners import gradient
from jaxdl.nn import layout

Evaluate = Callable[[Any, learner.Batch, learner.Key], learner.Metrics]


def player(
    begin: Callable[[Any, Any], gradient.Variables],
    objective: gradient.Objective,
    optimizer: optax.GradientTransformation,
    average: gradient.Scalar | None = None,
) -> learner.Learner:
    """One of the two; there is no evaluation of one without the other."""
    return gradient.minimise(
        begin, objective, optimizer, evaluate=lambda *both: {}, average=average
    )


def game(
    kind: Any,
    maker: learner.Learner,
    judge: learner.Learner,
    evaluate: Evaluate,
    predict: Callable[[Any, Any], Any] | None = None,
    judge_steps: int = 1,
) -> learner.Learner:
    """A learner in whose step the judge learns so many times, each on a part of the batch, and then
    the maker on the last part.

    kind: the NamedTuple. What is judged in training is not made by the maker's moving average.
    """

    def init(key: learner.Key, batch: learner.Batch) -> Any:
        keys = jax.random.split(key)
        return kind(maker.init(keys[0], batch), judge.init(keys[1], batch))

    def step(state: Any, batch: learner.Batch, key: learner.Key) -> tuple[Any, learner.Metrics]:
        making, judging = state
        parts = layout.parts(batch, judge_steps, "critic_steps")
        variables = gradient.variables(making._replace(average=None))

        def one(judging: gradient.State, at: Any) -> tuple[gradient.State, learner.Metrics]:
            i, part = at
            return judge.step(judging, (variables, part), jax.random.fold_in(key, i))

        judging, judged = _each(one, judging, (jnp.arange(judge_steps), parts))
        facing = gradient.variables(judging), jax.tree.map(lambda x: x[-1], parts)
        last_key = jax.random.fold_in(key, judge_steps)
        making, made = maker.step(making, facing, last_key)
        return kind(making, judging), called(kind, made, judged)

    return learner.Learner(init, step, evaluate, predict)


def called(kind: Any, made: learner.Metrics, judged: learner.Metrics) -> learner.Metrics:
    """Both players' metrics, under their names."""
    players = zip(kind._fields, (made, judged), strict=True)
    return {f"{player}/{name}": x for player, found in players for name, x in found.items()}


def _each(step: Callable[[Any, Any], Any], state: Any, parts: Any) -> tuple[Any, learner.Metrics]:
    """The state after a step on each part, one after another, and the sums of their metrics."""
    if len(jax.tree.leaves(parts)[0]) == 1:  # on CPU a loop makes even one convolution slow
        return step(state, jax.tree.map(lambda x: x[0], parts))
    state, measured = jax.lax.scan(step, state, parts)
    return state, jax.tree.map(lambda x: x.sum(0), measured)
