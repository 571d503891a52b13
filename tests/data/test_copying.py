"""The tasks for a memory, read back step by step."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import copying


def test_copy():
    made = copying.copy(200, (2, 5), bits=3)
    assert made["input"].shape == (200, 11, 4) and made["target"].shape == (200, 11, 3)
    sizes = set()
    for shown, target, mask in zip(made["input"], made["target"], made["mask"], strict=True):
        (end,) = np.flatnonzero(shown[:, 3])  # one mark, after what is shown
        assert np.flatnonzero(mask).tolist() == [*range(end + 1, 2 * end + 1)]
        np.testing.assert_array_equal(target[mask > 0], shown[:end, :3])
        assert not shown[end + 1 :].any() and not target[mask == 0].any()
        sizes.add(int(end))
    assert sizes == {2, 3, 4, 5}
    assert made["target"][made["mask"] > 0].mean() == pytest.approx(0.5, abs=0.05)


def test_reverse():
    made, copied = copying.reverse(50, (2, 5), bits=3), copying.copy(50, (2, 5), bits=3)
    for name in ("input", "mask"):
        np.testing.assert_array_equal(made[name], copied[name])
    for shown, target, mask in zip(made["input"], made["target"], made["mask"], strict=True):
        (end,) = np.flatnonzero(shown[:, 3])
        np.testing.assert_array_equal(target[mask > 0], shown[:end, :3][::-1])
        assert not target[mask == 0].any()


def test_recall():
    made = copying.recall(200, (2, 4), length=2, bits=5)
    assert made["input"].shape == (200, 18, 7) and made["target"].shape == (200, 18, 5)
    sizes, places = set(), set()
    for shown, target, mask in zip(made["input"], made["target"], made["mask"], strict=True):
        begins, query = np.flatnonzero(shown[:, 5]), np.flatnonzero(shown[:, 6])
        items = [shown[begin + 1 : begin + 3, :5].tobytes() for begin in begins]
        asked = shown[query[0] + 1 : query[1], :5].tobytes()
        told = np.flatnonzero(mask).tolist()
        assert told == [query[1] + 1, query[1] + 2] and not shown[query[1] + 1 :].any()
        assert not target[mask == 0].any()
        follows = [k for k in range(len(items) - 1) if items[k] == asked]
        assert target[told].tobytes() in [items[k + 1] for k in follows]
        sizes.add(len(items))
        places |= {*follows[:1]}
    assert sizes == {2, 3, 4} and places == {0, 1, 2}


def test_the_same_seed_makes_the_same():
    for make in (copying.copy, copying.reverse, copying.recall):
        first, again, other = (make(9, (2, 3), seed=seed) for seed in (1, 1, 2))
        assert all((first[name] == again[name]).all() for name in first)
        assert (first["input"] != other["input"]).any()


def test_refusals():
    with pytest.raises(errors.InputError, match=r"lengths must rise from at least 1, got \(3, 2\)"):
        copying.copy(5, (3, 2))
    with pytest.raises(errors.InputError, match=r"items must rise from at least 2, got \(1, 2\)"):
        copying.recall(5, (1, 2))
    with pytest.raises(errors.InputError, match="item's length must be at least 1, got 0"):
        copying.recall(5, (2, 2), 0)
    with pytest.raises(errors.InputError, match="number of bits must be at least 1, got 0"):
        copying.copy(5, (1, 2), 0)
