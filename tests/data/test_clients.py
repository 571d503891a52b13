"""Dealing examples to clients: nothing lost, nothing twice, classes as asked."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import clients

TARGET = np.repeat(np.arange(5), [40, 41, 39, 40, 44]).astype(np.int32)
EXAMPLES = {"input": np.arange(len(TARGET), dtype=np.float32)[:, None], "target": TARGET}


def held(dealt):
    """Each client's examples, as their numbers."""
    rows = zip(dealt["input"], dealt["target"], dealt["count"], strict=True)
    own = [(x[:n, 0].astype(int), y[:n]) for x, y, n in rows]
    for numbers, target in own:
        np.testing.assert_array_equal(TARGET[numbers], target)
    return [numbers for numbers, _ in own]


@pytest.mark.parametrize(
    "dealt",
    [
        clients.by_class(EXAMPLES, 10, 2),
        clients.by_class(EXAMPLES, 7, 3, seed=1),
        clients.dirichlet(EXAMPLES, 6, 0.1),
        clients.dirichlet(EXAMPLES, 6, 100.0),
    ],
    ids=["ten of two", "seven of three", "uneven", "even"],
)
def test_every_example_has_one_owner(dealt):
    assert sorted(np.concatenate(held(dealt))) == list(range(len(TARGET)))


def test_every_class_must_have_a_client():
    with pytest.raises(errors.InputError, match=r"at least the 5 classes, .*, got 2 × 2"):
        clients.by_class(EXAMPLES, 2, 2)


def test_clients_have_their_number_of_classes_and_like_sizes():
    own = held(clients.by_class(EXAMPLES, 10, 2))
    assert all(len(set(TARGET[numbers])) <= 2 for numbers in own)
    sizes = [len(numbers) for numbers in own]
    assert min(sizes) >= 18 and max(sizes) <= 23


def test_the_concentration_says_how_alike_clients_are():
    def largest(concentration):
        own = held(clients.dirichlet(EXAMPLES, 6, concentration))
        shares = [np.bincount(TARGET[n], minlength=5) / len(n) for n in own if len(n)]
        return np.mean([share.max() for share in shares])

    assert largest(0.05) > 0.6 and largest(1000.0) < 0.3


def test_bad_deals_are_refused():
    with pytest.raises(errors.InputError, match=r"classes_each must be in 1..5, got 6"):
        clients.by_class(EXAMPLES, 4, 6)
    with pytest.raises(errors.InputError, match="concentration must be positive, got 0"):
        clients.dirichlet(EXAMPLES, 4, 0.0)
    with pytest.raises(errors.InputError, match=r"number of clients must be in 1..204, got 0"):
        clients.dirichlet(EXAMPLES, 0, 1.0)
