"""The rules of fields: what plain numbers break, and what is left to run time."""

import jax
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import limits


@pytest.mark.parametrize("value", [0, (1, 0), [0], -2.0, np.float64(0)])
def test_less_than_the_least(value):
    with pytest.raises(errors.InputError, match=r"^Width must (each )?be at least 1, got "):
        limits.at_least(1, "Width", value)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan")])
def test_no_rate(value):
    with pytest.raises(errors.InputError, match=r"^Dropout must lie in \[0, 1\), got "):
        limits.rate("Dropout", value)


def test_what_passes():
    for value in (None, 1, (), (1, 5)):
        limits.at_least(1, "Width", value)
    for value in (0, 0.0, 0.999):
        limits.rate("Dropout", value)


def test_a_traced_number_passes():
    @jax.jit
    def traced(value):
        limits.rate("Dropout", value)
        limits.at_least(1, "Width", (value,))
        return value

    traced(2.0), traced(-1.0)
