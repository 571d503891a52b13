"""Training steps of jaxdl's loop beside a bare jitted loop and beside PyTorch, as ratios.

The same model, batch size, data and optimizer (Adam) on every side, float32, two threads. A repeat
runs every contender for a while, one after another; a ratio is the median over repeats, so that
whatever else the machine does strikes all alike.

    python tools/benchmark.py                          # all rows; PyTorch comes with jaxdl[parity]
    python tools/benchmark.py --rows mlp,cnn --repeats 9 --json ratios.json
    python tools/benchmark.py --startup                # digits_cnn's start, second launch
    python tools/benchmark.py --streams                # streamed data, benchmark_streams.py
    python tools/benchmark.py --sweeps                 # sweeps and without, benchmark_sweep.py
    python tools/benchmark.py --gpu                    # one GPU, benchmark_gpu.py

The exit code is 1 where a floor is missed.
"""

import argparse
import dataclasses
import functools
import importlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

if "--gpu" in sys.argv:
    # PyTorch and the sweep's processes want memory of the same GPU.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
else:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")

import benchmark_models
import benchmark_work
import jax
import numpy as np
import optax
import rich.console
import rich.table

from jaxdl import backend, errors
from jaxdl import run as runs
from jaxdl.learners import gradient
from jaxdl.train import program

THREADS = 2
RATE = 1e-3  # Adam's
STARTUP = 6.0  # seconds from the command to the end of a run of one step
Advance = Callable[[int], int]  # runs at least so many steps, waits for the last; how many it ran


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table: what it trains, and the ratios it must and should reach."""

    title: str
    build: Callable[[], benchmark_work.Work]
    loop_floor: float  # jaxdl's loop / the bare jitted loop
    torch_floor: float | None = None  # jaxdl's loop / PyTorch eager
    torch_aim: float | None = None


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a row came to: milliseconds a step, and ratios of speeds (above 1: jaxdl is faster)."""

    row: str
    milliseconds: dict[str, float]
    loop: float
    torch: float | None
    reached: bool


# Floors and aims on two CPU cores; a convolution's or a long step's loop has nothing to gain.
ROWS = {
    "mlp": Row(
        "MLP 784-128-128-10, batch 128",
        functools.partial(benchmark_work.perceptron, 784, (128, 128), 128),
        loop_floor=1.0,
        torch_floor=2.0,
        torch_aim=3.0,
    ),
    "digits": Row(
        "MLP 64-64-32-10, batch 64",
        functools.partial(benchmark_work.perceptron, 64, (64, 32), 64),
        loop_floor=2.0,
    ),
    "cnn": Row("CNN 32-64 on 28x28, batch 64", benchmark_work.convolutional, 0.97, 1.0, 1.6),
    "lstm": Row("LSTM 128, 128 bytes, batch 32", benchmark_work.recurrent, 0.97, 0.6, 1.1),
    "gpt": Row(
        "GPT d128, 4 blocks, 128 bytes, batch 16", benchmark_work.transformer, 0.97, 0.75, 1.1
    ),
    "gru": Row("GRU 128, 128 bytes, batch 32", benchmark_models.gated, 0.97, 0.6, 1.0),
    "bert": Row(
        "BERT d128, 4 blocks, 128 bytes, batch 16", benchmark_models.bidirectional, 0.97, 0.75, 1.0
    ),
    "vit": Row(
        "ViT d128, 4 blocks, 65 tokens, batch 32", benchmark_models.patched, 0.97, 0.75, 1.0
    ),
    "resnet": Row("ResNet-20 on 32x32, batch 64", benchmark_models.residual, 0.97, 0.75, 1.0),
    "unet": Row("U-Net 16-32-64 on 64x64, batch 16", benchmark_models.segmenting, 0.97, 0.75, 1.0),
}


# --- the contenders


def our_loop(work: benchmark_work.Work) -> Advance:
    """jaxdl's own dispatch (jaxdl/train/program.py, dispatch.py), without files and terminal."""
    run = _run(work)
    feed = work.data.open(0)
    running = program.Program(run, 0, feed.first())
    chunk = running.layout.chunk
    carry, done = running.begin(), 0

    def advance(steps: int) -> int:
        nonlocal carry, done
        chunks = -(-steps // chunk)
        for _ in range(chunks):
            carry = running.advance(carry, feed.take(done, chunk), done, chunk)
            done += chunk
        jax.block_until_ready(carry)
        return chunks * chunk

    return advance


def bare_loop(work: benchmark_work.Work) -> Advance:
    """What one writes without a toolkit: a jitted step, called in a Python loop."""
    learner, feed, key = _run(work).learner, work.data.open(0), jax.random.key(0)

    def one(state: Any, data: Any, i: Any) -> tuple[Any, Any]:
        return learner.step(state, work.data.select(data, 0), jax.random.fold_in(key, i))

    step = jax.jit(one, donate_argnums=0)
    state = jax.jit(learner.init)(key, jax.jit(work.data.select)(feed.first(), 0))
    done = 0

    def advance(steps: int) -> int:
        nonlocal state, done
        for _ in range(steps):
            state, _ = step(state, feed.take(done, 1), np.uint32(done))
            done += 1
        jax.block_until_ready(state)
        return steps

    return advance


def torch_loop(work: benchmark_work.Work) -> Advance:
    """PyTorch eager: batches by index from memory, forward, backward, Adam."""
    torch = _torch()
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    model = work.torch_model(torch)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    inputs, targets = (torch.from_numpy(work.data.arrays[name]) for name in ("input", "target"))
    targets = targets.long()

    def advance(steps: int) -> int:
        for _ in range(steps):
            rows = torch.randint(len(inputs), (work.data.batch_size,))
            optimizer.zero_grad()
            logits = model(inputs[rows])
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets[rows].flatten())
            loss.backward()
            optimizer.step()
        return steps

    return advance


def _run(work: benchmark_work.Work) -> runs.Run:
    learner = gradient.supervised(work.model, work.loss, optax.adam(RATE))
    return runs.Run(learner=learner, train=work.data, steps=100_000)


def _torch() -> Any:
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise errors.InputError(
            "The comparison must have PyTorch, which is not installed. "
            "Install jaxdl[parity], or leave it out with --without-torch."
        ) from None


# --- measuring


def measure(row: str, repeats: int, with_torch: bool, seconds: float = 0.5) -> Measured:
    """Time a row's contenders in turn, `seconds` each, `repeats` times."""
    work = ROWS[row].build()
    contenders = {"loop": our_loop(work), "bare": bare_loop(work)}
    if with_torch:
        contenders["torch"] = torch_loop(work)
    steps = {}
    for name, advance in contenders.items():
        advance(20)  # compile, warm up
        steps[name] = max(1, round(seconds / _timed(advance, 20)))
    times = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, advance in contenders.items():
            times[name].append(_timed(advance, steps[name]))
    return summarised(row, times)


def summarised(row: str, times: dict[str, list[float]]) -> Measured:
    """Ratios of the seconds per step that each repeat took."""
    loop = statistics.median(b / a for a, b in zip(times["loop"], times["bare"], strict=True))
    torch = None
    if "torch" in times:
        torch = statistics.median(t / a for a, t in zip(times["loop"], times["torch"], strict=True))
    floors = ROWS[row]
    reached = loop >= floors.loop_floor and (
        torch is None or floors.torch_floor is None or torch >= floors.torch_floor
    )
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    return Measured(row, milliseconds, loop, torch, reached)


def _timed(advance: Advance, steps: int) -> float:
    """Seconds a step."""
    start = time.perf_counter()
    ran = advance(steps)
    return (time.perf_counter() - start) / ran


def startup() -> float:
    """Seconds that a run of one step of digits_cnn takes, launched for the second time."""
    command = [sys.executable, "-m", "jaxdl.launch", "digits_cnn", "--steps", "1"]
    seconds = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            start = time.perf_counter()
            logs = ["--logdir", str(pathlib.Path(folder) / name)]
            subprocess.run([*command, *logs], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
    return seconds


# --- what is shown


def table(measured: Sequence[Measured]) -> rich.table.Table:
    """A line for each row: milliseconds a step, ratios, floors and aims."""
    out = rich.table.Table(title="Training steps on two CPU cores", caption="ratios of speeds")
    out.add_column("work", no_wrap=True)
    headings = ("jaxdl ms", "bare ms", "torch ms", "/ bare", "floor", "/ torch", "floor", "aim")
    for heading in headings:
        out.add_column(heading, justify="right")
    for one in measured:
        row = ROWS[one.row]
        out.add_row(
            row.title,
            *(_shown(one.milliseconds.get(name)) for name in ("loop", "bare", "torch")),
            _shown(one.loop),
            _shown(row.loop_floor),
            *(_shown(number) for number in (one.torch, row.torch_floor, row.torch_aim)),
            style="" if one.reached else "red",
        )
    return out


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 where every floor is reached, 1 where one is not, 2 for a wrong argument."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", default=",".join(ROWS), help="which, separated by commas")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    parser.add_argument("--without-torch", action="store_true")
    parser.add_argument("--startup", action="store_true", help="time digits_cnn's start instead")
    parser.add_argument("--streams", action="store_true", help="time streamed data instead")
    parser.add_argument("--sweeps", action="store_true", help="time whole sweeps instead")
    parser.add_argument("--rl", action="store_true", help="time PPO instead")
    parser.add_argument("--gpu", action="store_true", help="time one GPU instead")
    parser.add_argument("--small", action="store_true", help="of --gpu, --sweeps: a short trial")
    chosen = parser.parse_args(arguments)
    backend.at_once()  # as jaxdl's commands do; for every side
    console = rich.console.Console(width=None if sys.stdout.isatty() else 120)
    if chosen.gpu:
        import benchmark_gpu

        return benchmark_gpu.show(chosen.small, chosen.json, console)
    if chosen.sweeps:
        import benchmark_sweep

        return benchmark_sweep.show(chosen.small, chosen.json, console)
    if chosen.rl:
        import benchmark_rl

        try:
            return benchmark_rl.show(chosen.repeats, not chosen.without_torch, chosen.json, console)
        except errors.InputError as error:
            parser.error(str(error))
    if chosen.streams:
        import benchmark_streams

        return benchmark_streams.show(chosen.repeats, console)
    if chosen.startup:
        seconds = startup()
        console.print(f"digits_cnn, one step, second launch: {seconds:.1f} s (at most {STARTUP})")
        return int(seconds > STARTUP)
    names = chosen.rows.split(",")
    if unknown := set(names) - set(ROWS):
        parser.error(f"--rows must be among {', '.join(ROWS)}, got {', '.join(sorted(unknown))}.")
    try:
        with_torch = not chosen.without_torch and _torch() is not None
    except errors.InputError as error:
        parser.error(str(error))
    measured = [measure(name, chosen.repeats, with_torch) for name in names]
    console.print(table(measured))
    if chosen.json is not None:
        figures = [dataclasses.asdict(one) for one in measured]
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(not all(one.reached for one in measured))


if __name__ == "__main__":
    sys.exit(main())
