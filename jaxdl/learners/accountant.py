"""What noise and sampling guarantee: differential privacy, accounted for by Rényi's divergence.

A mechanism is (epsilon, delta)-private if with or without one participant any outcome is as likely,
but for a factor exp(epsilon) and a rest of delta. Each step adds Gaussian noise to a sum in which
every participant's part is clipped, and every participant is in it by a chance of its own (Poisson
sampling). Mironov, Talwar and Zhang, "Rényi differential privacy of the sampled Gaussian mechanism"
(2019); the way back to epsilon and delta is Canonne, Kamath and Steinke's (2020, proposition 12).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy import special

from jaxdl import errors

# The best order falls with epsilon: 1.1 to 64 serve epsilons from about 0.5 up, larger ones less.
ORDERS = np.concatenate([np.arange(11, 110) / 10, np.arange(11, 65), 2.0 ** np.arange(7, 11)])
_POINTS = 16  # of the integral in a standard deviation; it is exact to float64's rounding from 4 on
_LEAST = 0.02  # less noise guarantees next to nothing, and being drawn by chance adds little to it
_TAIL = 16  # standard deviations beyond which a normal density is below 1e-55


def epsilon(
    participation: float, noise: float, steps: int, delta: float, orders: Any = ORDERS
) -> float:
    """How private so many steps are: the least epsilon over the orders.

    participation: each one's chance to be in a step. noise: standard deviation over the clipping
    norm. delta: well below one over the number of participants.
    """
    _check(delta)
    if steps == 0:
        return 0.0
    orders = np.asarray(orders, np.float64)
    spent = steps * renyi(participation, noise, orders)
    found = spent + np.log1p(-1 / orders) - np.log(delta * orders) / (orders - 1)
    return float(max(0.0, found.min()))


def renyi(
    participation: float, noise: float, orders: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """One step's Rényi divergence of each order a > 1:
    log E[((1 - q) + q exp((2 z - 1) / (2 s^2)))^a] / (a - 1), z ~ Normal(0, s^2).
    """
    if not 0 <= participation <= 1:
        raise errors.InputError(f"participation must lie in [0, 1], got {participation}.")
    if noise < 0:
        raise errors.InputError(f"noise must not be negative, got {noise}.")
    if not noise:
        return np.full(len(orders), np.inf if participation else 0.0)
    if participation == 1 or noise < _LEAST:
        return orders / (2 * noise**2)
    return np.array([_log_moment(participation, noise, order) for order in orders]) / (orders - 1)


def spent(participation: Any, noise: Any, delta: Any) -> Callable[[Any, Any], float]:
    """A summary: the epsilon of the steps that a state with `steps` has made."""
    _check(delta)
    return lambda state, key: epsilon(float(participation), float(noise), int(state.steps), delta)


def _check(delta: Any) -> None:
    if isinstance(delta, float | int) and not 0 < delta < 1:
        raise errors.InputError(f"delta must be between 0 and 1, both excluded, got {delta}.")


def _log_moment(q: float, noise: float, order: float) -> float:
    """The logarithm of the expectation, by the trapezoidal rule: the integrand is analytic and dies
    out as fast as a normal density, between its two bumps at 0 and at the order.
    """
    if not q:
        return 0.0
    step = noise / _POINTS
    z = np.arange(-_TAIL * noise, order + _TAIL * noise, step)
    density = -0.5 * (z / noise) ** 2 - np.log(noise) - 0.5 * np.log(2 * np.pi)
    ratio = np.logaddexp(np.log1p(-q), np.log(q) + (2 * z - 1) / (2 * noise**2))
    return float(special.logsumexp(density + order * ratio) + np.log(step))
