"""Autoencoders against PCA, the best linear denoiser, scikit-learn's measures and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import decomposition
from sklearn import metrics as sklearn_metrics

from jaxdl import errors, metrics
from jaxdl.data import dictionary, digits
from jaxdl.learners import reconstruction
from jaxdl.models import autoencoder, mlp

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)


def linear(code: int, width: int) -> autoencoder.Autoencoder:
    encoder = mlp.MLP(features=(), outputs=code)
    return autoencoder.Autoencoder(encoder, mlp.MLP(features=(), outputs=width))


def learnt(taught, batch, steps: int):
    """The state after so many steps on one batch."""

    @jax.jit
    def run(batch):
        step = lambda state, key: (taught.step(state, batch, key)[0], None)  # noqa: E731
        return jax.lax.scan(step, taught.init(KEY, batch), jax.random.split(KEY, steps))[0]

    return run(batch)


def test_a_linear_autoencoder_is_pca():
    rows = digits.load().train["input"].reshape(-1, 64)
    pca, steps = decomposition.PCA(16).fit(rows), 4000
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-2, steps))
    taught = reconstruction.autoencoder(linear(16, 64), optimizer)
    state = learnt(taught, {"input": jnp.asarray(rows)}, steps)
    found = metrics.values(taught.evaluate(state, {"input": jnp.asarray(rows)}, KEY))
    least = ((pca.inverse_transform(pca.transform(rows)) - rows) ** 2).mean()
    assert least * 0.9999 < found["loss"] < least * 1.01
    assert found["explained"] == pytest.approx(pca.explained_variance_ratio_.sum(), abs=2e-3)
    basis, _ = np.linalg.qr(np.asarray(state.params["decoder"]["output"]["kernel"]).T)
    cosines = np.linalg.svd(pca.components_ @ basis, compute_uv=False)
    assert cosines.min() > 0.999


def test_a_linear_denoiser_learns_the_best_linear_one():
    """Which is C (C + s^2 I)^-1 for centred rows of covariance C (Wiener)."""
    rows = RANDOM.normal(size=(4000, 4)) @ RANDOM.normal(size=(4, 4))
    rows = (rows - rows.mean(0)[None]).astype(np.float32)
    covariance, deviation, steps = rows.T @ rows / len(rows), 1.0, 1000
    filtered = covariance @ np.linalg.inv(covariance + deviation**2 * np.eye(4))
    least = np.trace(covariance - filtered @ covariance) / 4
    taught = reconstruction.autoencoder(
        linear(4, 4),
        optax.adam(optax.cosine_decay_schedule(3e-2, steps)),
        corrupt=reconstruction.noise(deviation),
    )
    batch = {"input": jnp.asarray(rows)}
    state = learnt(taught, batch, steps)
    kernels = [state.params[part]["output"]["kernel"] for part in ("encoder", "decoder")]
    np.testing.assert_allclose(kernels[0] @ kernels[1], filtered, atol=0.03)
    found = metrics.values(taught.evaluate(state, batch, KEY))
    assert found["loss"] == pytest.approx(least, rel=0.05)  # of one draw of the noise
    assert found["input_error"] == pytest.approx(deviation**2, rel=0.03)
    assert found["loss"] < 0.8 * found["input_error"]  # so that doing nothing fails


def test_a_masked_loss_counts_what_was_hidden_alone():
    x = jnp.asarray(RANDOM.random((50, 6)) + 1, jnp.float32)
    seen, counted = reconstruction.mask(0.3)(x, KEY)
    hidden = np.asarray(seen) == 0
    np.testing.assert_array_equal(hidden, counted)
    np.testing.assert_array_equal(np.asarray(seen)[~hidden], np.asarray(x)[~hidden])
    assert 0.2 < hidden.mean() < 0.4
    taught = reconstruction.autoencoder(
        linear(3, 6), optax.sgd(0.1), corrupt=lambda x, key: (seen, counted)
    )
    state = taught.init(KEY, {"input": x})
    found = metrics.values(taught.evaluate(state, {"input": x}, KEY))
    outputs, x = np.asarray(taught.predict(state, {"input": seen})), np.asarray(x)
    assert found["loss"] == pytest.approx(((outputs - x)[hidden] ** 2).mean(), rel=1e-5)
    assert found["input_error"] == pytest.approx((x[hidden] ** 2).mean(), rel=1e-5)
    deviations = [x[hidden[:, i], i] - x[hidden[:, i], i].mean() for i in range(6)]
    variance = sum(float((d**2).sum()) for d in deviations)
    explained = 1 - ((outputs - x)[hidden] ** 2).sum() / variance
    assert found["explained"] == pytest.approx(float(explained), rel=1e-4)


def test_explained_variance_is_scikit_learns_also_of_ragged_batches():
    x = RANDOM.normal(size=(70, 2, 3)).astype(np.float32) + 3
    outputs = x + RANDOM.normal(size=x.shape).astype(np.float32) / 3
    cuts = [slice(0, 32), slice(32, 64), slice(64, 70)]
    parts = [
        reconstruction.Explained.of(
            jnp.asarray(x[cut]), jnp.asarray(outputs[cut]), jnp.ones(x[cut].shape)
        )
        for cut in cuts
    ]
    whole = jax.tree.map(lambda *sums: np.sum(sums, axis=0), *parts)
    wanted = sklearn_metrics.r2_score(
        x.reshape(70, 6), outputs.reshape(70, 6), multioutput="variance_weighted"
    )
    assert whole.value() == pytest.approx(wanted, abs=1e-4)


def test_a_sparse_autoencoder_is_its_equations():
    model = autoencoder.SparseAutoencoder(units=9, active=2)
    x = jnp.asarray(RANDOM.normal(size=(7, 2, 2)), jnp.float32)
    taught = reconstruction.autoencoder(model, optax.sgd(0.1), penalty=0.3)
    state = taught.init(KEY, {"input": x})
    noise = lambda leaf: leaf + RANDOM.normal(size=leaf.shape).astype(np.float32)  # noqa: E731
    state = state._replace(params=jax.tree.map(noise, state.params))
    found = metrics.values(taught.evaluate(state, {"input": x}, KEY))
    predicted = taught.predict(state, {"input": x})
    params = jax.tree.map(np.asarray, state.params)

    atoms = params["atoms"] / np.linalg.norm(params["atoms"], axis=1)[:, None]
    flat = np.asarray(x).reshape(7, 4)
    code = (flat - params["offset"][None]) @ params["kernel"] + params["bias"][None]
    code = np.maximum(code, 0)
    for row in code:
        row[np.argsort(row)[:-2]] = 0
    outputs = code @ atoms + params["offset"][None]
    error = ((outputs - flat) ** 2).mean()
    assert found["error"] == pytest.approx(error, rel=1e-5)
    assert found["loss"] == pytest.approx(error + 0.3 * np.abs(code).sum(1).mean(), rel=1e-5)
    assert found["code/active"] == pytest.approx((code != 0).sum(1).mean())
    assert found["code/dead"] == pytest.approx((code == 0).all(0).mean())
    np.testing.assert_allclose(predicted, outputs.reshape(7, 2, 2), atol=1e-5)


def test_the_kernel_begins_as_the_transposed_atoms():
    params = autoencoder.SparseAutoencoder(units=9).init(KEY, jnp.ones((2, 4)))["params"]
    atoms = params["atoms"] / np.linalg.norm(params["atoms"], axis=1)[:, None]
    np.testing.assert_allclose(params["kernel"], atoms.T, rtol=1e-6)


def test_strongest_keeps_the_largest_and_lets_no_gradient_through_the_rest():
    code = jnp.array([[3.0, 1.0, 2.0, 0.0], [0.0, 5.0, 4.0, 4.5]])
    kept = np.array([[3.0, 0, 2, 0], [0, 5, 0, 4.5]])
    np.testing.assert_array_equal(autoencoder.strongest(code, 2), kept)
    slopes = jax.grad(lambda code: (autoencoder.strongest(code, 2) ** 2).sum())(code)
    np.testing.assert_array_equal(slopes, 2 * kept)


@pytest.mark.parametrize(("active", "penalty"), [(2, 0.0), (None, 0.02)])
def test_a_planted_dictionary_is_found(active, penalty):
    steps = 1000
    train, _, atoms = dictionary.planted(16, 12, 2, train_size=1000, test_size=1)
    taught = reconstruction.autoencoder(
        autoencoder.SparseAutoencoder(32, active),
        optax.adam(optax.cosine_decay_schedule(1e-2, steps)),
        penalty=penalty,
    )
    state = learnt(taught, {"input": jnp.asarray(train["input"])}, steps)
    first = taught.init(KEY, {"input": jnp.asarray(train["input"][:2])})
    before, after = (
        float(dictionary.cosines(atoms, found.params["atoms"]).mean()) for found in (first, state)
    )
    assert before < 0.8 and after > 0.95


def test_pictures_stand_above_each_other():
    taught = reconstruction.autoencoder(linear(2, 6), optax.sgd(0.1))
    batch = {"input": jnp.asarray(RANDOM.random((5, 2, 3, 1)), jnp.float32)}
    state = taught.init(KEY, batch)
    corrupt = lambda x, key: (1 - x, jnp.ones_like(x))  # noqa: E731
    pixels = reconstruction.pictures(taught, batch, corrupt)(state, KEY).pixels
    assert pixels.shape == (5, 6, 3, 1)
    np.testing.assert_array_equal(pixels[:, :2], batch["input"])
    np.testing.assert_allclose(pixels[:, 2:4], 1 - batch["input"], rtol=1e-6)
    rebuilt = taught.predict(state, {"input": 1 - batch["input"]})
    np.testing.assert_allclose(pixels[:, 4:], rebuilt, atol=1e-6)
    assert reconstruction.pictures(taught, batch)(state, KEY).pixels.shape == (5, 4, 3, 1)


def test_scores_are_of_evaluation_alone():
    taught = reconstruction.autoencoder(
        linear(2, 6),
        optax.sgd(0.1),
        scores=lambda variables, batch, key: {"two": metrics.Mean.of(2.0)},
    )
    batch = {"input": jnp.ones((5, 6))}
    state = taught.init(KEY, batch)
    assert metrics.values(taught.evaluate(state, batch, KEY))["two"] == 2
    assert "two" not in taught.step(state, batch, KEY)[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: reconstruction.noise(-0.1), "The noise's deviation must be at least 0, got -0.1."),
        (lambda: reconstruction.mask(1.0), "The mask's rate must lie in (0, 1), got 1.0."),
        (
            lambda: reconstruction.autoencoder(linear(2, 6), optax.sgd(0.1), penalty=-1),
            "penalty must be at least 0, got -1.",
        ),
        (
            lambda: autoencoder.SparseAutoencoder(4, active=5),
            "SparseAutoencoder's active must be at most its 4 units, got 5.",
        ),
        (
            lambda: autoencoder.SparseAutoencoder(0),
            "SparseAutoencoder's units must be at least 1, got 0.",
        ),
        (
            lambda: linear(2, 5).init(KEY, jnp.ones((3, 6))),
            "Autoencoder's decoder must give as many numbers as the input has, 6, got 5.",
        ),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message
