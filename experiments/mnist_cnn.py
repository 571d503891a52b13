"""A convolutional network reads MNIST's handwritten digits, or Fashion-MNIST's clothes.

Data: the four IDX files of either set (train-images-idx3-ubyte and so on, plain or gzipped) in a
folder you name: 60,000 images to learn from, 10,000 for the test.
Cost: minutes on two CPU cores, seconds on a GPU. Scores: test/accuracy 0.99 is what the literature
has for such a network on MNIST (LeCun et al. 1998: 0.992); not run here, where no copy is.

    python -m jaxdl.launch mnist_cnn --folder data/mnist
"""

import optax

from jaxdl.data import batches, idx, pixels
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn
from jaxdl.run import AtLeast, Run


def experiment(
    folder: str = "data/mnist",
    width: int = 32,
    dropout: float = 0.5,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 4690,
) -> Run:
    """AdamW on the cross-entropy; ten epochs at the usual batch size."""
    train, test = idx.load(folder)
    model = cnn.CNN(features=(width, 2 * width), classes=10, dropout=dropout)
    return Run(
        learner=gradient.supervised(
            model, classification.cross_entropy, optax.adamw(learning_rate), average=0.999
        ),
        train=batches.shuffled(train, batch_size, transform=pixels.scale),
        tests={"test": batches.once(test, 1000, transform=pixels.scale)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.99),
    )
