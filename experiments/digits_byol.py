"""BYOL learns features of handwritten digits from no labels and no negative examples.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 13 s on two CPU cores, compiling aside. Scores: test/probe 0.620 (5 seeds, sd 0.014), a linear
probe with 5 labels a class on shifted digits; raw pixels 0.30.

    python -m jaxdl.launch digits_byol --norm layer
"""

import functools
from typing import Literal

import flax.linen as nn
import optax

from jaxdl.data import augment, batches, digits, few_labels
from jaxdl.learners import bootstrap, views
from jaxdl.losses import probe
from jaxdl.models import joint_embedding, mlp
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 256,
    features: int = 64,
    norm: Literal["batch", "layer"] = "batch",
    decay: float = 0.99,
    shift: int = 1,
    noise: float = 0.1,
    erase: int = 3,
    learning_rate: float = 2e-3,
    batch_size: int = 256,
    steps: int = 1000,
) -> Run:
    """Views are shifted, noisy, and lack a square; with layer norms all features collapse."""
    split = digits.load()
    perceptron = functools.partial(mlp.MLP, norm=nn.BatchNorm if norm == "batch" else nn.LayerNorm)
    model = joint_embedding.JointEmbedding(
        encoder=perceptron(features=(width, width), outputs=features),
        projector=perceptron(features=(width,), outputs=32),
        predictor=perceptron(features=(width,), outputs=32),
    )
    learner = bootstrap.byol(
        model,
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
        augment=augment.each(
            functools.partial(augment.shift, pixels=shift),
            functools.partial(augment.erase, size=erase),
            functools.partial(augment.noise, deviation=noise),
        ),
        scores=probe.few_shot(),
        decay=decay,
    )
    shown = few_labels.by_class(split.test, 10)["input"]
    return Run(
        learner=learner,
        train=batches.shuffled(split.train, batch_size),
        tests={"test": batches.once(few_labels.probed(split, pixels=1), 2048)},
        steps=steps,
        summaries={"similarities": views.similarities(learner, shown)},
        expect=AtLeast("test/probe", 0.60),
    )
