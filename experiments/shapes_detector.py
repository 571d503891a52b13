"""A detector without anchors finds rectangles and ellipses in noise.

Data: 16,384 made images of 32×32 pixels with one to three shapes and their boxes, mirrored and
turned at random; 500 for the test.
Cost: a minute on a CPU core.
Scores: test/ap 0.954 (3 seeds, sd 0.004) and test/ap50 0.998 (sd 0.003); after 3,000 steps 0.972.

    python -m jaxdl.launch shapes_detector --depth 3
"""

import functools

import optax

from jaxdl.analysis import boxes
from jaxdl.data import batches, shapes
from jaxdl.learners import gradient, schedules
from jaxdl.losses import detection
from jaxdl.models import detector
from jaxdl.nn import trunk
from jaxdl.run import AtLeast, Run


def experiment(
    width: int = 64,
    depth: int = 2,
    size_weight: float = 1.0,
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    images: int = 16384,
    steps: int = 2000,
) -> Run:
    """Adam with a warm-up and a cosine; the test reads a moving average of the parameters."""
    train, test = shapes.load(images)
    features = (width // 2, width)
    stride = 2 ** len(features)
    model = detector.Detector(trunk.Trunk(features, depth), shapes.CLASSES, width)
    decode = functools.partial(detector.decode, stride=stride)
    schedule = schedules.warmup_cosine(learning_rate, steps, warmup=0.05)
    taught = gradient.supervised(
        model,
        functools.partial(detector.loss, stride=stride, size_weight=size_weight),
        optax.adam(schedule),
        scores=detection.average_precision(decode),
        average=0.99,
    )
    shown = {name: values[:16] for name, values in test.items()}
    return Run(
        learner=taught,
        train=batches.shuffled(train, batch_size, augment=shapes.mirrored),
        tests={"test": batches.once(test, 250)},
        steps=steps,
        summaries={"boxes": boxes.pictures(taught, decode, shown)},
        expect=(AtLeast("test/ap", 0.93), AtLeast("test/ap50", 0.99)),
    )
