"""The compiled functions of a run: begin, advance by a chunk of steps, evaluate.

How its steps are dispatched: jaxdl/train/dispatch.py.
"""

import contextlib
import copy
import functools
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import learner, metrics
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.nn import layout
from jaxdl.train import cost, dispatch, graph, members, returned
from jaxdl.train import mesh as meshes


class Carry(NamedTuple):
    """What a chunk hands to the next: the learner's state and the sums of its metrics."""

    state: Any
    totals: learner.Metrics


class Who(NamedTuple):
    """What tells a run from others of its shape: its key, and hyperparameters that are values."""

    key: Any
    values: Mapping[str, Any]


class Family(NamedTuple):
    """Runs that share their functions.

    make: the run of hyperparameters that may be traced. seeds, values: one for each member.
    axes: of a chunk's data, as `jax.vmap` takes them, where all members run together; else None.
    """

    make: Callable[[Mapping[str, Any]], runs.Run]
    seeds: Sequence[int]
    values: Sequence[Mapping[str, Any]]
    axes: Any = None


class Program:
    """A run's functions, each compiled when first called; `compile_seconds` sums what that took.

    Of a family, it serves the first member; or all members together (`members` is their number):
    then keys, states and metrics have a leading axis of members.

    On one device there is no mesh, and nothing is laid out. On a mesh the carry lies as the run's
    rules say (`shape` carries the shardings), data and metrics are on every device, and a batch is
    cut over those that share it as soon as it is picked.
    """

    def __init__(
        self,
        run: runs.Run,
        seed: int,
        first: batches.Data,
        family: Family | None = None,
        together: bool = False,
    ) -> None:
        self.run = run
        self.family = family or Family(lambda values: run, [seed], [{}])
        self.members = len(self.family.seeds) if together else None
        self.mesh = meshes.of(run)
        self.compile_seconds = 0.0
        self._compiled: dict[Any, Any] = {}
        self._digest: str | None = None
        self._first = first
        self._placed = (lambda data: data) if self.mesh is None else meshes.Placed(self.mesh)
        self.seed, self.who = seed, self._who()
        # Traced once; `inline` puts its equations into whatever program calls it. What is known of
        # it here is without the mesh: the same mathematics on any number of devices.
        self._step = jax.jit(self.one_step, inline=True)
        where: Any = {}
        if self.mesh is not None:
            where = {
                "out_shardings": (meshes.members if together else meshes.replicated)(self.mesh)
            }
        self._examine = jax.jit(self._examine_one, static_argnums=0, **where)
        zero = jax.ShapeDtypeStruct((), jnp.uint32)
        one, data = self._one(self.who, 0), self._one(first, self.family.axes)
        self._begin = jax.jit(self.init)  # a call in its program: it is traced once, and runs once
        state = self._begin.eval_shape(one, data)
        traced = self._step.trace(state, one, data, zero, zero)
        self.jaxpr = traced.jaxpr
        state_after, measured = traced.out_info
        returned.state(state, state_after)
        returned.named(measured, "Learner.step")
        returned.summable(measured)
        self.examined = self._check_monitor(state, one)
        carry = Carry(state, measured)
        if together:
            carry = jax.tree.map(
                lambda x: jax.ShapeDtypeStruct((self.members, *x.shape), x.dtype), carry
            )
        self.shape = self._laid_out(carry)  # of what `begin` returns
        self.cost = cost.of(self.jaxpr)
        self.layout = dispatch.layout(run, self.cost, jax.default_backend(), self.members or 1)

    def digest(self) -> str:
        """A hash of the step's equations: equal digests are the same mathematics."""
        if self._digest is None:
            text = re.sub(r"0x[0-9a-f]+", "", str(self.jaxpr))
            self._digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._digest

    def serving(self, family: Family, first: batches.Data) -> "Program":
        """The same compiled functions for other runs of the same shape, as many."""
        program = copy.copy(self)
        program.family, program._first, program.compile_seconds = family, first, 0.0
        program.seed, program.who = family.seeds[0], program._who()
        return program

    def begin(self) -> Carry:
        """The state before the first step."""
        state = self._call("begin", self._beginning, self.who, self._placed(self._first))
        return Carry(state, self.zeros())

    def zeros(self) -> learner.Metrics:
        """Metrics of no step at all."""
        if jax.process_count() == 1:
            zeros = _zeros(self.shape.totals)
            where = None if self.mesh is None else meshes.where(self.shape.totals)
            return jax.device_put(zeros, where)
        return self._call("zeros", self._zeroing)

    def advance(self, carry: Carry, data: batches.Data, step: int, count: int) -> Carry:
        """`count` steps, the first of which is `step`; the carry given is used up."""
        arguments = carry, self.who, self._placed(data), np.uint32(step)
        make = functools.partial(self._advancing, count, arguments[2])
        return self._call(("advance", count), make, *arguments)

    def compiled_step(self) -> Any:
        """One step as XLA compiled it, without running it."""
        with self._meshed():
            # Shapes alone: the data need not be on every device to plan with them.
            data = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), self._first)
            return self._advancing(1).lower(self.shape, self.who, data, np.uint32(0)).compile()

    def memory(self, data: batches.Data) -> int:
        """Bytes that a chunk takes, its arguments included; it is compiled for that."""
        count = self.layout.chunk
        arguments = self.shape, self.who, self._placed(data), np.uint32(0)
        make = functools.partial(self._advancing, count)
        return cost.memory(self._compile(("advance", count), make, *arguments))

    def examining_memory(self, select: batches.Select, data: batches.Data) -> int:
        """Likewise of the evaluation of a test's batch."""
        zero = np.uint32(0)
        with self._meshed():
            found = self._examine.lower(
                select, self.shape.state, self.who, self._placed(data), zero, zero
            ).compile()
        return cost.memory(found)

    def batch_shape(self) -> Any:
        """The shapes and dtypes of one training batch, None without data."""
        return jax.eval_shape(lambda data: _select(self.run, data, 0), self._first)

    def evaluate(self, state: Any, test: batches.Pass, step: int) -> list[learner.Metrics]:
        """Each member's metrics of one pass over a test's data, added up on the host."""
        with self._meshed():
            parts = [
                self._examine(
                    select, state, self.who, self._placed(data), np.uint32(step), np.uint32(i)
                )
                for i, (select, data) in enumerate(test.once())
            ]
        parts = jax.device_get(parts)
        if self.members is None:
            return [functools.reduce(metrics.merge, parts)]
        mine = [[members.part(part, 0, i) for part in parts] for i in range(self.members)]
        return [functools.reduce(metrics.merge, parts) for parts in mine]

    def summary_key(self, step: int, i: int, member: int = 0) -> learner.Key:
        """A key for the i-th summary at a step."""
        key = self.who.key if self.members is None else self.who.key[member]
        return jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(key, 4), step), i)

    # --- of members that run together

    def copied(self, state: Any) -> Any:
        """The same, in buffers of its own."""
        return self._call("copied", lambda: jax.jit(members.copied), state)

    def chosen(self, better: np.ndarray, state: Any, best: Any) -> Any:
        """The state of those members that are better, and of the others what was best."""
        return self._call("chosen", lambda: jax.jit(members.chosen), better, state, best)

    def sound(self, state: Any) -> np.ndarray:
        """Of each member, whether its state has no NaN."""
        return np.array(self._call("sound", lambda: jax.jit(members.sound), state))

    def cleared(self, sound: np.ndarray, tree: Any) -> Any:
        """A carry or a state with zeros in the place of the members that are not sound."""
        kind = ("cleared", isinstance(tree, Carry))
        return self._call(kind, lambda: jax.jit(members.cleared, donate_argnums=1), sound, tree)

    def evolved(self, evolve: Any, scores: np.ndarray, carry: Carry, step: int) -> Any:
        """What `population.exploit` makes of the members; the carry given is used up."""
        rest = None if self.mesh is None else meshes.replicated(self.mesh)
        where = {} if rest is None else {"out_shardings": (meshes.where(self.shape), rest, rest)}
        make = functools.partial(jax.jit, evolve, donate_argnums=1, **where)
        return self._call("evolved", make, scores, carry, self.who, np.uint32(step))

    def adopt(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Go on with these hyperparameters, of each member."""
        self.family = self.family._replace(values=values)
        self.who = self._who()

    # --- what is compiled

    def _who(self) -> Who:
        """Who the runs are: of one, a key and numbers; of members together, a column of each."""
        if self.mesh is None:
            return self._named()
        everywhere = meshes.replicated(self.mesh)
        if jax.process_count() == 1:  # nothing to compile, however many members ask
            return jax.device_put(self._named(), everywhere)
        return jax.jit(self._named, out_shardings=everywhere)()

    def _named(self) -> Who:
        seeds, values = self.family.seeds, self.family.values
        # Numbers of weak type, as Python's are: bfloat16 times a learning rate stays bfloat16.
        if self.members is None:
            numbers = {name: jnp.asarray(value) for name, value in values[0].items()}
            return Who(jax.random.key(seeds[0]), numbers)
        columns = {name: jnp.stack([jnp.asarray(v[name]) for v in values]) for name in values[0]}
        return Who(jnp.stack([jax.random.key(seed) for seed in seeds]), columns)

    def _one(self, tree: Any, axes: Any) -> Any:
        """The shapes of one member's part of a tree."""
        if self.members is None:
            return tree
        return jax.eval_shape(lambda x: members.part(x, axes), tree)

    def _each(
        self, function: Callable[..., Any], *axes: Any, spread: Callable[..., Any] = jax.vmap
    ) -> Callable[..., Any]:
        """A function of one run; or of all members, whose arrays have these axes."""
        if self.members is None:
            return function
        every = spread(function, axes)
        if self.mesh is None:
            return every
        # Each device runs its own members, and none waits for another: not even in a loop that
        # turns until all members are through, as the one that shuffles does.
        return jax.shard_map(
            every,
            mesh=self.mesh,
            in_specs=meshes.member_specs(self.mesh, axes),
            out_specs=meshes.members(self.mesh).spec,
            check_vma=False,
        )

    def init(self, who: Who, data: batches.Data) -> Any:
        run = self.family.make(who.values)
        state = run.learner.init(jax.random.fold_in(who.key, 0), _select(run, data, 0))
        return jax.tree.map(_strong, state)

    def one_step(self, state: Any, who: Who, data: batches.Data, step: Any, i: Any) -> Any:
        run = self.family.make(who.values)
        key = jax.random.fold_in(jax.random.fold_in(who.key, 2), step + i)
        state, measured = run.learner.step(state, _select(run, data, i), key)
        return jax.tree.map(_strong, (state, measured))

    def _chunk(self, carry: Carry, who: Who, data: Any, step: Any, *, count: int) -> Carry:
        every_step = self._each(self._step, 0, 0, self.family.axes, None, None)

        def one(carry: Carry, i: Any) -> tuple[Carry, None]:
            state, measured = every_step(carry.state, who, data, step, i)
            if self.mesh is not None:
                state = jax.lax.with_sharding_constraint(state, meshes.where(self.shape.state))
            return Carry(state, metrics.merge(carry.totals, measured)), None

        if count == 1:
            rolled = self.layout.strategy == "rolled" and jax.default_backend() == "cpu"
            return dispatch.loop_of_one(one, carry) if rolled else one(carry, jnp.uint32(0))[0]
        unroll = count if self.layout.strategy == "unrolled" else 1
        return jax.lax.scan(one, carry, jnp.arange(count, dtype=jnp.uint32), unroll=unroll)[0]

    def _examine_one(
        self, select: batches.Select, state: Any, who: Who, data: Any, step: Any, i: Any
    ) -> learner.Metrics:
        examine = self._each(self.examiner(select), 0, 0, None, None, None)
        return examine(state, who, data, step, i)

    def examiner(self, select: batches.Select) -> Callable[..., learner.Metrics]:
        def examine(state: Any, who: Who, data: Any, step: Any, i: Any) -> learner.Metrics:
            key = jax.random.fold_in(jax.random.fold_in(who.key, 3), step)
            batch = layout.spread(select(data, 0))
            learns = self.family.make(who.values).learner
            return learns.evaluate(state, batch, jax.random.fold_in(key, i))

        return examine

    def _check_monitor(self, state: Any, who: Who) -> graph.Traced | None:
        """The evaluation; the monitored metric must come out of it: told now, not after hours."""
        if self.run.monitor is None:
            return None
        test = self.run.monitor.tag.split("/")[0]
        select, data = batches.first(self.run.tests[test])
        at = np.uint32(0)
        found = graph.traced(self.examiner(select), state=state, who=who, data=data, step=at, i=at)
        returned.named(found.results, "Learner.evaluate")
        if not any(isinstance(metric, metrics.Collected) for metric in found.results.values()):
            logged = metrics.values(_zeros(found.results))
            returned.logged(self.run.monitor.tag, [f"{test}/{name}" for name in logged])
        return found

    # --- compiled, and where their arguments and results lie

    def _laid_out(self, carry: Carry) -> Carry:
        """The carry's shapes with their shardings, where there is a mesh."""
        if self.mesh is None:
            return carry
        if self.members is not None:
            mine = meshes.members(self.mesh)
            placed = jax.tree.map(lambda x: mine, carry)
        else:
            everywhere = meshes.replicated(self.mesh)
            totals = jax.tree.map(lambda x: everywhere, carry.totals)
            placed = Carry(meshes.shardings(carry.state, self.mesh, self.run.rules), totals)
        return jax.tree.map(
            lambda x, to: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=to), carry, placed
        )

    def _zeroing(self) -> Any:
        totals = self.shape.totals
        return jax.jit(functools.partial(_zeros, totals), out_shardings=meshes.where(totals))

    def _beginning(self) -> Any:
        begin = self._each(self._begin, 0, self.family.axes, spread=members.one_by_one)
        if self.mesh is None:
            return jax.jit(begin)
        return jax.jit(
            begin,
            in_shardings=meshes.replicated(self.mesh),
            out_shardings=meshes.where(self.shape.state),
        )

    def _advancing(self, count: int, data: batches.Data = None) -> Any:
        """data: where it has been put on the mesh; else it will be everywhere."""
        chunk = functools.partial(self._chunk, count=count)
        if self.mesh is None:
            return jax.jit(chunk, donate_argnums=0)
        everywhere, carry = meshes.replicated(self.mesh), meshes.where(self.shape)
        put = jax.tree.map(lambda x: getattr(x, "sharding", everywhere), data)
        return jax.jit(
            chunk,
            donate_argnums=0,
            in_shardings=(carry, everywhere, everywhere if put is None else put, everywhere),
            out_shardings=carry,
        )

    def _meshed(self) -> contextlib.AbstractContextManager:
        """While tracing, models may ask what the mesh is (jaxdl/nn/layout.py)."""
        return contextlib.nullcontext() if self.mesh is None else jax.set_mesh(self.mesh)

    def _call(self, name: Any, make: Callable[[], Any], *arguments: Any) -> Any:
        return self._compile(name, make, *arguments)(*arguments)

    def _compile(self, name: Any, make: Callable[[], Any], *arguments: Any) -> Any:
        if name not in self._compiled:
            start = time.perf_counter()
            with self._meshed():
                self._compiled[name] = make().lower(*arguments).compile()
            self.compile_seconds += time.perf_counter() - start
        return self._compiled[name]


def _select(run: runs.Run, data: batches.Data, i: Any) -> learner.Batch:
    return None if run.train is None else layout.spread(run.train.select(data, i))


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def _strong(x: Any) -> Any:
    """Without JAX's weak types, which would make the first step differ from the second."""
    x = jnp.asarray(x)
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return x
    return jax.lax.convert_element_type(x, x.dtype)
