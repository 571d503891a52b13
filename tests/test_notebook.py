"""The notebook runs from top to bottom; a result shows its card and its curves."""

import base64
import io
import pathlib
import sys

import numpy as np
import pytest
import runs
from PIL import Image

from jaxdl.train import page

NOTEBOOKS = pathlib.Path(__file__).parents[1] / "experiments" / "notebooks"


def test_the_notebook_runs(tmp_path):
    for library in ("matplotlib", "nbclient", "ipykernel", "flatbuffers", "safetensors"):
        pytest.importorskip(library, reason="the extras notebook and interop")
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOKS / "digits.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=240, resources=where).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output.output_type for output in outputs] == ["execute_result"] * 4
    card, table, _, _ = (output.data for output in outputs)
    assert "completed at step 300" in card["text/html"]
    assert "width 32" in card["text/html"]
    assert "data:image/png;base64," in card["text/html"]
    assert "What differs" in table["text/markdown"] and "±" in table["text/markdown"]


def test_a_result_shows_its_curves(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra notebook")
    result = runs.train(runs.linear(steps=40), tmp_path / "run")
    shown = result._repr_html_()
    assert "small · completed at step 40" in shown
    assert f"test/loss {result.best[1]:.4g} at step" in shown
    picture = shown.partition("base64,")[2].partition('"')[0]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10
    (axes,) = page.figure(result.history).axes
    assert axes.get_title() == "loss"
    drawn = {line.get_label(): line.get_xydata().T for line in axes.lines}
    assert drawn.keys() == {"train", "test"}
    for part, curve in drawn.items():
        np.testing.assert_array_equal(curve, result.history[f"{part}/loss"])


def test_panels_are_the_losses_first_and_not_too_many():
    tags = ["train/loss", "speed/steps_per_second", "train/norm", "test/b/c", "test/a", "test/loss"]
    tags += [f"more/{i}" for i in range(9)]
    panels = page._panels(dict.fromkeys(tags, ([1], [2])))
    assert list(panels)[:2] == ["loss", "a"] and len(panels) == page.PANELS
    assert list(panels["loss"]) == ["train", "test"]
    assert not {"steps_per_second", "norm"} & panels.keys()


def test_without_matplotlib_the_card_stands_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = runs.train(runs.linear(steps=20), tmp_path / "run")._repr_html_()
    assert "completed at step 20" in shown and "<img" not in shown
    assert "jaxdl[notebook]" in shown
