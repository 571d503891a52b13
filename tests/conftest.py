"""Two simulated CPU devices, strict ranks, and a compilation cache shared by all tests."""

import os
import pathlib
import sys
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_NUMPY_RANK_PROMOTION", "raise")
# Compiled programs are shared between tests and test runs: compiling is most of their time.
CACHE = pathlib.Path(tempfile.gettempdir()) / "jaxdl-tests-compilation-cache"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

sys.path.append(str(pathlib.Path(__file__).parent / "data"))  # image_files writes small data sets
sys.path.append(str(pathlib.Path(__file__).parent / "fixtures"))  # what their scripts share

import jaxdl  # noqa: E402, F401 - sets the flags JAX needs, before JAX is imported


def pytest_make_parametrize_id(config, val, argname):
    """A function by its name: its address differs between the processes that share the tests."""
    return getattr(val, "__name__", argname) if callable(val) else None
