"""Made prices, against statsmodels' idea of the law and a trade done by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import prices


def test_the_filter_is_the_conditional_mean():
    """Of jointly normal numbers: the drift's covariance with the returns times their inverse."""
    days = 12
    returns = np.random.default_rng(0).standard_normal((3, days))
    lags = np.abs(np.subtract.outer(np.arange(days + 1), np.arange(days + 1)))
    drift = prices.DRIFT**2 * prices.KEPT**lags
    told = prices.kalman(returns)
    for day in range(days):
        seen = drift[: day + 1, : day + 1] + prices.NOISE**2 * np.eye(day + 1)
        wanted = returns[:, : day + 1] @ np.linalg.solve(seen, drift[: day + 1, day + 1])
        np.testing.assert_allclose(told[:, day], wanted, rtol=1e-9)


def test_what_is_made_is_as_predictable_as_it_says():
    train, test = prices.load(stocks=800, days=100, seed=1)
    assert train["input"].shape == (800, 100, 1) and len(test["target"]) == 200
    np.testing.assert_array_equal(train["input"][:, 1:], train["target"][:, :-1])
    target, drift, kalman = train["target"][..., 0], train["drift"], train["kalman"]
    variance = target.var()
    assert np.mean((target - drift) ** 2) == pytest.approx(prices.NOISE**2, rel=0.02)
    assert drift.std() == pytest.approx(prices.DRIFT, rel=0.05)
    assert drift.mean() == pytest.approx(prices.MEAN, abs=0.01)
    # The filter knows something, and less than all.
    assert np.mean((target - drift) ** 2) < np.mean((target - kalman) ** 2) < variance


def test_a_trade_by_hand():
    target = jnp.array([[9.0, 1, -2, 3, 1]])[..., None]  # the first fifth does not count
    forecast = prices.FULL * jnp.array([[1.0, 2, -0.5, 0, 0.5]])
    place, before = np.array([1, -0.5, 0, 0.5]), np.array([1, 1, -0.5, 0])
    net = place * [1, -2, 3, 1] - prices.COST * np.abs(place - before)
    earned = prices.traded(forecast, {"target": target}).value()
    assert earned["profit"] == pytest.approx(252 * net.mean(), rel=1e-5)
    assert earned["sharpe"] == pytest.approx(252**0.5 * net.mean() / net.std(), rel=1e-5)
    assert earned["turnover"] == pytest.approx(252 * 2.5 / 4, rel=1e-5)
    held = prices.held({"target": target}).value()
    assert held["profit"] == pytest.approx(252 * 0.75) and held["turnover"] == 0


def test_too_little_is_refused():
    with pytest.raises(errors.InputError, match="at least 4 stocks and 2 days, got 3 and 9"):
        prices.load(3, 9)
