"""Proves, for any run and at a reduced length, what every run promises; prints a row for each.

Simulated devices need a process of their own, as their number is fixed before JAX starts: it runs
the command that was launched, told by an environment variable to do only that part.
"""

import functools
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import rich.box
import rich.console
import rich.markup
import rich.table

from jaxdl import errors, places
from jaxdl import run as runs
from jaxdl.train import loop, proofs, record

STEPS = 16
DEVICES = 8
PATIENCE = 600  # seconds for the child: collectives of XLA:CPU have been seen to hang
CHILD = "JAXDL_VERIFY_CHILD"
COMMAND = ["python", "-m", "jaxdl.launch"]
STYLES = {"proved": "green", "failed": "bold red", "not applicable": "dim"}

Prove = Callable[[proofs.Case, loop.Result], proofs.Proof]


def show(make: Callable[[], runs.Run], launched: record.Launched, steps: int | None = None) -> int:
    """Try every promise on `steps` steps of the run that `make` builds anew each time.

    launched.command: what a child process is started with, to be given several devices.
    Returns 0, or 1 where a promise is broken. errors.InputError: what training raises.
    """
    if jax.process_count() > 1:
        raise errors.InputError(
            f"--verify must run in one process, got {jax.process_count()}; it starts its own."
        )
    steps = STEPS if steps is None else steps
    if steps < 4 or steps % 2:
        raise errors.InputError(f"The steps to verify must be even and at least 4, got {steps}.")
    if CHILD in os.environ:
        return _answer(make, launched, json.loads(os.environ[CHILD]))
    console = rich.console.Console(highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        case = proofs.Case(make, launched, steps, pathlib.Path(folder))
        proved = rows(case, lambda doing: console.status(f"{doing} …"))
    console.print(table(launched, steps, proved))
    return int(any(proof.verdict == "failed" for proof in proved.values()))


def rows(case: proofs.Case, busy: Callable[[str], Any]) -> dict[str, proofs.Proof]:
    """What is promised -> what came of it; `busy` makes a context that tells what is tried."""
    promises: dict[str, Prove] = {
        "same seed → same bits": proofs.same_seed,
        "N + resume + N = 2N": proofs.resumed,
        "chunked = stepped": proofs.chunked,
        f"1 device ≈ {DEVICES} simulated": _on_devices,
        "jit ≈ no jit": proofs.uncompiled,
        "streamed = in memory": proofs.streamed,
        "vectorised ≈ solo": proofs.vectorised,
    }
    with busy("training"):
        whole = case.trained("whole", case.run())
    found = {}
    for what, prove in promises.items():
        with busy(what):
            found[what] = _tried(functools.partial(prove, case, whole))
    return found


def _tried(prove: Callable[[], proofs.Proof]) -> proofs.Proof:
    """A proof; one that ends in an exception has failed, and says with which."""
    try:
        return prove()
    except Exception as error:
        return proofs.Proof(float("inf"), note=errors.in_a_line(error))


def table(
    launched: record.Launched, steps: int, proved: dict[str, proofs.Proof]
) -> rich.table.Table:
    """A row for each promise: the verdict, and the largest difference behind it."""
    out = rich.table.Table(
        *("promise", "verdict", "difference", "note"),
        title=f"{launched.experiment}, {steps} steps, seed {launched.seed}",
        box=rich.box.SIMPLE,
        header_style="dim",
    )
    out.title_justify = "left"
    for column in out.columns[:3]:
        column.no_wrap = True
    for what, proof in proved.items():
        verdict = f"[{STYLES[proof.verdict]}]{proof.verdict}[/]"
        out.add_row(what, verdict, _difference(proof), rich.markup.escape(proof.note))
    return out


def _difference(proof: proofs.Proof) -> str:
    """The largest, and what is allowed: nothing, where it is to be the same bits."""
    if proof.difference is None:
        return ""
    allowed = f"≤ {proof.tolerance:g}" if proof.tolerance else "bitwise"
    return f"{proof.difference:.2g}{' ' if proof.verdict == 'proved' else ', not '}{allowed}"


# --- several devices


def _on_devices(case: proofs.Case, whole: loop.Result) -> proofs.Proof:
    """Start the command again with simulated devices, and read what it has found."""
    train = case.run().train
    if train is None:
        return proofs.Proof(None, note="without a batch there is nothing to share")
    count = max(n for n in range(1, DEVICES + 1) if train.batch_size % n == 0)
    if count == 1:
        note = f"a batch of {train.batch_size} does not divide over up to {DEVICES} devices"
        return proofs.Proof(None, note=note)
    words = shlex.split(case.launched.command)
    if words[:3] != COMMAND or "--verify" not in words:
        return proofs.Proof(None, note="there is no command to start again on more devices")
    answer = case.folder / "answer.json"
    asked = {"devices": count, "steps": case.steps, "answer": str(answer)}
    simulated = {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": str(count)}
    child = subprocess.run(
        [sys.executable, *words[1:]],
        env=places.alone(os.environ) | simulated | {CHILD: json.dumps(asked)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if child.returncode or not answer.exists():
        said = (child.stderr or child.stdout).strip().splitlines()
        raise RuntimeError(said[-1] if said else f"exit code {child.returncode}")
    return proofs.Proof(*json.loads(answer.read_text()))


def _answer(make: Callable[[], runs.Run], launched: record.Launched, asked: dict[str, Any]) -> int:
    """The child's part."""
    with tempfile.TemporaryDirectory() as folder:
        case = proofs.Case(make, launched, asked["steps"], pathlib.Path(folder))
        proof = proofs.shared(case, asked["devices"])
    pathlib.Path(asked["answer"]).write_text(json.dumps(proof))
    return 0
