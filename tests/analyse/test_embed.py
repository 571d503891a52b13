"""The command `embed`: a layer's points in the projector, pictures, and scores beside controls."""

import json

import numpy as np
import pytest
import runs
from google.protobuf import text_format
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.projector import projector_config_pb2

from jaxdl import errors
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import embed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return runs.of_experiment(
        "digits_mlp", tmp_path_factory.mktemp("runs"), width=16, steps=200
    ).folder


def test_embed(folder, capsys):
    words = [str(folder), "embed", "--examples", "120", "--neighbours", "3"]
    assert command.main(words) == 0
    printed = capsys.readouterr().out
    assert "dropout_1" in printed and "3-NN" in printed
    there = folder / "analysis" / "embed"
    [table] = json.loads((there / "report.json").read_text())["tables"]
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert list(rows) == ["(inputs)", "dropout_1"]  # what the output layer reads
    assert rows["(inputs)"][0] == 64 and rows["dropout_1"][0] == 16
    assert rows["(inputs)"][1] > 0.8  # scikit-learn on digits: 0.9 with so few
    _, probe, near, probe_before, near_before = rows["dropout_1"]
    assert min(probe, near, probe_before, near_before) > 0.15  # chance is 0.1
    assert 1 >= near > near_before and 1 >= probe > probe_before  # it has learnt something
    config = projector_config_pb2.ProjectorConfig()
    text_format.Parse((there / "projector_config.pbtxt").read_text(), config)
    names = {one.tensor_name: list(one.tensor_shape) for one in config.embeddings}
    assert names == {
        "dropout_1": [120, 16],
        "dropout_1, PCA": [120, 3],
        "dropout_1, t-SNE": [120, 3],
    }
    for one in config.embeddings:
        vectors = np.loadtxt(there / one.tensor_path, delimiter="\t")
        labels = (there / one.metadata_path).read_text().split()
        assert vectors.shape == tuple(one.tensor_shape) and np.ptp(vectors[:, :2], axis=0).all()
        assert one.tensor_name == "dropout_1" or not vectors[:, 2].any()
        assert len(labels) == 120 and set(labels) == {str(i) for i in range(10)}
    reader = event_accumulator.EventAccumulator(str(there)).Reload()
    assert set(reader.Tags()["images"]) == {"embed/dropout_1, PCA", "embed/dropout_1, t-SNE"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--layer", "hidden_9"], "dropout_1, output, got hidden_9"),
        (["--labels", "species"], "--labels must be an array of the examples, input, target"),
        (["--neighbours", "0"], "neighbours must lie between 1 and 288, the examples that vote"),
        (["--examples", "120", "--neighbours", "97"], "between 1 and 96, the examples that vote"),
    ],
)
def test_embed_bad_input(folder, words, said, capsys):
    assert command.main([str(folder), "embed", *words]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_too_few_of_a_class_have_no_scores(folder, capsys):
    assert command.main([str(folder), "embed", "--examples", "30"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no scores: target must have 5 examples of each class or more, got" in printed
    [table] = json.loads((folder / "analysis" / "embed" / "report.json").read_text())["tables"]
    assert table["rows"] == [["dropout_1", 16, "", "", "", ""]]
    assert "two classes" in embed._scored(np.zeros(9, int), "target")[0]


def test_a_second_layer_takes_the_place_of_the_first(folder):
    there = folder / "analysis" / "embed" / "projector_config.pbtxt"
    for layer in ("hidden_0", "output"):
        assert command.main([str(folder), "embed", "--examples", "30", "--layer", layer]) == 0
        names = [line for line in there.read_text().splitlines() if "tensor_name" in line]
        assert len(names) == 3 and all(f'"{layer}' in name for name in names)


def test_a_layer_of_one_unit_and_numbers_that_are_none():
    options = embed.Options(perplexity=5.0)
    x = np.random.default_rng(0).normal(size=(20, 1)).astype(np.float32)
    shown = embed._shown("a", x, {}, None, [], options)
    flat, spread = shown["a, PCA"].vectors, shown["a, t-SNE"].vectors
    assert flat.shape == spread.shape == (20, 2)
    assert not flat[:, 1].any() and np.ptp(spread, axis=0).min() > 1
    with pytest.raises(errors.InputError, match=r"Layer a must put out finite .* 1 of 20 examples"):
        embed._check_finite("a", x, np.r_[x[:19], [[np.nan]]])
    assert embed._numbers({"input": np.array([[1.0, np.nan]])}) is None


def test_examples_without_classes_have_no_scores():
    labels, classes = embed._labels({"input": np.ones((3, 2)), "target": np.ones(3)}, "target")
    assert labels is None and classes == []
    labels, classes = embed._labels({"target": np.array([7, 3, 7])}, "target")
    assert labels is not None and labels.tolist() == [1, 0, 1] and classes == ["3", "7"]
    with pytest.raises(errors.InputError, match="named arrays"):
        embed._labels(np.ones(3), "target")
