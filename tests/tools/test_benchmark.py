"""The benchmark: its rows build and train on both sides, and its ratios are the right way round."""

import functools
import importlib
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from jaxdl import errors

ROWS = ["mlp", "cnn", "lstm", "gpt", "gru", "bert", "vit", "resnet", "unet"]
TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module("benchmark")


def tiny(benchmark):
    work, models = benchmark.benchmark_work, benchmark.benchmark_models
    return {
        "mlp": functools.partial(work.perceptron, 6, (4, 3), 4),
        "digits": functools.partial(work.perceptron, 6, (4,), 4),
        "cnn": functools.partial(work.convolutional, 4, (2, 3), 4),
        "lstm": functools.partial(work.recurrent, 4, 6, 2),
        "gpt": functools.partial(work.transformer, 8, 1, 2, 6, 2),
        "gru": functools.partial(models.gated, 4, 6, 2),
        "bert": functools.partial(models.bidirectional, 8, 1, 6, 2),
        "vit": functools.partial(models.patched, 8, 1, 2),
        "resnet": functools.partial(models.residual, (1, 1), 2),
        "unet": functools.partial(models.segmenting, (2, 3), 2),
    }


def test_every_row_has_a_tiny_version(benchmark):
    assert set(tiny(benchmark)) == set(benchmark.ROWS)


@pytest.mark.parametrize("row", ["mlp", "cnn"])
def test_rows_build_and_advance(benchmark, row):
    work = tiny(benchmark)[row]()
    for loop in (benchmark.our_loop, benchmark.bare_loop):
        loop(work)(2)


@pytest.mark.parametrize("row", ROWS)
def test_both_sides_have_the_same_parameters(benchmark, row):
    torch = pytest.importorskip("torch")
    work = tiny(benchmark)[row]()
    shapes = jax.eval_shape(
        work.model.init, jax.random.key(0), jnp.asarray(work.data.arrays["input"][:1])
    )
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    theirs = sum(parameter.numel() for parameter in work.torch_model(torch).parameters())
    # PyTorch's recurrent cells have two biases that are added; ours has both for a GRU's new state.
    second_bias = {"lstm": 4 * 4, "gru": 2 * 4}.get(row, 0)
    assert theirs - second_bias == ours
    benchmark.torch_loop(work)(1)


def test_a_ratio_above_one_means_faster(benchmark):
    times = {"loop": [1.0, 2.0, 1.0], "bare": [1.5, 2.0, 0.5], "torch": [2.0, 8.0, 3.0]}
    measured = benchmark.summarised("mlp", times)
    assert (measured.loop, measured.torch) == (1.0, 3.0)
    assert measured.milliseconds == {"loop": 1000, "bare": 1500, "torch": 3000}
    assert measured.reached
    assert not benchmark.summarised("mlp", times | {"torch": [1.0, 2.0, 1.0]}).reached
    assert not benchmark.summarised("digits", times).reached


def test_the_command_writes_figures_and_fails_below_a_floor(benchmark, tmp_path, monkeypatch):
    row = benchmark.Row("tiny", tiny(benchmark)["mlp"], loop_floor=0.0, torch_floor=1.0)
    monkeypatch.setitem(benchmark.ROWS, "mlp", row)
    monkeypatch.setattr(benchmark, "measure", functools.partial(benchmark.measure, seconds=1e-3))
    figures = tmp_path / "figures.json"
    arguments = ["--rows", "mlp", "--repeats", "2", "--json", str(figures), "--without-torch"]
    assert benchmark.main(arguments) == 0
    (one,) = json.loads(figures.read_text())
    assert set(one["milliseconds"]) == {"loop", "bare"}
    assert one["torch"] is None
    impossible = benchmark.Row("tiny", row.build, loop_floor=1e9)
    monkeypatch.setitem(benchmark.ROWS, "mlp", impossible)
    assert benchmark.main(arguments) == 1


def test_names_the_extra_where_pytorch_is_missing(benchmark, monkeypatch, capsys):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(benchmark.importlib, "import_module", missing)
    with pytest.raises(errors.InputError, match=r"jaxdl\[parity\]"):
        benchmark._torch()
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(["--rows", "mlp"])
    assert "jaxdl[parity]" in capsys.readouterr().err


def test_refuses_an_unknown_row(benchmark, capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(["--rows", "mlp,vgg", "--without-torch"])
    assert "got vgg" in capsys.readouterr().err
