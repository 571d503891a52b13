"""What a run says about itself: a line at the start, texts for TensorBoard, a table at the end."""

import math
import pathlib
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import jax

from jaxdl import run as runs
from jaxdl import summary
from jaxdl.train import program as programs
from jaxdl.train import progress, record


def title(launched: record.Launched, program: programs.Program, folder: pathlib.Path) -> str:
    """One line: what runs, how large it is, on what, and where to."""
    devices = jax.devices()
    count = f"{len(devices)} × " if len(devices) > 1 else ""
    size = parameter_count(program.shape.state)
    chunk = program.layout.chunk
    dispatch = "single steps" if chunk == 1 else f"chunks of {chunk}"
    return (
        f"{launched.experiment} · {size:,} parameters · {program.run.steps:,} steps · "
        f"{dispatch} · seed {launched.seed} · {count}{devices[0].device_kind} · {folder}"
    )


def texts(
    launched: record.Launched, kept: Mapping[str, Any], program: programs.Program
) -> dict[str, summary.Text]:
    """The run's page in TensorBoard's text tab."""
    values = {**launched.hyperparameters, "seed": launched.seed}
    around = {**kept["versions"], "git": kept["git"], "devices": ", ".join(kept["devices"])}
    leaves = parameters(program.shape.state)
    rows = [(path, f"{list(x.shape)}", x.dtype, f"{x.size:,}") for path, x in leaves]
    rows.append(("**all**", "", "", f"**{parameter_count(program.shape.state):,}**"))
    return {
        "run/command": summary.Text(f"    {launched.command}"),
        "run/hyperparameters": summary.Text(markdown(("name", "value"), values.items())),
        "run/parameters": summary.Text(markdown(("path", "shape", "dtype", "size"), rows)),
        "run/versions": summary.Text(markdown(("what", "which"), around.items())),
    }


def outcome(run: runs.Run, result: Any) -> tuple[str, dict[str, str]]:
    """The title and the rows of the final table."""
    rows: dict[str, str] = {}
    tests = {tag: value for tag, value in result.metrics.items() if tag.split("/")[0] in run.tests}
    rows["result"] = progress.listed(tests or result.metrics, "\n")
    if result.best is not None and run.monitor is not None:
        step, value = result.best
        rows["best"] = f"{run.monitor.tag} {progress.number(value)} at step {step}"
    done = result.status != "stopped"
    known = [score for score in run.expected if done and score.tag in result.history]
    if known:
        rows["expected"] = "\n".join(_verdict(score, result) for score in known)
    compiled = progress.duration(result.compile_seconds)
    rows["time"] = f"{progress.duration(result.seconds)}, of which {compiled} compiling"
    rows["folder"] = str(result.folder)
    rows["curves"] = f"tensorboard --logdir {shlex.quote(str(result.folder.parent))}"
    return f"{result.status} at step {result.step:,}", rows


def _verdict(score: runs.AtLeast | runs.AtMost, result: Any) -> str:
    reached = score.met(score.of(result.history[score.tag][1]))
    return f"{score}: {'reached' if reached else 'not reached'}"


def parameters(state: Any) -> list[tuple[str, Any]]:
    """Path and leaf of the parameters: `state.params` where there is one, else the whole state."""
    tree = getattr(state, "params", state)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves]


def parameter_count(state: Any) -> int:
    """How many numbers the parameters are."""
    return sum(math.prod(leaf.shape) for _, leaf in parameters(state))


def markdown(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
