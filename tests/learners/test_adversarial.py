"""Generative adversarial networks against PyTorch's steps (tests/fixtures/make_adversarial.py)."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors, metrics
from jaxdl.learners import adversarial
from jaxdl.losses import adversarial as losses
from jaxdl.models import mlp

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "adversarial.npz")
KEY = jax.random.key(0)
CRITIC = mlp.MLP(features=(8, 8), outputs=1, act="tanh")
GENERATOR = mlp.MLP(features=(4,), outputs=3)


class Table(nn.Module):
    """Makes the same points of any latents: nothing is left to chance."""

    @nn.compact
    def __call__(self, latents, train=False):
        return self.param("table", nn.initializers.normal(), (6, 3))[: len(latents)]


def players(generator=GENERATOR, game=None, critic=CRITIC, rate=0.1, **options):
    """A learner of points with three coordinates."""
    optimizers = (optax.sgd(rate), optax.sgd(rate))
    game = game or losses.non_saturating()
    return adversarial.generative(generator, critic, game, optimizers, **({"latent": 2} | options))


def stored(when):
    """The critic's parameters in the fixture."""
    return {
        layer: {leaf: FIXTURE[f"steps/{when}/critic/{layer}/{leaf}"] for leaf in ("kernel", "bias")}
        for layer in ("hidden_0", "hidden_1", "output")
    }


def points(count=12):
    return {"input": jax.random.normal(jax.random.key(9), (count, 3))}


def assert_close(tree, expected, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), tree, expected)


def test_a_step_is_pytorchs():
    """The critic on one part of the batch, then on the next, then the generator against it."""
    learner = players(Table(), critic_steps=2)
    batch = {"input": jnp.asarray(FIXTURE["steps/real"])}
    state = learner.init(KEY, batch)
    table = {"table": jnp.asarray(FIXTURE["steps/before/table"])}
    state = adversarial.State(
        state.generator._replace(params=table),
        state.critic._replace(params=stored("before")),
    )
    after, measured = jax.jit(learner.step)(state, batch, KEY)
    assert_close(after.critic.params, stored("after"), atol=1e-6)
    np.testing.assert_allclose(
        after.generator.params["table"], FIXTURE["steps/after/table"], atol=1e-6
    )
    found = metrics.values(measured)
    np.testing.assert_allclose(
        [found["critic/loss"], found["generator/loss"]], FIXTURE["steps/losses"], rtol=1e-5
    )
    assert measured["critic/loss"].count == 12 and measured["generator/loss"].count == 6


class Line(nn.Module):
    """A linear critic of slope two."""

    @nn.compact
    def __call__(self, x, train=False):
        slope = self.param("slope", lambda key: jnp.float32([[2], [0], [0]]))
        return x @ slope


def test_the_penalty_has_its_weight():
    """Of a linear critic it is known, wherever between real and made examples it is taken."""
    learner = players(game=losses.wasserstein(7.0), critic=Line(), critic_steps=3, rate=0.0)
    state = learner.init(KEY, points())
    found = metrics.values(jax.jit(learner.step)(state, points(), KEY)[1])
    assert found["critic/penalty"] == pytest.approx(1, rel=1e-5)
    distance = found["critic/real"] - found["critic/made"]
    assert found["critic/loss"] == pytest.approx(7 - distance, rel=1e-5)
    examined = metrics.values(learner.evaluate(state, points(), KEY))
    distance = examined["critic/real"] - examined["critic/made"]
    assert examined["critic/loss"] == pytest.approx(-distance, rel=1e-5)
    assert examined["generator/loss"] == pytest.approx(-examined["critic/made"], rel=1e-5)


def test_neither_players_gradient_moves_the_other():
    """By one of both rates alone moves one player alone; and whatever the maker does, what it is
    judged by was learnt before.
    """
    state = players().init(KEY, points())

    def stepped(*rates):
        taught = adversarial.generative(
            GENERATOR, CRITIC, losses.non_saturating(), tuple(map(optax.sgd, rates)), latent=2
        )
        return jax.jit(taught.step)(state, points(), KEY)[0]

    def moved(one, other):
        changes = jax.tree.map(lambda x, y: float(np.abs(x - y).max()), one.params, other.params)
        return max(jax.tree.leaves(changes))

    slow, fast = stepped(0.1, 0.1), stepped(1.0, 0.1)
    assert moved(slow.generator, state.generator) > 0 and moved(slow.critic, state.critic) > 0
    assert moved(fast.critic, slow.critic) == 0
    # Ten times the rate is ten times the way: the generator's gradient is at its old parameters.
    ways = [
        jax.tree.map(lambda x, y: x - y, one.generator.params, state.generator.params)
        for one in (slow, fast)
    ]
    assert_close(ways[1], jax.tree.map(lambda x: 10 * x, ways[0]), rtol=1e-3, atol=1e-6)
    # It faces the critic that has learnt in this step, and learns nothing from the old one.
    other = stepped(0.1, 1.0)
    assert moved(other.generator, slow.generator) > 0


def test_what_is_looked_at_is_made_by_the_average():
    averaged, plain = players(average=0.9), players()
    state, other = averaged.init(KEY, points()), plain.init(KEY, points())
    for i in range(3):
        key = jax.random.key(i)
        state, _ = jax.jit(averaged.step)(state, points(), key)
        other, _ = jax.jit(plain.step)(other, points(), key)
    assert_close(state.generator.params, other.generator.params, atol=0)  # it does not teach
    latents = jax.random.normal(KEY, (5, 2))
    made = adversarial.generate(GENERATOR, state, latents)
    wanted = GENERATOR.apply({"params": state.generator.average.params}, latents)
    np.testing.assert_array_equal(made, wanted)
    assert np.abs(made - adversarial.generate(GENERATOR, other, latents)).max() > 1e-4


class Told(nn.Module):
    """Makes, or scores by, the condition alone."""

    @nn.compact
    def __call__(self, x, condition, train=False):
        scale = self.param("scale", nn.initializers.ones, (1, 1))
        return scale * condition[:, None].astype(jnp.float32) + 0 * x[:, :1]


def test_both_players_are_told_the_condition():
    batch = {"input": jnp.zeros((4, 1)), "target": jnp.arange(4)}

    def scores(made, batch):
        return {"made": metrics.Mean.of(made[:, 0] * batch["target"])}

    learner = players(
        Told(), losses.wasserstein(), Told(), condition="target", critic_steps=2, scores=scores
    )
    state = learner.init(KEY, batch)
    measured = jax.jit(learner.step)(state, batch, KEY)[1]
    assert metrics.values(measured)["critic/real"] == pytest.approx(1.5)  # 0 to 3
    assert metrics.values(measured)["generator/loss"] == pytest.approx(-2.5)  # of the last part
    found = metrics.values(jax.jit(learner.evaluate)(state, batch, KEY))
    assert found["made"] == pytest.approx(np.mean([0, 1, 4, 9]))
    shown = adversarial.pictures(Told(), 1, 4, batch["target"], show=lambda made: made)(state, KEY)
    np.testing.assert_allclose(shown.pixels[:, 0], np.arange(4))


def test_batch_statistics_of_both_players_move_and_serve_evaluation():
    generator = mlp.MLP(features=(4,), outputs=3, norm=nn.BatchNorm)
    critic = mlp.MLP(features=(4,), outputs=1, norm=nn.BatchNorm)
    learner = players(generator, critic=critic, critic_steps=2)
    state = learner.init(KEY, points())
    after, _ = jax.jit(learner.step)(state, points(), KEY)
    for before, moved in zip(state, after, strict=True):
        mean = moved.statistics["batch_stats"]["norm_0"]["mean"]
        assert np.abs(mean - before.statistics["batch_stats"]["norm_0"]["mean"]).min() > 0
    latents = jax.random.normal(KEY, (5, 2))
    made = adversarial.generate(generator, after, latents)
    alone = adversarial.generate(generator, after, latents[:1])
    np.testing.assert_allclose(made[:1], alone, rtol=1e-5)  # of the others nothing is seen


def test_a_penalty_can_be_traced():
    def one(weight):
        learner = players(game=losses.wasserstein(weight))
        return learner.step(learner.init(KEY, points()), points(), KEY)[0].critic.params

    together = jax.jit(jax.vmap(one))(jnp.float32([1, 10]))
    assert_close(jax.tree.map(lambda x: x[1], together), jax.jit(one)(10.0), atol=1e-6)


def test_parts_must_divide_the_batch():
    learner = players(critic_steps=5)
    state = learner.init(KEY, points())
    with pytest.raises(errors.InputError, match="critic_steps must divide the batch size 12, got"):
        jax.eval_shape(learner.step, state, points(), KEY)


@pytest.mark.parametrize("name", ["latent", "critic_steps"])
def test_bad_options_are_refused_when_the_learner_is_made(name):
    with pytest.raises(errors.InputError, match=f"^{name} must be at least 1, got 0\\.$"):
        players(**{name: 0})
