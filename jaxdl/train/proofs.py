"""What every run promises, each promise tried on a short piece of the run.

A proof gives the largest difference between two ways to the same numbers, and how large it may be.
Ways that are the same arithmetic must agree to the bit, in state and curves. The others (fewer
devices, no compiler, members together) add up in another order: there the curves must agree, not
the state, in which Adam makes a whole step of a gradient that is nothing but rounding. How far is
told by jaxdl/train/rounding.py.
"""

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import learner, metrics
from jaxdl import run as runs
from jaxdl.data import batches, streams
from jaxdl.train import loop, members, record, rounding
from jaxdl.train import program as programs

WALKED = 2  # steps where programs are compared without the loop
TEST_BATCHES = 2
MOST_OPERATIONS = 30_000  # of a step run without the compiler, each 0.1 ms or more
MOST_BYTES = 2**32  # of data written out to be streamed


class Proof(NamedTuple):
    """difference: the largest; None where there is nothing to prove, and `note` says why.

    tolerance: what it may be; 0 is "to the bit".
    """

    difference: float | None
    tolerance: float = 0.0
    note: str = ""

    @property
    def verdict(self) -> str:
        """proved, failed or not applicable."""
        if self.difference is None:
            return "not applicable"
        return "proved" if self.difference <= self.tolerance else "failed"


class Case(NamedTuple):
    """A run to try, made anew for each proof; folder: where what it writes may lie."""

    make: Callable[[], runs.Run]
    launched: record.Launched
    steps: int
    folder: pathlib.Path

    def run(self, **changes: Any) -> runs.Run:
        """The run at its reduced length: two halves, each with a log, an evaluation and a save."""
        run, half = self.make(), self.steps // 2
        tests = {name: _Beginning(test) for name, test in run.tests.items()}
        settings: dict[str, Any] = {"steps": 2 * half, "tests": tests, "summaries": {}}
        settings |= {"log_every": half, "eval_every": half, "save_every": half, "patience": None}
        return dataclasses.replace(run, **(settings | changes))

    def nudged(self, number: int) -> "Case":
        """The same case, each float it begins with an ulp up or down; which of them, by number."""

        def make() -> runs.Run:
            run = self.make()

            def init(key: learner.Key, batch: learner.Batch) -> learner.State:
                return rounding.nudged(run.learner.init(key, batch), number)

            return dataclasses.replace(run, learner=run.learner._replace(init=init))

        return self._replace(make=make)

    def trained(self, name: str, run: runs.Run) -> loop.Result:
        """What the loop makes of a run, in the folder of this name."""
        result = loop.train(run, self.folder / name, self.launched, quiet=True)
        if result.status == "stopped":
            raise KeyboardInterrupt
        return result

    def program(self) -> programs.Program:
        """The functions of the run."""
        run = self.run()
        feed = batches.opened(run.train, self.launched.seed)
        try:
            return programs.Program(run, self.launched.seed, feed.first())
        finally:
            feed.close()


@dataclasses.dataclass(frozen=True, eq=False)
class _Beginning:
    """The first batches of a test."""

    test: batches.Pass

    @property
    def size(self) -> int | None:
        return self.test.size

    def once(self) -> Iterator[tuple[batches.Select, batches.Data]]:
        return itertools.islice(self.test.once(), TEST_BATCHES)


# --- to the bit


def same_seed(case: Case, whole: loop.Result) -> Proof:
    """Two runs of one seed."""
    return Proof(_apart(case.trained("again", case.run()), whole))


def resumed(case: Case, whole: loop.Result) -> Proof:
    """Half the steps, then a launch that goes on from what the first has saved."""
    case.trained("resumed", case.run(steps=case.steps // 2))
    return Proof(_apart(case.trained("resumed", case.run()), whole))


def chunked(case: Case, whole: loop.Result) -> Proof:
    """The run's chunks against single steps, in a loop of one where the chunks are loops."""
    layout = (record.load(whole.folder) or {})["program"]
    if layout["chunk"] == 1:
        return Proof(None, note="its steps are dispatched one by one")
    strategy = "rolled" if layout["strategy"] == "rolled" else "single"
    alone = case.trained("stepped", case.run(strategy=strategy, chunk=1))
    note = f"{layout['strategy']} chunks of {layout['chunk']}"
    return Proof(_apart(whole, alone), note=note)


def streamed(case: Case, whole: loop.Result) -> Proof:
    """The batches of a memmap, streamed, against those of the arrays in memory."""
    source = case.run().train
    if source is None:
        return Proof(None, note="it makes its own experience")
    if not isinstance(source, batches.Shuffled):
        return Proof(None, note="its data are not in memory")
    leaves, structure = jax.tree.flatten(source.arrays)
    if any(len(leaf) != source.size for leaf in leaves):
        return Proof(None, note="windows of a corpus are not streamed")
    if sum(leaf.nbytes for leaf in leaves) > MOST_BYTES:
        return Proof(None, note=f"its data are larger than {MOST_BYTES / 2**30:g} GiB")
    folder = case.folder / "streamed"
    folder.mkdir()
    arrays = jax.tree.unflatten(
        structure, [_memmap(folder / f"{i}.npy", leaf) for i, leaf in enumerate(leaves)]
    )
    plain = batches.shuffled(source.arrays, source.batch_size)  # as they lie, nothing transformed
    order = streams.shuffled(arrays, source.batch_size)
    epoch = -(-source.size // source.batch_size)
    steps = case.steps + min(epoch, 1000)  # beyond the end of an epoch, if that is near
    found, wanted = (_first_batches(s, case.launched.seed, steps) for s in (order, plain))
    largest = max(difference(a, b) for a, b in zip(found, wanted, strict=True))
    return Proof(largest, note=f"{steps} batches")


# --- but for rounding


def uncompiled(case: Case, whole: loop.Result) -> Proof:
    """A few steps and an evaluation operation by operation, without XLA's compiler."""
    program = case.program()
    count = program.cost.operations
    if count > MOST_OPERATIONS:
        return Proof(None, note=f"a step has {count:,.0f} operations, too many one by one")
    seed, key = case.launched.seed, jax.random.key(case.launched.seed)
    plain, data, test = program.run.learner, _first_batches(program.run.train, seed), _test(program)
    fast = learner.Learner(*(jax.jit(function) for function in plain[:3]))
    state = fast.init(key, data[0])
    wanted = _walk(fast, key, state, data, test)
    with jax.disable_jit():
        found = _walk(plain, key, state, data, test)

    def moved(number: int) -> rounding.Gaps:
        return _metrics_apart(_walk(fast, key, rounding.nudged(state, number), data, test), wanted)

    return Proof(*rounding.judged(_metrics_apart(found, wanted), program, moved))


def vectorised(case: Case, whole: loop.Result) -> Proof:
    """Members of a sweep that run together, each with a seed of its own, against runs alone."""
    run = case.run()
    seeds = [case.launched.seed + i for i in range(max(2, jax.device_count()))]
    feed, axes = batches.Nothing(), None
    if run.train is not None:
        if not hasattr(run.train, "together"):
            return Proof(None, note="streams are read by one run at a time")
        feed, axes = run.train.together(seeds)  # type: ignore[attr-defined]
    family = programs.Family(lambda values: run, seeds, [{}] * len(seeds), axes)
    spread = dataclasses.replace(run, mesh={"member": -1})
    together = programs.Program(spread, seeds[0], feed.first(), family, together=True)
    found = _begun(together, feed)
    alone = [_alone(run, seed) for seed in seeds[:2]]
    apart = rounding.largest(map(_metrics_apart, found, alone))

    def moved(number: int) -> rounding.Gaps:
        return _metrics_apart(_alone(case.nudged(number).run(), seeds[0]), alone[0])

    return Proof(*rounding.judged(apart, together, moved))


def shared(case: Case, devices: int) -> Proof:
    """The curves of one device against those of several that share each batch."""
    one = case.trained("one", case.run(mesh={"data": 1}))
    several = case.trained("several", case.run(mesh={"data": devices}))
    apart = rounding.gaps(_curves(several), _curves(one))

    def moved(number: int) -> rounding.Gaps:
        run = case.nudged(number).run(mesh={"data": 1})
        return rounding.gaps(_curves(case.trained(f"nudged {number}", run)), _curves(one))

    note = f"a batch on {devices} devices"
    return Proof(*rounding.judged(apart, case.program(), moved, note))


# --- a few steps without the loop, and their data


def _alone(run: runs.Run, seed: int) -> list[learner.Metrics]:
    """What `_begun` gives of one run."""
    feed = batches.opened(run.train, seed)
    (told,) = _begun(programs.Program(run, seed, feed.first()), feed)
    return told


def _begun(program: programs.Program, feed: batches.Feed) -> list[list[learner.Metrics]]:
    """Each member's metrics of the first steps, and of an evaluation after them; on the host."""
    carry, count = program.begin(), min(WALKED, program.layout.chunk)
    for i in range(0, WALKED, count):
        carry = program.advance(carry, feed.take(i, count), i, count)
    tests = program.run.tests.values()
    tested = [program.evaluate(carry.state, test, WALKED) for test in tests]
    totals = jax.device_get(carry.totals)
    if program.members is None:
        return [[totals, *(scores[0] for scores in tested)]]
    return [
        [members.part(totals, 0, i), *(scores[i] for scores in tested)]
        for i in range(program.members)
    ]


def _walk(
    taught: learner.Learner, key: Any, state: Any, data: list[Any], test: Any
) -> list[learner.Metrics]:
    """The metrics of a run's first steps, and of an evaluation after them; on the host."""
    told = []
    for i, batch in enumerate(data):
        state, measured = taught.step(state, batch, jax.random.fold_in(key, i))
        told.append(measured)
    if test is not None:
        told.append(taught.evaluate(state, test, jax.random.fold_in(key, len(data))))
    return jax.device_get(told)


def _test(program: programs.Program) -> Any:
    """A batch of the first test, None without one."""
    for test in itertools.islice(program.run.tests.values(), 1):
        select, given = batches.first(test)
        return jax.jit(select)(given, 0)
    return None


def _first_batches(source: batches.Source | None, seed: int, count: int = WALKED) -> list[Any]:
    if source is None:
        return [None] * count
    feed, select = source.open(seed), jax.jit(source.select)
    try:
        return [select(feed.take(i, 1), np.uint32(0)) for i in range(count)]
    finally:
        feed.close()


def _memmap(path: pathlib.Path, array: Any) -> np.ndarray:
    np.save(path, np.asarray(array))
    return np.load(path, mmap_mode="r")


# --- differences


def difference(one: Any, two: Any) -> float:
    """The largest between two trees of arrays: 0 only where they are the same bits."""
    if jax.tree.structure(one) != jax.tree.structure(two):
        return math.inf
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    return max((_difference(_plain(x), _plain(y)) for x, y in pairs), default=0.0)


def _difference(x: np.ndarray, y: np.ndarray) -> float:
    if (x.shape, x.dtype) != (y.shape, y.dtype):
        return math.inf
    if x.tobytes() == y.tobytes():
        return 0.0
    gap = np.abs(x.astype(np.float64) - y.astype(np.float64))
    return max(float(np.nan_to_num(gap, nan=math.inf).max()), np.finfo(np.float64).tiny)


def _plain(x: Any) -> np.ndarray:
    keys = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if keys else x)


def _apart(one: loop.Result, two: loop.Result) -> float:
    """How far two runs are apart in state and curves."""
    return max(difference(one.state, two.state), difference(_curves(one), _curves(two)))


def _curves(result: loop.Result) -> dict[str, np.ndarray]:
    """Tag -> values, without what depends on the clock."""
    return {
        tag: np.asarray(values, np.float64)
        for tag, (_, values) in result.history.items()
        if not tag.startswith("speed/")
    }


def _metrics_apart(found: list[learner.Metrics], wanted: list[learner.Metrics]) -> rounding.Gaps:
    """How far the numbers that metrics come to are apart."""
    pairs = zip(found, wanted, strict=True)
    return rounding.largest(
        rounding.gaps(metrics.values(one), metrics.values(two)) for one, two in pairs
    )
