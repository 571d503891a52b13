"""The event files, read back by TensorBoard itself: its two servers and its EventAccumulator."""

import dataclasses
import enum
import math
import pathlib

import boards
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.histogram import summary_v2 as histogram_oracle
from tensorboard.util import tensor_util

from jaxdl import summary
from jaxdl.train import tensorboard

DIGIT = (np.arange(64, dtype=np.float32).reshape(8, 8) / 63).astype(np.float32)
COLOURS = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), dtype=np.uint8)
NORMAL = np.random.default_rng(1).normal(size=1000).astype(np.float32)
NOT_NUMBERS = [math.nan, math.inf, -math.inf, 1.5]


class Schedule(enum.Enum):
    COSINE = "c"


@dataclasses.dataclass(frozen=True)
class Optimizer:
    rate: float
    schedule: Schedule = Schedule.COSINE


# --- writing ---


def log(writer: tensorboard.Writer, steps: range) -> None:
    """Points as a run logs them: some tags at each step, one only now and then."""
    for step in steps:
        writer.scalars(step, {"train/loss": 1 / (1 + step), "train/accuracy": step / 100})
        if step == 10 or step == 80:
            writer.scalars(step, {"test/rare": step})
        if step % 20 == 0:
            writer.show(
                step,
                {
                    "weights": summary.Histogram(NORMAL * (1 + step)),
                    "input": summary.Image(DIGIT),
                    "sample": summary.Text(f"sample at {step}"),
                },
            )


def write_runs(folder: pathlib.Path) -> None:
    for name, rate, success in (("narrow", 0.1, True), ("wide", 0.01, False)):
        with tensorboard.Writer(folder / name) as writer:
            hyperparameters = {
                "width": 32 if success else 64,
                "features": (8, 16),
                "optimizer": Optimizer(rate),
                "dropout": None if success else 0.5,
                "limit": math.inf,
                "bias": success,
            }
            writer.start(hyperparameters, name)
            log(writer, range(0, 100))
            writer.show(100, {"grid": summary.Image(COLOURS), "score": jnp.bfloat16(0.5)})
            writer.show(100, {"bfloat16": summary.Histogram(jnp.ones(7, jnp.bfloat16))})
            writer.show(100, {"empty": summary.Histogram(np.array([np.nan]))})
            writer.show(100, {"text": summary.Text("**bold** and | tables |")})
            for step, value in enumerate(NOT_NUMBERS):
                writer.scalars(step, {"odd": value})
            writer.finish(success)
    with tensorboard.Writer(folder / "unfinished") as writer:
        writer.start({"width": 16, "late": "yes"}, "unfinished")
        writer.scalars(1, {"train/loss": 0.25})


def write_resumed(folder: pathlib.Path) -> None:
    """Stops at 99 with a torn record, goes on at 60; then again from 40, then to the end."""
    first = tensorboard.Writer(folder)
    first.start({"width": 32}, "resumed")
    log(first, range(0, 100))
    first.finish(False)
    first.flush()
    first.close()
    with first.path.open("r+b") as file:
        file.truncate(first.path.stat().st_size - 7)
    for start in (60, 40):
        with tensorboard.Writer(folder, start) as writer:
            writer.start({"width": 32}, "resumed")
            # The rare tag of step 80 is not logged again: it may not keep its abandoned point.
            log(writer, range(start + 1, 80))
            writer.finish(start == 40)


def write_uninterrupted(folder: pathlib.Path) -> None:
    with tensorboard.Writer(folder) as writer:
        writer.start({"width": 32}, "uninterrupted")
        log(writer, range(0, 80))
        writer.finish(True)


# --- server ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    write_resumed(folder / "resumed")
    write_uninterrupted(folder / "uninterrupted")
    return folder


@pytest.fixture(scope="module")
def servers(folder, tmp_path_factory):
    logs = tmp_path_factory.mktemp("logs")
    both = {name: boards.Server(folder, logs / name, name == "fast") for name in ("fast", "slow")}
    try:
        for server in both.values():
            # The run's last tag says that everything has been read.
            names = {"narrow", "wide", "unfinished", "resumed", "uninterrupted"}
            server.wait(names, "wide", "odd")
        yield both
    finally:
        for server in both.values():
            server.close()


@pytest.fixture(params=["fast", "slow"])
def server(request, servers) -> boards.Server:
    return servers[request.param]


def test_scalars(server):
    tags = server.json("plugin/scalars/tags")["narrow"]
    assert set(tags) == {"train/loss", "train/accuracy", "test/rare", "score", "odd"}
    points = server.points("narrow", "train/loss")
    assert [step for step, _ in points] == list(range(100))
    np.testing.assert_allclose([value for _, value in points], 1 / (1 + np.arange(100)), rtol=1e-7)
    assert server.points("narrow", "score") == [(100, 0.5)]
    np.testing.assert_equal([value for _, value in server.points("wide", "odd")], NOT_NUMBERS)


def test_images(server):
    pixels = server.image("narrow", "input")
    expected = np.kron(np.rint(DIGIT * 255), np.ones((32, 32))).astype(np.uint8)
    np.testing.assert_array_equal(pixels, expected)
    assert len(server.json("plugin/images/images", run="narrow", tag="input", sample="0")) == 5
    grid = server.image("narrow", "grid")[::17, ::17]  # 256 // 15 pixels for each
    assert grid.shape == (11, 15, 3)
    np.testing.assert_array_equal(grid[:5, :7], COLOURS[0])
    np.testing.assert_array_equal(grid[:5, 8:], COLOURS[1])
    np.testing.assert_array_equal(grid[6:, :7], COLOURS[2])
    assert (grid[5] == 128).all() and (grid[6:, 7:] == 128).all()


def test_histograms(server):
    rows = server.json("plugin/histograms/histograms", run="narrow", tag="weights")
    assert [step for _, step, _ in rows] == [0, 20, 40, 60, 80]
    oracle = histogram_oracle.histogram_pb("weights", NORMAL).value[0].tensor
    np.testing.assert_allclose(rows[0][2], tensor_util.make_ndarray(oracle), rtol=1e-12)
    [[_, step, buckets]] = server.json("plugin/histograms/histograms", run="narrow", tag="bfloat16")
    assert step == 100
    assert buckets[-1] == [1.0, 1.0, 7.0] and sum(bucket[2] for bucket in buckets) == 7
    [[_, _, buckets]] = server.json("plugin/histograms/histograms", run="narrow", tag="empty")
    assert not np.any(buckets)


def test_text(server):
    [entry] = server.json("plugin/text/text", run="narrow", tag="text")
    assert entry["step"] == 100 and "<strong>bold</strong>" in entry["text"]
    entries = server.json("plugin/text/text", run="narrow", tag="sample")
    assert [entry["step"] for entry in entries] == [0, 20, 40, 60, 80]


def test_hparams_columns(server):
    experiment = server.json("plugin/hparams/experiment", {"includeMetrics": True})
    columns = {info["name"]: info for info in experiment["hparamInfos"]}
    assert set(columns) == {
        *("width", "features", "optimizer.rate", "optimizer.schedule"),
        *("dropout", "limit", "bias", "late"),
    }
    differs = {name for name, info in columns.items() if info.get("differs")}
    assert differs == {"width", "optimizer.rate", "dropout", "bias"}
    assert columns["width"]["type"] == "DATA_TYPE_FLOAT64"
    assert columns["width"]["domainInterval"] == {"minValue": 16, "maxValue": 64}
    assert columns["bias"]["type"] == "DATA_TYPE_BOOL"
    metrics = {f"{info['name']['tag']}" for info in experiment["metricInfos"]}
    assert {"train/loss", "train/accuracy", "test/rare", "score"} <= metrics


def test_hparams_rows(server):
    statuses = ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"]
    request = {"allowedStatuses": statuses, "startIndex": 0, "sliceSize": 100, "colParams": []}
    reply = server.json("plugin/hparams/session_groups", request)
    rows = {group["name"]: group for group in reply["sessionGroups"]}
    assert set(rows) == {"narrow", "wide", "unfinished", "resumed", "uninterrupted"}
    narrow = rows["narrow"]["hparams"]
    assert narrow == {
        "width": 32,
        "features": "(8, 16)",
        "optimizer.rate": 0.1,
        "optimizer.schedule": "COSINE",
        "dropout": "None",
        "limit": "inf",
        "bias": True,
    }
    assert rows["wide"]["hparams"]["width"] == 64 and rows["wide"]["hparams"]["dropout"] == 0.5
    status = {name: row["sessions"][0].get("status") for name, row in rows.items()}
    assert status["narrow"] == status["resumed"] == status["uninterrupted"] == "STATUS_SUCCESS"
    assert status["wide"] == "STATUS_FAILURE"
    assert status["unfinished"] in (None, "STATUS_UNKNOWN")
    metrics = {m["name"]["tag"]: m for m in rows["narrow"]["metricValues"]}
    assert metrics["train/loss"]["trainingStep"] == 99
    assert metrics["train/loss"]["value"] == pytest.approx(0.01)


# --- resuming ---


def test_resumed_run_equals_uninterrupted_in_servers(server):
    tags = server.json("plugin/scalars/tags")
    assert tags["resumed"].keys() == tags["uninterrupted"].keys()
    for tag in tags["uninterrupted"]:
        expected = server.points("uninterrupted", tag)
        assert server.points("resumed", tag) == expected
        assert len(expected) == (1 if tag == "test/rare" else 80)
    for plugin, tag in (("histograms", "weights"), ("text", "sample")):
        runs = [
            server.json(f"plugin/{plugin}/{plugin}", run=run, tag=tag)
            for run in ("resumed", "uninterrupted")
        ]
        resumed, expected = ([drop_time(entry) for entry in entries] for entries in runs)
        assert resumed == expected and len(expected) == 4


def drop_time(entry):
    if isinstance(entry, list):
        return entry[1:]
    return {key: value for key, value in entry.items() if key != "wall_time"}


def accumulated(folder: pathlib.Path) -> dict[str, list]:
    reader = event_accumulator.EventAccumulator(str(folder), {"scalars": 0, "tensors": 0})
    reader.Reload()
    tags = reader.Tags()
    found = {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in tags["scalars"]}
    found |= {tag: [e.step for e in reader.Images(tag)] for tag in tags["images"]}
    return found | {tag: [e.step for e in reader.Tensors(tag)] for tag in tags["tensors"]}


def test_resumed_run_equals_uninterrupted_in_scripts(folder):
    resumed = accumulated(folder / "resumed")
    expected = accumulated(folder / "uninterrupted")
    for found in (resumed, expected):
        found.pop("_hparams_/session_start_info")  # at the first and at the resumed step
    assert resumed == expected
    assert [step for step, _ in expected["train/loss"]] == list(range(80))
    assert expected["test/rare"] == [(10, 10.0)]


def test_new_run_replaces_earlier_attempt(tmp_path):
    for _ in range(2):  # killed before its first checkpoint, it begins again
        with tensorboard.Writer(tmp_path) as writer:
            writer.start({"width": 1}, "run")
            log(writer, range(0, 3))
    assert [step for step, _ in accumulated(tmp_path)["train/loss"]] == [0, 1, 2]


def test_reader_that_watches_through_a_resume(tmp_path):
    first = tensorboard.Writer(tmp_path)
    log(first, range(0, 100))
    first.close()
    reader = event_accumulator.EventAccumulator(str(tmp_path), {"scalars": 0})
    reader.Reload()
    with tensorboard.Writer(tmp_path, 60) as writer:
        log(writer, range(61, 90))
    reader.Reload()
    assert [event.step for event in reader.Scalars("train/loss")] == list(range(90))


@pytest.mark.parametrize(
    "values",
    [
        np.array([-np.finfo(np.float64).max, np.finfo(np.float64).max]),
        np.array([1.0, np.nextafter(1.0, 2.0)]),
        np.array([0.0, 5e-324]),
        np.array([3, 1, np.inf, 2, np.nan]),
        np.arange(5, dtype=np.int32),
        np.float32(2.0),
        np.zeros((0, 3)),
    ],
    ids=["huge", "close", "denormal", "non-finite", "integers", "number", "none"],
)
def test_histogram_edges(tmp_path, values):
    with tensorboard.Writer(tmp_path) as writer:
        writer.show(0, {"h": summary.Histogram(values)})
    reader = event_accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    [event] = reader.Tensors("h")
    left, right, counts = tensor_util.make_ndarray(event.tensor_proto).T
    finite = np.asarray(values)[np.isfinite(values)]
    assert counts.sum() == finite.size and np.isfinite([left, right]).all()
    assert (left <= right).all() and (left[1:] == right[:-1]).all()
    if finite.size:
        assert left[0] == finite.min() and right[-1] == finite.max()


def test_large_integers_and_surrogates(tmp_path):
    with tensorboard.Writer(tmp_path) as writer:
        writer.start({"seed": 2**60 + 1, "scale": np.float32(0.5), "nested": {"a": 1}}, "run")
        writer.show(0, {"sample": summary.Text("half \ud83d")})
        writer.show(1, {})
        writer.close()
        writer.close()
    reader = event_accumulator.EventAccumulator(str(tmp_path))
    reader.Reload()
    assert reader.Tensors("sample")[0].tensor_proto.string_val == [b"half ?"]
    content = reader.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    assert b"1152921504606846977" in content and b"nested.a" in content
