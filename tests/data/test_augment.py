"""Changes of images against SciPy's, and what few labels leave."""

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
    for wrong in (
        lambda: augment.shift(jnp.asarray(IMAGE), KEY, pixels=-1),
        lambda: augment.moved(IMAGE[None], -1, 0),
    ):
        with pytest.raises(errors.InputError, match="shift's pixels must be at least 0, got -1"):
            wrong()


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


def test_a_crop_is_a_part_of_the_image_from_anywhere():
    crop = functools.partial(augment.crop, size=3)
    cropped = np.asarray(augment.each(crop)(images(200), KEY))
    parts = {(i, j): IMAGE[i : i + 3, j : j + 3] for i in range(3) for j in range(4)}
    found = [[at for at, part in parts.items() if np.array_equal(part, image)] for image in cropped]
    assert {len(places) for places in found} == {1}
    assert len({places[0] for places in found}) == 12
    with pytest.raises(errors.InputError, match="The crop must fit into an image of 5 x 6"):
        augment.crop(jnp.asarray(IMAGE), KEY, size=6)


def test_a_flip_mirrors_some_and_leaves_the_others():
    batch = {"input": images(200), "target": jnp.arange(200)}
    flipped = augment.inputs(functools.partial(augment.flip, rate=0.25))(batch, KEY)
    assert flipped["target"] is batch["target"]
    mirrored = [np.array_equal(image, IMAGE[:, ::-1]) for image in flipped["input"]]
    same = [np.array_equal(image, IMAGE) for image in flipped["input"]]
    assert sum(mirrored) + sum(same) == 200 and 30 <= sum(mirrored) <= 70
    with pytest.raises(errors.InputError, match="A flip's rate must lie in"):
        augment.flip(jnp.asarray(IMAGE), KEY, rate=2.0)


@pytest.mark.parametrize("degrees", [0.0, 17.0, -40.0, 90.0])
def test_turns_are_scipys(degrees):
    image = np.random.default_rng(1).random((9, 8, 2), np.float32)
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    turned = augment.warp(jnp.asarray(image), jnp.asarray([[cos, sin], [-sin, cos]]))
    wanted = ndimage.rotate(image, degrees, (1, 0), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(turned, wanted, atol=2e-5)


def test_warps_are_scipys():
    matrix, offset = np.array([[1.1, 0.3], [-0.2, 0.8]], np.float32), np.float32([0.4, -0.7])
    image = np.random.default_rng(2).random((7, 9, 1), np.float32)
    warped = jax.jit(augment.warp)(jnp.asarray(image), jnp.asarray(matrix), jnp.asarray(offset))
    centre = np.array([3.0, 4.0])
    wanted = ndimage.affine_transform(
        image[..., 0], matrix, centre + offset - matrix @ centre, order=1, mode="grid-constant"
    )
    np.testing.assert_allclose(warped[..., 0], wanted, atol=2e-5)


def test_angles_are_even_and_each_image_has_its_own():
    # Of a plane that rises to the right, the slope downwards is the sine of the angle.
    plane = jnp.broadcast_to(jnp.arange(9.0)[None, None, :, None], (500, 9, 9, 1))
    turn = functools.partial(augment.rotate, degrees=30.0)
    turned = np.asarray(augment.each(turn)(plane, KEY))[:, 3:6, 4, 0]
    angles = np.rad2deg(np.arcsin((turned[:, 2] - turned[:, 0]) / 2))
    assert np.abs(angles).max() <= 30.001
    assert np.histogram(angles, 3, (-30, 30))[0].min() > 130


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
