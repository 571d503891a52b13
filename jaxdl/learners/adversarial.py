"""Learning to make examples by deceiving a critic: generative adversarial networks.

Goodfellow et al., "Generative adversarial nets" (2014); told what to make: Mirza and Osindero,
"Conditional generative adversarial nets" (2014). Either player is a gradient learner whose data are
the real examples and the other player.

What a step measures, each a mean over its examples and its critic steps:
- critic/loss: what the critic minimises, its penalty included. WGAN-GP's, without the penalty, is
  minus an estimate of the earth mover's distance between what is made and what is real.
- critic/real, critic/made: the scores of real and of made examples. Where they meet, the critic
  cannot tell them apart; where they part without end, it has won.
- critic/penalty: the gradient penalty before its weight, where the losses have one; near 0 the
  critic's slope is one.
- generator/loss: what the generator minimises. Neither loss tells how good the examples are.
An evaluation measures the same, the penalty aside, of one made example for each of the batch, and
whatever `scores` are given.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics, summary
from jaxdl.learners import gradient, two_players
from jaxdl.losses import adversarial as games


class State(NamedTuple):
    """The two players."""

    generator: gradient.State
    critic: gradient.State


def generative(
    generator: Any,
    critic: Any,
    losses: games.Losses,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    *,
    latent: int,
    critic_steps: int = 1,
    condition: str | None = None,
    average: gradient.Scalar | None = None,
    scores: Callable[[Any, learner.Batch], learner.Metrics] | None = None,
) -> learner.Learner:
    """A learner of a generator whose examples a critic cannot tell from `batch["input"]`.

    generator: a Linen module called as `generator(latents, train=...)`, with standard normal
        latents of shape (b, latent).
    critic: called as `critic(examples, train=...)`, a score for each, (b, 1), or for each of its
        patches, (b, h, w, 1).
    optimizers: the generator's and the critic's.
    critic_steps: how often the critic learns before the generator does. The batch is cut into so
        many parts, one for each: a critic's batch is 1 / critic_steps of what the source gives, and
        no example comes twice in an epoch. The generator makes as many examples as a part has.
    condition: what part of the batch both players are told, such as "target": their second
        argument. What is made is made under the conditions of real examples. None tells nothing.
    average: decay of a moving average of the generator, see `gradient.minimise`: the examples that
        are looked at are made by it, those that the critic learns from are not.
    scores: (made examples, batch) -> further metrics of an evaluation.
    """
    if latent < 1:
        raise errors.InputError(f"latent must be at least 1, got {latent}.")
    if critic_steps < 1:
        raise errors.InputError(f"critic_steps must be at least 1, got {critic_steps}.")
    game = _Game(generator, critic, losses, latent, condition, scores)
    making = two_players.player(game.begin_generator, game.deceive, optimizers[0], average)
    judging = two_players.player(game.begin_critic, game.criticise, optimizers[1])
    return two_players.game(State, making, judging, game.evaluate, judge_steps=critic_steps)


def generate(generator: Any, state: State, latents: Float[Array, "b z"], *conditions: Any) -> Any:
    """The examples that the trained (and averaged) generator makes of latents."""
    return generator.apply(gradient.variables(state.generator), latents, *conditions, train=False)


def pictures(
    generator: Any,
    latent: int,
    count: int,
    *conditions: Any,
    show: Callable[[Any], Any] = lambda made: (made + 1) / 2,
) -> Callable[[State, learner.Key], summary.Image]:
    """A summary: `count` made examples as an image, under `conditions` with as many rows.

    show: examples -> pixels; as it is, for images in [-1, 1].
    """

    def shown(state: State, key: learner.Key) -> Any:
        latents = jax.random.normal(key, (count, latent))
        return show(generate(generator, state, latents, *map(jnp.asarray, conditions)))

    compiled = jax.jit(shown)
    return lambda state, key: summary.Image(compiled(state, key))


@dataclasses.dataclass(frozen=True)
class _Game:
    """What either player learns from the other. A player's data: the other's variables, a batch."""

    generator: Any
    critic: Any
    losses: games.Losses
    latent: int
    condition: str | None
    scores: Callable[[Any, learner.Batch], learner.Metrics] | None

    def told(self, batch: learner.Batch) -> tuple[Any, ...]:
        """The condition, as arguments."""
        return () if self.condition is None else (batch[self.condition],)

    def latents(self, batch: learner.Batch, key: learner.Key) -> Float[Array, "b z"]:
        """Noise for as many examples as the batch has."""
        return jax.random.normal(key, (len(batch["input"]), self.latent))

    def begin_generator(self, key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        """The generator's first variables."""
        latents = self.latents(batch, jax.random.fold_in(key, 1))
        return gradient.initial(self.generator, key, latents, *self.told(batch), train=False)

    def begin_critic(self, key: learner.Key, batch: learner.Batch) -> gradient.Variables:
        """The critic's first variables."""
        return gradient.initial(self.critic, key, batch["input"], *self.told(batch), train=False)

    def make(
        self, variables: gradient.Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[Any, gradient.Variables]:
        """Examples in training, and the generator's collections after it."""
        noise, rest = jax.random.split(key)
        latents, told = self.latents(batch, noise), self.told(batch)
        return gradient.applied(self.generator, variables, rest, latents, *told, train=True)

    def judge(
        self, variables: gradient.Variables, examples: Any, batch: learner.Batch, key: learner.Key
    ) -> tuple[games.Scores, gradient.Variables]:
        """Scores in training, and the critic's collections after it."""
        told = self.told(batch)
        found, after = gradient.applied(self.critic, variables, key, examples, *told, train=True)
        return games.scores(found), after

    def criticise(
        self, variables: gradient.Variables, facing: Any, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        """The critic's objective."""
        generator, batch = facing
        keys = jax.random.split(key, 5)
        made, _ = self.make(generator, batch, keys[0])
        real, after = self.judge(variables, batch["input"], batch, keys[1])
        fake, after = self.judge(variables | after, made, batch, keys[2])
        losses, measured = self.losses.critic(real, fake), _scored(real, fake)
        if self.losses.penalty is not None:
            points = games.between(batch["input"], made, keys[3])
            penalties = games.gradient_penalty(
                lambda x: self.judge(variables, x, batch, keys[4])[0], points
            )
            losses = losses + self.losses.penalty * penalties
            measured["penalty"] = metrics.Mean.of(penalties)
        return {"loss": metrics.Mean.of(losses)} | measured, after

    def deceive(
        self, variables: gradient.Variables, facing: Any, key: learner.Key
    ) -> tuple[learner.Metrics, gradient.Variables]:
        """The generator's objective."""
        critic, batch = facing
        keys = jax.random.split(key)
        made, after = self.make(variables, batch, keys[0])
        scores, _ = self.judge(critic, made, batch, keys[1])
        return {"loss": metrics.Mean.of(self.losses.generator(scores))}, after

    def evaluate(self, state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        """Both losses, and the scores asked for, of as many examples as the batch has."""
        told, critic = self.told(batch), gradient.variables(state.critic)
        made = generate(self.generator, state, self.latents(batch, key), *told)
        real, fake = (
            games.scores(self.critic.apply(critic, examples, *told, train=False))
            for examples in (batch["input"], made)
        )
        judged = {"loss": metrics.Mean.of(self.losses.critic(real, fake))} | _scored(real, fake)
        deceived = {"loss": metrics.Mean.of(self.losses.generator(fake))}
        measured = two_players.called(State, deceived, judged)
        return measured | (self.scores(made, batch) if self.scores else {})


def _scored(real: games.Scores, made: games.Scores) -> learner.Metrics:
    return {"real": metrics.Mean.of(real), "made": metrics.Mean.of(made)}
