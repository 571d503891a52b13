"""The files of the PROJECTOR: cut like curves, whole whatever comes between."""

import pathlib

import numpy as np
import pytest
from google.protobuf import text_format
from tensorboard.plugins.projector import projector_config_pb2

from jaxdl import errors, summary
from jaxdl.train import projector, tensorboard


def points(count):
    return summary.Embedding(np.full((count, 3), count), {"label": range(count)})


def listed(folder):
    """Tag -> the shape in the list; each file that it names is there and has as many lines."""
    config = projector_config_pb2.ProjectorConfig()
    text_format.Parse((folder / projector.CONFIG).read_text(), config)
    for one in config.embeddings:
        for name in (one.tensor_path, one.metadata_path):
            assert len((folder / name).read_text().split("\n")[: one.tensor_shape[0]]) > 1
    return {one.tensor_name: list(one.tensor_shape) for one in config.embeddings}


def test_each_tag_of_an_embedding_has_a_folder_of_its_own(tmp_path):
    with tensorboard.Writer(tmp_path) as writer:
        writer.show(1, {"a/b": points(2), "a_b": points(3), "a%2Fb": points(4), "..a": points(5)})
        for tag in ("", ".", ".."):
            with pytest.raises(errors.InputError, match="must name a folder"):
                writer.show(1, {tag: points(2)})
    assert listed(tmp_path) == {"a/b": [2, 3], "a_b": [3, 3], "a%2Fb": [4, 3], "..a": [5, 3]}
    for tag, (count, _) in listed(tmp_path).items():
        name = tag.replace("%", "%25").replace("/", "%2F")
        found = np.loadtxt(tmp_path / "projector" / name / "vectors.tsv")
        np.testing.assert_array_equal(found, np.full((count, 3), count))


def test_embeddings_are_cut_like_curves(tmp_path):
    own = 'embeddings { tensor_name: "own" tensor_path: "own.tsv" metadata_path: "own.tsv" }'
    with tensorboard.Writer(tmp_path) as writer:
        writer.show(10, {"early": points(2)})
        writer.show(20, {"late": points(3)})
    tensorboard.Writer(tmp_path, 10).close()
    assert listed(tmp_path) == {"early": [2, 3]}
    assert not (tmp_path / "projector" / "late").exists()
    (tmp_path / projector.CONFIG).write_text(own)  # a user's script wrote it
    with tensorboard.Writer(tmp_path) as writer:
        assert 'name: "own"' in (tmp_path / projector.CONFIG).read_text()
        (tmp_path / projector.CONFIG).write_text("embeddings { torn")
        writer.show(10, {"early": points(4)})
    assert listed(tmp_path) == {"early": [4, 3]}
    tensorboard.Writer(tmp_path).close()
    assert listed(tmp_path) == {}


def test_points_never_stand_beside_labels_of_other_points(tmp_path, monkeypatch):
    """A kill between the renames of two of an embedding's files."""
    replace = pathlib.Path.replace

    def fails(path, target):
        if target.name == "metadata.tsv":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    with tensorboard.Writer(tmp_path) as writer:
        writer.show(10, {"a": points(2), "b": points(2)})
        monkeypatch.setattr(pathlib.Path, "replace", fails)
        with pytest.raises(errors.StorageError, match="Input/output error"):
            writer.show(20, {"a": points(3)})
    assert listed(tmp_path) == {"b": [2, 3]}


def test_a_full_disk_leaves_the_points_before(tmp_path, monkeypatch):
    write = pathlib.Path.write_bytes

    def full(path, content):
        if path.name.startswith("metadata.tsv"):
            raise OSError(28, "No space left on device")
        return write(path, content)

    with tensorboard.Writer(tmp_path) as writer:
        writer.show(10, {"a": points(2), "b": points(2)})
        with monkeypatch.context() as patched:
            patched.setattr(pathlib.Path, "write_bytes", full)
            with pytest.raises(errors.StorageError, match="No space"):
                writer.show(20, {"a": points(3)})
        assert listed(tmp_path) == {"a": [2, 3], "b": [2, 3]}
        writer.show(30, {"a": points(3)})
    assert listed(tmp_path) == {"a": [3, 3], "b": [2, 3]}
    assert not list(tmp_path.rglob("*.temporary"))
