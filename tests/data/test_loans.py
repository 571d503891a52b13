"""Made applications: the bias is what it is said to be."""

import jax
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxdl import errors
from jaxdl.data import loans


def test_the_past_was_unjust_to_one_group_by_the_bias():
    made = jax.jit(loans.make, static_argnums=1)(jax.random.key(0), 40_000, 1.25)
    group, target, worthy = (np.asarray(x) for x in (made.group, made.target, made.worthy))
    assert made.input.shape == (40_000, loans.NUMBERS)

    def above(border):  # the chance that merit and luck together are
        def density(merit):
            return stats.norm.pdf(merit) * special.expit((merit - border) / loans.LUCK)

        return integrate.quad(density, -8, 8)[0]

    for i, border in ((0, 0.0), (1, 1.25)):
        assert target[group == i].mean() == pytest.approx(above(border), abs=0.01)
        assert worthy[group == i].mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_array_equal(target[group == 0], worthy[group == 0])
    assert (target <= worthy).all()


def test_without_bias_the_past_was_just():
    made = loans.make(jax.random.key(1), 1000, 0.0)
    np.testing.assert_array_equal(made.target, made.worthy)


def test_only_the_postcode_tells_the_group():
    train, test = loans.load(2000, 500)
    assert len(test["input"]) == 500 and test["group"].dtype == np.int32
    told = [abs(np.corrcoef(x, train["group"])[0, 1]) for x in train["input"].T]
    assert told[-1] > 0.9 and max(told[:-1]) < 0.1


def test_counts_are_checked():
    with pytest.raises(errors.InputError, match="loans' train must be at least 1, got 0"):
        loans.load(0)
