"""A convolutional network reads scikit-learn's handwritten digits.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 5 s on two CPU cores, compiling aside. Scores: test/accuracy 0.989 (5 seeds, sd 0.003);
a support vector machine 0.986 to 0.992.

    python -m jaxdl.launch digits_cnn --width 64
"""

import optax

from jaxdl.data import batches, digits
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 32,
    dropout: float = 0.5,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 1000,
) -> Run:
    """AdamW on the cross-entropy; the test reads a moving average of the parameters."""
    train, test = digits.load()
    model = cnn.CNN(features=(width, 2 * width), classes=10, dropout=dropout)
    return Run(
        learner=gradient.supervised(
            model,
            classification.cross_entropy,
            optax.adamw(learning_rate),
            scores=classification.confusion,
            average=0.99,
        ),
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.985),
    )
