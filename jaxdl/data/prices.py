"""Made daily prices that are hardly predictable, and exactly how predictable they are.

A stock's return is a constant, a drift that comes and goes, and much more noise; all in percent:

    return_t = MEAN + drift_t + Normal(0, NOISE²),  drift_t = KEPT drift_{t-1} + Normal(0, ...)

so the drift explains 1.4 % of a return's variance. Who knows only past returns can know no more of
the next one than the Kalman filter (1960) says, which knows the law as well.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors, metrics
from jaxdl.data import splits

MEAN, NOISE, DRIFT, KEPT = 0.02, 1.0, 0.12, 0.98  # percent a day; DRIFT is its own deviation
COST = 0.05  # percent of what is bought or sold
FULL = 0.1  # the forecast, in percent, at which all is invested; less for less
DAYS = 252  # of trading in a year


def load(stocks: int = 2048, days: int = 500, seed: int = 0) -> splits.Split:
    """Stretches of so many days of some stocks to learn from, and of a quarter as many for the
    test.

    input: (n, days, 1) float32, the returns so far in percent. target: (n, days, 1), the next one.
    drift, kalman: (n, days), what who knew the drift, or all past returns and the law, would say
    of the next return.
    """
    if stocks < 4 or days < 2:
        raise errors.InputError(
            f"There must be at least 4 stocks and 2 days, got {stocks} and {days}."
        )
    random = np.random.default_rng(seed)
    return splits.Split(_made(random, stocks, days), _made(random, stocks // 4, days))


def _made(random: np.random.Generator, stocks: int, days: int) -> splits.Examples:
    drift = np.empty((stocks, days + 1))
    drift[:, 0] = DRIFT * random.standard_normal(stocks)
    fresh = DRIFT * math.sqrt(1 - KEPT**2)
    for day in range(days):
        drift[:, day + 1] = KEPT * drift[:, day] + fresh * random.standard_normal(stocks)
    returns = MEAN + drift + NOISE * random.standard_normal(drift.shape)
    examples = {
        "input": returns[:, :-1, None],
        "target": returns[:, 1:, None],
        "drift": MEAN + drift[:, 1:],
        "kalman": MEAN + kalman(returns[:, :-1] - MEAN),
    }
    return {name: x.astype(np.float32) for name, x in examples.items()}


def kalman(returns: Float[np.ndarray, "n days"]) -> Float[np.ndarray, "n days"]:
    """The mean of tomorrow's drift given the returns up to each day, of which MEAN is taken."""
    told, mean, variance = np.empty(returns.shape), np.zeros(len(returns)), DRIFT**2
    for day in range(returns.shape[1]):
        gain = variance / (variance + NOISE**2)
        mean = KEPT * (mean + gain * (returns[:, day] - mean))
        variance = KEPT**2 * (1 - gain) * variance + DRIFT**2 * (1 - KEPT**2)
        told[:, day] = mean
    return told


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Earned:
    """Sums over days of what was earned, after costs, its squares, and what was traded."""

    total: metrics.Leaf
    squares: metrics.Leaf
    traded: metrics.Leaf
    count: metrics.Leaf

    def value(self) -> dict[str, float]:
        """profit: net, in percent a year of the capital in one stock. sharpe: the mean over the
        deviation (W. Sharpe, 1966), of a year of one stock. turnover: capitals traded in a year.
        """
        count = float(self.count) or math.nan
        mean = float(self.total) / count
        deviation = math.sqrt(max(float(self.squares) / count - mean**2, 0)) or math.nan
        return {
            "profit": DAYS * mean,
            "sharpe": math.sqrt(DAYS) * mean / deviation,
            "turnover": DAYS * float(self.traded) / count,
        }


def traded(forecast: Float[Array, "n days"], batch: dict[str, Any]) -> Earned:
    """What who trusts a forecast earns: the part of the capital that is invested is the forecast
    over FULL, from -1 (sold short) to 1; every change costs. The first fifth of the days, in which
    a forecaster finds in, does not count.
    """
    return _earned(jnp.clip(forecast / FULL, -1, 1), batch)


def held(batch: dict[str, Any]) -> Earned:
    """What who buys and holds earns."""
    return _earned(jnp.ones(batch["target"].shape[:2]), batch)


def _earned(place: Float[Array, "n days"], batch: dict[str, Any]) -> Earned:
    change = jnp.abs(jnp.diff(place, axis=1, prepend=0))
    first = place.shape[1] // 5
    change = change[:, first:]
    net = (place * batch["target"][..., 0])[:, first:] - COST * change
    return Earned(net.sum(), (net**2).sum(), change.sum(), jnp.float32(net.size))
