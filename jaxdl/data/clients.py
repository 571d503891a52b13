"""Dealing labelled examples out to clients of a federation: by class, or by a Dirichlet draw.

By class: McMahan et al. 2017. Dirichlet: Hsu, Qi and Brown, "Measuring the effects of non-identical
data distribution for federated visual classification" (2019).

Both return `input` (clients, most, ...), `target` (clients, most) and `count` (clients,): how many
of a client's examples are there. Those with fewer than the most are filled up with zeros.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer

from jaxdl import errors
from jaxdl.data import checks, splits


def by_class(
    examples: splits.Examples, clients: int, classes_each: int, seed: int = 0
) -> splits.Examples:
    """Each client gets about the same number of examples, of at most `classes_each` classes.

    The classes go round in random order until every client has its number of them, and each class
    is cut into as many equal parts as it was dealt. There must be a client for every class.
    """
    target, classes = _checked(examples, clients)
    random = np.random.default_rng(seed)
    if not 1 <= classes_each <= len(classes):
        raise errors.InputError(f"classes_each must be in 1..{len(classes)}, got {classes_each}.")
    if clients * classes_each < len(classes):
        raise errors.InputError(
            f"clients × classes_each must be at least the {len(classes)} classes, so that all "
            f"examples have a client, got {clients} × {classes_each}."
        )
    rounds = -(-clients * classes_each // len(classes))
    dealt = np.concatenate([random.permutation(classes) for _ in range(rounds)])
    dealt = dealt[: clients * classes_each]
    held: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in classes:
        takers = np.flatnonzero(dealt == label) // classes_each
        found = random.permutation(np.flatnonzero(target == label))
        for taker, part in zip(takers, np.array_split(found, len(takers)), strict=True):
            held[taker].append(part)
    return _stacked(examples, [np.concatenate(parts) for parts in held])


def dirichlet(
    examples: splits.Examples, clients: int, concentration: float, seed: int = 0
) -> splits.Examples:
    """Every class is shared among the clients in proportions drawn from a symmetric Dirichlet.

    concentration: near 0 a class has one client, above 100 all have about the same. A client may
    get nothing.
    """
    target, classes = _checked(examples, clients)
    random = np.random.default_rng(seed)
    if concentration <= 0:
        raise errors.InputError(f"concentration must be positive, got {concentration}.")
    held: list[list[np.ndarray]] = [[] for _ in range(clients)]
    for label in classes:
        found = random.permutation(np.flatnonzero(target == label))
        shares = random.dirichlet(np.full(clients, concentration))
        ends = np.rint(np.cumsum(shares)[:-1] * len(found)).astype(int)
        for own, part in zip(held, np.split(found, ends), strict=True):
            own.append(part)
    return _stacked(examples, [np.concatenate(parts) for parts in held])


def _checked(
    examples: splits.Examples, clients: int
) -> tuple[Integer[np.ndarray, "b"], Integer[np.ndarray, "k"]]:
    """The targets, and the classes there are."""
    size = checks.arrays(examples, "The examples")
    if not 1 <= clients <= size:
        raise errors.InputError(f"The number of clients must be in 1..{size}, got {clients}.")
    target = np.asarray(examples["target"])
    return target, np.unique(target)


def _stacked(examples: splits.Examples, held: Sequence[np.ndarray]) -> splits.Examples:
    """Each client's examples, filled up to the same number, and how many they are."""
    counts = np.array([len(own) for own in held], np.int32)

    def one(leaf: np.ndarray) -> np.ndarray:
        out = np.zeros((len(held), counts.max(), *leaf.shape[1:]), leaf.dtype)
        for i, own in enumerate(held):
            out[i, : len(own)] = leaf[own]
        return out

    return {name: one(np.asarray(leaf)) for name, leaf in examples.items()} | {"count": counts}
