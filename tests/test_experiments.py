"""Every experiment, in a tiny size: it trains two steps, evaluates, and writes readable curves."""

import inspect
import json
import pathlib
import re

import catalogue
import image_files
import numpy as np
import pytest
import runs

from jaxdl import errors, experiment, run
from jaxdl.train import loop

FOLDER = pathlib.Path(__file__).parents[1] / "experiments"
FILES = sorted(FOLDER.glob("*.py"))
SMALL = catalogue.small()
WRITERS = {"mnist_cnn": image_files.write_mnist, "cifar10_resnet": image_files.write_cifar}


def named(path):
    return path.stem


@pytest.fixture(scope="module", params=FILES, ids=named)
def trained(request, tmp_path_factory):
    """An experiment's file, what it was called with, its run and the result."""
    path = request.param
    folder = tmp_path_factory.mktemp(path.stem)
    parameters = {"steps": 2} | SMALL.get(path.stem, {})
    if path.stem in WRITERS:
        WRITERS[path.stem](folder / "data")
        parameters["folder"] = str(folder / "data")
    function = experiment.File(path).function
    try:
        what = function(**parameters)
    except errors.MissingError as error:
        pytest.skip(str(error))
    launched = runs.launched(experiment=path.stem, source=path, **parameters)
    return path, parameters, what, loop.train(what, folder / "run", launched, quiet=True)


def test_trains_and_evaluates_and_is_read_back(trained):
    path, parameters, what, result = trained
    assert isinstance(what, run.Run)
    assert (result.status, result.step) == ("completed", 2)
    # NaN, where a log has nothing to tell of, is equal to itself here.
    np.testing.assert_equal(runs.curves(result.folder), runs.history(result))
    learnt = [tag for tag in result.history if tag.startswith("train/")]
    assert learnt and all(result.history[tag][0].tolist() == [1, 2] for tag in learnt)
    assert what.monitor is not None
    assert result.history[what.monitor.tag][0].tolist() == [1, 2]
    tags = runs.accumulated(result.folder).Tags()
    seen = {*tags["tensors"], *tags["images"], *tags["audio"], *result.history}
    list_of_points = result.folder / "projector_config.pbtxt"
    points = list_of_points.read_text() if list_of_points.exists() else ""
    for name in what.summaries:
        several = any(tag.startswith(f"{name}/") for tag in seen)
        assert name in seen or several or f'tensor_name: "{name}"' in points
    kept = json.loads((result.folder / "run.json").read_text())
    assert kept["hyperparameters"] == parameters
    assert (result.folder / "experiment.py").read_bytes() == path.read_bytes()


def test_says_what_it_is_and_what_it_reaches(trained):
    path, _, what, result = trained
    file = experiment.File(path)
    assert what.expected
    assert all(score.tag in result.history for score in what.expected)
    title, _, rest = file.docstring.partition("\n\n")
    assert title.endswith(".")
    assert "\n" not in title
    assert re.search(r"^Data: ", rest, re.MULTILINE)
    assert f"\n    python -m jaxdl.launch {path.stem}" in rest
    assert file.function.__doc__
    for parameter in inspect.signature(file.function).parameters.values():
        assert parameter.annotation is not parameter.empty, parameter
        assert parameter.default is not parameter.empty, parameter
    assert "seed" not in inspect.signature(file.function).parameters


def test_rows_are_of_experiments_that_exist():
    assert SMALL.keys() <= {path.stem for path in FILES}
