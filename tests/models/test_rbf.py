"""Radial basis functions against SciPy's interpolator, scikit-learn's k-means and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import interpolate
from sklearn import cluster

from jaxdl import errors
from jaxdl.models import rbf

RANDOM = np.random.default_rng(0)
POINTS, VALUES, ASKED = (RANDOM.random(shape) for shape in ((40, 2), (40, 3), (100, 2)))


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("degree", [None, 3])
@pytest.mark.parametrize("kernel", [*rbf.SMOOTH, *rbf.SPLINES])
def test_interpolation_is_scipys(kernel, degree, smoothing):
    options = {"kernel": kernel, "epsilon": 4.0, "smoothing": smoothing, "degree": degree}
    theirs = interpolate.RBFInterpolator(POINTS, VALUES, **options)
    with jax.enable_x64(True):
        ours = rbf.interpolated(jnp.asarray(POINTS), jnp.asarray(VALUES), **options)
        found, at = np.asarray(ours(jnp.asarray(ASKED))), np.asarray(ours(jnp.asarray(POINTS)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, theirs(ASKED), rtol=1e-9, atol=1e-9)
    assert (np.abs(at - VALUES).max() < 1e-9) == (smoothing == 0)


def test_no_polynomial_and_refusals():
    theirs = interpolate.RBFInterpolator(POINTS, VALUES, kernel="gaussian", epsilon=9, degree=-1)
    with jax.enable_x64(True):
        ours = rbf.interpolated(
            jnp.asarray(POINTS), jnp.asarray(VALUES), kernel="gaussian", epsilon=9.0, degree=-1
        )
        np.testing.assert_allclose(ours(jnp.asarray(ASKED)), theirs(ASKED), atol=1e-9)
    twice = jnp.asarray(np.concatenate([POINTS, POINTS[:2]]))
    with pytest.raises(errors.InputError, match="must differ, got 2 again"):
        rbf.interpolated(twice, jnp.zeros((42, 1)))
    smooth = rbf.interpolated(twice, jnp.ones((42, 1)), smoothing=0.1)
    np.testing.assert_allclose(smooth(twice), 1, atol=1e-3)
    few = jnp.zeros((2, 2))
    with pytest.raises(errors.InputError, match="of degree 1 in 2 variables must have at least 3"):
        rbf.interpolated(few, few)
    with pytest.raises(errors.InputError, match=r"kernel must be gaussian, .* got 'round'"):
        rbf.interpolated(few, few, kernel="round")


def test_kmeans_is_scikit_learns_where_groups_lie_apart():
    centres = RANDOM.random((5, 3)) + 10 * np.eye(5, 3) * np.arange(1, 6)[:, None]
    points = np.repeat(centres, 20, axis=0) + 0.05 * RANDOM.normal(size=(100, 3))
    theirs = cluster.KMeans(5, random_state=0).fit(points).cluster_centers_
    ours = rbf.kmeans(jax.random.key(0), jnp.asarray(points, jnp.float32), 5)
    order = [int(np.square(theirs - c).sum(1).argmin()) for c in np.asarray(ours)]
    assert sorted(order) == list(range(5))
    np.testing.assert_allclose(ours, theirs[order], atol=1e-5)


def test_more_centres_than_points_are_finite():
    points = jnp.asarray(RANDOM.random((2, 3)), jnp.float32)
    model = rbf.RBF(units=6, outputs=1)
    variables = model.init(jax.random.key(0), points)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(variables))
    slope = jax.grad(lambda v: model.apply(v, points).sum())(variables)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slope))


@pytest.mark.parametrize("kernel", rbf.SMOOTH)
def test_the_network_is_its_formula(kernel):
    x = jnp.asarray(RANDOM.normal(size=(30, 2)), jnp.float32)
    model = rbf.RBF(units=4, classes=3, kernel=kernel, spread=1.5)
    variables = model.init(jax.random.key(0), x)
    basis, output = variables["params"]["basis"], variables["params"]["output"]
    centres = np.asarray(basis["centres"], np.float64)
    apart = np.sort(np.linalg.norm(centres[:, None] - centres[None], axis=-1), axis=1)
    widths = 1.5 * np.sqrt((apart[:, 1:3] ** 2).mean(1))
    np.testing.assert_allclose(np.exp(basis["log_widths"]), widths, rtol=1e-5)
    r = np.linalg.norm(np.asarray(x)[:, None] - centres[None], axis=-1) / widths[None]
    near = {
        "gaussian": np.exp(-(r**2)),
        "inverse_quadratic": 1 / (1 + r**2),
        "inverse_multiquadric": 1 / np.sqrt(1 + r**2),
        "multiquadric": -np.sqrt(1 + r**2),
    }[kernel]
    wanted = near @ np.asarray(output["kernel"]) + np.asarray(output["bias"])
    np.testing.assert_allclose(model.apply(variables, x), wanted, rtol=1e-4, atol=1e-5)


def test_fields_are_checked():
    with pytest.raises(errors.InputError, match="Basis's units must be at least 3, got 2"):
        rbf.Basis(units=2)
    with pytest.raises(errors.InputError, match="Basis's kernel must be gaussian"):
        rbf.Basis(units=3, kernel="cubic")
    with pytest.raises(errors.InputError, match="RBF must have either classes or outputs"):
        rbf.RBF(units=3)
    with pytest.raises(errors.InputError, match="RBF's units must be at least 3, got 1"):
        rbf.RBF(units=1, outputs=1)
    with pytest.raises(errors.InputError, match="RBF's spread must be positive, got -1"):
        rbf.RBF(units=3, outputs=1, spread=-1.0)
    with pytest.raises(errors.InputError, match="RBF's kernel must be gaussian"):
        rbf.RBF(units=3, outputs=1, kernel="x")
