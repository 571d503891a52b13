"""Made motions: the square goes where its class says, and single frames tell nothing."""

import itertools

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import motion


def test_a_square_drifts_as_its_class_says():
    train, test = motion.load(40, 20, noise=0.0)
    clips = np.concatenate([train["input"], test["input"]])[..., 0]
    target = np.concatenate([train["target"], test["target"]])
    np.testing.assert_array_equal(clips.sum((2, 3)), 9)
    for clip, label in zip(clips, target, strict=True):
        for before, after in itertools.pairwise(clip):
            np.testing.assert_array_equal(np.roll(before, motion.STEPS[label], (0, 1)), after)
    np.testing.assert_array_equal(np.bincount(target), [15] * 4)


def test_in_each_frame_it_is_anywhere():
    train, _ = motion.load(4000, 4, noise=0.0)
    for label in range(4):
        where = train["input"][train["target"] == label].mean(0)
        assert np.abs(where - 9 / 144).max() < 0.04


def test_noise_and_refusals():
    quiet, loud = (motion.load(4, 4, noise=noise).train["input"] for noise in (0.0, 0.2))
    assert (loud - quiet).std() == pytest.approx(0.2, rel=0.05)
    with pytest.raises(errors.InputError, match="a square smaller than its side"):
        motion.load(square=12)
