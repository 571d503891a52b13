"""The benchmarks of one GPU and of streams, in a tiny size on CPU."""

import importlib
import json
import pathlib

import jax
import pytest
import rich.console

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def tools():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module


def test_says_that_there_is_no_gpu(tools, capsys):
    assert tools("benchmark").main(["--gpu"]) == 2
    assert capsys.readouterr().out.startswith("No GPU: JAX sees cpu.")


def test_the_whole_of_it_in_a_tiny_size(tools, tmp_path, monkeypatch):
    gpu = tools("benchmark_gpu")
    monkeypatch.setattr(gpu, "torch_gpt", lambda size, batch: None)  # compared by another test
    figures = tmp_path / "figures.json"
    assert tools("benchmark").main(["--gpu", "--small", "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found["tokens/s by chunk"].keys() == {"1", "2"}
    assert found["tokens/s"] == max(found["tokens/s by chunk"].values()) > 0
    assert found["sweep seconds"].keys() == {"together", "one after another"}
    assert found["jaxdl / torch"] is None


def test_pytorch_has_the_same_parameters(tools):
    torch = pytest.importorskip("torch")
    gpu, work = tools("benchmark_gpu"), tools("benchmark_work")
    model = gpu.gpt.GPT(**gpu.TINY)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jax.numpy.zeros((1, 4), int))
    theirs = work.torch_gpt(torch, **gpu.TINY, tied=True).parameters()
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert sum(parameter.numel() for parameter in theirs) == ours
    assert gpu.torch_gpt(gpu.SMALL._replace(steps=1), 2, repeats=1) > 0


def test_what_does_not_fit_is_halved(tools):
    def measure(batch):
        if batch > 3:
            raise RuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return batch * 10

    fitting = tools("benchmark_gpu").fitting
    assert fitting(measure, 16) == (2, 20)
    with pytest.raises(ValueError, match="other"):
        fitting(lambda batch: (_ for _ in ()).throw(ValueError("other")), 16)


def test_gpt2s_arithmetic(tools):
    gpu = tools("benchmark_gpu")  # 6 × 124 million, and attention's 113 million
    assert gpu.flops_per_token(gpu.GPT2) == pytest.approx(6 * 123.6e6 + 113e6, rel=0.01)


def test_streams_are_measured_beside_memory(tools, capsys, monkeypatch):
    streams = tools("benchmark_streams")
    small = {"seconds": 1e-3, "images": 128}
    monkeypatch.setattr(streams, "FLOOR", 0.0)
    assert streams.show(1, rich.console.Console(), **small) == 0
    monkeypatch.setattr(streams, "FLOOR", 1e9)
    assert streams.show(1, rich.console.Console(), **small) == 1
    assert "ratio of rates" in capsys.readouterr().out
