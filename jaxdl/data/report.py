"""What a run's data are, and what is wrong with them, told before anything is trained on them.

Examples are looked at as the learner gets them, after `transform` and before `augment`. Of data in
memory that have more than LIMIT numbers or EXAMPLES examples, some that are evenly spread over all;
of a stream, the first.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.data import batches

LIMIT = 1 << 25  # numbers that are looked at in each part: a second or two
EXAMPLES = 1 << 16  # and examples, each of which is hashed by itself: as long
TOGETHER = 1 << 21  # numbers that are looked at at once
MOST_VALUES = 1000  # between the smallest and the largest integer that are counted one by one
RARE = 0.05  # the share of a class below which accuracy tells little
LARGE = 100.0  # a mean or deviation of inputs that a network is not initialised for
ASIDE = ("target", "fold")  # entries by which two examples may differ and still be the same

Mark = Literal["good", "note", "look"]


class Remark(NamedTuple):
    """One thing to know about the data."""

    mark: Mark
    words: str


@dataclasses.dataclass
class Entry:
    """One array of the examples of a part: what its numbers are like."""

    shape: tuple[int, ...]  # of an example
    dtype: str
    low: np.ndarray  # of each number of an example
    high: np.ndarray
    count: int = 0
    total: float = 0.0
    square: float = 0.0  # of what differs from the first mean
    about: float = 0.0  # that mean
    wrong: int = 0  # NaN or infinite
    first_wrong: int = -1  # the example
    values: dict[int, int] | None = None  # of integers near each other: how often each is there

    @property
    def mean(self) -> float:
        """Of all finite numbers."""
        return self.about + self.total / self.count if self.count else math.nan

    @property
    def deviation(self) -> float:
        """The standard deviation of all finite numbers."""
        if not self.count:
            return math.nan
        return math.sqrt(max(0.0, self.square / self.count - (self.total / self.count) ** 2))

    @property
    def classes(self) -> dict[int, int] | None:
        """How often each is there, where an example has one integer, or a row of them."""
        return self.values if self.values and len(self.shape) < 2 else None


@dataclasses.dataclass
class Part:
    """The training data, or those of a test.

    size: how many examples there are, None where a stream does not know; looked_at: how many of
    them are in what follows. rows: the first example of each different input.
    """

    name: str
    size: int | None
    looked_at: int = 0
    entries: dict[str, Entry] = dataclasses.field(default_factory=dict)
    rows: dict[bytes, int] = dataclasses.field(default_factory=dict)
    answers: dict[bytes, bytes] = dataclasses.field(default_factory=dict)
    repeated: int = 0
    contradicted: int = 0


def of(
    train: batches.Source | None, tests: Mapping[str, batches.Pass], seed: int = 0
) -> list[Part]:
    """What the parts are like; training data first, where there are any."""
    named = ({} if train is None else {"train": train}) | dict(tests)
    return [_looked_at(name, source, seed) for name, source in named.items()]


def remarks(parts: list[Part]) -> list[Remark]:
    """What is worth a look in them, and what is as it should be."""
    train = next((part for part in parts if part.name == "train"), None)
    found = []
    if parts and not any(entry.wrong for part in parts for entry in part.entries.values()):
        found.append(Remark("good", "every number is finite"))
    for part in parts:
        found += _of_numbers(part)
        found += _of_classes(part, train)
        found += _of_repeats(part, train)
        if train is not None and part is not train:
            found += _of_scales(part, train)
    return found


def _looked_at(name: str, source: Any, seed: int) -> Part:
    part = Part(name, source.size)
    for indices, batch in _read(source, seed):
        leaves = {
            _name(path): _numbers(x) for path, x in jax.tree_util.tree_leaves_with_path(batch)
        }
        for label, x in leaves.items():
            if label not in part.entries:
                flat = (math.prod(x.shape[1:]),)
                part.entries[label] = Entry(
                    x.shape[1:], str(x.dtype), np.full(flat, np.inf), np.full(flat, -np.inf)
                )
            _count(part.entries[label], x, indices)
        _remember(part, leaves, indices)
        part.looked_at += len(indices)
    return part


def _read(source: Any, seed: int) -> Iterator[tuple[np.ndarray, Any]]:
    """Examples with their numbers, a batch at a time, up to the limit."""
    if isinstance(source, batches.Shuffled | batches.InOrder):
        yield from _in_memory(source)
        return
    at = seen = 0
    for batch in _streamed(source, seed):
        count = len(jax.tree.leaves(batch)[0])
        if source.size is not None:
            count = min(count, source.size - at)
            batch = jax.tree.map(lambda x, count=count: x[:count], batch)
        yield np.arange(at, at + count), batch
        at += count
        seen += sum(x.size for x in jax.tree.leaves(batch))
        if seen >= LIMIT or at >= min(EXAMPLES, source.size or EXAMPLES):
            return


def _in_memory(source: Any) -> Iterator[tuple[np.ndarray, Any]]:
    arrays, pick = jax.device_put(source.arrays), jax.jit(source.pick)
    one = jax.eval_shape(pick, arrays, jnp.zeros(1, jnp.int32))
    each = max(1, sum(x.size for x in jax.tree.leaves(one)))
    count = min(source.size, EXAMPLES, max(1, LIMIT // each))
    # Floats that hold every index: of an even spread, all of them where all are looked at.
    indices = (np.arange(count) * (source.size / count)).astype(np.int32)
    rows = max(1, TOGETHER // each)
    for start in range(0, count, rows):
        chosen = indices[start : start + rows]
        yield chosen, pick(arrays, chosen)


def _streamed(source: Any, seed: int) -> Iterator[Any]:
    if isinstance(source, batches.Pass) and not isinstance(source, batches.Source):
        for select, data in source.once():
            yield select(data, 0)
        return
    feed = source.open(seed)
    try:
        step = 0
        while True:
            yield source.select(feed.take(step, 1), 0)
            step += 1
    finally:
        feed.close()


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/") or "example"


def _numbers(x: Any) -> np.ndarray:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    return np.asarray(x)


def _count(entry: Entry, x: np.ndarray, indices: np.ndarray) -> None:
    """Take a batch into the statistics."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    finite = np.isfinite(flat)
    right = int(finite.sum())
    if right < flat.size:
        if entry.first_wrong < 0:
            entry.first_wrong = int(indices[(~finite).any(1).argmax()])
        entry.wrong += flat.size - right
    entry.low = np.minimum(entry.low, np.where(finite, flat, np.inf).min(0))
    entry.high = np.maximum(entry.high, np.where(finite, flat, -np.inf).max(0))
    if not entry.count and right:
        entry.about = float(flat[finite].mean())
    apart = np.where(finite, flat - entry.about, 0)
    entry.total += float(apart.sum())
    entry.square += float((apart * apart).sum())
    first, entry.count = entry.count == 0, entry.count + right
    if jnp.issubdtype(x.dtype, jnp.integer) and (first or entry.values is not None):
        near = entry.high.max() - entry.low.min() < MOST_VALUES
        entry.values = _tally(entry.values or {}, x) if near else None


def _tally(values: dict[int, int], x: np.ndarray) -> dict[int, int]:
    for value, count in zip(*np.unique(x, return_counts=True), strict=True):
        values[int(value)] = values.get(int(value), 0) + int(count)
    return values


def _remember(part: Part, leaves: dict[str, np.ndarray], indices: np.ndarray) -> None:
    """Take note of each example by a hash of its input, and of its answer."""
    inputs = [leaves[label] for label in _inputs(leaves)]
    target = leaves.get("target")
    for i, index in enumerate(indices):
        seal = _seal([x[i] for x in inputs])
        answer = b"" if target is None else target[i].tobytes()
        if seal in part.rows:
            part.repeated += 1
            part.contradicted += part.answers[seal] != answer
        else:
            part.rows[seal], part.answers[seal] = int(index), answer


def _inputs(labels: Iterable[str]) -> list[str]:
    """The entries that make two examples the same: "input", or where there is none all but the
    target.
    """
    labels = list(labels)
    own = [label for label in labels if label.partition("/")[0] == "input"]
    return own or [label for label in labels if label not in ASIDE] or labels


def _seal(arrays: list[np.ndarray]) -> bytes:
    """What no two different examples share, to all that can be expected."""
    digest = hashlib.blake2b(digest_size=16)
    for x in arrays:
        digest.update(f"{x.dtype}{x.shape}".encode())
        digest.update(np.ascontiguousarray(x).tobytes())
    return digest.digest()


def _of_numbers(part: Part) -> list[Remark]:
    found = []
    for label, entry in part.entries.items():
        if entry.wrong:
            of = f"{entry.wrong:,} of {entry.wrong + entry.count:,} numbers of {part.name}/{label}"
            found.append(
                Remark("look", f"{of} are not finite, first in example {entry.first_wrong}")
            )
        width, still = len(entry.low), int((entry.low >= entry.high).sum())
        if still and label not in ASIDE and part.looked_at > 1 and part.name == "train":
            some = "all" if still == width else f"{still:,} of the"
            words = f"{some} {width:,} numbers of an example of train/{label} never change"
            found.append(Remark("look" if still == width else "note", words))
        floats = entry.dtype.startswith(("float", "bfloat"))
        if floats and max(abs(entry.mean), entry.deviation) > LARGE and part.name == "train":
            words = f"{part.name}/{label} is {entry.mean:.3g} ± {entry.deviation:.3g}"
            found.append(Remark("look", f"{words}: scale it to a size near 1"))
    return found


def _of_classes(part: Part, train: Part | None) -> list[Remark]:
    target = part.entries.get("target")
    counts = target.classes if target is not None else None
    if counts is None:
        return []
    found = []
    rare = min(counts, key=lambda value: counts[value])
    share = counts[rare] / sum(counts.values())
    if part is train and share < RARE and len(counts) < 1 / RARE:
        words = f"class {rare} is {share:.2%} of train: accuracy says little, average precision "
        found.append(Remark("note", words + "or balanced accuracy says more"))
    known = train.entries.get("target") if train is not None and part is not train else None
    if known is not None and known.classes is not None:
        for side, these, those in (
            (f"{part.name} and not in train", counts, known.classes),
            (f"train and not in {part.name}", known.classes, counts),
        ):
            alone = sorted(these.keys() - those.keys())
            if alone:
                names = ", ".join(map(str, alone[:5])) + (", ..." if len(alone) > 5 else "")
                found.append(Remark("look", f"class {names} is in {side}"))
    return found


def _of_repeats(part: Part, train: Part | None) -> list[Remark]:
    found = []
    if part.repeated:
        words = f"{part.repeated:,} of {part.looked_at:,} examples of {part.name} repeat another"
        if part.contradicted:
            words += f", {part.contradicted:,} of them with another target"
        found.append(Remark("look" if part.contradicted else "note", words))
    if train is None or part is train or not _alike(part, train):
        return found
    shared = part.rows.keys() & train.rows.keys()
    if shared:
        first = min(shared, key=lambda seal: part.rows[seal])
        words = f"{len(shared):,} of {len(part.rows):,} different inputs of {part.name} are in "
        where = f"train too, first {part.name} {part.rows[first]} = train {train.rows[first]}"
        return [*found, Remark("look", words + where)]
    seen = all(p.size is not None and p.looked_at >= p.size for p in (part, train))
    words = f"no input of {part.name} is in train"
    return [*found, Remark("good", words if seen else f"{words}, of those that were looked at")]


def _of_scales(part: Part, train: Part) -> list[Remark]:
    found = []
    for label, entry in part.entries.items():
        known = train.entries.get(label)
        if label in ASIDE or known is None or not known.deviation > 0 or not entry.count:
            continue
        far = abs(entry.mean - known.mean) > 3 * known.deviation
        if far or not 0.2 < entry.deviation / known.deviation < 5:
            found.append(
                Remark(
                    "look",
                    f"{part.name}/{label} is {entry.mean:.3g} ± {entry.deviation:.3g} where train "
                    f"has {known.mean:.3g} ± {known.deviation:.3g}: are they scaled alike?",
                )
            )
    return found


def _alike(part: Part, train: Part) -> bool:
    """Whether an example of one could be one of the other."""
    kinds = [
        [(label, p.entries[label].shape, p.entries[label].dtype) for label in _inputs(p.entries)]
        for p in (part, train)
    ]
    return kinds[0] == kinds[1]
