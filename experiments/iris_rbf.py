"""Radial basis functions tell Fisher's three species of iris apart, in five folds.

Data: the 150 flowers and 4 lengths of scikit-learn's table; every flower is examined by the member
that has not seen it.
Cost: under 1 s on two CPU cores, compiling aside. Scores: test/accuracy 0.956 by ridge (5 seeds, sd
0.004), 0.953 by gradient with 200 steps (3 seeds, sd 0.000), of all flowers; logistic regression
has 0.960, a perceptron 0.933.

    python -m jaxdl.launch iris_rbf --method gradient --steps 200
"""

from typing import Literal

import optax

from jaxdl.data import batches, tabular
from jaxdl.learners import cross_validation, gradient, least_squares
from jaxdl.losses import classification
from jaxdl.models import rbf
from jaxdl.run import AtLeast, Run

FOLDS, CLASSES = 5, 3


def experiment(
    method: Literal["ridge", "gradient"] = "ridge",
    units: int = 30,
    spread: float = 4.0,
    penalty: float = 1e-4,  # of the ridge
    learning_rate: float = 1e-2,  # of the gradient
    division: int = 0,  # of the flowers into folds
    steps: int = 20,
) -> Run:
    """Ridge regression on k-means' centres, exact after a step; or all of it by gradient."""
    train, test = tabular.class_folds("iris", FOLDS, division)
    if method == "ridge":
        basis = rbf.Basis(units, spread=spread)
        taught = least_squares.ridge(basis, penalty, classes=CLASSES)
        scores = least_squares.scores
    else:
        model = rbf.RBF(units, classes=CLASSES, spread=spread)
        taught = gradient.supervised(model, classification.cross_entropy, optax.adam(learning_rate))
        scores = classification.cross_entropy
    return Run(
        learner=cross_validation.of(taught, scores, folds=FOLDS),
        train=batches.shuffled(train, len(train["target"])),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.95),
    )
