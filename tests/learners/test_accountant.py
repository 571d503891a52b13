"""What privacy costs, against dp-accounting (tests/fixtures/make_private.py) and closed forms."""

import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special

from jaxdl import errors
from jaxdl.learners import accountant

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "private.npz")


@pytest.mark.parametrize("i", range(len(FIXTURE["epsilons"])))
def test_epsilon_is_dp_accountings(i):
    chance, noise, steps, delta = FIXTURE["settings"][i]
    found = accountant.epsilon(chance, noise, int(steps), delta)
    assert found == pytest.approx(FIXTURE["epsilons"][i], abs=1e-2)


def test_the_divergence_of_whole_orders_is_the_binomial_sum():
    """Mironov et al. 2019, section 3.3, equation 6."""
    chance, noise = 0.03, 0.9
    for order in (2, 5, 40):
        k = np.arange(order + 1)
        terms = special.gammaln(order + 1) - special.gammaln(k + 1) - special.gammaln(order - k + 1)
        terms += (order - k) * np.log1p(-chance) + k * np.log(chance) + (k**2 - k) / 2 / noise**2
        expected = special.logsumexp(terms) / (order - 1)
        found = accountant.renyi(chance, noise, np.array([float(order)]))
        assert found[0] == pytest.approx(expected, rel=1e-9)


def test_without_sampling_it_is_the_gaussian_mechanisms():
    orders = np.array([1.5, 2.0, 30.0])
    exact = orders / (2 * 1.3**2)
    np.testing.assert_allclose(accountant.renyi(1.0, 1.3, orders), exact)
    np.testing.assert_allclose(accountant.renyi(1 - 1e-12, 1.3, orders), exact, rtol=1e-6)


def test_what_is_free_and_what_is_not():
    assert accountant.epsilon(0.1, 1.0, 0, 1e-5) == 0
    assert accountant.epsilon(0.0, 1.0, 100, 1e-5) < 0.01
    assert accountant.epsilon(0.1, 0.0, 1, 1e-5) == np.inf
    spent = accountant.spent(0.01, 1.1, 1e-5)
    assert spent(SimpleNamespace(steps=10_000), None) == pytest.approx(5.63, abs=1e-2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.1, 1.0, 1, 0.0), "delta must be between 0 and 1"),
        ((1.5, 1.0, 1, 0.1), "participation must lie in"),
        ((0.1, -1.0, 1, 0.1), "noise must not be negative, got -1.0"),
    ],
)
def test_bad_numbers_are_refused(arguments, message):
    with pytest.raises(errors.InputError, match=message):
        accountant.epsilon(*arguments)


def test_a_bad_delta_is_refused_before_the_run():
    with pytest.raises(errors.InputError, match="delta must be between 0 and 1"):
        accountant.spent(0.1, 1.0, 0)


def test_next_to_no_noise_is_accounted_without_the_gain_of_sampling():
    bound = accountant.renyi(0.5, 0.0199, accountant.ORDERS)
    assert np.all(bound >= accountant.renyi(0.5, 0.0201, accountant.ORDERS))
    assert np.isfinite(accountant.epsilon(0.5, 1e-6, 10, 1e-5))
