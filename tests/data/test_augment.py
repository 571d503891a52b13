"""Changes of images against SciPy's shifts, and what few labels leave."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdl import errors
from jaxdl.data import augment, few_labels, splits

KEY = jax.random.key(0)
IMAGE = np.random.default_rng(0).random((5, 6, 2), np.float32) + 0.1


def images(count):
    return jnp.broadcast_to(IMAGE[None], (count, *IMAGE.shape))


def offsets(shifted, pixels):
    """By how much each is shifted, as SciPy shifts."""
    steps = range(-pixels, pixels + 1)
    known = {(i, j): ndimage.shift(IMAGE, (i, j, 0), order=0) for i in steps for j in steps}
    found = []
    for image in np.asarray(shifted):
        same = [offset for offset, wanted in known.items() if np.allclose(image, wanted)]
        assert len(same) == 1
        found += same
    return found


def test_shifts_are_scipys_and_all_occur():
    shift = functools.partial(augment.shift, pixels=1)
    found = offsets(augment.each(shift)(images(200), KEY), 1)
    assert len(set(found)) == 9
    on_host = augment.moved(np.asarray(images(200)), 1, seed=0)
    assert len(set(offsets(on_host, 1))) == 9


def test_a_square_is_erased_anywhere():
    erase = functools.partial(augment.erase, size=2)
    erased = np.asarray(augment.each(erase)(images(200), KEY))
    gone = (erased == 0).all(-1)
    assert gone.sum((1, 2)).tolist() == [4] * 200
    corners = {tuple(np.argwhere(image)[0]) for image in gone}
    assert corners == {(i, j) for i in range(4) for j in range(5)}
    for image, hole in zip(erased, gone, strict=True):
        np.testing.assert_array_equal(image[~hole], IMAGE[~hole])
        i, j = np.argwhere(hole)[0]
        assert hole[i : i + 2, j : j + 2].all()
    with pytest.raises(errors.InputError, match="fit into an image of 5 x 6, got size 7"):
        augment.erase(jnp.asarray(IMAGE), KEY, size=7)


def test_noise_has_its_deviation_and_each_image_its_own():
    noise = functools.partial(augment.noise, deviation=0.3)
    added = np.asarray(augment.each(noise)(images(500), KEY)) - IMAGE[None]
    assert added.std() == pytest.approx(0.3, rel=0.02)
    assert not np.allclose(added[0], added[1])


TRAIN = {
    "input": np.arange(40, dtype=np.float32).reshape(40, 1, 1, 1),
    "target": (np.arange(40) % 4).astype(np.int32),
}


def test_few_labels_beside_all_images():
    paired = few_labels.paired(TRAIN, 2, seed=0)
    np.testing.assert_array_equal(paired["unlabelled"], TRAIN["input"])
    known = paired["input"].ravel().astype(int)
    np.testing.assert_array_equal(known % 4, paired["target"])
    shown, counts = np.unique(known, return_counts=True)
    assert len(shown) == 8 and counts.tolist() == [5] * 8
    np.testing.assert_array_equal(np.bincount(shown % 4), [2] * 4)
    assert set(few_labels.paired(TRAIN, 2, seed=1)["input"].ravel()) != set(known)
    with pytest.raises(errors.InputError, match="must be 1 to 10, as many as it has, got 11"):
        few_labels.paired(TRAIN, 11, seed=0)


def test_a_probe_learns_from_the_training_part_alone():
    split = splits.Split(TRAIN, {name: x[:12] for name, x in TRAIN.items()})
    probed = few_labels.probed(split, pixels=0)
    np.testing.assert_array_equal(probed["labelled"], [1] * 40 + [0] * 12)
    np.testing.assert_array_equal(probed["input"][40:], TRAIN["input"][:12])
    chosen = few_labels.by_class(TRAIN, 2)
    assert chosen["target"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert chosen["input"].ravel().tolist() == [0, 4, 1, 5, 2, 6, 3, 7]
