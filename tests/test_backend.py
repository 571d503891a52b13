"""The known faults of jaxlib do not reach a user of jaxdl, and how that is arranged.

Each fault is tried in a child process under a watchdog: one gives a wrong sum, one crashes, one
hangs. jax-ml/jax#39103, jax-ml/jax#40412, and batched QR waiting for its own threads.
"""

import os
import subprocess
import sys
import types
from importlib import metadata

import pytest

from jaxdl import backend, doctor

ASYNC = "JAX_CPU_ENABLE_ASYNC_DISPATCH"
FLAG = "--xla_cpu_experimental_ynn_fusion_type="


@pytest.mark.parametrize("name", doctor.CHECKS)
def test_no_fault_with_jaxdl(name):
    assert doctor.check(doctor.CHECKS[name], limit=120).problem == ""


@pytest.mark.skipif(metadata.version("jaxlib") != "0.10.2", reason="the faults of one release")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sums under vmap", "1 of 32769 rows are wrong"),
        ("reductions of high rank", "crashes: SIGSEGV"),
    ],
)
def test_the_faults_are_seen_without_the_flag(name, problem, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{FLAG}reduce")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert doctor.check(doctor.CHECKS[name], limit=120).problem == problem


def test_flag_is_set_and_other_flags_stay(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there")
    monkeypatch.setattr(backend, "_backend_started", lambda: False)
    monkeypatch.setattr(metadata, "version", lambda name: "0.10.2")
    backend.prepare()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=there {FLAG}"
    backend.prepare()
    assert os.environ["XLA_FLAGS"] == f"--xla_dump_to=there {FLAG}"


def test_the_users_own_choice_stays(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", f"{FLAG}-reduce")
    backend.prepare()
    assert os.environ["XLA_FLAGS"] == f"{FLAG}-reduce"


@pytest.mark.parametrize(("version", "set_"), [("0.9.2", False), ("0.11.0", True)])
def test_only_versions_that_know_the_flag_get_it(version, set_, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(backend, "_backend_started", lambda: False)
    monkeypatch.setattr(metadata, "version", lambda name: version)
    backend.prepare()
    assert os.environ.get("XLA_FLAGS") == (FLAG if set_ else None)


@pytest.mark.parametrize(
    ("code", "warns"),
    [
        ("import jax; jax.devices(); import jaxdl", True),
        ("import jax; import jaxdl; jax.devices()", False),  # before its first computation
    ],
)
def test_a_late_import_warns(code, warns):
    done = child(code, XLA_FLAGS="")
    assert ("jaxdl must be imported before JAX runs" in done.stderr) == warns
    assert done.returncode == 0


def test_import_is_light():
    code = "import jaxdl, sys; print({'jax', 'numpy', 'flax', 'tyro'} & set(sys.modules))"
    assert child(code).stdout == "set()\n"


def child(code, **variables):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize(("choice", "calls"), [({}, 2), ({"GLIBC_TUNABLES": ""}, 0)])
def test_freed_memory_is_kept_unless_the_user_chose(monkeypatch, choice, calls):
    seen = []
    for name in backend.MALLOC_CHOICES:
        monkeypatch.delenv(name, raising=False)
    for name, value in choice.items():
        monkeypatch.setenv(name, value)
    library = types.SimpleNamespace(mallopt=lambda *x: seen.append(x) or 1)
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda name: library)
    backend._keep_memory()
    assert len(seen) == calls


def test_an_allocator_without_mallopt_is_left_alone(monkeypatch):
    for name in backend.MALLOC_CHOICES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(backend.ctypes, "CDLL", lambda name: types.SimpleNamespace())
    backend._keep_memory()


@pytest.mark.parametrize(("choice", "asynchronous"), [({}, "False"), ({ASYNC: "1"}, "True")])
def test_commands_compute_where_they_dispatch(choice, asynchronous):
    code = "from jaxdl import command; command.set_up(); from jax._src import xla_bridge as bridge"
    done = child(f"{code}; print(bridge._CPU_ENABLE_ASYNC_DISPATCH.value)", **choice)
    assert done.stdout == f"{asynchronous}\n"
