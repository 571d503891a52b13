"""Classes held back: does a model know that it has never seen such a thing?"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxdl import errors
from jaxdl.data import splits


class OpenSplit(NamedTuple):
    """Training and test examples of the classes that are known, and a test among strangers.

    strangers: inputs of both kinds in random order, "outsider" is 1 (int32) where the class was
    held back.
    """

    train: splits.Examples
    test: splits.Examples
    strangers: splits.Examples


def hold_back(split: splits.Split, classes: Sequence[int], seed: int = 0) -> OpenSplit:
    """Takes classes, the highest ones, out of a split; all their examples become outsiders."""
    highest = max(int(part["target"].max()) for part in split)
    kept = highest + 1 - len(classes)
    if sorted(classes) != list(range(kept, highest + 1)) or kept < 2:
        raise errors.InputError(
            f"The classes to hold back must be the highest of 0..{highest}, got {list(classes)}."
        )
    known = [part["target"] < kept for part in split]
    train, test = (
        {name: leaf[mine] for name, leaf in part.items()}
        for part, mine in zip(split, known, strict=True)
    )
    outside = [part["input"][~mine] for part, mine in zip(split, known, strict=True)]
    inputs = np.concatenate([test["input"], *outside])
    outsider = (np.arange(len(inputs)) >= len(test["input"])).astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(inputs))
    return OpenSplit(train, test, {"input": inputs[order], "outsider": outsider[order]})
