"""Codes of spikes, and streams of events whose direction is known."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import moving_events, spikes


def test_rates_are_the_numbers():
    x = np.tile(np.float32([0.0, 0.25, 1.0]), (4, 1))
    coded = spikes.rate(jnp.asarray(x), 2000, jax.random.key(0))
    once = spikes.drawn({"input": x}, 2000)["input"]
    for train in (coded, once):
        assert train.shape == (4, 2000, 3) and train.dtype == np.float32
        assert set(np.unique(train)) == {0, 1}
        np.testing.assert_allclose(train.mean(axis=1), x, atol=0.05)  # 5 deviations
    assert not np.array_equal(once[0], once[1])


def test_the_larger_the_sooner():
    x = jnp.array([[1.0, 0.5, 0.25, 0.0]])
    coded = np.asarray(spikes.latency(x, 5))
    assert coded.sum(1).tolist() == [[1, 1, 1, 0]]
    assert coded.argmax(1)[0, :3].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(spikes.direct(x, 3), np.tile(x[:, None], (1, 3, 1)))


def test_bad_codes():
    with pytest.raises(errors.InputError, match="steps must be at least 1, got 0"):
        spikes.direct(jnp.zeros((1, 2)), 0)
    with pytest.raises(errors.InputError, match=r"must lie in \[0, 1\], got 0.0 to 2.0"):
        spikes.drawn({"input": np.float32([[0, 2]])}, 3)


def test_dots_move_as_their_class_says():
    train, test = moving_events.load(40, 10, side=7, moments=4, dots=2, seen=1.0, noise=0.0)
    assert train["input"].shape == (40, 4, 7, 7) and len(test["input"]) == 10
    assert set(train["target"]) == {0, 1, 2, 3}
    for events, target in zip(train["input"], train["target"], strict=True):
        assert 1 <= events[0].sum() <= 2
        for before, after in itertools.pairwise(events):
            np.testing.assert_array_equal(
                np.roll(before, moving_events.DIRECTIONS[target], (0, 1)), after
            )


def test_noise_and_gaps_and_the_same_again():
    train, _ = moving_events.load(500, 1, side=6, moments=3, dots=1, seen=0.5, noise=0.1)
    assert train["input"].mean() == pytest.approx(0.1 + 0.9 * 0.5 / 36, abs=0.01)
    again, _ = moving_events.load(500, 1, side=6, moments=3, dots=1, seen=0.5, noise=0.1)
    np.testing.assert_array_equal(train["input"], again["input"])


@pytest.mark.parametrize(
    ("field", "message"),
    [({"side": 0}, "side must be at least 1"), ({"noise": 2.0}, r"noise must lie in \[0, 1\]")],
)
def test_bad_fields(field, message):
    with pytest.raises(errors.InputError, match=message):
        moving_events.load(**field)
