"""What one GPU makes of jaxdl: GPT-2 beside PyTorch and the chip's matmuls, chunks, a sweep.

    python tools/benchmark.py --gpu                    # some ten minutes on one GPU
    python tools/benchmark.py --gpu --small            # the same code in a tiny size, on any device

- GPT-2 124M (bf16 compute, float32 parameters, 1,024 random tokens, fused attention, AdamW) in
  tokens per second, beside the same model in PyTorch (torch.compile, autocast to bf16,
  scaled_dot_product_attention), and its arithmetic as a share of what large bf16 matmuls reach.
- The rolled scan in chunks of 1, 10 and 50 steps.
- 64 runs of digits_cnn, together in one program and one after another.
"""

import dataclasses
import datetime
import functools
import importlib
import json
import pathlib
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import benchmark_work
import jax
import jax.numpy as jnp
import numpy as np
import optax
import rich.console
import rich.table

from jaxdl import experiment
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import gpt
from jaxdl.train import program

RATE = 3e-4


class Size(NamedTuple):
    """How large everything is."""

    fields: dict[str, Any]  # of the GPT
    batch: int
    chunks: tuple[int, ...]  # of the rolled scan; the last, the longest, divides the steps
    steps: int
    matmul: int
    rates: int
    seeds: int
    sweep_steps: int
    sweep_width: int


GPT2: dict[str, Any] = {"vocabulary": 50257, "length": 1024, "width": 768, "depth": 12, "heads": 12}
TINY: dict[str, Any] = {"vocabulary": 64, "length": 16, "width": 16, "depth": 1, "heads": 2}
LARGE = Size(
    GPT2,
    batch=64,
    chunks=(1, 10, 50),
    steps=50,
    matmul=8192,
    rates=8,
    seeds=8,
    sweep_steps=1000,
    sweep_width=32,
)
SMALL = Size(
    TINY, batch=4, chunks=(1, 2), steps=2, matmul=64, rates=2, seeds=1, sweep_steps=4, sweep_width=2
)


def _advance(made: program.Program, feed: batches.Feed) -> Callable[[int], None]:
    """jaxdl's own dispatch, without files and terminal: (steps) runs them, and waits."""
    carry, done, chunk = made.begin(), 0, made.layout.chunk

    def advance(steps: int) -> None:
        nonlocal carry, done
        for _ in range(steps // chunk):
            carry = made.advance(carry, feed.take(done, chunk), done, chunk)
            done += chunk
        jax.block_until_ready(carry)

    return advance


# --- the chip


def matmul_rate(width: int, repeats: int = 50) -> float:
    """FLOP per second of products of two large bf16 matrices, one after another."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(key, (width, width), jnp.bfloat16) for key in keys)

    @jax.jit
    def chain(a: Any, b: Any) -> Any:
        return jax.lax.fori_loop(0, repeats, lambda _, x: (x @ b) * (width**-0.5), a)

    jax.block_until_ready(chain(a, b))
    seconds = min(_timed(lambda: jax.block_until_ready(chain(a, b))) for _ in range(5))
    return 2.0 * width**3 * repeats / seconds


# --- GPT-2


def flops_per_token(fields: dict[str, int]) -> float:
    """Of a training step: 6 for each parameter in a product, and the whole square of attention's
    scores, as PaLM counts (Chowdhery et al. 2022, appendix B).
    """
    width, depth = fields["width"], fields["depth"]
    products = 12 * depth * width**2 + fields["vocabulary"] * width
    return 6.0 * products + 12.0 * depth * width * fields["length"]


def jax_gpt(size: Size, batch: int, chunk: int, repeats: int = 3) -> float:
    """Tokens per second of jaxdl's own dispatch, compiling apart; the best of a few repeats."""
    model = gpt.GPT(**size.fields, dtype=jnp.bfloat16)
    optimizer = optax.adamw(RATE, b2=0.95, weight_decay=0.1)
    run = runs.Run(
        learner=gradient.supervised(model, classification.in_bits, optimizer),
        train=_tokens(size, batch),
        steps=10**6,
        log_every=size.chunks[-1],
        strategy="rolled",
        chunk=chunk,
    )
    assert run.train is not None
    feed = run.train.open(0)
    advance = _advance(program.Program(run, 0, feed.first()), feed)
    advance(chunk)
    seconds = min(_timed(lambda: advance(size.steps)) for _ in range(repeats))
    return size.steps * batch * size.fields["length"] / seconds


def torch_gpt(size: Size, batch: int, repeats: int = 3) -> float | None:
    """Tokens per second in PyTorch; None where it is not installed, or does not see the GPU."""
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError:
        return None
    on_gpu = jax.default_backend() == "gpu"
    if on_gpu and not torch.cuda.is_available():
        return None
    device = "cuda" if on_gpu else "cpu"
    torch.set_float32_matmul_precision("high")
    model = benchmark_work.torch_gpt(torch, **size.fields, tied=True).to(device)
    data = {name: torch.from_numpy(x).long() for name, x in _tokens(size, batch).arrays.items()}
    data = {name: x.to(device) for name, x in data.items()}
    settings = {"lr": RATE, "betas": (0.9, 0.95), "weight_decay": 0.1}
    optimizer = torch.optim.AdamW(model.parameters(), fused=on_gpu, **settings)
    compiled = torch.compile(model) if on_gpu else model

    def advance(steps: int) -> None:
        for _ in range(steps):
            rows = torch.randint(len(data["input"]), (batch,), device=device)
            with torch.autocast(device, dtype=torch.bfloat16):
                logits = compiled(data["input"][rows])
                loss = torch.nn.functional.cross_entropy(
                    logits.flatten(0, 1), data["target"][rows].flatten()
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()

    advance(3)
    seconds = min(_timed(lambda: advance(size.steps)) for _ in range(repeats))
    if on_gpu:
        del model, compiled, optimizer, data
        torch.cuda.empty_cache()
    return size.steps * batch * size.fields["length"] / seconds


def fitting(measure: Callable[[int], Any], batch: int) -> tuple[int, Any]:
    """The largest batch size, of this one and its halves, that fits, and what was measured."""
    while True:
        try:
            return batch, measure(batch)
        except Exception as error:
            full = "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
            if not full or batch == 1:
                raise
        batch //= 2


def _tokens(size: Size, batch: int) -> batches.Shuffled:
    random, length = np.random.default_rng(0), size.fields["length"]
    tokens = random.integers(0, size.fields["vocabulary"], (4 * batch, length + 1)).astype(np.int32)
    return batches.shuffled({"input": tokens[:, :-1], "target": tokens[:, 1:].copy()}, batch)


# --- a sweep


def sweep(size: Size) -> dict[str, float]:
    """Seconds of both ways to run the members of a sweep of digits_cnn, compiling apart."""
    function = experiment.find("digits_cnn").function

    def make(values: Mapping[str, Any]) -> runs.Run:
        run = function(width=size.sweep_width, steps=size.sweep_steps, **values)
        return dataclasses.replace(run, strategy="rolled")

    rates = np.geomspace(3e-4, 3e-3, size.rates).tolist()
    members = [({"learning_rate": rate}, seed) for rate in rates for seed in range(size.seeds)]
    values, seeds = [value for value, _ in members], [seed for _, seed in members]
    run = make(values[0])
    assert isinstance(run.train, batches.Shuffled)
    feed, axes = run.train.together(seeds)
    family = program.Family(make, seeds, values, axes)
    together = _advance(program.Program(run, 0, feed.first(), family, together=True), feed)
    feed = run.train.open(0)
    alone = program.Family(make, seeds[:1], values[:1])
    single = _advance(program.Program(run, 0, feed.first(), alone), feed)

    def one_after_another() -> None:
        for _ in members:  # the same program with other arguments: what they are costs nothing
            single(run.steps)

    single(run.steps)
    together(run.steps)
    return {
        "together": _timed(lambda: together(run.steps)),
        "one after another": _timed(one_after_another),
    }


# --- all of it


def measure(size: Size) -> dict[str, Any]:
    """Every figure, with the date, the device and the versions."""
    device = jax.devices()[0]
    found: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": device.device_kind,
        "jax": jax.__version__,
        "python": platform.python_version(),
    }
    seconds = sweep(size)
    found["sweep seconds"] = seconds
    found["sweep: together / one after another"] = (
        seconds["one after another"] / seconds["together"]
    )
    found["matmul TFLOP/s"] = matmul_rate(size.matmul) / 1e12
    batch, torch = fitting(functools.partial(torch_gpt, size), size.batch)
    found["torch tokens/s"] = torch
    if torch is not None:
        found["torch"] = importlib.import_module("torch").__version__
    batch, first = fitting(lambda batch: jax_gpt(size, batch, size.chunks[0]), batch)
    rates = {size.chunks[0]: first} | {
        chunk: jax_gpt(size, batch, chunk) for chunk in size.chunks[1:]
    }
    best = max(rates.values())
    found |= {"batch": batch, "tokens/s by chunk": rates, "tokens/s": best}
    share = best * flops_per_token(size.fields) / 1e12 / found["matmul TFLOP/s"]
    found["share of the matmul rate"] = share
    found["jaxdl / torch"] = None if torch is None else best / torch
    return found


def _timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def show(small: bool, figures: pathlib.Path | None, console: rich.console.Console) -> int:
    """Measure and print; 2 without a GPU, unless it is to be small."""
    if jax.default_backend() != "gpu":
        tail = "Figures of a tiny size follow." if small else "Nothing is measured; try --small."
        console.print(f"No GPU: JAX sees {jax.devices()[0].device_kind}. {tail}")
        if not small:
            return 2
    found = measure(SMALL if small else LARGE)
    out = rich.table.Table(title="One GPU" if not small else "A trial in a tiny size")
    out.add_column("what")
    out.add_column("figure", justify="right")
    for name, value in found.items():
        out.add_row(name, _shown(value))
    console.print(out)
    if figures is not None:
        figures.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_shown(each)}" for name, each in value.items())
    if value is None:
        return "not measured: PyTorch does not see this device"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
