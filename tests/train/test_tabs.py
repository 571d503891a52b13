"""Each of TensorBoard's tabs, filled by a run and read back from TensorBoard's two servers."""

import io
import urllib.parse
import wave

import boards
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
from google.protobuf import text_format
from PIL import Image
from sklearn import metrics as curves
from tensorboard.compat.proto import graph_pb2
from tensorboard.plugins.custom_scalar import layout_pb2

from jaxdl import errors, metrics, summary
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp, rnn
from jaxdl.train import charts, confusion, graph, tensorboard, watch

RATE = 8000
TONES = 0.5 * np.sin(np.arange(2 * 400).reshape(2, 400) / (2 + np.arange(2)[:, None]))
VECTORS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
PICTURES = (np.arange(5 * 4 * 6).reshape(5, 4, 6) * 2).astype(np.uint8)
LABELS = ["a", "b", "a tab\tin it", "é", "b"]


def heard(state, key):
    """Several kinds of one summary."""
    return {
        "tones": summary.Audio(TONES, RATE, lengths=[400, 300]),
        "points": summary.Embedding(
            VECTORS, {"label": LABELS, "number": np.arange(5)}, PICTURES[..., None] / 255
        ),
        "counted": summary.Buckets(np.array([0.0, 1.0, 3.0]), np.array([2, 5])),
        "level": 0.5,
    }


def binary():
    """A run that tells two classes apart."""
    taught = gradient.supervised(
        mlp.MLP(features=(8,), classes=2),
        classification.cross_entropy,
        optax.adam(1e-2),
        scores=classification.binary_scores,
        clip=1.0,
    )
    data = runs.examples(classes=2)
    return runs.plain(
        taught,
        train=batches.shuffled(data, 8),
        tests={"valid": batches.once(data, 20)},
        summaries={"heard": heard},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def result(folder):
    runs.train(runs.linear(), folder / "linear")
    what = binary()
    return runs.train(watch.added(what, watch.suited(what, 0)), folder / "binary")


@pytest.fixture(scope="module")
def servers(folder, result, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    both = {name: boards.Server(folder, logs / name, name == "fast") for name in ("fast", "slow")}
    try:
        for server in both.values():
            server.wait({"binary", "linear"}, "binary", "heard/level")
        yield both
    finally:
        for server in both.values():
            server.close()


@pytest.fixture(params=["fast", "slow"])
def server(request, servers):
    return servers[request.param]


def test_audio(server):
    tags = server.json("plugin/audio/tags")
    assert tags["binary"]["heard/tones"]["samples"] == 2 and not tags.get("linear")
    for sample, length in ((0, 400), (1, 300)):
        entries = server.json(
            "plugin/audio/audio", run="binary", tag="heard/tones", sample=str(sample)
        )
        assert [entry["step"] for entry in entries] == [20, 40, 60]
        query = dict(urllib.parse.parse_qsl(entries[-1]["query"]))
        assert query["content_type"] == "audio/wav"
        content = server.bytes("plugin/audio/individualAudio", **query)
        with wave.open(io.BytesIO(content)) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (RATE, 1)
            samples = np.frombuffer(sound.readframes(10**6), "<i2")
        np.testing.assert_allclose(samples / 2**15, TONES[sample, :length], atol=2**-15)


def test_curve(server, result):
    [last] = [
        one
        for one in server.json("plugin/pr_curves/pr_curves", run="binary", tag="valid/scores")[
            "binary"
        ]
        if one["step"] == 60
    ]
    data = runs.examples(classes=2)
    logits = binary().learner.predict(result.state, jax.tree.map(jnp.asarray, data))
    chances = np.asarray(jax.nn.softmax(logits))[:, 1]
    chances = np.floor(chances * 1000) / 1000  # to the width of a bin
    for i in (0, 20, 100, 150):
        claimed = chances >= last["thresholds"][i] - 1e-9
        precision, recall, _, _ = curves.precision_recall_fscore_support(
            data["target"], claimed, average="binary"
        )
        assert last["precision"][i] == pytest.approx(precision)
        assert last["recall"][i] == pytest.approx(recall)
    assert (
        "linear" not in server.json("plugin/pr_curves/tags")
        or not server.json("plugin/pr_curves/tags")["linear"]
    )


def test_projector(server):
    assert server.json("plugin/projector/runs") == ["binary"]
    [entry] = server.json("plugin/projector/info", run="binary")["embeddings"]
    assert entry["tensorName"] == "heard/points" and entry["tensorShape"] == [5, 3]
    query = {"run": "binary", "name": "heard/points"}
    vectors = np.frombuffer(server.bytes("plugin/projector/tensor", **query), "<f4")
    np.testing.assert_allclose(vectors.reshape(5, 3), VECTORS, rtol=1e-5)
    rows = server.bytes("plugin/projector/metadata", **query).decode().splitlines()
    assert rows == ["label\tnumber", "a\t0", "b\t1", "a tab in it\t2", "é\t3", "b\t4"]
    assert entry["sprite"]["singleImageDim"] == [6, 4]
    sprite = np.asarray(
        Image.open(io.BytesIO(server.bytes("plugin/projector/sprite_image", **query)))
    )
    assert sprite.shape == (12, 18)  # three by three
    np.testing.assert_array_equal(sprite[4:8, 6:12], PICTURES[4])


def test_layout(server):
    layout = server.json("plugin/custom_scalars/layout")
    charts = {
        category["title"]: {one["title"]: one["multiline"]["tag"] for one in category["chart"]}
        for category in layout["category"]
    }
    assert {name: list(found) for name, found in charts.items()} == {
        "training and test": ["loss", "accuracy"],
        "test": [
            *("confusion/accuracy", "confusion/balanced accuracy", "confusion/f1"),
            *("scores/auprc", "scores/auroc", "scores/ece"),
        ],
        "training": ["gradient norm"],
        "speed": ["examples per second", "steps per second"],
    }
    found = {}
    for name, run in (("loss", "binary"), ("loss", "linear"), ("accuracy", "binary")):
        [pattern] = charts["training and test"][name]
        reply = server.json("plugin/custom_scalars/scalars", run=run, tag=pattern)
        found[name, run] = set(reply["tag_to_events"])
    assert found["loss", "binary"] == {"train/loss", "valid/loss"}
    assert found["loss", "linear"] == {"train/loss", "test/loss"}
    assert found["accuracy", "binary"] == {"train/accuracy", "valid/accuracy"}
    [pattern] = charts["test"]["scores/auroc"]
    reply = server.json("plugin/custom_scalars/scalars", run="binary", tag=pattern)
    assert [step for _, step, _ in reply["tag_to_events"]["valid/scores/auroc"]] == [20, 40, 60]


def test_confusion_and_buckets(server, result):
    pixels = server.image("binary", "valid/confusion")
    data = runs.examples(classes=2)
    found = np.asarray(
        binary().learner.predict(result.state, jax.tree.map(jnp.asarray, data))
    ).argmax(1)
    counts = curves.confusion_matrix(data["target"], found)
    expected = confusion.picture(summary.Confusion(counts), "")
    np.testing.assert_array_equal(pixels, expected)
    rows = server.json("plugin/histograms/histograms", run="binary", tag="heard/counted")
    assert rows[-1][1:] == [60, [[0.0, 1.0, 2.0], [1.0, 3.0, 5.0]]]


def test_weights_gradients_and_activations(server, result):
    tags = set(server.json("plugin/histograms/tags")["binary"]) - {"heard/counted"}
    modules = {"hidden_0", "output"}
    arrays = {f"{module}/{name}" for module in modules for name in ("kernel", "bias")}
    told = {f"{kind}/{path}" for kind in ("weights", "gradients") for path in arrays}
    assert tags >= told | {f"activations/{module}" for module in modules}
    for tab in ("histograms/histograms", "distributions/distributions"):
        rows = server.json(f"plugin/{tab}", run="binary", tag="weights/output/kernel")
        assert [row[1] for row in rows] == [20, 40, 60]
    rows = server.json("plugin/histograms/histograms", run="binary", tag="weights/output/kernel")
    kernel = np.asarray(result.state.params["output"]["kernel"])
    buckets = np.array(rows[-1][2])
    assert buckets[:, 2].sum() == kernel.size
    np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [kernel.min(), kernel.max()])


def test_graph(server):
    runs_with_graph = server.json("plugin/graphs/info")
    assert set(runs_with_graph) == {"binary", "linear"}
    text = server.bytes("plugin/graphs/graph", run="binary", conceptual="false")
    found = text_format.Parse(text.decode(), graph_pb2.GraphDef())
    nodes = {node.name: node for node in found.node}
    assert len(nodes) == len(found.node)
    assert all(name in nodes for node in found.node for name in node.input)
    products = sorted(node.name for node in found.node if node.op == "dot_general")
    assert products == ["MLP/hidden_0/dot_general", "MLP/output/dot_general"]
    arguments = {node.name for node in found.node if node.op == "argument"}
    assert {"MLP/hidden_0/kernel", "MLP/output/bias", "data/0/input"} <= arguments
    assert not any("optimizer" in name for name in nodes)
    [shape] = nodes["MLP/output/dot_general"].attr["_output_shapes"].list.shape
    assert [dim.size for dim in shape.dim] == [20, 2]
    results = {node.name for node in found.node if node.op == "result"}
    assert {"metrics/loss/total", "metrics/confusion/matrix"} <= results


# --- what a server is not needed for


def test_graph_computes_what_was_traced():
    """The graph's only product depends on all arguments that the result depends on, and no more."""

    def function(state, data):
        return {"y": np.float32(2) * (state["a"] @ data), "z": state["b"].sum()}

    given = {"state": {"a": np.ones((2, 3), np.float32)}, "data": np.ones(3, np.float32)}
    given["state"] |= {"b": np.ones(4), "unused": np.ones(5)}
    found = graph.definition(graph.traced(function, **given))
    assert found is not None
    inputs = {node.name: list(node.input) for node in found.node}

    def arguments(name):
        before = [arguments(one) for one in inputs[name]]
        return {name}.union(*before) if inputs[name] else {name}

    leaves = {name for name, before in inputs.items() if not before}
    assert arguments("metrics/y") & leaves == {"state/a", "data"}
    assert arguments("metrics/z") & leaves == {"state/b"}
    assert "state/unused" not in inputs


def test_graph_of_a_recurrent_network_has_its_body_once():
    model = rnn.RNN(outputs=1, cell="gru", width=4)
    x = jax.ShapeDtypeStruct((2, 7, 3), jnp.float32)
    variables = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
    given = {"variables": variables, "x": x}

    def apply(variables, x):
        return model.apply(variables, x, train=False)

    found = graph.definition(graph.traced(apply, **given))
    assert found is not None
    gates = [node for node in found.node if node.op == "tanh"]
    assert gates and all("/scan_of_7/" in node.name for node in gates)


def test_resumed_run_keeps_its_graph_and_layout(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("jaxdl.train.stop.Catcher", lambda: runs.StopAfter(3))
        stopped = runs.train(runs.linear(chunk=10), tmp_path)
    assert (stopped.status, stopped.step) == ("stopped", 30)
    tensorboard.Writer(tmp_path, 30).close()  # as a resumed run begins
    reader = runs.accumulated(tmp_path)
    assert len(reader.Graph().node) > 3
    assert [one.step for one in reader.Tensors(charts.TAG)] == [20]


def test_layout_grows_with_the_curves(tmp_path):
    """Training is logged for the first time after two evaluations."""
    runs.train(runs.linear(log_every=20, eval_every=10, chunk=10), tmp_path)
    found = runs.accumulated(tmp_path).Tensors(charts.TAG)
    titles = {
        one.step: [
            category.title
            for category in layout_pb2.Layout.FromString(one.tensor_proto.string_val[0]).category
        ]
        for one in found
    }
    assert titles == {10: ["test"], 20: ["training and test", "speed"]}


def test_confusion_is_as_dark_as_its_share():
    counts = np.array([[3, 1], [0, 4]])
    pixels = confusion.picture(summary.Confusion(counts, ("cat", "dog")), "c").astype(int)
    corners = pixels[-26 - 2 * 40 :: 40, -26 - 2 * 40 :: 40, 0][:2, :2]  # margin, cells
    np.testing.assert_allclose(
        (255 - corners) / (255 - corners[1, 1]), [[0.75, 0.25], [0, 1]], atol=0.01
    )
    large = confusion.picture(summary.Confusion(np.eye(30)), "c")
    side = large.shape[0] // 30
    assert (large[::side, ::side][~np.eye(30, dtype=bool)] == 255).all()
    assert (large[::side, ::side][np.eye(30, dtype=bool)] < 255).any(-1).all()


def test_metrics_show_what_a_person_can_look_at():
    many = metrics.Confusion(np.eye(101))
    collected = metrics.Collected(np.ones(3), np.sum, lambda x: summary.Text(str(x.sum())))
    few = {"few": metrics.Confusion(np.eye(3)), "many": many, "loss": metrics.Mean(1.0, 1.0)}
    shown = metrics.shown(few | {"texts": collected, "plain": metrics.Collected(0.0, np.sum)})
    assert set(shown) == {"few", "texts"} and shown["texts"] == summary.Text("3.0")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (summary.Audio(np.ones((2, 2, 2)), 8000), "waves"),
        (summary.Audio(np.ones(5), 0), "rate"),
        (summary.Buckets(np.ones(3), np.ones(3)), "edges"),
        (summary.Curve(np.ones(3), np.ones(4)), "one length"),
        (summary.Confusion(np.ones((2, 3))), "matrix"),
        (summary.Confusion(np.ones((2, 2)), ("a",)), "2 names"),
        (summary.Embedding(np.ones(3)), "vectors"),
        (summary.Embedding(np.ones((3, 2)), {"label": [1, 2]}), "3 values of 'label'"),
        (summary.Embedding(np.ones((3, 2)), {}, np.ones((2, 4, 4))), "3 pictures"),
        (summary.Embedding(np.ones((2, 2)), {}, np.ones((2, 5000, 1))), "8192"),
    ],
)
def test_wrong_shapes(tmp_path, item, said):
    with tensorboard.Writer(tmp_path) as writer, pytest.raises(errors.InputError, match=said):
        writer.show(1, {"shown": item})


def test_embeddings_of_two_tags_and_of_a_later_step(tmp_path):
    with tensorboard.Writer(tmp_path) as writer:
        writer.show(
            1, {"a": summary.Embedding(np.zeros((2, 2))), "b/c": heard(None, None)["points"]}
        )
        writer.show(2, {"a": summary.Embedding(np.ones((3, 2)))})
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert config.count("embeddings {") == 2 and "projector/b%2Fc/sprite.png" in config
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "projector" / "a" / "vectors.tsv"), [[1, 1, 0]] * 3
    )
