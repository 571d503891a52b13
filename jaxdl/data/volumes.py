"""Volumes and the class of each of their voxels, from pairs of .npy files in a folder.

`NAME_image.npy` holds floats or integers (d, h, w) or (d, h, w, c), `NAME_label.npy` integers
(d, h, w); `NAME_spacing.npy`, three millimetres a voxel, may be left out and is then 1. NIfTI and
DICOM files become such pairs by nibabel's get_fdata and the like.
"""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from jaxdl import errors
from jaxdl.data import arrays, checks, files, splits
from jaxdl.nn import limits

REMEDY = "Name each volume NAME_image.npy and its labels NAME_label.npy."


class Volume(NamedTuple):
    """image float32 (d, h, w, c), label int32 (d, h, w), spacing in millimetres along d, h, w."""

    name: str
    image: np.ndarray
    label: np.ndarray
    spacing: tuple[float, float, float]


def load(folder: str | pathlib.Path, classes: int) -> list[Volume]:
    """All volumes of a folder, in the order of their names; labels are in [0, classes)."""
    directory = files.folder(folder, REMEDY)
    names = sorted(path.name.removesuffix("_image.npy") for path in directory.glob("*_image.npy"))
    if not names:
        raise errors.InputError(f"The folder {directory} must hold volumes, got none. {REMEDY}")
    return [_volume(directory, name, classes) for name in names]


def resampled(volume: Volume, spacing: float) -> Volume:
    """The volume with voxels of this many millimetres each way: linear between the image's voxels,
    the nearest of the label's; beyond the outermost centres the image goes on as it is there.

    The volume keeps its middle, and along each axis its extent to half a voxel, at least one voxel.
    """
    limits.positive("A volume's spacing", spacing)
    factors = [spacing / old for old in volume.spacing]
    sizes = volume.label.shape
    counts = [max(1, round(n / factor)) for n, factor in zip(sizes, factors, strict=True)]
    # Where the new centres lie among the old ones, the middles of both in one place.
    places = np.meshgrid(
        *(
            (n - 1) / 2 + factor * (np.arange(count) - (count - 1) / 2)
            for n, factor, count in zip(sizes, factors, counts, strict=True)
        ),
        indexing="ij",
    )

    def looked_up(values: np.ndarray, order: int) -> np.ndarray:
        return np.asarray(ndimage.map_coordinates(values, places, order=order, mode="nearest"))

    channels = [looked_up(plane, 1) for plane in np.moveaxis(volume.image, -1, 0)]
    label = looked_up(volume.label, 0)
    return Volume(volume.name, np.stack(channels, -1), label, (spacing, spacing, spacing))


def patches(volumes: Sequence[Volume], side: int) -> splits.Examples:
    """Cubes of `side` voxels that cover all volumes, each less its volume's mean and over its
    deviation; where a side does not divide, zeros and the class 0 fill up.
    """
    limits.at_least(1, "A patch's side", side)
    kinds = sorted({volume.image.shape[-1] for volume in volumes})
    if len(kinds) != 1:
        raise errors.InputError(
            f"Volumes to cut must be at least one, all of as many channels, got {len(volumes)} of "
            f"the channels {kinds}."
        )
    images = [_cubes(_standard(volume.image), side) for volume in volumes]
    labels = [_cubes(volume.label[..., None], side)[..., 0] for volume in volumes]
    return {"input": np.concatenate(images), "target": np.concatenate(labels)}


def _volume(directory: pathlib.Path, name: str, classes: int) -> Volume:
    image, label = (_array(directory / f"{name}_{part}.npy") for part in ("image", "label"))
    if image.ndim == 3:
        image = image[..., None]
    if image.ndim != 4 or image.dtype.kind not in "iuf":
        raise errors.InputError(
            f"{directory / f'{name}_image.npy'} must be real numbers (d, h, w) or (d, h, w, c), "
            f"got {image.dtype} {image.shape}."
        )
    if label.shape != image.shape[:3]:
        raise errors.InputError(
            f"{directory / f'{name}_label.npy'} must have the shape of its image "
            f"{image.shape[:3]}, got {label.shape}."
        )
    image = image.astype(np.float32)
    checks.finite(image, str(directory / f"{name}_image.npy"))
    checks.labels(label, classes, str(directory / f"{name}_label.npy"))
    return Volume(name, image, label.astype(np.int32), _spacing(directory / f"{name}_spacing.npy"))


def _spacing(path: pathlib.Path) -> tuple[float, float, float]:
    if not path.exists():
        return (1.0, 1.0, 1.0)
    found = _array(path)
    if found.shape != (3,) or not (np.isfinite(found).all() and (found > 0).all()):
        raise errors.InputError(f"{path} must be three positive numbers, got {found.tolist()}.")
    depth, height, width = map(float, found)
    return depth, height, width


def _array(path: pathlib.Path) -> np.ndarray:
    if not path.exists():
        raise errors.InputError(f"{path} must exist beside its volume, got none. {REMEDY}")
    found = arrays.load(path)
    if isinstance(found, dict):
        raise errors.InputError(f"{path} must be one array, got a .npz of {', '.join(found)}.")
    return found


def _standard(image: np.ndarray) -> np.ndarray:
    mean, deviation = image.mean((0, 1, 2)), image.std((0, 1, 2))
    return (image - mean) / np.where(deviation > 0, deviation, 1)


def _cubes(x: np.ndarray, side: int) -> np.ndarray:
    """(d, h, w, c) cut into (n, side, side, side, c)."""
    padding = [(0, -size % side) for size in x.shape[:3]]
    x = np.pad(x, (*padding, (0, 0)))
    d, h, w, c = x.shape
    tiles = x.reshape(d // side, side, h // side, side, w // side, side, c)
    return tiles.transpose(0, 2, 4, 1, 3, 5, 6).reshape(-1, side, side, side, c)
