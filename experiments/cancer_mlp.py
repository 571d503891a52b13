"""A multilayer perceptron tells benign from malignant breast tumours, in five folds.

Data: the 569 cases and 30 measurements of scikit-learn's Wisconsin breast cancer table; every case
is examined by the member that has not seen it, and judged by AUROC, average precision and
calibration besides accuracy.
Cost: 2 s on two CPU cores, compiling aside. Scores: test/accuracy 0.980 (3 seeds, sd 0.004), of all
cases, and 0.977 on average over three divisions into folds; logistic regression has 0.979.

    python -m jaxdl.launch cancer_mlp --dropout 0.3
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
    dropout: float = 0.5,
    learning_rate: float = 3e-3,
    weight_decay: float = 1.0,
    batch_size: int = 64,
    division: int = 0,  # of the cases into folds
    steps: int = 500,
) -> Run:
    """AdamW on the cross-entropy of two classes, a member for each fold."""
    train, test = tabular.class_folds("cancer", FOLDS, division)
    model = mlp.MLP(features=(width,), classes=2, dropout=dropout)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    taught = gradient.supervised(
        model, classification.cross_entropy, optax.adamw(schedule, weight_decay=weight_decay)
    )
    scores = classification.cross_entropy, classification.binary_scores
    return Run(
        learner=cross_validation.of(taught, *scores, folds=FOLDS),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 1024)},
        steps=steps,
        names=tabular.names("cancer"),
        expect=AtLeast("test/accuracy", 0.975),
    )
