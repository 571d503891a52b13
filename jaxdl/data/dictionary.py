"""Vectors made of a few atoms of a planted dictionary, which a sparse code is to find again.

The test of Aharon, Elad and Bruckstein, "K-SVD" (2006), section V.A.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors


class Planted(NamedTuple):
    """Examples for training and test, "input" of shape (n, width), and the atoms' true directions,
    (atoms, width).
    """

    train: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    atoms: np.ndarray


def planted(
    atoms: int = 64,
    width: int = 32,
    active: int = 3,
    train_size: int = 20_000,
    test_size: int = 2_000,
    seed: int = 0,
) -> Planted:
    """Each example is the sum of `active` different atoms, of unit length, times U(0.5, 1.5).

    Positive amounts, as the codes of a relu are.
    """
    if not 1 <= active <= atoms:
        raise errors.InputError(f"active must be in 1..{atoms}, the atoms, got {active}.")
    random = np.random.default_rng(seed)
    directions = random.normal(size=(atoms, width))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    size = train_size + test_size
    chosen = random.random((size, atoms)).argsort(axis=1)[:, :active]
    amounts = random.uniform(0.5, 1.5, (size, active))
    inputs = np.einsum("na,nad->nd", amounts, directions[chosen]).astype(np.float32)
    return Planted(
        {"input": inputs[:train_size]},
        {"input": inputs[train_size:]},
        directions.astype(np.float32),
    )


def cosines(atoms: Float[np.ndarray, "n d"], found: Float[Array, "m d"]) -> Float[Array, "n"]:
    """How well each atom was found: the largest absolute cosine between it and one of `found`.

    1 is found exactly. The best of 128 random directions in 32 dimensions has 0.49.
    """
    unit = [rows / jnp.linalg.norm(rows, axis=1, keepdims=True) for rows in (atoms, found)]
    return jnp.abs(unit[0] @ unit[1].T).max(axis=1)
