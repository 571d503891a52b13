"""A multilayer perceptron tells benign from malignant breast tumours.

Data: the 569 cases and 30 measurements of scikit-learn's Wisconsin breast cancer table, a fifth of
them for the test; judged by AUROC, average precision and calibration besides accuracy.
Cost: 1 s on two CPU cores, compiling aside. Scores: test/accuracy 0.963 (5 seeds, sd 0.004).

    python -m jaxdl.launch cancer_mlp --dropout 0.3
"""

import optax

from jaxdl.data import batches, tabular
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 32,
    dropout: float = 0.2,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    batch_size: int = 64,
    steps: int = 1000,
) -> Run:
    """AdamW on the cross-entropy of two classes."""
    train, test = tabular.cancer()
    model = mlp.MLP(features=(width, width), classes=2, dropout=dropout)
    return Run(
        learner=gradient.supervised(
            model,
            classification.cross_entropy,
            optax.adamw(learning_rate, weight_decay=weight_decay),
            scores=classification.binary_scores,
        ),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.96),
    )
