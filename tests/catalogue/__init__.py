"""What the tests of the whole catalogue run over, in tiny sizes; a file for each kind of learner.

A file beside this one has LEARNERS, name -> Case, for the contract's tests, and SMALL, experiment
-> the hyperparameters that make it small, for those of the experiments.
"""

import importlib
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxdl import learner


class Case(NamedTuple):
    """A learner and its data.

    train: the source; of a learner that makes its own experience it returns None.
    test: an evaluation's batch, where that is no batch of `train`.
    exact: whether a loop on the device gives the bits of single steps; XLA:CPU compiles
        convolutions otherwise inside a loop.
    drawn: whether the first state is drawn from the key; a memory begins empty.
    random: whether an evaluation draws from its key.
    tolerance: of a step under vmap or on two devices, against a step by itself.
    """

    learner: Callable[[], learner.Learner]
    train: Callable[[], Any] = lambda: None
    test: Callable[[], Any] | None = None
    exact: bool = True
    drawn: bool = True
    random: bool = False
    tolerance: float = 1e-5


def _gathered(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        if path.stem != "__init__":
            rows = getattr(importlib.import_module(f"catalogue.{path.stem}"), name, {})
            assert not found.keys() & rows.keys(), f"{path.stem} names a row again"
            found |= rows
    return found


def learners() -> dict[str, Case]:
    """Every learner that the contract's tests run over."""
    return _gathered("LEARNERS")


def small() -> dict[str, dict[str, Any]]:
    """What makes each experiment small; one without a row only takes fewer steps."""
    return _gathered("SMALL")
