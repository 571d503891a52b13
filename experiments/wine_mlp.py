"""A multilayer perceptron tells three cultivars by the chemistry of their wine, in five folds.

Data: the 178 wines and 13 measurements of scikit-learn's table; every wine is examined by the
member that has not seen it.
Cost: 1 s on two CPU cores, compiling aside. Scores: test/accuracy 0.978 (3 seeds, sd 0.006), of all
wines; logistic regression has 0.983.

    python -m jaxdl.launch wine_mlp --width 16
"""

import optax

from jaxdl.data import batches, tabular
from jaxdl.learners import cross_validation, gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import AtLeast, Run

FOLDS = 5


def experiment(
    width: int = 32,
    dropout: float = 0.2,
    learning_rate: float = 1e-2,
    weight_decay: float = 1e-2,
    batch_size: int = 32,
    division: int = 0,  # of the wines into folds
    steps: int = 300,
) -> Run:
    """AdamW on the cross-entropy, a member for each fold."""
    train, test = tabular.class_folds("wine", FOLDS, division)
    model = mlp.MLP(features=(width,), classes=3, dropout=dropout)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    taught = gradient.supervised(
        model, classification.cross_entropy, optax.adamw(schedule, weight_decay=weight_decay)
    )
    scores = classification.cross_entropy, classification.confusion
    return Run(
        learner=cross_validation.of(taught, *scores, folds=FOLDS),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        names=tabular.names("wine"),
        expect=AtLeast("test/accuracy", 0.97),
    )
