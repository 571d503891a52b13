"""DINO learns features of handwritten digits by sorting them into clusters as its own average does.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 18 s on two CPU cores, compiling aside. Scores: test/probe 0.702 (5 seeds, sd 0.023), a linear
probe with 5 labels a class on shifted digits; raw pixels 0.30.

    python -m jaxdl.launch digits_dino --teacher-temperature 0.07
"""

import functools

import flax.linen as nn
import optax

from jaxdl.data import augment, batches, digits, few_labels
from jaxdl.learners import self_distillation, views
from jaxdl.losses import probe
from jaxdl.models import joint_embedding, mlp
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 256,
    features: int = 64,
    clusters: int = 64,
    decay: float = 0.99,
    teacher_temperature: float = 0.04,
    noise: float = 0.1,
    learning_rate: float = 2e-3,
    batch_size: int = 256,
    steps: int = 1000,
) -> Run:
    """Two views lack a square of 3 pixels; two that only the student sees lack one of 4."""
    split = digits.load()
    model = joint_embedding.JointEmbedding(
        encoder=mlp.MLP(features=(width, width), outputs=features, norm=nn.BatchNorm),
        projector=joint_embedding.Prototypes(features=(width,), code=32, count=clusters),
    )
    learner = self_distillation.dino(
        model,
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps)),
        augment=_views(3, noise),
        local=(_views(4, noise),) * 2,
        scores=probe.few_shot(),
        decay=decay,
        teacher_temperature=teacher_temperature,
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


def _views(erased: int, noise: float) -> augment.Augment:
    return augment.each(
        functools.partial(augment.shift, pixels=1),
        functools.partial(augment.erase, size=erased),
        functools.partial(augment.noise, deviation=noise),
    )
