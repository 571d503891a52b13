"""A sweep beside the ways to do without one, in total wall time, as ratios.

    python tools/benchmark.py --sweeps                 # some minutes; --small is a trial

Row mlp: 16 runs of digits_mlp (4 learning rates × 4 seeds) as one sweep, beside 16 launches of the
command, and beside 16 runs in one process that each compile. Launches find the compilation cache
warm, as a user's do; nobody has it where runs compile in one process. Row cnn: 8 runs of digits_cnn
the way the race chooses, beside both ways. The exit code is 1 where a floor is missed.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import rich.console
import rich.table

RATES = ("1e-4", "3e-4", "1e-3", "3e-3")
SEEDS = 4
NO_CACHE = {"JAX_ENABLE_COMPILATION_CACHE": "false"}

# Runs of one process that each compile: what a loop over `launch` does.
EACH = """
import jax
from jaxdl import launch
for rate in {rates}:
    for seed in range({seeds}):
        jax.clear_caches()
        launch.launch("digits_mlp", seed=seed, learning_rate=rate, logdir={logdir!r}, quiet=True)
"""
# A sweep whose race is decided beforehand, where `together` is no None.
DECIDED = """
import sys
from jaxdl import launch
from jaxdl.sweep import race
together = {together}
if together is not None:
    def decided(run, members, ways):
        wave = members + -members % ways.devices
        program = (ways.together(wave) if together else ways.alone())[0]
        return race.Decision(together, wave, "as told"), program
    race.decide = decided
sys.exit(launch.main({argv!r}))
"""


class Row(NamedTuple):
    """What a row came to: seconds of each way, and the sweep's speed over another's."""

    what: str
    seconds: dict[str, float]
    ratios: dict[str, float]
    floors: dict[str, float]

    @property
    def reached(self) -> bool:
        """Whether every ratio is at its floor or above."""
        return all(self.ratios[name] >= floor for name, floor in self.floors.items())


def perceptrons(folder: pathlib.Path, small: bool) -> Row:
    """16 runs of digits_mlp."""
    rates, seeds = (RATES[:2], 1) if small else (RATES, SEEDS)
    steps = ["--steps", "40"] if small else []
    sweep = ["digits_mlp", "--sweep", f"learning_rate={','.join(rates)}", "--seeds", str(seeds)]

    def swept(name: str) -> Callable[[], None]:
        return lambda: _launch([*sweep, *steps, "--logdir", str(folder / name)])

    def launches() -> None:
        for rate in rates:
            for seed in range(seeds):
                run = ["digits_mlp", "--learning-rate", rate, "--seed", str(seed)]
                _launch([*run, *steps, "--logdir", str(folder / "launches")])

    def in_process() -> None:
        code = EACH.format(
            rates=[float(rate) for rate in rates], seeds=seeds, logdir=str(folder / "process")
        )
        if small:
            code = code.replace("quiet=True", "quiet=True, steps=40")
        _python(["-c", code], NO_CACHE)

    _launch([*sweep, *steps, "--logdir", str(folder / "warm")])
    _launch(["digits_mlp", *steps, "--logdir", str(folder / "warm")])
    seconds = {
        "sweep": _timed(swept("sweep")),
        "launches": _timed(launches),
        "sweep, no cache": _timed(
            lambda: _launch([*sweep, *steps, "--logdir", str(folder / "cold")], NO_CACHE)
        ),
        "in one process": _timed(in_process),
    }
    ratios = {
        "launches": seconds["launches"] / seconds["sweep"],
        "in one process": seconds["in one process"] / seconds["sweep, no cache"],
    }
    floors = {"launches": 10.0, "in one process": 4.0}
    return Row(f"{len(rates) * seeds} runs of digits_mlp", seconds, ratios, floors)


def convolutions(folder: pathlib.Path, small: bool) -> Row:
    """8 runs of digits_cnn; the race may cost a little, so that 0.9 counts as never slower."""
    rates, seeds, steps = (RATES[:2], 1, "4") if small else (RATES, 2, "100")
    argv = ["digits_cnn", "--sweep", f"learning_rate={','.join(rates)}", "--seeds", str(seeds)]
    argv += ["--steps", steps, "--logdir"]

    def way(together: bool | None, name: str) -> Callable[[], None]:
        code = DECIDED.format(together=together, argv=[*argv, str(folder / name)])
        return lambda: _python(["-c", code])

    ways = {"sweep": None, "together": True, "one after another": False}
    for name, together in ways.items():  # warm the compilation cache
        way(together, f"warm {name}")()
    seconds = {name: _timed(way(together, name)) for name, together in ways.items()}
    better = min(seconds["together"], seconds["one after another"])
    ratios = {"the better way": better / seconds["sweep"]}
    what = f"{len(rates) * seeds} runs of digits_cnn"
    return Row(what, seconds, ratios, {"the better way": 0.9})


def _timed(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _launch(argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
    _python(["-m", "jaxdl.launch", *argv], environment)


def _python(argv: Sequence[str], environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{argv} ended with {done.returncode}:\n{done.stderr}")


def table(rows: Sequence[Row]) -> rich.table.Table:
    """A line for each row and ratio."""
    out = rich.table.Table(title="Sweeps, total wall time")
    for name in ("work", "seconds", "the sweep's speed ÷", "ratio", "floor"):
        out.add_column(name)
    for row in rows:
        seconds = "\n".join(f"{name} {value:.1f}" for name, value in row.seconds.items())
        ratios = "\n".join(f"{value:.2f}" for value in row.ratios.values())
        floors = "\n".join(f"{row.floors[name]:.2f}" for name in row.ratios)
        style = "" if row.reached else "red"
        out.add_row(row.what, seconds, "\n".join(row.ratios), ratios, floors, style=style)
    return out


def show(small: bool, path: pathlib.Path | None, console: rich.console.Console) -> int:
    """Print the table, and write it as JSON if asked; 0 where every floor is reached, else 1."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(pathlib.Path(folder), small) for row in (perceptrons, convolutions)]
    console.print(table(rows))
    if path is not None:
        path.write_text(json.dumps([row._asdict() for row in rows], indent=2) + "\n")
    return int(not all(row.reached for row in rows))
