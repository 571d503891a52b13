"""An autoencoder cleans scikit-learn's handwritten digits of noise, or fills in hidden pixels.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test; the noise, or
what is hidden, is drawn anew at each step and in each test.
Cost: TODO
Scores: TODO

    python -m jaxdl.launch digits_denoising --corruption mask --amount 0.75
"""

from typing import Literal

import flax.linen as nn
import optax

from jaxdl.data import batches, digits
from jaxdl.learners import reconstruction
from jaxdl.models import autoencoder, mlp
from jaxdl.run import AtMost, Run


def experiment(
    corruption: Literal["noise", "mask"] = "noise",
    amount: float = 0.5,
    code: int = 64,
    width: int = 256,
    weight_decay: float = 0.3,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 3000,
) -> Run:
    """AdamW on the squared error to the clean pixels; the test reads a moving average.

    amount: the noise's standard deviation, or the part of the pixels that is hidden.
    """
    train, test = digits.load()
    corrupt = {"noise": reconstruction.noise, "mask": reconstruction.mask}[corruption](amount)
    model = autoencoder.Autoencoder(
        encoder=mlp.MLP(features=(width,), outputs=code, act=nn.gelu),
        decoder=mlp.MLP(features=(width,), outputs=64, act=nn.gelu),
    )
    shape = optax.cosine_decay_schedule(1.0, steps)
    optimizer = optax.adamw(lambda step: learning_rate * shape(step), weight_decay=weight_decay)
    learner = reconstruction.autoencoder(model, optimizer, corrupt=corrupt, average=0.999)
    shown = {"input": test["input"][:30]}
    return Run(
        learner=learner,
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 360)},
        steps=steps,
        summaries={"rebuilt": reconstruction.pictures(learner, shown, corrupt)},
        expect=AtMost("test/loss", 0.030),
    )
