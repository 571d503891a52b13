"""A residual network reads scikit-learn's handwritten digits.

Data: 1,797 real 8×8 scans that ship with scikit-learn, a fifth of them for the test.
Cost: 15 s on two CPU cores, compiling aside. Scores: test/accuracy 0.979 (5 seeds, sd 0.004). At
each evaluation TensorBoard shows the confusions, histograms of weights, gradients and activations,
and in the projector the digits as the last block sees them.

    python -m jaxdl.launch digits_resnet --blocks 2
"""

import optax

from jaxdl.analysis import embedding, histograms
from jaxdl.data import batches, digits
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import resnet
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 16,
    blocks: int = 1,
    learning_rate: float = 0.05,
    weight_decay: float = 5e-4,
    batch_size: int = 128,
    steps: int = 600,
) -> Run:
    """He's CIFAR network with `blocks` blocks a stage: momentum, falling along a cosine."""
    train, test = digits.load()
    model = resnet.ResNet(stages=(blocks,) * 3, classes=10, width=width, stem="cifar")
    optimizer = optax.chain(
        optax.add_decayed_weights(weight_decay),
        optax.sgd(optax.cosine_decay_schedule(learning_rate, steps), momentum=0.9, nesterov=True),
    )
    learner = gradient.supervised(
        model, classification.cross_entropy, optimizer, scores=classification.confusion
    )
    return Run(
        learner=learner,
        train=batches.shuffled(train, batch_size),
        tests={"test": batches.once(test, 256)},
        steps=steps,
        summaries={
            "seen": embedding.projected(learner, test, classes="0123456789"),
            **histograms.of(learner, test),
        },
        expect=AtLeast("test/accuracy", 0.975),
        rules=resnet.RULES,
    )
