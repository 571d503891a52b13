"""The compiled functions of a run: begin, advance by a chunk of steps, evaluate.

How the steps of a chunk run on the device:
- rolled: a loop on the device. Bitwise equal to single steps; dispatch, synchronisation and, on
  CPU, the mapping of the step's work space are paid once a chunk (a small network runs 3 times
  faster, a small GPT 1.25 times), and compile time does not depend on it.
- single: one step a dispatch. For convolutions on CPU, which XLA runs 5 to 30 times slower inside a
  loop (jax-ml/jax#12868).
- unrolled: one program of all the chunk's steps. Only on request: XLA optimises across the steps,
  so the last bits differ from single steps, and it compiles long; small convolutions on CPU gain.
"""

import contextlib
import functools
import hashlib
import math
import re
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, learner, metrics
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.nn import layout
from jaxdl.train import cost
from jaxdl.train import mesh as meshes

LONGEST = {"rolled": 100, "unrolled": 10}  # steps in a chunk
FLOPS_PER_SECOND = 5e10  # of a small program on two CPU cores, measured
SECONDS_PER_OPERATION = 2e-7  # likewise: what a small kernel costs beside its arithmetic
LONGEST_CHUNK = 2.0  # seconds on CPU; a signal is obeyed, and the terminal told, between chunks


class Carry(NamedTuple):
    """What a chunk hands to the next: the learner's state and the sums of its metrics."""

    state: Any
    totals: learner.Metrics


class Layout(NamedTuple):
    """How the steps of this run are dispatched; kept in the run's folder."""

    strategy: str
    chunk: int


class Program:
    """A run's functions, each compiled when first called; `compile_seconds` sums what that took.

    On one device there is no mesh, and nothing is laid out. On a mesh the carry lies as the run's
    rules say (`shape` carries the shardings), data and metrics are on every device, and a batch is
    cut over those that share it as soon as it is picked.
    """

    def __init__(self, run: runs.Run, seed: int, first: batches.Data) -> None:
        self.run = run
        self.mesh = meshes.of(run)
        self.compile_seconds = 0.0
        self._compiled: dict[Any, Any] = {}
        self.seed = seed
        self.key = jax.random.key(seed)
        self._first = first
        self._placed = _unmoved
        if self.mesh is not None:
            everywhere = meshes.replicated(self.mesh)
            self.key = jax.jit(jax.random.key, static_argnums=0, out_shardings=everywhere)(seed)
            self._placed = meshes.Placed(self.mesh)
        # Traced once; `inline` puts its equations into whatever program calls it. What is known of
        # it here is without the mesh: the same mathematics on any number of devices.
        self._step = jax.jit(self._one_step, inline=True)
        everywhere = {} if self.mesh is None else {"out_shardings": meshes.replicated(self.mesh)}
        self._examine = jax.jit(self._examine_one, static_argnums=0, **everywhere)
        self._zeros = jax.jit(self._no_metrics, **everywhere)
        state = jax.eval_shape(self._init, self.key, first)
        zero = jax.ShapeDtypeStruct((), jnp.uint32)
        traced = self._step.trace(state, self.key, first, zero, zero)
        self.jaxpr = traced.jaxpr
        state_after, measured = traced.out_info
        _check_state(state, state_after)
        _check_metrics(measured, "Learner.step")
        _check_summable(measured)
        self._check_monitor(state)
        self.shape = self._laid_out(Carry(state, measured))  # of what `begin` returns
        self.cost = cost.of(self.jaxpr)
        self.layout = _layout(run, self.cost, jax.default_backend())

    def digest(self) -> str:
        """A hash of the step's equations: equal digests are the same mathematics."""
        text = re.sub(r"0x[0-9a-f]+", "", str(self.jaxpr))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def begin(self) -> Carry:
        """The state before the first step."""
        state = self._call("begin", self._beginning, self.key, self._placed(self._first))
        return Carry(state, self.zeros())

    def zeros(self) -> learner.Metrics:
        """Metrics of no step at all."""
        if self.mesh is not None:
            return self._zeros()
        return jax.device_put(_zeros(self.shape.totals))

    def advance(self, carry: Carry, data: batches.Data, step: int, count: int) -> Carry:
        """`count` steps, the first of which is `step`; the carry given is used up."""
        arguments = carry, self.key, self._placed(data), np.uint32(step)
        return self._call(("advance", count), functools.partial(self._advancing, count), *arguments)

    def compiled_step(self) -> Any:
        """One step as XLA compiled it, without running it."""
        with self._meshed():
            # Shapes alone: the data need not be on every device to plan with them.
            data = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._first)
            return self._advancing(1).lower(self.shape, self.key, data, np.uint32(0)).compile()

    def batch_shape(self) -> Any:
        """The shapes and dtypes of one training batch, None without data."""
        return jax.eval_shape(lambda data: self._select(data, 0), self._first)

    def evaluate(self, state: Any, test: batches.Pass, step: int) -> learner.Metrics:
        """The metrics of one pass over a test's data, added up on the host."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, 3), step)
        with self._meshed():
            parts = [
                self._examine(select, state, key, self._placed(data), np.uint32(i))
                for i, (select, data) in enumerate(test.once())
            ]
        return functools.reduce(metrics.merge, jax.device_get(parts))

    def summary_key(self, step: int, i: int) -> learner.Key:
        """A key for the i-th summary at a step."""
        return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(self.key, 4), step), i)

    def _init(self, key: learner.Key, data: batches.Data) -> Any:
        state = self.run.learner.init(jax.random.fold_in(key, 0), self._select(data, 0))
        return jax.tree.map(_strong, state)

    def _select(self, data: batches.Data, i: Any) -> learner.Batch:
        return None if self.run.train is None else layout.spread(self.run.train.select(data, i))

    def _one_step(self, state: Any, key: Any, data: batches.Data, step: Any, i: Any) -> Any:
        key = jax.random.fold_in(jax.random.fold_in(key, 2), step + i)
        state, measured = self.run.learner.step(state, self._select(data, i), key)
        return jax.tree.map(_strong, (state, measured))

    def _chunk(self, carry: Carry, key: Any, data: Any, step: Any, *, count: int) -> Carry:
        def one(carry: Carry, i: Any) -> tuple[Carry, None]:
            state, measured = self._step(carry.state, key, data, step, i)
            if self.mesh is not None:
                state = jax.lax.with_sharding_constraint(state, _shardings(self.shape.state))
            return Carry(state, metrics.merge(carry.totals, measured)), None

        if count == 1:
            return one(carry, jnp.uint32(0))[0]
        unroll = count if self.layout.strategy == "unrolled" else 1
        return jax.lax.scan(one, carry, jnp.arange(count, dtype=jnp.uint32), unroll=unroll)[0]

    def _examine_one(
        self, select: batches.Select, state: Any, key: Any, data: Any, i: Any
    ) -> learner.Metrics:
        batch = layout.spread(select(data, 0))
        return self.run.learner.evaluate(state, batch, jax.random.fold_in(key, i))

    def _no_metrics(self) -> learner.Metrics:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self.shape.totals)

    def _check_monitor(self, state: Any) -> None:
        """The monitored metric must come out of the evaluation: told now, not after hours."""
        if self.run.monitor is None:
            return
        test = self.run.monitor.tag.split("/")[0]
        select, data = next(iter(self.run.tests[test].once()))
        measured = self._examine.eval_shape(select, state, self.key, data, np.uint32(0))
        _check_metrics(measured, "Learner.evaluate")
        if any(isinstance(metric, metrics.Collected) for metric in measured.values()):
            return  # only the predictions themselves tell the names of its numbers
        logged = metrics.values(_zeros(measured))
        check_logged(self.run.monitor.tag, [f"{test}/{name}" for name in logged])

    # --- compiled, and where their arguments and results lie

    def _laid_out(self, carry: Carry) -> Carry:
        """The carry's shapes with their shardings, where there is a mesh."""
        if self.mesh is None:
            return carry
        everywhere = meshes.replicated(self.mesh)
        totals = jax.tree.map(lambda x: everywhere, carry.totals)
        placed = Carry(meshes.shardings(carry.state, self.mesh, self.run.rules), totals)
        return jax.tree.map(
            lambda x, to: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=to), carry, placed
        )

    def _beginning(self) -> Any:
        if self.mesh is None:
            return jax.jit(self._init)
        return jax.jit(
            self._init,
            in_shardings=meshes.replicated(self.mesh),
            out_shardings=_shardings(self.shape.state),
        )

    def _advancing(self, count: int) -> Any:
        chunk = functools.partial(self._chunk, count=count)
        if self.mesh is None:
            return jax.jit(chunk, donate_argnums=0)
        everywhere, carry = meshes.replicated(self.mesh), _shardings(self.shape)
        return jax.jit(
            chunk,
            donate_argnums=0,
            in_shardings=(carry, everywhere, everywhere, everywhere),
            out_shardings=carry,
        )

    def _meshed(self) -> contextlib.AbstractContextManager:
        """While tracing, models may ask what the mesh is (jaxdl/nn/layout.py)."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def _call(self, name: Any, make: Callable[[], Any], *arguments: Any) -> Any:
        if name not in self._compiled:
            start = time.perf_counter()
            with self._meshed():
                self._compiled[name] = make().lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[name](*arguments)


def _unmoved(data: Any) -> Any:
    return data


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def _shardings(shapes: Any) -> Any:
    return jax.tree.map(lambda x: x.sharding, shapes)


def _layout(run: runs.Run, step: cost.Cost, platform: str) -> Layout:
    """How to dispatch, by the backend and what a step costs; the user's own choice goes first."""
    strategy = run.strategy
    if strategy == "auto":
        strategy = "single" if platform == "cpu" and step.convolves else "rolled"
    if strategy == "single":
        return Layout("single", 1)
    limit = LONGEST[strategy]
    if platform == "cpu":
        seconds = step.flops / FLOPS_PER_SECOND + step.operations * SECONDS_PER_OPERATION
        limit = max(1, min(limit, int(LONGEST_CHUNK / max(seconds, 1e-9))))
    limit = run.chunk or limit
    every = math.gcd(run.log_every or 1, run.eval_every or 1, run.save_every or 1)
    # A divisor of the intervals, so that all chunks have one length and share one program.
    chunk = max(size for size in range(1, min(limit, every) + 1) if every % size == 0)
    return Layout(strategy, chunk)


def _strong(x: Any) -> Any:
    """Without JAX's weak types, which would make the first step differ from the second."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jax.lax.convert_element_type(x, x.dtype)


def _check_state(before: Any, after: Any) -> None:
    """The state's structure, shapes and dtypes must outlive a step."""
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise errors.InputError(
            "Learner.step must return a state of the structure that init returns, got "
            f"{jax.tree.structure(after)} instead of {jax.tree.structure(before)}."
        )
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    for (path, x), y in pairs:
        if (x.shape, x.dtype) != (y.shape, y.dtype):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            raise errors.InputError(
                "Learner.step must keep the state's shapes and dtypes; "
                f"{name} went from {x.dtype}{list(x.shape)} to {y.dtype}{list(y.shape)}."
            )


def check_logged(tag: str, logged: Iterable[str]) -> None:
    """A monitored metric must be among those of the evaluation."""
    if tag not in logged:
        raise errors.InputError(
            f"The monitored metric must be one that is logged, got {tag!r}; "
            f"an evaluation logs {', '.join(logged)}."
        )


def _check_metrics(measured: Any, function: str) -> None:
    """What a learner reports must be named metrics."""
    if not isinstance(measured, dict):
        raise errors.InputError(
            f"{function} must return metrics as a dict, got {type(measured).__name__}."
        )
    for name, metric in measured.items():
        if not callable(getattr(metric, "value", None)):
            raise errors.InputError(
                f"{function} must return metrics such as metrics.Mean.of(x), "
                f"got {metric} for {name!r}."
            )


def _check_summable(measured: learner.Metrics) -> None:
    for name, metric in measured.items():
        if isinstance(metric, metrics.Collected):
            raise errors.InputError(
                f"A training metric must be summable, got Collected for {name!r}; "
                "return it from Learner.evaluate."
            )
