"""Variational bounds against PyTorch's (tests/fixtures/make_variational.py) and the likelihood of
probabilistic PCA, which a linear VAE reaches.
"""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import decomposition

from jaxdl import errors, metrics
from jaxdl.data import digits
from jaxdl.learners import variational
from jaxdl.models import mlp, vae

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "variational.npz")
KEY = jax.random.key(0)
LATENT = 8


def linear(latent: int, width: int) -> vae.VAE:
    """A VAE whose likelihood is that of probabilistic PCA."""
    encoder = mlp.MLP(features=(), outputs=2 * latent)
    decoder = mlp.MLP(features=(), outputs=width)
    return vae.VAE(encoder, decoder, latent, likelihood="gaussian")


def optimum(pca: decomposition.PCA) -> dict:
    """The parameters of probabilistic PCA (Tipping and Bishop 1999, equations 6 to 8).

    With W = U (L - s I)^(1/2) the true posterior has independent units: means L^-1 W'(x - mean),
    variances s / L.
    """
    scale = np.sqrt(pca.explained_variance_ - pca.noise_variance_)
    inverse = (scale / pca.explained_variance_)[:, None] * pca.components_
    width = pca.n_features_in_
    log_variance = np.log(pca.noise_variance_ / pca.explained_variance_)
    encoder = {
        "kernel": np.concatenate([inverse, np.zeros_like(inverse)]).T,
        "bias": np.concatenate([-inverse @ pca.mean_, log_variance]),
    }
    decoder = {"kernel": scale[:, None] * pca.components_, "bias": pca.mean_}
    assert decoder["kernel"].shape == (len(scale), width)
    return {
        "encoder": {"output": encoder},
        "decoder": {"output": decoder},
        "log_variance": np.log(pca.noise_variance_),
    }


@pytest.fixture(scope="module")
def probabilistic():
    """Digits as rows, and probabilistic PCA of them; the mean log-likelihood is 14.36."""
    rows = jnp.asarray(digits.load().train["input"].reshape(-1, 64))
    return rows, decomposition.PCA(LATENT).fit(rows)


def placed(taught, rows, params):
    """A learner's first state with parameters of ours."""
    state = taught.init(KEY, {"input": rows})
    return state._replace(params=jax.tree.map(jnp.float32, params))


def test_at_the_optimum_both_bounds_are_the_likelihood(probabilistic):
    rows, pca = probabilistic
    taught = variational.evidence(linear(LATENT, 64), optax.sgd(0.1), test_draws=400)
    state = placed(taught, rows, optimum(pca))
    found = metrics.values(jax.jit(taught.evaluate)(state, {"input": rows}, KEY))
    assert found["iwae"] == pytest.approx(pca.score(rows), abs=2e-3)
    assert found["elbo"] == pytest.approx(pca.score(rows), abs=1e-2)  # the noise of 400 draws
    assert found["active_units"] == LATENT
    # The posterior is the true one, so every single draw's weight is log p(x).
    drawn = variational._examined(
        linear(LATENT, 64), {"params": state.params}, {"input": rows[:50]}, KEY, 3
    )
    exact = np.tile(pca.score_samples(rows[:50]), (3, 1))
    np.testing.assert_allclose(drawn.weight, exact, atol=2e-2)


def test_a_linear_vae_learns_the_likelihood_of_probabilistic_pca(probabilistic):
    rows, pca = probabilistic
    steps, batch = 1500, {"input": rows}
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-2, steps))
    taught = variational.evidence(linear(LATENT, 64), optimizer, test_draws=100)

    @jax.jit
    def learnt(key):
        state = taught.init(key, batch)
        step = lambda state, key: (taught.step(state, batch, key)[0], None)  # noqa: E731
        return jax.lax.scan(step, state, jax.random.split(key, steps))[0]

    found = metrics.values(taught.evaluate(learnt(KEY), batch, KEY))
    assert pca.score(rows) == pytest.approx(14.364, abs=1e-3)
    assert pca.score(rows) - 0.1 < found["elbo"] < found["iwae"] < pca.score(rows) + 0.01


def test_more_draws_tighten_the_bound_and_never_pass_the_likelihood(probabilistic):
    rows, _ = probabilistic
    pca = decomposition.PCA(2).fit(rows)
    wrong = optimum(pca)
    wrong["encoder"]["output"]["bias"] += [0.2, -0.3, 0.5, 1.0]
    likelihood, bounds = pca.score(rows), []
    for draws in (1, 4, 32, 1000):
        taught = variational.importance_weighted(linear(2, 64), optax.sgd(0.1), test_draws=draws)
        state = placed(taught, rows, wrong)
        found = metrics.values(jax.jit(taught.evaluate)(state, {"input": rows}, KEY))
        assert found["loss"] == pytest.approx(-found["iwae"])
        bounds.append(found["iwae"])
    assert found["elbo"] < bounds[1] < bounds[2] < bounds[3] < likelihood + 0.01
    assert found["elbo"] < likelihood - 0.3  # so that the order says something
    assert bounds[3] > likelihood - 0.02
    assert bounds[0] == pytest.approx(found["elbo"], abs=0.1)  # one draw estimates it


@pytest.fixture(params=["bernoulli", "gaussian"])
def stored(request):
    """A conditional VAE of the fixture, its parameters and its batch."""
    model = vae.VAE(
        mlp.MLP(features=(7,), outputs=4),
        mlp.MLP(features=(7,), outputs=5),
        latent=2,
        likelihood=request.param,
        classes=3,
    )
    batch = {name: jnp.asarray(FIXTURE[name]) for name in ("input", "target")}
    return request.param, model, batch


def tree(before: str, likelihood: str) -> dict:
    """Parameters, or gradients, of the fixture."""
    params = {
        part: {
            layer: {leaf: FIXTURE[f"{before}{part}/{layer}/{leaf}"] for leaf in ("kernel", "bias")}
            for layer in ("hidden_0", "output")
        }
        for part in ("encoder", "decoder")
    }
    if likelihood == "gaussian":
        params["log_variance"] = FIXTURE[f"{before}log_variance"]
    return params


@pytest.mark.parametrize("bound", ["evidence", "importance"])
def test_loss_and_gradient_are_pytorchs(stored, bound, monkeypatch):
    likelihood, model, batch = stored
    noise = jnp.asarray(FIXTURE["noise"])
    if bound == "evidence":
        taught = variational.evidence(model, optax.sgd(1.0), beta=2.5, draws=len(noise))
    else:
        taught = variational.importance_weighted(model, optax.sgd(1.0), draws=len(noise))
    start = tree("", likelihood)
    state = taught.init(KEY, batch)
    assert jax.tree.map(np.shape, state.params) == jax.tree.map(np.shape, start)
    state = state._replace(params=jax.tree.map(jnp.asarray, start))
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: noise.reshape(shape))
    after, measured = taught.step(state, batch, KEY)
    found = metrics.values(measured)
    before = f"{likelihood}/{bound}/"
    assert found["loss"] == pytest.approx(float(FIXTURE[f"{before}loss"]), rel=1e-5)
    for name in ("kl", "reconstruction"):
        assert found[name] == pytest.approx(float(FIXTURE[f"{likelihood}/{name}"]), rel=1e-5)
    assert found["elbo"] == pytest.approx(-found["kl"] - found["reconstruction"], rel=1e-6)
    gradient = jax.tree.map(lambda old, new: old - new, state.params, after.params)
    jax.tree.map(
        lambda ours, torchs: np.testing.assert_allclose(ours, torchs, atol=2e-6),
        gradient,
        tree(before, likelihood),
    )


def test_active_units_are_those_whose_mean_varies():
    random = np.random.default_rng(0)
    deviations = np.array([0.0, 0.05, 0.2, 3.0])  # variances 0, 0.0025, 0.04 and 9
    mean = jnp.asarray(5 + deviations[None] * random.normal(size=(300, 4)), jnp.float32)
    parts = [variational.ActiveUnits.of(part) for part in (mean[:128], mean[128:256], mean[256:])]
    whole = jax.tree.map(lambda *sums: sum(sums), *parts)
    assert whole.value() == 2 == (np.var(mean, axis=0) > 0.01).sum()


class Probe(nn.Module):
    """Keeps what it is given."""

    outputs: int

    @nn.compact
    def __call__(self, x, train=False):
        self.sow("seen", "input", x)
        kernel = self.param("kernel", nn.initializers.ones, ())
        return kernel * jnp.resize(x, (len(x), self.outputs))


def test_a_label_joins_as_further_channels_at_each_place():
    model = vae.VAE(Probe(4), Probe(6), latent=2, classes=3)
    x = jnp.arange(12.0).reshape(2, 2, 3, 1)
    label = jnp.array([2, 0])
    variables = model.init(KEY, x, jnp.zeros((1, 2, 2)), label)
    _, seen = model.apply(variables, x, jnp.zeros((1, 2, 2)), label, mutable="seen")
    image = seen["seen"]["encoder"]["input"][0]
    np.testing.assert_array_equal(image[..., :1], x)
    wanted = np.broadcast_to(np.eye(3)[[2, 0]][:, None, None], (2, 2, 3, 3))
    np.testing.assert_array_equal(image[..., 1:], wanted)
    np.testing.assert_array_equal(seen["seen"]["decoder"]["input"][0][:, 2:], np.eye(3)[[2, 0]])


def test_predictions_and_samples_have_the_form_of_images():
    model = vae.VAE(
        mlp.MLP(features=(), outputs=4), mlp.MLP(features=(), outputs=6), latent=2, classes=3
    )
    taught = variational.evidence(model, optax.sgd(0.1))
    batch = {"input": jnp.ones((5, 2, 3, 1)), "target": jnp.arange(5) % 3}
    state = taught.init(KEY, batch)
    decoder = state.params["decoder"]["output"]
    labels = 10.0 * jnp.arange(3)[:, None] * jnp.ones((1, 6)) - 10  # the label says how bright
    kernel = jnp.concatenate([jnp.zeros((2, 6)), labels])
    params = state.params | {"decoder": {"output": decoder | {"kernel": kernel}}}
    state = state._replace(params=params)
    rebuilt = taught.predict(state, batch)
    assert rebuilt.shape == (5, 2, 3, 1)
    bright = jax.nn.sigmoid(jnp.array([-10.0, 0.0, 10.0]))
    np.testing.assert_allclose(rebuilt[:, 0, 0, 0], bright[batch["target"]], rtol=1e-5)
    pixels = variational.samples(model, (2, 3, 1))(state, KEY).pixels
    assert pixels.shape == (9, 2, 3, 1)
    np.testing.assert_allclose(pixels[:, 1, 2, 0], np.repeat(bright, 3), rtol=1e-5)
    pixels = variational.samples(model, (2, 3, 1), count=5)(state, KEY).pixels
    np.testing.assert_allclose(pixels[:, 1, 2, 0], bright[np.array([0, 0, 1, 1, 2])], rtol=1e-5)


def small(**fields):
    defaults = {
        "encoder": mlp.MLP(features=(), outputs=4),
        "decoder": mlp.MLP(features=(), outputs=6),
        "latent": 2,
    }
    return vae.VAE(**(defaults | fields))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: variational.evidence(small(), optax.sgd(0.1), beta=-1.0),
            "beta must be at least 0, got -1.0.",
        ),
        (
            lambda: variational.evidence(small(), optax.sgd(0.1), draws=0),
            "draws must be at least 1, got 0.",
        ),
        (
            lambda: variational.importance_weighted(small(), optax.sgd(0.1), test_draws=0),
            "test_draws must be at least 1, got 0.",
        ),
        (lambda: small(latent=0), "VAE's latent must be at least 1, got 0."),
        (lambda: small(classes=1), "VAE's classes must be at least 2, got 1."),
        (
            lambda: small(likelihood="poisson"),
            'VAE\'s likelihood must be "bernoulli" or "gaussian", got \'poisson\'.',
        ),
        (
            lambda: begun(small(latent=3)),
            "VAE's encoder must give 2 x latent = 6 numbers, got 4.",
        ),
        (
            lambda: begun(small(decoder=mlp.MLP(features=(), outputs=5))),
            "VAE's decoder must give as many numbers as the input has, 6, got 5.",
        ),
        (
            lambda: small(classes=3).init(KEY, jnp.ones((5, 6)), jnp.zeros((1, 5, 2))),
            "VAE must have labels where it has classes, and only there, "
            "got classes=3 and no label.",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message


def begun(model):
    return variational.evidence(model, optax.sgd(0.1)).init(KEY, {"input": jnp.ones((5, 6))})
