"""A residual network names the things on CIFAR-10's small photographs.

Data: the binary version's six .bin files in a folder you name: 50,000 images of 32×32 pixels to
learn from, 10,000 for the test.
Cost: days on two CPU cores, an hour on a GPU. Scores: test/accuracy 0.9125 in He et al. 2015, table
6; not run here, where no copy is.

    python -m jaxdl.launch cifar10_resnet --folder data/cifar-10-batches-bin
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdl.data import batches, cifar, pixels
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
    return Run(
        learner=gradient.supervised(model, classification.cross_entropy, optimizer),
        train=batches.shuffled(train, batch_size, transform=pixels.scale, augment=shift_and_flip),
        tests={"test": batches.once(test, 1000, transform=pixels.scale)},
        steps=steps,
        expect=AtLeast("test/accuracy", 0.91),  # table 6 has 0.9125
        rules=resnet.RULES,
    )


def shift_and_flip(batch: dict[str, Any], key: Any) -> dict[str, Any]:
    """Each image shifted by up to four pixels each way, its border zeros, and flipped or not."""
    images = batch["input"]
    shift_key, flip_key = jax.random.split(key)
    padded = jnp.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    corners = jax.random.randint(shift_key, (len(images), 2), 0, 9)
    cut = jax.vmap(lambda x, at: jax.lax.dynamic_slice(x, (at[0], at[1], 0), images.shape[1:]))
    flips = jax.random.bernoulli(flip_key, 0.5, (len(images), 1, 1, 1))
    shifted = cut(padded, corners)
    return batch | {"input": jnp.where(flips, shifted[:, :, ::-1], shifted)}
