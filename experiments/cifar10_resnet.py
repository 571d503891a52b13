"""A residual network names the things on CIFAR-10's small photographs.

Data: the binary version's six .bin files in a folder you name: 50,000 images of 32×32 pixels to
learn from, 10,000 for the test.
Cost: days on two CPU cores, an hour on a GPU. Scores: test/accuracy 0.9125 in He et al. 2015, table
6; not run here, where no copy is.

    python -m jaxdl.launch cifar10_resnet --folder data/cifar-10-batches-bin
"""

import functools

import jax.numpy as jnp
import optax

from jaxdl.data import augment, batches, cifar, pixels
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import resnet
from jaxdl.run import AtLeast, Run


def experiment(
    folder: str = "data/cifar-10-batches-bin",
    blocks: int = 3,
    learning_rate: float = 0.1,
    weight_decay: float = 1e-4,
    batch_size: int = 128,
    steps: int = 64000,
    half_precision: bool = False,
) -> Run:
    """He et al.'s recipe: momentum, shifts by up to four pixels, flips; a cosine for its stairs."""
    train, test = cifar.load(folder)
    dtype = jnp.bfloat16 if half_precision else jnp.float32
    model = resnet.resnet20(stages=(blocks,) * 3, dtype=dtype)
    optimizer = optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(optax.cosine_decay_schedule(learning_rate, steps), momentum=0.9),
    )
    changes = augment.inputs(functools.partial(augment.shift, pixels=4), augment.flip)
    return Run(
        learner=gradient.supervised(model, classification.cross_entropy, optimizer),
        train=batches.shuffled(train, batch_size, transform=pixels.scale, augment=changes),
        tests={"test": batches.once(test, 1000, transform=pixels.scale)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.91),  # table 6 has 0.9125
        rules=resnet.RULES,
    )
