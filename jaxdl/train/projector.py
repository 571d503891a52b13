"""The files of TensorBoard's projector tab: points, their labels, their pictures, and a list.

TensorBoard looks for `projector_config.pbtxt` in a run's folder; what it names lies in the folder
`projector`, a folder for each tag. A tag shows its last points: the projector knows no steps. It
reads the list once, so the names of its files stay; a tag is off the list while they change places.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import pathlib
import re
import shutil
import urllib.parse
from collections.abc import Sequence
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector import projector_config_pb2

from jaxdl import errors, summary
from jaxdl.train import picture

CONFIG = "projector_config.pbtxt"  # tensorboard.plugins.projector.metadata
_FOLDER = "projector"
_STEP = "step"  # a file beside the vectors, which tells them from those of a user's script
_LEAST = 3  # dimensions; of fewer the projector shows nothing, so that zeros are added
_SPRITES = 8192  # pixels of a side: the largest picture that the projector's WebGL takes


def write(folder: pathlib.Path, step: int, tag: str, embedding: summary.Embedding) -> None:
    """Put an embedding into the run's folder, in the place of one of the same tag.

    errors.InputError: an array has a wrong shape, or the tag cannot name a folder. OSError: the
    folder cannot be written.
    """
    if tag in ("", ".", ".."):
        raise errors.InputError(f"The tag of an embedding must name a folder, got {tag!r}.")
    vectors = np.asarray(embedding.vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise errors.InputError(
            f"Embedding {tag!r} must have vectors (n, d), got {np.shape(embedding.vectors)}."
        )
    missing = max(0, _LEAST - vectors.shape[1])
    vectors = np.pad(vectors, ((0, 0), (0, missing)))
    place = f"{_FOLDER}/{urllib.parse.quote(tag, safe='')}"  # no other tag's
    entry = projector_config_pb2.EmbeddingInfo(
        tensor_name=tag, tensor_shape=vectors.shape, tensor_path=f"{place}/vectors.tsv"
    )
    lines = ("\t".join(f"{x:.6g}" for x in row) for row in vectors)
    files = {entry.tensor_path: "\n".join(lines).encode(), f"{place}/{_STEP}": b"%d" % step}
    if embedding.columns:
        entry.metadata_path = f"{place}/metadata.tsv"
        files[entry.metadata_path] = _table(embedding, tag).encode()
    if embedding.pictures is not None:
        pictures = np.asarray(embedding.pictures)
        tiles = picture.tiles(pictures[..., None] if pictures.ndim == 3 else pictures, tag)
        _check_count(len(tiles), len(vectors), "pictures", tag)
        entry.sprite.image_path = f"{place}/sprite.png"
        entry.sprite.single_image_dim.extend((tiles.shape[2], tiles.shape[1]))
        files[entry.sprite.image_path] = picture.png(_sprite(tiles, tag))
    (folder / place).mkdir(parents=True, exist_ok=True)
    ready = [_prepared(folder / name, content) for name, content in files.items()]
    listed = _listed(folder)
    others = [one for one in listed if one.tensor_name != tag]
    if len(others) < len(listed):
        _list(folder, others)
    for temporary, path in ready:  # only renamed, so that a kill hardly finds the tag off the list
        temporary.replace(path)
    _list(folder, [*others, entry])


def cut(folder: pathlib.Path, step: int) -> None:
    """Take out the embeddings of later steps, at 0 all, as `event_file.cut` does with events."""
    listed = _listed(folder)
    later = [one for one in listed if not _is_kept(folder / one.tensor_path, step)]
    if later:
        _list(folder, [one for one in listed if one not in later])
    for one in later:
        shutil.rmtree((folder / one.tensor_path).parent)


def _is_kept(vectors: pathlib.Path, step: int) -> bool:
    try:
        return 0 < int(vectors.with_name(_STEP).read_text()) <= step
    except (OSError, ValueError):
        return True  # not ours


def _table(embedding: summary.Embedding, tag: str) -> str:
    """The metadata: a line for each point; several columns have a line of names."""
    columns = {name: list(values) for name, values in embedding.columns.items()}
    for name, values in columns.items():
        _check_count(len(values), len(embedding.vectors), f"values of {name!r}", tag)
    rows = ["\t".join(_cell(x) for x in row) for row in zip(*columns.values(), strict=True)]
    head = ["\t".join(columns)] if len(columns) > 1 else []
    return "\n".join(head + rows) + "\n"


def _cell(value: Any) -> str:
    return re.sub(r"\s+", " ", str(value))


def _check_count(count: int, wanted: int, what: str, tag: str) -> None:
    if count != wanted:
        raise errors.InputError(f"Embedding {tag!r} must have {wanted} {what}, got {count}.")


def _sprite(tiles: np.ndarray, tag: str) -> np.ndarray:
    """All pictures in one, row by row, as many in a row as there are rows."""
    n, height, width, channels = tiles.shape
    side = int(np.ceil(np.sqrt(n)))
    if side * max(height, width) > _SPRITES:
        raise errors.InputError(
            f"The pictures of embedding {tag!r} must fit into {_SPRITES}x{_SPRITES} pixels "
            f"together, got {n} of {height}x{width}. Show fewer, or smaller ones."
        )
    whole = np.zeros((side * side, height, width, channels), np.uint8)
    whole[:n] = tiles
    rows = whole.reshape(side, side, height, width, channels).swapaxes(1, 2)
    return rows.reshape(side * height, side * width, channels)


def _listed(folder: pathlib.Path) -> list[projector_config_pb2.EmbeddingInfo]:
    """What the list names; nothing where there is none, or none that can be read."""
    config = projector_config_pb2.ProjectorConfig()
    try:
        text_format.Parse((folder / CONFIG).read_text(), config)
    except (FileNotFoundError, UnicodeDecodeError, text_format.ParseError):
        return []
    return list(config.embeddings)


def _list(folder: pathlib.Path, found: Sequence[projector_config_pb2.EmbeddingInfo]) -> None:
    ordered = sorted(found, key=lambda one: one.tensor_name)
    config = projector_config_pb2.ProjectorConfig(embeddings=ordered)
    temporary, path = _prepared(folder / CONFIG, text_format.MessageToString(config).encode())
    temporary.replace(path)


def _prepared(path: pathlib.Path, content: bytes) -> tuple[pathlib.Path, pathlib.Path]:
    """Written beside its place, to be put there in one piece: a server may be reading."""
    temporary = path.with_name(path.name + ".temporary")
    temporary.write_bytes(content)
    return temporary, path
