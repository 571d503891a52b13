"""Restricted Boltzmann machines against enumeration in NumPy and scikit-learn's BernoulliRBM."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special
from sklearn import neural_network

from jaxdl import errors, metrics
from jaxdl.data import bars, ratings
from jaxdl.learners import contrastive_divergence
from jaxdl.models import partition, rbm
from jaxdl.nn import layout

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)


def drawn(visible, hidden, size=1.0, seed=0):
    """Parameters that are not small."""
    random = np.random.default_rng(seed)
    shapes = {"kernel": (visible, hidden), "visible_bias": (visible,), "hidden_bias": (hidden,)}
    return {
        name: (size * random.normal(size=shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def states(units):
    return np.array(list(itertools.product([0.0, 1.0], repeat=units)))


def hot(units, choices):
    """All states of softmax units."""
    rows = itertools.product(np.eye(choices), repeat=units // choices)
    return np.array([np.concatenate(row) for row in rows])


def energies(params, v, h, gaussian=False):
    """E(v, h) of every pair."""
    p = {name: np.asarray(x, np.float64) for name, x in params.items()}
    interaction = v @ p["kernel"] @ h.T + (h @ p["hidden_bias"])[None]
    if gaussian:
        return ((v - p["visible_bias"]) ** 2).sum(1)[:, None] / 2 - interaction
    return -interaction - (v @ p["visible_bias"])[:, None]


def applied(model, params, x, method, *rest):
    return np.asarray(
        model.apply({"params": params}, jnp.asarray(x, jnp.float32), *rest, method=method)
    )


def test_bernoulli_units_are_scikit_learns():
    params, v = drawn(7, 5), RANDOM.integers(0, 2, (20, 7)).astype(np.float64)
    theirs = neural_network.BernoulliRBM(5)
    theirs.components_ = params["kernel"].T.astype(np.float64)
    theirs.intercept_visible_ = params["visible_bias"].astype(np.float64)
    theirs.intercept_hidden_ = params["hidden_bias"].astype(np.float64)
    model = rbm.RBM(7, 5)
    np.testing.assert_allclose(
        applied(model, params, v, "free_energy"), theirs._free_energy(v), rtol=1e-5
    )
    learner = contrastive_divergence.machine(model, optax.sgd(0.1))
    state = learner.init(KEY, {"input": v})._replace(params=params)
    np.testing.assert_allclose(learner.predict(state, {"input": v}), theirs.transform(v), atol=1e-6)


@pytest.mark.parametrize(("kind", "choices"), [("bernoulli", 1), ("softmax", 3)])
def test_free_energies_and_the_partition_function_are_sums_over_states(kind, choices):
    params, model = drawn(6, 4), rbm.RBM(6, 4, kind, choices)
    v, h = states(6) if choices == 1 else hot(6, 3), states(4)
    joint = -energies(params, v, h)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(
        applied(model, params, v, "free_energy"), -special.logsumexp(joint, axis=1), **close
    )
    np.testing.assert_allclose(
        applied(model, params, h, "hidden_free_energy"), -special.logsumexp(joint, axis=0), **close
    )
    assert float(partition.exact(model, params)) == pytest.approx(
        special.logsumexp(joint), rel=1e-6
    )
    given = np.exp(joint - special.logsumexp(joint, axis=0, keepdims=True))  # p(v | h)
    means = applied(model, params, h, "visible_mean")
    np.testing.assert_allclose(means, given.T @ v, atol=1e-6)
    many = jnp.repeat(jnp.asarray(h[[5]], jnp.float32), 20_000, 0)
    sample = applied(model, params, many, "visible_sample", KEY)
    np.testing.assert_allclose(sample.mean(0), means[5], atol=0.015)
    assert {0.0, 1.0} == set(np.unique(sample))


@pytest.mark.parametrize(
    ("visible", "hidden", "kind", "choices"),
    [
        (9, 32, "bernoulli", 1),
        (13, 12, "bernoulli", 1),
        (12, 13, "bernoulli", 1),
        (12, 8, "softmax", 3),
    ],
)
def test_the_smaller_side_is_enumerated(visible, hidden, kind, choices):
    """Against a sum in NumPy over the visible states, the hidden ones' in closed form."""
    params, model = drawn(visible, hidden, size=0.7), rbm.RBM(visible, hidden, kind, choices)
    v = states(visible) if choices == 1 else hot(visible, choices)
    p = {name: x.astype(np.float64) for name, x in params.items()}
    softplus = np.logaddexp(0, v @ p["kernel"] + p["hidden_bias"]).sum(1)
    wanted = special.logsumexp(v @ p["visible_bias"] + softplus)
    assert float(jax.jit(partition.exact, static_argnums=0)(model, params)) == pytest.approx(
        wanted, rel=1e-5
    )


def test_gaussian_units_are_integrals():
    """Of one visible unit by the trapezium rule; of many, log Z adds up over units without ties."""
    params, model = drawn(1, 3), rbm.RBM(1, 3, "gaussian")
    v, h = np.linspace(-20, 20, 20_001)[:, None], states(3)
    joint = np.exp(-energies(params, v, h, gaussian=True))
    np.testing.assert_allclose(
        applied(model, params, v[9000:11000:50], "free_energy"),
        -np.log(joint.sum(1)[9000:11000:50]),
        rtol=1e-4,
        atol=1e-4,
    )
    integral = np.trapezoid(joint, v[:, 0], axis=0)
    np.testing.assert_allclose(
        applied(model, params, h, "hidden_free_energy"), -np.log(integral), atol=1e-4
    )
    assert float(partition.exact(model, params)) == pytest.approx(np.log(integral.sum()), abs=1e-4)
    mean = np.trapezoid(joint * v, v[:, 0], axis=0) / integral
    np.testing.assert_allclose(applied(model, params, h, "visible_mean")[:, 0], mean, atol=1e-4)
    many = jnp.ones((20_000, 3))
    sample = applied(model, params, many, "visible_sample", KEY)
    assert sample.std() == pytest.approx(1, abs=0.02)
    assert sample.mean() == pytest.approx(mean[-1], abs=0.03)


def test_gibbs_sampling_has_the_machines_distribution():
    params, model = drawn(4, 3), rbm.RBM(4, 3)
    joint = np.exp(-energies(params, states(4), states(3)))
    wanted = joint.sum(1) / joint.sum()
    start = jnp.zeros((20_000, 4))
    end = np.asarray(contrastive_divergence.walked(model, params, start, KEY, 30))
    found = np.bincount((end @ [8, 4, 2, 1]).astype(int), minlength=16) / len(end)
    np.testing.assert_allclose(found, wanted, atol=0.012)


@pytest.mark.parametrize(("kind", "choices"), [("bernoulli", 1), ("gaussian", 1), ("softmax", 2)])
def test_annealing_finds_the_partition_function(kind, choices):
    params, model = drawn(6, 4, size=0.7), rbm.RBM(6, 4, kind, choices)
    estimate = partition.annealed(model, params, KEY, temperatures=300, chains=300)
    assert abs(float(estimate.value - partition.exact(model, params))) < 0.05
    assert 0 < float(estimate.deviation) < 0.05


def trained(learner, batch, steps):
    """The state after steps on one batch, run as one loop."""

    def step(state, i):
        state, measured = learner.step(state, batch, jax.random.fold_in(KEY, i))
        return state, measured["loss"].total

    return jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(steps)))(
        learner.init(KEY, batch)
    )


def test_bars_and_stripes_are_learnt_and_annealing_finds_their_partition_function():
    """10,000 temperatures come within 0.03 nat of the sum over all 2^16 states."""
    images = bars.load(4)
    assert images["input"].shape == (30, 4, 4, 1)
    model = rbm.RBM(16, 16)
    optimizer = optax.sgd(lambda step: 0.3 * (1 - step / 3000))
    learner = contrastive_divergence.machine(model, optimizer, sweeps=5, chains=100)
    state, _ = trained(learner, images, 3000)
    v = layout.rows(images["input"])
    exact = float(jax.jit(partition.exact, static_argnums=0)(model, state.params))
    everything = contrastive_divergence.energy(
        model, state.params, jnp.asarray(states(16), jnp.float32)
    )
    assert exact == pytest.approx(
        float(special.logsumexp(-np.asarray(everything, np.float64))), abs=1e-3
    )
    likelihood = -contrastive_divergence.energy(model, state.params, v).mean() - exact
    assert -4.5 < float(likelihood) <= -np.log(30)
    estimate = jax.jit(partition.annealed, static_argnums=(0, 3))(model, state.params, KEY, 10_000)
    assert float(estimate.value) == pytest.approx(exact, abs=0.03)


def test_an_update_is_the_difference_of_two_correlations():
    """Hinton's rule in NumPy, of the data and of the chains where the step left them."""
    model, v = rbm.RBM(6, 4), RANDOM.integers(0, 2, (10, 6)).astype(np.float32)
    learner = contrastive_divergence.machine(model, optax.sgd(0.1), sweeps=2, chains=7)
    before = learner.init(KEY, {"input": v})._replace(params=drawn(6, 4))
    assert all(
        (row == v).all(1).any() for row in np.asarray(before.statistics["chains"]["visible"])
    )
    after, measured = jax.jit(learner.step)(before, {"input": v}, KEY)
    end = np.asarray(after.statistics["chains"]["visible"])
    assert end.shape == (7, 6) and {0.0, 1.0} == set(np.unique(end))
    p = before.params
    up, down = (special.expit(x @ p["kernel"] + p["hidden_bias"]) for x in (v, end))
    rate = 0.1
    wanted = {
        "kernel": p["kernel"] + rate * (v.T @ up / 10 - end.T @ down / 7),
        "visible_bias": p["visible_bias"] + rate * (v.mean(0) - end.mean(0)),
        "hidden_bias": p["hidden_bias"] + rate * (up.mean(0) - down.mean(0)),
    }
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6), after.params, wanted)
    free = [-special.logsumexp(-energies(p, x, states(4)), axis=1).mean() for x in (v, end)]
    assert measured["loss"].value() == pytest.approx(free[0] - free[1], abs=1e-5)


def test_what_was_not_seen_is_left_alone():
    """Unrated items get no update, and chains have no ratings that the user has not."""
    data = ratings.make(40, 6, seen=0.5)
    batch = jax.tree.map(np.copy, data.shown)
    for value in batch.values():
        value[:, 2] = 0  # nobody has rated the third
    learner = contrastive_divergence.machine(rbm.RBM(30, 4, "softmax", 5), optax.sgd(0.5))
    before = learner.init(KEY, batch)
    after, _ = jax.jit(learner.step)(before, batch, KEY)
    moved = np.abs(np.asarray(after.params["kernel"] - before.params["kernel"])).reshape(6, 5, 4)
    assert not moved[2].any() and (moved[[0, 1, 3, 4, 5]].sum((1, 2)) > 0).all()
    assert not np.asarray(after.params["visible_bias"]).reshape(6, 5)[2].any()


def test_pseudo_likelihood_is_unbiased():
    params, model = drawn(5, 3), rbm.RBM(5, 3)
    v = RANDOM.integers(0, 2, (4, 5)).astype(np.float64)
    wanted = 0
    for i in range(5):
        other = v.copy()
        other[:, i] = 1 - other[:, i]
        both = [-special.logsumexp(-energies(params, x, states(3)), axis=1) for x in (v, other)]
        wanted = wanted + special.log_expit(both[1] - both[0])
    many = jnp.asarray(np.repeat(v, 20_000, 0), jnp.float32)
    found = contrastive_divergence.pseudo_likelihood(model, params, many, KEY)
    np.testing.assert_allclose(np.asarray(found).reshape(4, -1).mean(1), wanted, rtol=0.03)


def test_pseudo_likelihood_is_of_what_was_observed():
    """A machine of the units observed alone has the same, and no units observed say nothing."""
    params, v = drawn(6, 3), RANDOM.integers(0, 2, (4, 6)).astype(np.float32)
    observed = np.tile(np.float32([1, 0, 1, 1, 0, 0]), (4, 1))
    some = params | {name: params[name][observed[0] > 0] for name in ("kernel", "visible_bias")}
    wanted = 0
    for i in range(3):
        seen = v[:, observed[0] > 0].astype(np.float64)
        other = seen.copy()
        other[:, i] = 1 - other[:, i]
        both = [-special.logsumexp(-energies(some, x, states(3)), axis=1) for x in (seen, other)]
        wanted = wanted + special.log_expit(both[1] - both[0])
    learner = contrastive_divergence.machine(rbm.RBM(6, 3), optax.sgd(0.1))
    state = learner.init(KEY, {"input": v})._replace(params=params)
    for row in range(4):
        many = {
            name: np.repeat(x[[row]], 20_000, 0)
            for name, x in {"input": v * observed, "observed": observed}.items()
        }
        found = metrics.values(learner.evaluate(state, many, KEY))["pseudo_likelihood"]
        assert found == pytest.approx(wanted[row], rel=0.03)
    nothing = {"input": 0 * v, "observed": 0 * v}
    assert metrics.values(learner.evaluate(state, nothing, KEY))["pseudo_likelihood"] == 0


@pytest.mark.parametrize("chains", [4, 7])
def test_persistent_chains_are_not_for_missing_elements(chains):
    data = ratings.make(4, 6, seen=0.5)
    learner = contrastive_divergence.machine(
        rbm.RBM(30, 4, "softmax", 5), optax.sgd(0.5), chains=chains
    )
    state = learner.init(KEY, data.shown)
    with pytest.raises(errors.InputError, match=r"without missing elements.*`chains` at None"):
        learner.step(state, data.shown, KEY)


def test_a_step_and_an_evaluation_tell_the_same_free_energy():
    params, v = drawn(6, 4), RANDOM.integers(0, 2, (10, 6)).astype(np.float32)
    learner = contrastive_divergence.machine(rbm.RBM(6, 4), optax.sgd(0.1))
    state = learner.init(KEY, {"input": v})._replace(params=params)
    measured = learner.step(state, {"input": v}, KEY)[1], learner.evaluate(state, {"input": v}, KEY)
    wanted = -special.logsumexp(-energies(params, v, states(4)), axis=1).mean()
    assert [m["free_energy"].value() for m in measured] == pytest.approx([wanted] * 2, rel=1e-5)


def test_made_ratings_are_as_they_say():
    data = ratings.make(500, 40, seen=0.4, noise=0.5)
    shown, asked = data.shown, data.asked
    given = shown["input"].sum(2)
    assert set(np.unique(given)) == {0.0, 1.0} and not (given * asked["mask"]).any()
    np.testing.assert_array_equal(shown["observed"], np.repeat(given[..., None], 5, 2))
    assert (given + asked["mask"]).mean() == pytest.approx(0.4, abs=0.02)
    stars = (shown["input"] * np.arange(1, 6)).sum(2)
    np.testing.assert_array_equal(stars, asked["target"] * given)
    assert (
        0.25 < data.floor < 0.36 < 1 < data.means
    )  # noise and rounding: 0.25 + 1/12, less at ends


def test_fantasies_are_compiled_once(monkeypatch):
    traced, walked = [], contrastive_divergence.walked
    monkeypatch.setattr(
        contrastive_divergence, "walked", lambda *rest: traced.append(1) or walked(*rest)
    )
    shown = [
        contrastive_divergence.fantasies(rbm.RBM(6, 4), drawn(6, 4, seed=i), KEY, 2, 3, sweeps=3)
        for i in range(2)
    ]
    assert len(traced) == 1 and not np.array_equal(shown[0].pixels, shown[1].pixels)


def test_pictures():
    params = drawn(6, 4)
    shown = contrastive_divergence.filters(params, 2, 3).pixels
    weights = params["kernel"].T.reshape(4, 2, 3, 1)
    np.testing.assert_allclose(shown, 0.5 + 0.5 * weights / np.abs(weights).max())
    believed = contrastive_divergence.fantasies(rbm.RBM(6, 4), params, KEY, 2, 3, sweeps=2).pixels
    assert believed.shape == (25, 2, 3, 1) and 0 <= believed.min() <= believed.max() <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rbm.RBM(0, 3), "RBM's visible units must be at least 1, got 0."),
        (
            lambda: rbm.RBM(3, 3, "binary"),
            "RBM's kind must be bernoulli, gaussian or softmax, got 'binary'.",
        ),
        (
            lambda: rbm.RBM(7, 3, "softmax", 5),
            "RBM's choices must be at least 2 and divide its 7 visible units, got 5.",
        ),
        (
            lambda: contrastive_divergence.machine(rbm.RBM(2, 2), optax.sgd(0.1), sweeps=0),
            "Contrastive divergence's sweeps must be at least 1, got 0.",
        ),
        (
            lambda: contrastive_divergence.machine(rbm.RBM(2, 2), optax.sgd(0.1), chains=0),
            "Contrastive divergence's chains must be at least 1, got 0.",
        ),
        (
            lambda: partition.exact(rbm.RBM(22, 21), {}),
            "log Z can be enumerated for at most 1,048,576 states of one side, got 21 hidden "
            "units and 22 visible ones. Estimate it with partition.annealed.",
        ),
        (
            lambda: partition.annealed(rbm.RBM(2, 2), {}, KEY, chains=1),
            "Annealed importance sampling's chains must be at least 2, got 1.",
        ),
        (lambda: bars.load(0), "The side of bars and stripes must be in 1..12, got 0."),
        (lambda: ratings.make(0), "ratings' users must be at least 1, got 0."),
        (lambda: ratings.make(seen=0.0), "ratings' seen must be in (0, 1], got 0.0."),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message


def test_metrics_are_finite_for_every_kind():
    for kind, names in (("bernoulli", 3), ("gaussian", 2)):
        learner = contrastive_divergence.machine(rbm.RBM(6, 2, kind), optax.sgd(0.1))
        state = learner.init(KEY, {"input": np.ones((3, 6), np.float32)})
        found = metrics.values(learner.evaluate(state, {"input": np.ones((3, 6), np.float32)}, KEY))
        assert len(found) == names and np.isfinite(list(found.values())).all()
