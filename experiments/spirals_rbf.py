"""Radial basis functions tell two spirals apart, which no line can.

Data: made; 400 noisy points of two spirals wound twice around each other, 2,000 for the test.
Cost: under 1 s on two CPU cores, compiling aside. Scores: test/accuracy 0.9997 by ridge (3 seeds,
sd 0.0003), 0.9993 by gradient with 300 steps; logistic regression has 0.61.

    python -m jaxdl.launch spirals_rbf --method gradient --steps 300
"""

from typing import Literal

import optax

from jaxdl.data import batches, spirals
from jaxdl.learners import gradient, least_squares
from jaxdl.losses import classification
from jaxdl.models import rbf
from jaxdl.run import AtLeast, Run


def experiment(
    method: Literal["ridge", "gradient"] = "ridge",
    units: int = 60,
    spread: float = 1.0,
    penalty: float = 1e-4,  # of the ridge
    learning_rate: float = 1e-2,  # of the gradient
    steps: int = 20,
) -> Run:
    """Ridge regression on k-means' centres, exact after a step; or all of it by gradient."""
    train, test = spirals.load()
    if method == "ridge":
        taught = least_squares.ridge(rbf.Basis(units, spread=spread), penalty, classes=2)
    else:
        model = rbf.RBF(units, classes=2, spread=spread)
        taught = gradient.supervised(model, classification.cross_entropy, optax.adam(learning_rate))
    return Run(
        learner=taught,
        train=batches.shuffled(train, len(train["target"])),
        tests={"test": batches.once(test, 2000)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.98),
    )
