"""The planted dictionary: what it says of itself is true."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import dictionary


def test_each_example_is_a_few_atoms():
    train, test, atoms = dictionary.planted(10, 12, 3, train_size=40, test_size=5)
    assert train["input"].shape == (40, 12) and test["input"].shape == (5, 12)
    np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), 1, rtol=1e-6)
    amounts, *_ = np.linalg.lstsq(atoms.T, train["input"].T)  # independent atoms: one solution
    used = np.abs(amounts) > 1e-4
    assert (used.sum(0) == 3).all() and used.any(1).all()
    assert amounts[used].min() > 0.49 and amounts[used].max() < 1.51
    again = dictionary.planted(10, 12, 3, train_size=40, test_size=5)
    np.testing.assert_array_equal(again.train["input"], train["input"])


def test_cosines_do_not_look_at_length_order_or_sign():
    atoms = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    scaled = np.array([[2.0], [-3.0], [0.1], [1.0]], np.float32) * atoms
    np.testing.assert_allclose(dictionary.cosines(atoms, jnp.asarray(scaled[::-1])), 1, rtol=1e-5)
    one = dictionary.cosines(np.eye(2, dtype=np.float32), jnp.array([[1.0, 1.0]]))
    np.testing.assert_allclose(one, np.sqrt(0.5), rtol=1e-6)


def test_more_active_atoms_than_there_are_is_refused():
    with pytest.raises(errors.InputError, match=r"active must be in 1\.\.4, the atoms, got 5\."):
        dictionary.planted(atoms=4, active=5)
