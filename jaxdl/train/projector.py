"""The files of TensorBoard's projector tab: points, their labels, their pictures, and a list.

TensorBoard looks for `projector_config.pbtxt` in a run's folder; what it names lies in the folder
`projector`. A tag shows its last points: the projector knows no steps.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import pathlib
import re
from typing import Any

import numpy as np
from google.protobuf import text_format
from tensorboard.plugins.projector import projector_config_pb2

from jaxdl import errors, summary
from jaxdl.train import picture

CONFIG = "projector_config.pbtxt"  # tensorboard.plugins.projector.metadata
_LEAST = 3  # dimensions; of fewer the projector shows nothing, so that zeros are added
_SPRITES = 8192  # pixels of a side: the largest picture that the projector's WebGL takes


def write(folder: pathlib.Path, tag: str, embedding: summary.Embedding) -> None:
    """Put an embedding into the run's folder, in the place of one of the same tag.

    errors.InputError: an array has a wrong shape. OSError: the folder cannot be written.
    """
    vectors = np.asarray(embedding.vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise errors.InputError(
            f"Embedding {tag!r} must have vectors (n, d), got {np.shape(embedding.vectors)}."
        )
    missing = max(0, _LEAST - vectors.shape[1])
    vectors = np.pad(vectors, ((0, 0), (0, missing)))
    place = pathlib.Path("projector") / re.sub(r"[^\w.-]", "_", tag)
    (folder / place).mkdir(parents=True, exist_ok=True)
    entry = projector_config_pb2.EmbeddingInfo(
        tensor_name=tag,
        tensor_shape=vectors.shape,
        tensor_path=str(place / "vectors.tsv"),
    )
    lines = ("\t".join(f"{x:.6g}" for x in row) for row in vectors)
    _replace(folder / place / "vectors.tsv", "\n".join(lines).encode())
    if embedding.columns:
        entry.metadata_path = str(place / "metadata.tsv")
        _replace(folder / entry.metadata_path, _table(embedding, tag).encode())
    if embedding.pictures is not None:
        pictures = np.asarray(embedding.pictures)
        tiles = picture.tiles(pictures[..., None] if pictures.ndim == 3 else pictures, tag)
        _check_count(len(tiles), len(vectors), "pictures", tag)
        entry.sprite.image_path = str(place / "sprite.png")
        entry.sprite.single_image_dim.extend((tiles.shape[2], tiles.shape[1]))
        _replace(folder / entry.sprite.image_path, picture.png(_sprite(tiles, tag)))
    _list(folder / CONFIG, entry)


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


def _list(path: pathlib.Path, entry: projector_config_pb2.EmbeddingInfo) -> None:
    """Name the embedding in the list, beside those of other tags."""
    config = projector_config_pb2.ProjectorConfig()
    if path.exists():
        text_format.Parse(path.read_text(), config)
    others = [one for one in config.embeddings if one.tensor_name != entry.tensor_name]
    found = sorted([*others, entry], key=lambda one: one.tensor_name)
    listed = projector_config_pb2.ProjectorConfig(embeddings=found)
    _replace(path, text_format.MessageToString(listed).encode())


def _replace(path: pathlib.Path, content: bytes) -> None:
    """In one piece: a server may be reading."""
    temporary = path.with_name(path.name + ".temporary")
    temporary.write_bytes(content)
    temporary.replace(path)
