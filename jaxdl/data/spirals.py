"""Two spirals wound around each other: which one a point is of, no line can tell.

The task is Wieland's, made known by Lang and Witbrock, "Learning to tell two spirals apart" (1988):
there 97 points of each without noise, here as many as wanted with noise.
"""

import numpy as np

from jaxdl import errors
from jaxdl.data import splits


def load(
    train: int = 400, test: int = 2000, turns: float = 2.0, noise: float = 0.02, seed: int = 0
) -> splits.Split:
    """Points (n, 2) float32 of the unit disk and labels (n,) int32, half of each spiral.

    noise: the standard deviation of what is added to each coordinate; arms that follow one another
    are 1 / (2 turns) apart.
    """
    if min(train, test) < 2:
        raise errors.InputError(f"Each part must have at least 2 points, got {train} and {test}.")
    random = np.random.default_rng(seed)
    return splits.Split(*(_points(random, count, turns, noise) for count in (train, test)))


def _points(random: np.random.Generator, count: int, turns: float, noise: float) -> splits.Examples:
    label = np.arange(count) % 2
    along = np.sqrt(random.uniform(0.01, 1, count))  # as dense outside as inside
    angle = 2 * np.pi * turns * along + np.pi * label
    points = along[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    points += noise * random.standard_normal(points.shape)
    return {"input": points.astype(np.float32), "target": label.astype(np.int32)}
