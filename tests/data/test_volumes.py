"""Volumes from a folder: read, resampled, cut; what is malformed is refused by name."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import volumes


@pytest.fixture
def folder(tmp_path):
    """Two volumes, the first with a spacing."""
    random = np.random.default_rng(0)
    for name, shape in (("a", (4, 6, 8)), ("b", (5, 4, 4))):
        np.save(tmp_path / f"{name}_image.npy", random.normal(size=shape))
        np.save(tmp_path / f"{name}_label.npy", random.integers(0, 3, shape))
    np.save(tmp_path / "a_spacing.npy", np.array([2.0, 1.0, 1.0]))
    return tmp_path


def test_reads_all_in_the_order_of_their_names(folder):
    first, second = volumes.load(folder, classes=3)
    assert (first.name, first.spacing) == ("a", (2.0, 1.0, 1.0))
    assert (second.name, second.spacing) == ("b", (1.0, 1.0, 1.0))
    np.testing.assert_array_equal(
        first.image[..., 0], np.load(folder / "a_image.npy").astype(np.float32)
    )
    np.testing.assert_array_equal(second.label, np.load(folder / "b_label.npy"))


def test_patches_cover_every_voxel_once(folder):
    both = volumes.load(folder, classes=3)
    cut = volumes.patches(both, 4)
    assert cut["input"].shape == (1 * 2 * 2 + 2 * 1 * 1, 4, 4, 4, 1)
    counts = np.bincount(np.concatenate([volume.label.ravel() for volume in both]))
    np.testing.assert_array_equal(np.bincount(cut["target"].ravel())[1:], counts[1:])
    whole = np.concatenate([cut["input"][0], cut["input"][1]], axis=2)[:, :4]
    image = both[0].image
    np.testing.assert_allclose(whole, ((image - image.mean()) / image.std())[:, :4], atol=1e-5)


def test_resampling_makes_voxels_cubes(folder):
    first = volumes.load(folder, classes=3)[0]
    cubes = volumes.resampled(first, 1.0)
    assert cubes.spacing == (1.0, 1.0, 1.0)
    assert cubes.image.shape == (8, 6, 8, 1) and cubes.label.shape == (8, 6, 8)
    assert set(np.unique(cubes.label)) <= {0, 1, 2}
    # Along the first axis half-way voxels, a quarter old one apart from the old centres.
    old, new = first.image, cubes.image
    np.testing.assert_allclose(new[0], old[0], atol=1e-5)
    np.testing.assert_allclose(new[1], 0.75 * old[0] + 0.25 * old[1], atol=1e-5)


@pytest.mark.parametrize("spacing", [0.5, 1.5, 2.0, 3.0, 25.0])
def test_resampled_voxels_lie_where_their_spacing_says(spacing):
    ramp = np.broadcast_to(np.arange(10.0)[:, None, None, None], (10, 4, 1, 2))
    label = np.broadcast_to(np.arange(10)[:, None, None], (10, 4, 1))
    found = volumes.resampled(volumes.Volume("ramp", ramp, label, (1.0, 1.0, 1.0)), spacing)
    assert found.image.shape[:3] == tuple(max(1, round(n / spacing)) for n in (10, 4, 1))
    count = len(found.image)
    centres = 4.5 + spacing * (np.arange(count) - (count - 1) / 2)
    np.testing.assert_allclose(found.image[:, 0, 0, 1], np.clip(centres, 0, 9), atol=1e-5)
    assert np.abs(found.label[:, 0, 0] - np.clip(centres, 0, 9)).max() <= 0.5


def test_refusals_name_the_file(folder, tmp_path):
    def refused(match):
        with pytest.raises(errors.InputError, match=match):
            volumes.load(folder, classes=3)

    np.save(folder / "b_label.npy", np.full((5, 4, 4), 3))
    refused(r"b_label.npy must be in 0..2, got 3 at index 0")
    np.save(folder / "b_label.npy", np.zeros((5, 4, 3), int))
    refused(r"b_label.npy must have the shape of its image \(5, 4, 4\), got \(5, 4, 3\)")
    (folder / "b_label.npy").write_bytes(b"no array")
    refused("b_label.npy, offset 8: a header of NumPy's must end here, got: ")
    with open(folder / "b_label.npy", "wb") as file:
        np.savez(file, x=np.zeros(2))
    refused("b_label.npy must be one array, got a .npz of x")
    (folder / "b_label.npy").unlink()
    refused("b_label.npy must exist beside its volume")
    np.save(folder / "a_spacing.npy", np.array([0.0, 1.0, 1.0]))
    refused("a_spacing.npy must be three positive numbers")
    image = np.load(folder / "a_image.npy")
    image[1, 2, 3] = np.nan
    np.save(folder / "a_image.npy", image)
    refused(r"a_image.npy must be finite, got nan at index \(1, 2, 3, 0\)")
    np.save(folder / "a_image.npy", image[0])
    refused(r"a_image.npy must be real numbers \(d, h, w\) or")
    np.save(folder / "a_image.npy", np.zeros((4, 6, 8), complex))
    refused(r"a_image.npy must be real numbers .* got complex128")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(errors.InputError, match=r"must hold volumes, got none\. Name each volume"):
        volumes.load(empty, classes=3)
    with pytest.raises(errors.InputError, match="A patch's side must be at least 1, got 0"):
        volumes.patches([], 0)
    with pytest.raises(errors.InputError, match=r"at least one, all of as many channels, got 0 of"):
        volumes.patches([], 2)
