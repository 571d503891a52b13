"""The report of a sweep, read back: the table, the CSV, and TensorBoard's own view of the bands."""

import csv
import io
import json
import math
import pathlib

import numpy as np
import pytest
import rich.console
from scipy import stats
from tensorboard.backend.event_processing import (
    data_provider,
    event_accumulator,
    plugin_event_multiplexer,
)
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin

from jaxdl import errors
from jaxdl.sweep import report, space

TAG = "test/accuracy"
STEPS = np.arange(0, 50, 10)


def member(
    rate: float, seed: int, best: float | None = None, status: str = "completed", **curves
) -> report.Member:
    setting = space.Setting({"learning_rate": rate, "features": (64, 32)})
    history = {
        name.replace("_", "/"): (STEPS[: len(curve)], np.asarray(curve))
        for name, curve in curves.items()
    }
    return report.Member(
        label=setting.label,
        setting=setting,
        seed=seed,
        status=status,
        step=40,
        seconds=1.5,
        best=None if best is None else (30, best),
        metrics={tag: float(curve[-1]) for tag, (_, curve) in history.items()},
        history=history,
        folder=pathlib.Path("runs") / setting.label / str(seed),
    )


def text(members: list[report.Member], tag: str | None = TAG, highest: bool = True) -> list[str]:
    console = rich.console.Console(file=io.StringIO(), width=120)
    console.print(report.table(members, tag, highest))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [" ".join(line.split()) for line in lines if line.strip()]


# --- the interval ---


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_interval_is_students(count):
    sample = np.random.default_rng(count).normal(3.0, 2.0, (count, 5))
    mean, half = report.interval(sample)
    low, high = stats.t.interval(0.95, count - 1, sample.mean(0), stats.sem(sample))
    np.testing.assert_allclose(mean - half, low, rtol=1e-12)
    np.testing.assert_allclose(mean + half, high, rtol=1e-12)


def test_one_value_is_its_own_interval_and_what_is_not_finite_stays_visible():
    assert report.interval(np.array([3.0])) == (3.0, 0.0)
    mean, half = report.interval(np.array([[1.0, np.inf], [1.0, np.nan], [1.0, -np.inf]]))
    assert (mean[0], half[0]) == (1.0, 0.0)
    assert math.isnan(mean[1])
    assert math.isnan(half[1])


# --- the table ---


def test_the_table_has_the_best_setting_first_and_failures_last():
    members = [member(0.1, seed, best) for seed, best in enumerate((0.9, 0.92, 0.94))]
    members += [member(0.2, seed, best) for seed, best in enumerate((0.95, 0.97, 0.96))]
    members += [member(0.3, 0, 0.99), member(0.3, 1, 0.99, status="failed")]
    members += [member(0.4, 0, status="failed"), member(0.5, 0, 0.5), member(0.6, 0)]
    half = stats.sem([0.95, 0.96, 0.97]) * stats.t.ppf(0.975, 2)
    head, rows = text(members)[0], text(members)[2:]
    assert head == f"learning_rate features {TAG} seeds"
    assert rows == [
        f"0.2 64 32 0.960 ± {half:.3f} 3",
        "0.1 64 32 0.920 ± 0.050 3",
        "0.5 64 32 0.5 1",
        "0.6 64 32 - 1",
        "0.3 64 32 0.99 1 of 2, 1 failed",
        "0.4 64 32 - 0 of 1, 1 failed",
    ]
    lowest = [row.split()[0] for row in text(members, highest=False)[2:]]
    assert lowest == ["0.5", "0.1", "0.2", "0.6", "0.3", "0.4"]


def test_without_a_monitored_metric_the_table_shows_the_last_values():
    members = [
        member(0.2, seed, test_accuracy=[0.5, 0.7 + seed / 10], train_loss=[2.0, 1.0])
        for seed in range(2)
    ]
    rows = text([*members, member(0.1, 0, test_accuracy=[0.9], train_loss=[0.5])], tag=None)
    half = 0.05 * stats.t.ppf(0.975, 1)
    assert rows[0] == f"learning_rate features {TAG} train/loss seeds"
    assert rows[2:] == [f"0.2 64 32 0.75 ± {half:.2f} 1 ± 0 2", "0.1 64 32 0.9 0.5 1"]


def test_a_long_table_ends_with_where_the_rest_is():
    lines = text([member(i / 100, 0, i / 100) for i in range(1, 51)])
    assert [line.split()[0] for line in lines[2:22]] == [str(i / 100) for i in range(50, 30, -1)]
    assert lines[22:] == ["and 30 more settings in results.csv"]


def test_members_may_have_nothing_in_common():
    empty = report.Member("default", {}, 0, "stopped", 0, 0.0, None, {}, {}, pathlib.Path("x"))
    assert text([empty])[2:] == ["- 0 of 1"]
    assert text([])[0] == f"{TAG} seeds"
    assert report.bands([empty]) == {}


# --- the CSV ---


def test_the_csv_has_every_member_and_every_number(tmp_path):
    members = [
        member(0.1, 0, 0.1 + 0.2, test_accuracy=[0.5, 1 / 3]),
        member(0.1, 1, 0.9, test_accuracy=[0.25]),
        member(0.2, 0, status="failed", train_loss=[math.nan]),
    ]
    report.write_table(tmp_path, [], TAG, True)
    report.write_table(tmp_path, members, TAG, True)
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["status"]) for row in rows] == [
        ("1", "completed"),
        ("0", "completed"),
        ("0", "failed"),
    ]
    assert rows[1] == {
        "label": "learning_rate=0.1,features=64+32",
        "learning_rate": "0.1",
        "features": "64 32",
        "seed": "0",
        "status": "completed",
        "step": "40",
        "seconds": "1.5",
        "best_step": "30",
        "best_value": repr(0.1 + 0.2),
        "test/accuracy": repr(1 / 3),
        "train/loss": "",
        "folder": str(members[0].folder),
    }
    assert rows[2]["train/loss"] == "nan"
    assert rows[2]["best_value"] == ""
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(errors.StorageError, match=r"must be writable, got .*results\.csv: "):
        report.write_table(tmp_path / "file", [member(0.1, 0, 0.5)], TAG, True)
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(errors.StorageError, match="The runs themselves are safe"):
        report.write_table(tmp_path, [member(0.1, 0, 0.5)], TAG, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "results.csv"]


# --- bands ---

CURVES = np.random.default_rng(0).normal(size=(3, 5)).cumsum(1)


def sweep() -> list[report.Member]:
    """Three seeds of one setting, the last without its last step, and a failure; one of another."""
    first = [member(0.1, i, test_loss=CURVES[i, : 5 - i // 2], train_loss=[1]) for i in range(3)]
    failed = member(0.1, 3, status="failed", test_loss=[99.0])
    return [*first, failed, member(0.2, 0, test_loss=CURVES[0]), member(0.3, 0, status="failed")]


def test_a_band_is_the_interval_where_every_finished_seed_has_a_value():
    found = report.bands(sweep())
    assert set(found) == {f"learning_rate={rate},features=64+32" for rate in (0.1, 0.2)}
    band = found["learning_rate=0.1,features=64+32"]["test/loss"]
    low, high = stats.t.interval(0.95, 2, CURVES[:, :4].mean(0), stats.sem(CURVES[:, :4]))
    np.testing.assert_array_equal(band.steps, [0, 10, 20, 30])
    np.testing.assert_allclose(band.mean, CURVES[:, :4].mean(0), rtol=1e-12)
    np.testing.assert_allclose(band.low, low, rtol=1e-12)
    np.testing.assert_allclose(band.high, high, rtol=1e-12)
    single = found["learning_rate=0.2,features=64+32"]["test/loss"]
    for curve in (single.mean, single.low, single.high):
        np.testing.assert_array_equal(curve, CURVES[0])


def test_a_tag_that_a_seed_lacks_has_no_band():
    members = [member(0.1, 0, test_loss=[1.0], rare=[1.0]), member(0.1, 1, test_loss=[2.0])]
    apart = [member(0.1, 0, test_loss=[1.0]), member(0.1, 1)]
    later = (STEPS[1:2], np.array([1.0]))
    never = [member(0.1, 0, test_loss=[1.0]), members[1]._replace(history={"test/loss": later})]
    assert list(report.bands(members)["learning_rate=0.1,features=64+32"]) == ["test/loss"]
    assert report.bands(apart) == {"learning_rate=0.1,features=64+32": {}}
    assert report.bands(never) == {"learning_rate=0.1,features=64+32": {}}


def test_tensorboard_reads_the_bands_and_writing_again_replaces_them(tmp_path):
    found = report.bands(sweep())
    report.write_bands(tmp_path, report.bands([member(0.1, 0, test_loss=[7.0], gone=[1.0])]))
    for _ in range(2):
        report.write_bands(tmp_path, found)
    for label, tags in found.items():
        folder = tmp_path / "settings" / label
        reader = event_accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0})
        reader.Reload()
        expected = {f"{tag}/{part}" for tag in tags for part in ("mean", "low", "high")}
        assert set(reader.Tags()["scalars"]) == expected
        for tag, band in tags.items():
            for part in ("mean", "low", "high"):
                points = reader.Scalars(f"{tag}/{part}")
                assert [point.step for point in points] == band.steps.tolist()
                values = [point.value for point in points]
                np.testing.assert_allclose(values, getattr(band, part), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated")
def test_custom_scalars_draws_every_tag_as_a_band(tmp_path):
    from tensorboard.plugins.custom_scalar import custom_scalars_plugin
    from tensorboard.plugins.scalar import scalars_plugin

    found = report.bands(sweep())
    for _ in range(2):
        report.write_bands(tmp_path, found)
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path)).Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    plugins: dict = {}
    context = base_plugin.TBContext(data_provider=provider, plugin_name_to_instance=plugins)
    plugins["scalars"] = scalars_plugin.ScalarsPlugin(context)
    plugin = custom_scalars_plugin.CustomScalarsPlugin(context)

    layout = json.loads(plugin.layout_impl(RequestContext(), experiment=""))
    charts = {c["title"]: c["margin"]["series"] for g in layout["category"] for c in g["chart"]}
    assert [group["title"] for group in layout["category"]] == ["test", "train"]
    assert list(charts) == ["test/loss", "train/loss"]
    (series,) = charts["test/loss"]
    label = "learning_rate=0.2,features=64+32"
    for part in ("value", "lower", "upper"):
        run = f"settings/{label}"
        shown = plugin.scalars_impl(RequestContext(), run, series[part], experiment="")
        ((tag, points),) = shown["tag_to_events"].items()
        assert tag == series[part]
        np.testing.assert_allclose([value for _, _, value in points], CURVES[0], rtol=1e-6)
