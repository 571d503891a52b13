"""An autoencoder squeezes scikit-learn's handwritten digits through sixteen numbers.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 30 s on two busy CPU cores.
Scores: test/loss 0.0055 (3 seeds, sd 0.0001); principal components, as many, 0.0116.

    python -m jaxdl.launch digits_autoencoder --code 8
"""

import functools

import flax.linen as nn
import optax

from jaxdl.data import batches, digits
from jaxdl.learners import reconstruction
from jaxdl.models import autoencoder, mlp
from jaxdl.run import AtMost, Run


def experiment(
    code: int = 16,
    width: int = 256,
    depth: int = 2,
    weight_decay: float = 0.3,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 3000,
) -> Run:
    """AdamW on the squared error, with a cosine; the test reads a moving average."""
    train, test = digits.load()
    network = functools.partial(mlp.MLP, features=(width,) * depth, act=nn.gelu)
    model = autoencoder.Autoencoder(encoder=network(outputs=code), decoder=network(outputs=64))
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    optimizer = optax.adamw(schedule, weight_decay=weight_decay)
    learner = reconstruction.autoencoder(model, optimizer, average=0.99)
    return Run(
        learner=learner,
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 360)},
        steps=steps,
        summaries={"rebuilt": reconstruction.pictures(learner, {"input": test["input"][:30]})},
        expect=AtMost("test/loss", 0.0062),
    )
