"""How much samples of a generator are worth beside the real examples it learnt from.

Train on samples, test on real: Esteban, Hyland and Rätsch, "Real-valued (Medical) Time Series
Generation" (2017); the classification accuracy score of Ravuri and Vinyals (2019).
"""

import dataclasses
import functools
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import neighbors, svm

from jaxdl import metrics
from jaxdl.data import checks, splits


def judge(
    train: splits.Examples, test: splits.Examples
) -> Callable[[Any, dict[str, Any]], dict[str, metrics.Collected]]:
    """A function (samples, batch) -> metrics of samples that were drawn for `batch["target"]`.

    train, test: real examples, in the units of the samples; the generator saw `train`.

    Metrics: "samples/accuracy" is what a support vector machine that has seen samples alone reads
    right of `test`. "samples/distance" is the mean Euclidean distance from a sample to the nearest
    example of `train`, and "samples/novelty" the same over that of the examples of `test`: below 1,
    samples are nearer to what was learnt than new real examples are, so some may be copies.
    """
    for part, name in ((train, "train"), (test, "test")):
        checks.arrays(part, f"The data {name}")
    finish = _Judge(_digest(train, test), train, test)

    def scores(samples: Any, batch: dict[str, Any]) -> dict[str, metrics.Collected]:
        drawn = {"input": samples, "target": batch["target"]}
        return {"samples": metrics.Collected(drawn, finish)}

    return scores


def agreement(train: splits.Examples) -> Callable[[Any, Any], metrics.Collected]:
    """A function (samples, what was asked for) -> a metric of samples that were drawn for labels:
    the share that a support vector machine taught by the real `train` takes for what was asked.
    """
    checks.arrays(train, "The data train")
    finish = _Reader(_digest(train), train)

    def scores(samples: Any, asked: Any) -> metrics.Collected:
        return metrics.Collected({"input": samples, "target": asked}, finish)

    return scores


def _digest(*parts: splits.Examples) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        for key in sorted(part):
            digest.update(np.ascontiguousarray(part[key]).tobytes())
    return digest.digest()


@dataclasses.dataclass(frozen=True)
class _Reader:
    """Equal to another of the same data: it is part of what a compiled program is known by."""

    digest: bytes
    train: splits.Examples = dataclasses.field(compare=False, repr=False)

    def __call__(self, drawn: dict[str, np.ndarray]) -> float:
        if not np.isfinite(drawn["input"]).all():
            return float("nan")
        return float(self._machine.score(_rows(drawn["input"]), drawn["target"]))

    @functools.cached_property
    def _machine(self) -> svm.SVC:
        return svm.SVC().fit(_rows(self.train["input"]), self.train["target"])


@dataclasses.dataclass(frozen=True)
class _Judge:
    """Equal to another of the same data: it is part of what a compiled program is known by."""

    digest: bytes
    train: splits.Examples = dataclasses.field(compare=False, repr=False)
    test: splits.Examples = dataclasses.field(compare=False, repr=False)

    def __call__(self, drawn: dict[str, np.ndarray]) -> dict[str, float]:
        if not np.isfinite(drawn["input"]).all():
            return dict.fromkeys(("accuracy", "distance", "novelty"), float("nan"))
        distance = self._distance(drawn["input"])
        return {
            "accuracy": self._accuracy(drawn),
            "distance": distance,
            "novelty": distance / self._fresh,
        }

    @functools.cached_property
    def _near(self) -> neighbors.NearestNeighbors:
        return neighbors.NearestNeighbors(n_neighbors=1).fit(_rows(self.train["input"]))

    @functools.cached_property
    def _fresh(self) -> float:
        return self._distance(self.test["input"])

    def _distance(self, inputs: np.ndarray) -> float:
        return float(self._near.kneighbors(_rows(inputs))[0].mean())

    def _accuracy(self, drawn: dict[str, np.ndarray]) -> float:
        if len(np.unique(drawn["target"])) == 1:  # a support vector machine needs two classes
            return float(np.mean(self.test["target"] == drawn["target"][0]))
        # By default it stops so early that a rounding error in a sample turns answers.
        reader = svm.SVC(C=10, tol=1e-6).fit(_rows(drawn["input"]), drawn["target"])
        return float(reader.score(_rows(self.test["input"]), self.test["target"]))


def _rows(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(inputs, np.float64).reshape(len(inputs), -1)
