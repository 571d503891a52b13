"""What representations are worth: a linear classifier on few labelled ones (Alain & Bengio 2016).

Learners that need no labels are judged by it. It runs on the host, after an evaluation.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import threadpoolctl
from jaxtyping import Array, Float
from sklearn import linear_model

from jaxdl import errors, metrics

Scores = Callable[[Any, Any], dict[str, Any]]  # (features, batch) -> metrics of an evaluation


def few_shot(shots: int = 5, draws: int = 10) -> Scores:
    """Scores of features (b, d): "probe", the accuracy of scikit-learn's logistic regression.

    It learns from `shots` examples of each class among those where `batch["labelled"]` is 1, and is
    tested on those where it is 0; the mean over `draws` drawn with fixed seeds. Features are
    standardised by all those of the first kind.
    """
    if shots < 1 or draws < 1:
        raise errors.InputError(
            f"A probe's shots and draws must be at least 1, got {shots} and {draws}."
        )
    finish = functools.partial(_finish, shots=shots, draws=draws)

    def scores(features: Float[Array, "b d"], batch: dict[str, Any]) -> dict[str, Any]:
        arrays = {name: batch[name] for name in ("target", "labelled")}
        return {"probe": metrics.Collected(arrays | {"features": features}, finish)}

    return scores


def _finish(arrays: dict[str, np.ndarray], shots: int, draws: int) -> float:
    features = arrays["features"].astype(np.float64)
    known = arrays["labelled"] == 1
    learnt, asked = features[known], features[~known]
    scale = learnt.std(0)
    learnt, asked = (
        (x - learnt.mean(0)[None]) / np.where(scale > 0, scale, 1)[None] for x in (learnt, asked)
    )
    target, wanted = arrays["target"][known], arrays["target"][~known]
    right = []
    with threadpoolctl.threadpool_limits(1):  # more make so small a problem ten times slower
        for draw in range(draws):
            chosen = _drawn(target, shots, draw)
            model = linear_model.LogisticRegression(max_iter=1000)
            right.append(model.fit(learnt[chosen], target[chosen]).score(asked, wanted))
    return float(np.mean(right))


def _drawn(target: np.ndarray, shots: int, seed: int) -> np.ndarray:
    """Indices of `shots` examples of each class."""
    random = np.random.default_rng(seed)
    classes = [np.flatnonzero(target == label) for label in np.unique(target)]
    if min(map(len, classes)) < shots:
        raise errors.InputError(
            f"A probe must find {shots} labelled examples of each class, "
            f"got {min(map(len, classes))}."
        )
    return np.concatenate([random.choice(members, shots, replace=False) for members in classes])
