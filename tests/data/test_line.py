"""The line's posterior against a grid of lines."""

import numpy as np
import pytest
from scipy import special, stats

from jaxdl import errors
from jaxdl.data import line


def test_the_posterior_is_what_a_grid_of_lines_says():
    train, test = line.load(count=6, seed=1)
    known = line.posterior(train)
    axes = [
        np.linspace(m - 7 * s, m + 7 * s, 401)
        for m, s in zip(known.mean, np.sqrt(np.diag(known.covariance)), strict=True)
    ]
    slope, intercept = np.meshgrid(*axes, indexing="ij")
    joint = stats.norm.logpdf(slope, 0, line.PRIOR) + stats.norm.logpdf(intercept, 0, line.PRIOR)
    for x, y in zip(train["input"][:, 0], train["target"][:, 0], strict=True):
        joint += stats.norm.logpdf(y, slope * x + intercept, line.NOISE)
    cell = np.log((axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0]))
    assert known.evidence == pytest.approx(special.logsumexp(joint) + cell, abs=1e-4)
    share = np.exp(joint - special.logsumexp(joint))
    mean = np.array([(share * slope).sum(), (share * intercept).sum()])
    np.testing.assert_allclose(known.mean, mean, atol=1e-4)
    cross = (share * (slope - mean[0]) * (intercept - mean[1])).sum()
    assert known.covariance[0, 1] == pytest.approx(cross, rel=1e-3)
    few = {name: leaf[:5] for name, leaf in test.items()}
    x, y = few["input"].astype(np.float64), few["target"].astype(np.float64)
    lines = slope[None] * x[..., None] + intercept[None]
    density = (share[None] * stats.norm.pdf(y[..., None], lines, line.NOISE)).sum((1, 2))
    assert line.loss(known, few) == pytest.approx(-np.log(density).mean(), rel=1e-3)


def test_the_test_is_of_the_posterior():
    train, test = line.load()
    known = line.posterior(train)
    x = test["input"][:, 0].astype(np.float64)
    off = test["target"][:, 0] - x * known.mean[0] - known.mean[1]
    c = known.covariance
    variance = line.NOISE**2 + x**2 * c[0, 0] + 2 * x * c[0, 1] + c[1, 1]
    assert (off**2 / variance).mean() == pytest.approx(1, abs=0.07)


def test_no_point_is_refused():
    with pytest.raises(errors.InputError, match="must be at least 1, got 0"):
        line.load(0)
