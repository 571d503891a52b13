"""Training on images streamed from disk beside the same images in memory, as a ratio of rates.

The benchmark's CNN on 60,000 images of 28x28 float32: a memory-mapped file read through Grain
(jaxdl.data.streams.shuffled), beside arrays on the device. The ways take turns; the ratio is the
median over repeats, 1 where streaming costs nothing.

    python tools/benchmark.py --streams

The exit code is 1 where the floor is missed.
"""

import dataclasses
import pathlib
import statistics
import tempfile
import time
from typing import Any

import benchmark
import benchmark_work
import numpy as np
import rich.console

from jaxdl.data import batches, streams

IMAGES, BATCH, FLOOR = 60_000, 64, 0.95


def measure(repeats: int, seconds: float = 2.0, images: int = IMAGES) -> dict[str, Any]:
    """Milliseconds a step of both ways, and the streamed rate over that in memory."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = written(pathlib.Path(folder), images)
        sources = {
            "memory": batches.shuffled({name: np.asarray(x) for name, x in arrays.items()}, BATCH),
            "streamed": streams.shuffled(arrays, BATCH),
        }
        work = benchmark_work.convolutional()
        ways: dict[str, benchmark.Advance] = {
            name: benchmark.our_loop(dataclasses.replace(work, data=source))
            for name, source in sources.items()
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        for advance in ways.values():
            advance(10)  # compile, warm up
        steps = max(1, round(seconds / _timed(ways["memory"], 10)))
        for _ in range(repeats):
            for name, advance in ways.items():
                times[name].append(_timed(advance, steps))
    pairs = zip(times["memory"], times["streamed"], strict=True)
    milliseconds = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    return {"milliseconds": milliseconds, "ratio": statistics.median(m / s for m, s in pairs)}


def written(folder: pathlib.Path, images: int) -> dict[str, np.ndarray]:
    """Random images and classes, memory-mapped."""
    random = np.random.default_rng(0)
    inputs = random.standard_normal((images, 28, 28, 1), np.float32)
    np.save(folder / "input.npy", inputs)
    np.save(folder / "target.npy", random.integers(0, 10, images).astype(np.int32))
    return {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("input", "target")}


def _timed(advance: benchmark.Advance, steps: int) -> float:
    """Seconds a step."""
    start = time.perf_counter()
    ran = advance(steps)
    return (time.perf_counter() - start) / ran


def show(repeats: int, console: rich.console.Console, **sizes: Any) -> int:
    """Measure and print; 1 below the floor."""
    measured = measure(repeats, **sizes)
    memory, streamed = (measured["milliseconds"][name] for name in ("memory", "streamed"))
    console.print(
        f"CNN on {IMAGES:,} images: {memory:.2f} ms a step in memory, {streamed:.2f} streamed; "
        f"ratio of rates {measured['ratio']:.3f} (at least {FLOOR})"
    )
    return int(measured["ratio"] < FLOOR)
