"""Noisy points of a line, few and close together, and what can be known of the line: exactly.

Targets are slope x + intercept + Normal(0, NOISE^2), and both weights have the prior
Normal(0, PRIOR^2); so their posterior is a normal distribution in closed form (C. Bishop, "Pattern
recognition and machine learning", 2006, equations 3.50 to 3.58).

The test is of all lines that the points allow: each of its targets is of another line, drawn from
the posterior. So no prediction has a lower loss than the posterior's, but by chance; the excess is
the divergence from it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from jaxdl.data import splits
from jaxdl.nn import limits

SLOPE, INTERCEPT, NOISE, PRIOR = 2.0, -1.0, 0.3, 2.0


class Posterior(NamedTuple):
    """Of the slope and the intercept, in this order; `evidence` is log p(targets) in nats."""

    mean: Float64[np.ndarray, "2"]
    covariance: Float64[np.ndarray, "2 2"]
    evidence: float


def load(count: int = 20, seed: int = 0) -> splits.Split:
    """Inputs and targets (n, 1) float32: `count` points with x in [0.5, 1.5], and 4,000 for the
    test with x in [-2, 4].
    """
    limits.at_least(1, "The number of points", count)
    random = np.random.default_rng(seed)
    x = random.uniform(0.5, 1.5, (count, 1)).astype(np.float32)
    train = _examples(random, x, np.tile([SLOPE, INTERCEPT], (count, 1)))
    known = posterior(train)
    x = random.uniform(-2, 4, (4000, 1)).astype(np.float32)
    lines = random.multivariate_normal(known.mean, known.covariance, len(x))
    return splits.Split(train, _examples(random, x, lines))


def posterior(examples: splits.Examples) -> Posterior:
    """What the points tell of the line."""
    design, target = _design(examples["input"]), examples["target"][:, 0].astype(np.float64)
    precision = design.T @ design / NOISE**2 + np.eye(2) / PRIOR**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ target / NOISE**2
    spread = NOISE**2 * np.eye(len(target)) + PRIOR**2 * design @ design.T
    fit = target @ np.linalg.solve(spread, target)
    evidence = -0.5 * (fit + np.linalg.slogdet(2 * np.pi * spread)[1])
    return Posterior(mean, covariance, float(evidence))


def loss(known: Posterior, examples: splits.Examples) -> float:
    """Minus the mean log-density of examples, in nats, given a posterior."""
    design = _design(examples["input"])
    variance = NOISE**2 + np.einsum("ni,ij,nj->n", design, known.covariance, design)
    squares = (examples["target"][:, 0] - design @ known.mean) ** 2 / variance
    return float(0.5 * (squares + np.log(2 * np.pi * variance)).mean())


def _examples(
    random: np.random.Generator, x: Float[np.ndarray, "n 1"], lines: Float64[np.ndarray, "n 2"]
) -> splits.Examples:
    """Each x with a target of the line beside it."""
    on_line = (_design(x) * lines).sum(1, keepdims=True)
    return {"input": x, "target": (on_line + NOISE * random.normal(size=x.shape)).astype("float32")}


def _design(inputs: Float[np.ndarray, "n 1"]) -> Float64[np.ndarray, "n 2"]:
    x = inputs.astype(np.float64)
    return np.concatenate([x, np.ones_like(x)], axis=1)
