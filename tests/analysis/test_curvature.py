"""Curvature of a quadratic, whose gradients and Hessian NumPy writes down, and of a network."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, learner, metrics
from jaxdl.analysis import curvature, histograms
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp

SIZE, COUNT = 6, 40


def squares(seed=0, count=COUNT, weights=None):
    """Least squares with its weights away from the solution: the batch, and the weights."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(count, SIZE)) * np.linspace(0.5, 2, SIZE)
    targets = inputs @ np.arange(SIZE) + random.normal(size=count)
    share = np.ones(count) if weights is None else weights
    return {"input": inputs, "target": targets, "weight": share}, random.normal(size=SIZE)


def loss(vector, batch):
    error = batch["input"] @ vector - batch["target"]
    return metrics.Mean((batch["weight"] * error**2 / 2).sum(), batch["weight"].sum())


def surface_at(at, loss=loss):
    return curvature.Surface(jnp.asarray(at), jax.tree_util.Partial(loss))


def gradients(batch, at):
    """Of each example, so that their mean is that of the batch."""
    weight = batch["weight"] / batch["weight"].mean()
    return (weight * (batch["input"] @ at - batch["target"]))[:, None] * batch["input"]


def second(batch):
    return (batch["input"].T * batch["weight"]) @ batch["input"] / batch["weight"].sum()


@pytest.fixture(autouse=True)
def precise():
    with jax.enable_x64(True):
        yield


WEIGHTS = pytest.mark.parametrize("weights", [None, np.arange(1.0, COUNT + 1)], ids=["1", "own"])


@WEIGHTS
@pytest.mark.parametrize("at_once", [1, 7, 64])
def test_gradients_of_single_examples(weights, at_once):
    batch, at = squares(weights=weights)
    surface = surface_at(at)
    wanted = gradients(batch, at)
    found = curvature.gradient_norms(surface, batch, at_once)
    np.testing.assert_allclose(found, np.linalg.norm(wanted, axis=1), rtol=1e-12)
    noise = curvature.noise_scale(surface, batch, at_once)
    trace = wanted.var(axis=0, ddof=1).sum()
    square = (wanted.mean(0) ** 2).sum() - trace / COUNT
    np.testing.assert_allclose(noise[:3], (trace / square, trace, square), rtol=1e-10)


def test_noise_that_hides_the_gradient_has_no_end():
    batch, _ = squares()
    at = np.linalg.lstsq(batch["input"], batch["target"], rcond=None)[0]
    noise = curvature.noise_scale(surface_at(at), batch)
    assert noise.scale == np.inf and noise.square < 0 < noise.trace


@WEIGHTS
def test_all_eigenvalues_of_a_quadratic(weights):
    batch, at = squares(weights=weights)
    surface = surface_at(at)
    vector = np.arange(SIZE) - 2.0
    np.testing.assert_allclose(
        curvature.hessian(surface, batch)(vector), second(batch) @ vector, rtol=1e-12
    )
    found = curvature.spectrum(surface, batch, 100)
    np.testing.assert_allclose(found.values, np.linalg.eigvalsh(second(batch))[::-1], rtol=1e-10)
    assert (found.bounds < 1e-10).all()


@pytest.mark.parametrize("exact", [(3, 3, 3, 1, 1, 0), (2, 2, 2, 2, 2, 2), (5, 1, 0, 0, -2, -2)])
def test_multiple_zero_and_negative_eigenvalues(exact):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(SIZE, SIZE)))[0]
    matrix = (turn * exact) @ turn.T
    surface = surface_at(
        jnp.zeros(SIZE), lambda x, batch: metrics.Mean((x @ matrix @ x * batch).sum() / 2, 4.0)
    )
    found = curvature.spectrum(surface, np.ones(4), SIZE)
    np.testing.assert_allclose(found.values, exact, atol=1e-10)


def test_few_iterations_give_the_ends_within_their_bounds():
    exact = np.concatenate([np.linspace(0, 1, 198), [5, 9]])
    surface = surface_at(
        jnp.zeros(200), lambda x, batch: metrics.Mean((exact * x**2).sum() / 2 * batch.sum(), 1.0)
    )
    found = curvature.spectrum(surface, np.ones(1), 30)
    assert found.values.shape == (30,)
    np.testing.assert_allclose(found.values[:2], [9, 5], rtol=1e-8)
    nearest = np.abs(np.asarray(found.values)[:, None] - exact).min(1)
    assert (nearest <= np.asarray(found.bounds) + 1e-10).all()


@WEIGHTS
@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_influence_is_the_closed_form(weights, damping):
    batch, at = squares(weights=weights)
    other, _ = squares(seed=5, count=9)
    surface = surface_at(at)
    found = curvature.influence(surface, batch, other, damping=damping)
    solved = np.linalg.solve(second(batch) + damping * np.eye(SIZE), gradients(other, at).mean(0))
    np.testing.assert_allclose(found.values, -gradients(batch, at) @ solved, rtol=1e-8)
    assert found.residual < 1e-10


def test_influence_is_the_derivative_of_the_retrained_loss():
    batch, _ = squares()
    other, _ = squares(seed=5, count=9)

    def retrained(extra):
        """The minimum where example 3 has a little more weight, by the normal equations."""
        share = np.full(COUNT, 1 / COUNT)
        share[3] += extra
        inputs, targets = batch["input"], batch["target"]
        at = np.linalg.solve((inputs.T * share) @ inputs, (inputs.T * share) @ targets)
        return at, np.mean((other["input"] @ at - other["target"]) ** 2 / 2)

    surface = surface_at(retrained(0)[0])
    found = curvature.influence(surface, batch, other).values[3]
    wanted = (retrained(1e-5)[1] - retrained(-1e-5)[1]) / 2e-5
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_a_residual_tells_that_the_system_was_not_solved():
    batch, at = squares()
    surface = surface_at(at)
    assert curvature.influence(surface, batch, batch, iterations=2).residual > 1e-3


def taught(**options):
    return gradient.supervised(
        mlp.MLP(features=(4,), classes=3, act=jnp.tanh),
        classification.cross_entropy,
        optax.adam(1e-2),
        **options,
    )


@pytest.mark.parametrize("average", [None, 0.9])
def test_a_network_has_the_curvature_of_its_evaluation(average):
    learns, batch = taught(average=average), jax.tree.map(jnp.asarray, runs.examples(12))
    state = learns.init(jax.random.key(0), batch)
    for i in range(3):
        state, _ = learns.step(state, batch, jax.random.key(i))
    at, unravel = jax.flatten_util.ravel_pytree(gradient.variables(state)["params"])

    def plain(vector):
        model = mlp.MLP(features=(4,), classes=3, act=jnp.tanh)
        logits = model.apply({"params": unravel(vector)}, batch["input"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"])

    surface = curvature.surface(learns, state)
    exact = np.linalg.eigvalsh(jax.hessian(lambda vector: plain(vector).mean())(at))[::-1]
    found = curvature.spectrum(surface, batch)
    np.testing.assert_allclose(found.values, exact, atol=2e-6)
    norms = np.linalg.norm(jax.jacobian(plain)(at), axis=1)
    np.testing.assert_allclose(curvature.gradient_norms(surface, batch), norms, rtol=1e-4)
    slope = unravel(jax.grad(lambda vector: plain(vector).mean())(at))["output"]["kernel"]
    shown = histograms.gradients(learns, batch)(state, jax.random.key(0))["output/kernel"]
    np.testing.assert_allclose(shown.edges[[0, -1]], [slope.min(), slope.max()], rtol=1e-4)


def test_programs_hold_no_model_and_serve_every_state(monkeypatch):
    learns, batch = taught(), jax.tree.map(jnp.asarray, runs.examples(12))
    key, scale = jax.random.key(0), curvature.noise_summary(learns, batch)
    states = [learns.init(jax.random.key(i), batch) for i in range(2)]
    found = [scale(state, key) for state in states]
    for state, own in zip(states, found, strict=True):
        wanted = curvature.noise_scale(curvature.surface(learns, state, key), batch)
        assert own == pytest.approx(float(wanted.scale))
    assert found[0] != found[1]
    made = curvature._gradients.trace(curvature.surface(learns, states[0]), batch, 4).jaxpr
    assert not [x for x in made.consts if np.size(x) > 1]
    with monkeypatch.context() as patched:
        patched.setattr(curvature.jax, "grad", None)  # nothing is traced anew
        scale(states[1], key)
        curvature.noise_scale(curvature.surface(learns, states[0]), batch)


def test_what_is_refused():
    one = runs.linear().learner
    state = one.init(jax.random.key(0), None)
    with pytest.raises(errors.InputError, match="must be those of a learner that follows them"):
        curvature.surface(one, state)
    learns, batch = taught(), jax.tree.map(jnp.asarray, runs.examples(12))
    state = learns.init(jax.random.key(0), batch)
    silent = learner.Learner(learns.init, learns.step, lambda state, batch, key: {})
    with pytest.raises(errors.InputError, match="has a mean `loss`, got nothing"):
        curvature.gradient_norms(curvature.surface(silent, state), batch)
    with pytest.raises(errors.InputError, match="has a mean `loss`, got nothing"):
        histograms.gradients(silent, batch)(state, jax.random.key(0))
    surface = curvature.surface(learns, state)
    with pytest.raises(errors.InputError, match=r"as their first axis, got lengths \[3, 12\]"):
        curvature.gradient_norms(surface, batch | {"edges": np.zeros(3)})
    with pytest.raises(errors.InputError, match="must be of 2 examples, got 1"):
        curvature.noise_scale(surface, jax.tree.map(lambda x: x[:1], batch))
    with pytest.raises(errors.InputError, match="must be at least 1, got 0"):
        curvature.spectrum(surface, batch, 0)
