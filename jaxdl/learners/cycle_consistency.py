"""Learning to translate between two domains from examples that are not paired: CycleGAN.

Zhu, Park, Isola and Efros, "Unpaired image-to-image translation using cycle-consistent adversarial
networks" (2017). Two translators must deceive a critic in either domain, and there and back again
must lead to where it began. The paper's pool of older translations and its identity loss are left
out.

What a step measures; both directions, or domains, are added up in losses and averaged elsewhere:
- critics/loss, critics/real, critics/made: as a GAN's, see jaxdl/learners/adversarial.py.
- translators/loss: what the translators minimise, the cycle included with its weight.
- translators/cycle: mean absolute difference between examples and what returns of them.
An evaluation measures the same, and whatever `scores` are given.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient, two_players
from jaxdl.losses import adversarial as games

Both = tuple[Any, Any]  # something of the first domain, something of the second


class State(NamedTuple):
    """The two sides of the game, each with a network for either domain."""

    translators: gradient.State
    critics: gradient.State


class _Pair(nn.Module):
    """Two models side by side, their parameters under "first" and "second"."""

    first: nn.Module
    second: nn.Module

    def __call__(self, first: Any, second: Any, train: bool = False) -> Both:
        return self.first(first, train=train), self.second(second, train=train)


def translation(
    translators: tuple[nn.Module, nn.Module],
    critics: tuple[nn.Module, nn.Module],
    losses: games.Losses,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    *,
    cycle: gradient.Scalar = 10.0,
    average: gradient.Scalar | None = None,
    scores: Callable[[Both, learner.Batch], learner.Metrics] | None = None,
) -> learner.Learner:
    """A learner that translates `batch["first"]` to the domain of `batch["second"]`, and back.

    translators: from the first domain to the second, and from the second to the first; Linen
        modules called as `translator(examples, train=...)`.
    critics: of the first domain and of the second, called likewise; a score for each, (b, 1), or
        for each of its patches, (b, h, w, 1).
    losses: the paper's are `least_squares`; a gradient penalty is not taken.
    optimizers: the translators' and the critics'.
    cycle: the weight of what is lost there and back, the mean absolute difference (the paper's λ).
    average: decay of a moving average of the translators, see `gradient.minimise`.
    scores: ((translations of first, of second), batch) -> further metrics of an evaluation.
    """
    if isinstance(cycle, float | int) and cycle < 0:
        raise errors.InputError(f"cycle must be at least 0, got {cycle}.")
    if losses.penalty is not None:
        raise errors.InputError(
            f"The losses must have no gradient penalty, got one of weight {losses.penalty}."
        )
    game = _Game(_paired(translators), _paired(critics), losses, cycle, scores)
    translating = two_players.player(game.begin_translators, game.deceive, optimizers[0], average)
    judging = two_players.player(game.begin_critics, game.criticise, optimizers[1])
    return two_players.game(
        State,
        translating,
        judging,
        game.evaluate,
        lambda state, batch: game.translate(state, *_two(batch))[0],
    )


@dataclasses.dataclass(frozen=True)
class _Game:
    """What either side learns from the other. A side's data: the other's variables, a batch."""

    translators: _Pair
    critics: _Pair
    losses: games.Losses
    cycle: gradient.Scalar
    scores: Callable[[Both, learner.Batch], learner.Metrics] | None

    def begin_translators(self, key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        """The translators' first variables."""
        return gradient.initial(self.translators, key, *_two(batch), train=False)

    def begin_critics(self, key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        """The critics' first variables."""
        return gradient.initial(self.critics, key, *_two(batch), train=False)

    def criticise(
        self, variables: gradient.Variables, facing: Any, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        """The critics' objective."""
        translators, batch = facing
        keys = jax.random.split(key, 3)
        made, _ = gradient.applied(self.translators, translators, keys[0], *_two(batch), train=True)
        real, after = gradient.applied(self.critics, variables, keys[1], *_two(batch), train=True)
        # A translation of the first domain is for the critic of the second.
        fake, after = gradient.applied(
            self.critics, variables | after, keys[2], *reversed(made), train=True
        )
        return self.judged(real, fake), after

    def deceive(
        self, variables: gradient.Variables, facing: Any, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        """The translators' objective."""
        critics, batch = facing
        keys = jax.random.split(key, 3)
        made, after = gradient.applied(
            self.translators, variables, keys[0], *_two(batch), train=True
        )
        again, after = gradient.applied(
            self.translators, variables | after, keys[1], *reversed(made), train=True
        )
        scores, _ = gradient.applied(self.critics, critics, keys[2], *reversed(made), train=True)
        return self.deceived(scores, batch, again), after

    def judged(self, real: Both, made: Both) -> learner.Metrics:
        """The critics' metrics."""
        pairs = [(games.scores(x), games.scores(y)) for x, y in zip(real, made, strict=True)]
        return {
            "loss": metrics.Mean.of(sum(self.losses.critic(x, y) for x, y in pairs)),
            "real": metrics.Mean.of(jnp.stack([x for x, _ in pairs])),
            "made": metrics.Mean.of(jnp.stack([y for _, y in pairs])),
        }

    def deceived(self, scores: Both, batch: learner.Batch, again: Both) -> learner.Metrics:
        """The translators' metrics; `again` is what comes back, of the second domain first."""
        deceit = sum(self.losses.generator(games.scores(x)) for x in scores)
        lost = [
            jnp.abs(x - y).reshape(len(x), -1).mean(-1)
            for x, y in zip(_two(batch), reversed(again), strict=True)
        ]
        return {
            "loss": metrics.Mean.of(deceit + self.cycle * sum(lost)),
            "cycle": metrics.Mean.of(jnp.stack(lost)),
        }

    def translate(self, state: State, first: Any, second: Any) -> Both:
        """Translations of the first domain and of the second."""
        variables = gradient.variables(state.translators)
        return self.translators.apply(variables, first, second, train=False)

    def evaluate(self, state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        """All metrics, and the scores asked for, of a batch."""
        critics = gradient.variables(state.critics)
        made = self.translate(state, *_two(batch))
        again = self.translate(state, *reversed(made))
        real, fake = (
            self.critics.apply(critics, *pair, train=False) for pair in (_two(batch), made[::-1])
        )
        deceived = self.deceived(fake, batch, again)
        measured = two_players.called(State, deceived, self.judged(real, fake))
        return measured | (self.scores(made, batch) if self.scores else {})


def pictures(
    translators: tuple[nn.Module, nn.Module],
    first: Float[Any, "b h w c"],
    second: Float[Any, "b h w c"],
) -> Callable[[State, learner.Key], summary.Image]:
    """A summary: images of either domain in [-1, 1] side by side, below each its translation, and
    below that what comes back.
    """
    pair, images = _paired(translators), (jnp.asarray(first), jnp.asarray(second))

    def shown(state: State) -> Any:
        variables = gradient.variables(state.translators)
        made: Any = pair.apply(variables, *images, train=False)
        again: Any = pair.apply(variables, *reversed(made), train=False)
        rows = [jnp.concatenate(both, axis=2) for both in (images, made, again[::-1])]
        return (jnp.concatenate(rows, axis=1) + 1) / 2

    compiled = jax.jit(shown)
    return lambda state, key: summary.Image(compiled(state))


def _paired(models: tuple[nn.Module, nn.Module]) -> _Pair:
    """Clones, since of one model given twice Linen would share the parameters."""
    return _Pair(*(model.clone() for model in models))


def _two(batch: learner.Batch) -> Both:
    return batch["first"], batch["second"]
