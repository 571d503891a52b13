"""Vectors in two dimensions, and how much of the examples' classes is in them.

Principal components (Pearson 1901), t-SNE (van der Maaten and Hinton 2008), linear probes (Alain
and Bengio 2016) and nearest neighbours (Fix and Hodges 1951), all as scikit-learn has them.
"""

from typing import Any

import numpy as np
import threadpoolctl
from jaxtyping import Float, Integer, Num
from sklearn import decomposition, linear_model, manifold, model_selection, neighbors
from sklearn import pipeline as pipelines
from sklearn import preprocessing as scaling

from jaxdl import errors

FOLDS = 5
_DRAWN = 30  # components that t-SNE begins with, as its authors have it (section 4.2)


def pca(vectors: Float[np.ndarray, "b d"], components: int = 2) -> Float[np.ndarray, "b c"]:
    """The first principal components; zeros where there are no more."""
    found = min(components, *vectors.shape)
    flat = decomposition.PCA(found, svd_solver="full").fit_transform(vectors)
    return np.pad(flat, ((0, 0), (0, components - found)))


def tsne(
    vectors: Float[np.ndarray, "b d"], perplexity: float = 30.0, seed: int = 0
) -> Float[np.ndarray, "b 2"]:
    """t-SNE of the first 30 principal components, begun at the first two, at random where all is
    on one line.

    perplexity: about how many neighbours a point has; less than there are points.
    """
    if not 0 < perplexity < len(vectors):
        raise errors.InputError(
            f"perplexity must lie between 0 and the {len(vectors)} examples, got {perplexity}."
        )
    drawn = pca(vectors, _DRAWN).astype(np.float32)
    init = "pca" if np.linalg.matrix_rank(drawn) > 1 else "random"
    method = manifold.TSNE(2, perplexity=perplexity, init=init, random_state=seed)
    with threadpoolctl.threadpool_limits(1):
        return method.fit_transform(drawn)


def probe(vectors: Num[np.ndarray, "b d"], labels: Integer[np.ndarray, "b"]) -> float:
    """The accuracy of logistic regression on standardised vectors, in five folds."""
    model = linear_model.LogisticRegression(max_iter=1000)
    return _accuracy(model, vectors, labels)


def nearest(
    vectors: Num[np.ndarray, "b d"], labels: Integer[np.ndarray, "b"], neighbours: int = 5
) -> float:
    """The accuracy of the vote of the nearest neighbours, likewise."""
    most = len(labels) - -(-len(labels) // FOLDS)  # what is left beside the largest fold
    if not 1 <= neighbours <= most:
        raise errors.InputError(
            f"neighbours must lie between 1 and {most}, the examples that vote, got {neighbours}."
        )
    return _accuracy(neighbors.KNeighborsClassifier(neighbours), vectors, labels)


def lack(labels: Integer[np.ndarray, "b"]) -> str | None:
    """What labels must have to be scored, and what they have; None where nothing is missing."""
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2:
        return f"two classes or more, got {len(counts)}"
    if counts.min() < FOLDS:
        return f"{FOLDS} examples of each class or more, got {counts.min()} of one"
    return None


def _accuracy(model: Any, vectors: np.ndarray, labels: np.ndarray) -> float:
    lacking = lack(labels)
    if lacking is not None:
        raise errors.InputError(f"Labels must have {lacking}.")
    folds = model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    scaled = pipelines.make_pipeline(scaling.StandardScaler(), model)
    with threadpoolctl.threadpool_limits(1):  # more make so small a problem ten times slower
        return float(model_selection.cross_val_score(scaled, vectors, labels, cv=folds).mean())
