"""A multilayer perceptron reads scikit-learn's handwritten digits.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 2 s on two CPU cores, compiling aside. Scores: test/accuracy 0.975 (5 seeds, sd 0.003);
logistic regression 0.97.

    python -m jaxdl.launch digits_mlp --learning-rate 3e-3
"""

import optax

from jaxdl.data import batches, digits
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 64,
    depth: int = 2,
    dropout: float = 0.0,
    learning_rate: float = 1e-3,
    weight_decay: float = 0.0,
    batch_size: int = 64,
    steps: int = 2000,
) -> Run:
    """Adam on the cross-entropy, with decoupled weight decay."""
    train, test = digits.load()
    model = mlp.MLP(features=(width,) * depth, classes=10, dropout=dropout)
    optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    return Run(
        learner=gradient.supervised(model, classification.cross_entropy, optimizer),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 512)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.96),
    )
