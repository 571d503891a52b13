"""`python -m jaxdl.launch --doctor`: devices, versions, and a self-check of this machine's JAX.

jaxlib 0.10 and 0.11 have known faults on CPU: a wrong sum under vmap (jax-ml/jax#39103), a crash
in a reduction (jax-ml/jax#40412), and a deadlock of batched linear algebra. Each is tried here as
jaxdl runs it, on the backend at hand, in a process of its own: one crashes, one hangs.
"""

import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import rich.console
import rich.table
import rich.text

from jaxdl import errors

PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "grain", "tensorboard", "numpy"),
    *("scikit-learn", "tyro"),
)
# What each extra is for; the modules that tell that it is there are those of errors.EXTRAS.
PURPOSES = {
    "cuda": "NVIDIA GPUs",
    "tpu": "Cloud TPUs",
    "search": "Optuna, to search hyperparameters",
    "slurm": "submitit, for SLURM and jobs side by side",
    "rl": "tree search and board games, to learn by playing",
    "interop": "pretrained checkpoints, tokenizers, exports",
    "text": "BLEU",
    "speech": "word error rates",
    "detection": "COCO's average precision",
    "series": "statsmodels' time series",
    "tables": "Parquet files",
    "molecules": "RDKit's molecules",
    "notebook": "curves in notebooks",
    "profile": "TensorBoard's PROFILE tab",
    "parity": "PyTorch, to compare with",
    "test": "the tests",
}
LIMIT = 15.0  # seconds that a check may take; each takes about two
CALLS = 100  # of the deadlock's program, which hung in one of a few hundred calls
CALLS_SECONDS = 4.0


class Outcome(NamedTuple):
    """How a check ended; `problem` is empty where all is well."""

    problem: str
    seconds: float


def wrong_sum() -> None:
    """Sums of squares under vmap: jaxlib 0.10.2's fused kernel gets one of 32,769 rows wrong."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    rows = np.zeros((32_769, 3), np.float32)
    rows[:, 0] = np.arange(len(rows))
    with jax.default_matmul_precision("highest"):  # GPUs and TPUs round products otherwise
        program = jax.jit(jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2)))
        sums = np.asarray(program(rows))
    right = (rows.astype(np.float64) ** 2).sum(1)
    wrong = np.flatnonzero(np.abs(sums - right) > 1e-3 * right)
    if wrong.size:
        sys.exit(f"{wrong.size} of {len(rows)} rows are wrong")


def crash() -> None:
    """A product summed over an axis of rank-7 arrays: jaxlib 0.10.2's fused kernel crashes."""
    import jax
    import numpy as np

    a = np.ones((3, 1, 2, 2, 8, 8, 8), np.float32)
    total = np.asarray(jax.jit(lambda a, b: (a * b).sum(3))(a, a))
    if not (total == 2).all():
        sys.exit("the sum is wrong")


def deadlock() -> None:
    """Orthogonal matrices for 16 seeds at once: jaxlib's batched QR waits for its own threads."""
    import jax

    from jaxdl.nn import initializers

    def draw(key: Any) -> list[Any]:
        keys = jax.random.split(key, 6)
        return [initializers.orthogonal()(keys[i], (64, 64)) for i in range(6)]

    program = jax.jit(jax.vmap(draw))
    keys = jax.random.split(jax.random.key(0), 16)
    jax.block_until_ready(program(keys))
    start = time.monotonic()
    for _ in range(CALLS):
        jax.block_until_ready(program(keys))
        if time.monotonic() - start > CALLS_SECONDS:
            break


CHECKS = {
    "sums under vmap": wrong_sum,
    "reductions of high rank": crash,
    "orthogonal matrices under vmap": deadlock,
}


def check(function: Callable[[], None], limit: float | int = LIMIT) -> Outcome:
    """Run one of the functions above in a child process, under a watchdog."""
    code = f"import jaxdl; from {function.__module__} import {function.__name__} as f; f()"
    # A child beside another process on a GPU must not take its memory.
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(f"hangs: no end after {limit:.0f} s", time.monotonic() - start)
    seconds = time.monotonic() - start
    if done.returncode == 0:
        return Outcome("", seconds)
    if done.returncode < 0:
        return Outcome(f"crashes: {signal.Signals(-done.returncode).name}", seconds)
    last = done.stderr.strip().splitlines()[-1:]
    return Outcome(last[0] if last else f"fails with exit code {done.returncode}", seconds)


def main(console: rich.console.Console, cache: pathlib.Path) -> int:
    """Show the report; 0 if all is well, else 1."""
    table = rich.table.Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, value in {**_machine(), **_devices(), **_settings(cache)}.items():
        table.add_row(name, rich.text.Text(value))
    table.add_section()
    for extra, purpose in PURPOSES.items():
        table.add_row(f"[{extra}]".replace("[", "\\["), _extra(extra, purpose))
    console.print(table)
    console.print()
    healthy = True
    for name, function in CHECKS.items():
        outcome = check(function)
        healthy = healthy and not outcome.problem
        mark = ("✗", "bold red") if outcome.problem else ("✓", "bold green")
        result = outcome.problem or f"right, {outcome.seconds:.1f} s"
        console.print(rich.text.Text.assemble("  ", mark, f" {name}: {result}"))
    if not healthy:
        console.print("\n  Do not train here: install other versions of jax and jaxlib, or")
        console.print("  take XLA_FLAGS out of the environment so that jaxdl sets its own.")
    return 0 if healthy else 1


def _machine() -> dict[str, str]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    rows = {"machine": f"{platform.platform()}, {cores} cores{_memory()}"}
    versions = [f"python {platform.python_version()}"]
    from jaxdl import __version__

    versions.append(f"jaxdl {__version__}")
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} missing")
    return rows | {"versions": ", ".join(versions)}


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return ""
    return f", {total / 2**30:.0f} GiB memory"


def _devices() -> dict[str, str]:
    import jax

    try:
        devices = jax.local_devices()
    except RuntimeError as error:  # JAX_PLATFORMS names what is not there
        return {"devices": f"none: {str(error).splitlines()[0]}"}
    kinds: dict[str, int] = {}
    for device in devices:
        limit = (device.memory_stats() or {}).get("bytes_limit")
        memory = f", {limit / 2**30:.0f} GiB" if limit else ""
        kind = f"{device.platform}: {device.device_kind}{memory}"
        kinds[kind] = kinds.get(kind, 0) + 1
    return {"devices": "; ".join(f"{count} × {kind}" for kind, count in kinds.items())}


def _settings(cache: pathlib.Path) -> dict[str, str]:
    folder = pathlib.Path(os.environ.get("JAX_COMPILATION_CACHE_DIR") or cache)
    state = "" if folder.is_dir() else " (made by the first launch)"
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not os.access(existing, os.W_OK):
        state = " (not writable: launches start slowly; set JAXDL_CACHE)"
    return {
        "XLA_FLAGS": os.environ.get("XLA_FLAGS") or "none",
        "compiled programs": f"{folder}{state}",
    }


def _extra(extra: str, purpose: str) -> rich.text.Text:
    modules = [module for module, brings in errors.EXTRAS.items() if brings == extra]
    if any(importlib.util.find_spec(module) is not None for module in modules):
        return rich.text.Text(f"{purpose}: installed")
    return rich.text.Text(f'{purpose}: pip install "jaxdl[{extra}]"', "dim")
