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

_FOLDS = 5
_DRAWN = 30  # components that t-SNE begins with, as its authors have it (section 4.2)


def pca(vectors: Float[np.ndarray, "b d"], components: int = 2) -> Float[np.ndarray, "b c"]:
    """The first principal components."""
    components = min(components, *vectors.shape)
    return decomposition.PCA(components, svd_solver="full").fit_transform(vectors)


def tsne(
    vectors: Float[np.ndarray, "b d"], perplexity: float = 30.0, seed: int = 0
) -> Float[np.ndarray, "b 2"]:
    """t-SNE of the first 30 principal components, begun at the first two.

    perplexity: about how many neighbours a point has; less than there are points.
    """
    if not 0 < perplexity < len(vectors):
        raise errors.InputError(
            f"perplexity must lie between 0 and the {len(vectors)} examples, got {perplexity}."
        )
    method = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
    with threadpoolctl.threadpool_limits(1):
        return method.fit_transform(pca(vectors, _DRAWN).astype(np.float32))


def probe(vectors: Num[np.ndarray, "b d"], labels: Integer[np.ndarray, "b"]) -> float:
    """The accuracy of logistic regression on standardised vectors, in five folds."""
    model = linear_model.LogisticRegression(max_iter=1000)
    return _accuracy(model, vectors, labels)


def nearest(
    vectors: Num[np.ndarray, "b d"], labels: Integer[np.ndarray, "b"], neighbours: int = 5
) -> float:
    """The accuracy of the vote of the nearest neighbours, likewise."""
    if neighbours < 1:
        raise errors.InputError(f"neighbours must be at least 1, got {neighbours}.")
    return _accuracy(neighbors.KNeighborsClassifier(neighbours), vectors, labels)


def _accuracy(model: Any, vectors: np.ndarray, labels: np.ndarray) -> float:
    folds = model_selection.StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    least = np.unique(labels, return_counts=True)[1].min(initial=len(labels))
    if least < _FOLDS:
        raise errors.InputError(
            f"A probe in five folds must have 5 examples of each class or more, got {least}. "
            "Take more examples."
        )
    scaled = pipelines.make_pipeline(scaling.StandardScaler(), model)
    with threadpoolctl.threadpool_limits(1):  # more make so small a problem ten times slower
        return float(model_selection.cross_val_score(scaled, vectors, labels, cv=folds).mean())
