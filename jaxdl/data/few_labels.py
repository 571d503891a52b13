"""Examples of which few have labels: for semi-supervised learning, and to probe representations."""

import numpy as np

from jaxdl import errors
from jaxdl.data import augment, splits


def paired(train: splits.Examples, per_class: int, seed: int) -> splits.Examples:
    """Every image without its label beside one of the few that have one.

    per_class: how many labels of each class are known; `seed` draws which.
    Returns "input" and "target", the labelled examples over and over, and "unlabelled", all images
    once; a batch of them holds as many labelled images as unlabelled ones.
    """
    random = np.random.default_rng(seed)
    target = train["target"]
    rarest = np.bincount(target)[np.unique(target)].min()
    if not 1 <= per_class <= rarest:
        raise errors.InputError(
            f"Labels of each class must be 1 to {rarest}, as many as it has, got {per_class}."
        )
    known = [
        random.choice(np.flatnonzero(target == label), per_class, replace=False)
        for label in np.unique(target)
    ]
    order = np.resize(random.permutation(np.concatenate(known)), len(target))
    return {
        "input": train["input"][order],
        "target": target[order],
        "unlabelled": train["input"],
    }


def probed(split: splits.Split, pixels: int, seed: int = 0) -> splits.Examples:
    """What `losses.probe` is given: the training images as they are, and shifted test images.

    pixels: each test image is moved by up to so many, each way and each axis.
    Returns "input", "target", and "labelled", which is 1 for the images a probe may learn from.
    """
    train, test = split
    return {
        "input": np.concatenate([train["input"], augment.moved(test["input"], pixels, seed)]),
        "target": np.concatenate([train["target"], test["target"]]),
        "labelled": np.repeat([1, 0], [len(train["target"]), len(test["target"])]).astype(np.int32),
    }


def by_class(examples: splits.Examples, per_class: int) -> splits.Examples:
    """The first so many examples of each class, the classes one after another."""
    target = examples["target"]
    chosen = [np.flatnonzero(target == label)[:per_class] for label in np.unique(target)]
    return {name: x[np.concatenate(chosen)] for name, x in examples.items()}
