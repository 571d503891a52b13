"""Machines that wear out: made vibration spectra, from the first cycle to the failure.

A shaft turns at a speed, and shakes at its multiples, with a gain, that change from cycle to cycle
with the load; noise is everywhere. At some time a bearing takes a fault: a tone and its harmonics
(J. Taylor, "The Vibration Analysis Handbook", 1994), weak at first, whose amplitude then grows
exponentially until the machine fails.
"""

import math
from typing import Any

import numpy as np
from sklearn import metrics as curves

from jaxdl import metrics
from jaxdl.data import splits
from jaxdl.nn import limits

BANDS = 64
_SAMPLES, _SEGMENTS = 2 * BANDS, 8  # a recording is so many segments, whose powers are averaged
_SHAFT, _BEARING = 4.0, 13.4  # turns in a segment; the fault's tone, no multiple of it
_HARMONICS = np.array([1.0, 0.6, 0.35, 0.2])  # amplitudes, of the shaft and of the fault
_NOISE = 0.3
_FIRST, _LAST = 0.2, 2.0  # the fault's amplitude where it begins, and at the failure
_GAIN = 0.05  # deviation of the logarithm of a cycle's gain


def load(machines: int = 20, cycles: int = 100, seed: int = 0) -> splits.Split:
    """The healthy cycles of some machines to learn from, the whole lives of others for the test.

    The spectra are standardised by those of the training part.
    """
    train, test = (lives(machines, cycles, seed=2 * seed + n) for n in range(2))
    healthy = {name: leaf[train["failing"] == 0] for name, leaf in train.items()}
    return splits.standardised(splits.Split(healthy, test), "input")[0]


def lives(machines: int, cycles: int = 100, seed: int = 0) -> splits.Examples:
    """Recordings of machines cycle by cycle; faults begin after half to three quarters of a life.

    input: (n, 64) float32, the log-power in each band. level: (n,) float32, the recording's root
    mean square, which is what is usually watched. failing: (n,) int32, 1 where there is a fault.
    left: (n,) int32, cycles until the failure. machine: (n,) int32, which one it is.
    """
    limits.at_least(1, "The number of machines", machines)
    limits.at_least(4, "The number of cycles", cycles)
    random = np.random.default_rng(seed)
    onset = random.integers(cycles // 2, 3 * cycles // 4, (machines, 1))
    cycle = np.arange(cycles)[None, :]
    failing = cycle >= onset
    worn = (cycle - onset) / (cycles - 1 - onset)  # 0 where the fault begins, 1 at the failure
    fault = np.where(failing, _FIRST * (_LAST / _FIRST) ** worn, 0)
    recorded = _recorded(random, fault.ravel())
    return {
        "input": _spectrum(recorded),
        "level": np.sqrt((recorded**2).mean(1)).astype(np.float32),
        "failing": failing.ravel().astype(np.int32),
        "left": np.tile(cycles - 1 - np.arange(cycles, dtype=np.int32), machines),
        "machine": np.repeat(np.arange(machines, dtype=np.int32), cycles),
    }


def alarm(score: Any, batch: dict[str, Any]) -> metrics.Collected:
    """How well a score (n,) of each recording tells of a fault, and how early.

    auroc: of the score; level/auroc: of the level, for comparison. lead: cycles between the alarm
    and the failure, the median over the machines; the alarm is when the score begins to stay above
    what one in a hundred healthy recordings reaches.
    """
    named = {name: batch[name] for name in ("level", "failing", "left", "machine")}
    return metrics.Collected(named | {"score": score}, _judged)


def _judged(told: dict[str, np.ndarray]) -> dict[str, float]:
    score, failing = told["score"], told["failing"]
    if len(np.unique(failing)) < 2 or not np.isfinite(score).all():
        return dict.fromkeys(("auroc", "level/auroc", "lead"), math.nan)
    limit = np.quantile(score[failing == 0], 0.99)
    leads = []
    for machine in np.unique(told["machine"]):
        mine = told["machine"] == machine
        quiet = told["left"][mine & (score <= limit)]
        leads.append(quiet.min() if len(quiet) else told["left"][mine].max() + 1)
    return {
        "auroc": float(curves.roc_auc_score(failing, score)),
        "level/auroc": float(curves.roc_auc_score(failing, told["level"])),
        "lead": float(np.median(leads)),
    }


def _recorded(random: np.random.Generator, fault: np.ndarray) -> np.ndarray:
    """A recording (n, samples) at each amplitude of a fault."""
    n = len(fault)
    speed = 1 + 0.05 * random.standard_normal((n, 1))
    gain = np.exp(_GAIN * random.standard_normal((n, 1)))
    time = np.arange(_SAMPLES * _SEGMENTS)[None, :] / _SAMPLES
    time = time.astype(np.float32)
    recorded = _NOISE * random.standard_normal((n, _SAMPLES * _SEGMENTS), np.float32)
    for tone, amplitude in ((_SHAFT, np.ones(n)), (_BEARING, fault)):
        for k, weight in enumerate(_HARMONICS, 1):
            pace = (2 * np.pi * k * tone * speed).astype(np.float32)
            phase = random.uniform(0, 2 * np.pi, (n, 1)).astype(np.float32)
            recorded += (weight * amplitude[:, None]).astype(np.float32) * np.sin(
                pace * time + phase
            )
    return gain.astype(np.float32) * recorded


def _spectrum(recorded: np.ndarray) -> np.ndarray:
    """The logarithm of the mean power of the segments (M. Bartlett, 1948), windowed (J. Hann)."""
    segments = recorded.reshape(-1, _SEGMENTS, _SAMPLES) * np.hanning(_SAMPLES)[None, None, :]
    power = np.abs(np.fft.rfft(segments, axis=2)[..., 1:]) ** 2 / _SAMPLES
    return np.log(power.mean(1) + 1e-6).astype(np.float32)
