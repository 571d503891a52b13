"""The committed fixtures are what their scripts make, where the reference libraries are installed.

All of them: pip install jaxdl[parity].
"""

import ast
import importlib.util
import pathlib
import sys

import jax
import numpy as np
import pytest

FOLDER = pathlib.Path(__file__).parent / "fixtures"
SCRIPTS = sorted(FOLDER.glob("make_*.py"))


def libraries(script):
    """What a script imports."""
    for node in ast.parse(script.read_text()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.fixture
def alone():
    """What a script sets for itself does not reach other tests, nor do their rules reach it."""
    with jax.numpy_rank_promotion("allow"):
        yield
    if torch := sys.modules.get("torch"):
        torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("default")  # of libraries that are not ours
@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
def test_a_fixture_is_what_its_script_makes(script, alone):
    for library in libraries(script):
        pytest.importorskip(library)
    spec = importlib.util.spec_from_file_location(script.stem, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.make()
    with np.load(FOLDER / f"{script.stem.removeprefix('make_')}.npz") as kept:
        assert made.keys() == set(kept.files)
        for name, array in made.items():
            wanted, array = kept[name], np.asarray(array)
            assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype), name
            if wanted.dtype.kind != "f":
                np.testing.assert_array_equal(array, wanted, err_msg=name)
                continue
            close = 1e-5 * max(1e-12, np.abs(wanted).max(initial=0))
            np.testing.assert_allclose(array, wanted, rtol=1e-5, atol=close, err_msg=name)


def test_every_fixture_has_a_script():
    assert {f"make_{path.stem}" for path in FOLDER.glob("*.npz")} == {s.stem for s in SCRIPTS}
