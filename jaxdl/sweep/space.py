"""What a sweep varies: the values of each hyperparameter, as lists or as ranges to draw from.

    --sweep learning_rate=1e-4,3e-4,1e-3 width=64,128      every combination
    --sweep 'learning_rate=log(1e-5,1e-1)' --samples 64    random draws

On a command line a tuple stands in parentheses: 'features=(64,32),(128,64)'. A shell needs quotes
around parentheses. In an experiment file the same is a function:

    def sweep():
        return {"learning_rate": space.log(1e-5, 1e-1), "width": [64, 128]}

jaxdl/sweep/reading.py reads both. Nothing here imports JAX: typing errors are answered at once.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import random
import re
import typing
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal

from jaxdl import errors, values

LARGEST = 100_000  # settings: a list this long is a slip of the keyboard

_LABEL = 100  # characters; file systems take 255 bytes, people and TensorBoard less
_TRIES = 1000  # draws in a row, and 20 more for each known setting: then there is no new one
_DIGITS = 6  # of a drawn number: a value that is read off a table can be typed again


Number = int | float


class Setting(Mapping[str, Any]):
    """One point of a space: name -> value, known by its label."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)
        self.label = _label(self._given)

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Setting) and self.label == other.label

    def __hash__(self) -> int:
        return hash(self.label)

    def __repr__(self) -> str:
        return f"Setting({self.label})"


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; `whole` ones are integers."""

    scale: Literal["log", "uniform", "int"]
    low: Number
    high: Number
    whole: bool = False

    def __post_init__(self) -> None:
        ends = (self.low, self.high)
        if not all(isinstance(end, int | float) and math.isfinite(end) for end in ends):
            raise errors.InputError(f"A range must have two numbers as its ends, got {self}.")
        if self.scale == "log" and self.low <= 0:
            raise errors.InputError(
                f"A range of log must begin above 0, got {self}. `uniform` may begin anywhere."
            )
        if self.low >= self.high:
            raise errors.InputError(f"A range must go from a low to a high number, got {self}.")
        if self.whole and not all(end == int(end) for end in ends):
            raise errors.InputError(f"A range of integers must have whole ends, got {self}.")

    def __str__(self) -> str:
        return f"{self.scale}({self.low},{self.high})"

    def at(self, share: Number) -> Number:
        """The number below which lies a share (0 to 1) of the draws."""
        half = 0.5 if self.whole else 0.0  # each integer owns the numbers that round to it
        low, high = self.low - half, self.high + half
        if self.scale == "log":
            return self.rounded(math.exp((1 - share) * math.log(low) + share * math.log(high)))
        return self.rounded((1 - share) * low + share * high)

    def rounded(self, number: Number) -> Number:
        """A number as a setting has it: an integer, or six significant digits."""
        near = round(number) if self.whole else float(f"{number:.{_DIGITS}g}")
        clipped = min(max(near, self.low), self.high)
        return int(clipped) if self.whole else float(clipped)


@dataclasses.dataclass(frozen=True)
class Choice:
    """Values to draw from, each as often as the others."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"choice({','.join(map(str, self.values))})"


Axis = tuple[Any, ...] | Range | Choice  # a tuple lists every value


def first(axis: Axis) -> Any:
    """The first value listed, or the low end."""
    if isinstance(axis, Range):
        return int(axis.low) if axis.whole else float(axis.low)
    return axis[0] if isinstance(axis, tuple) else axis.values[0]


def log(low: Number, high: Number) -> Range:
    """Numbers whose logarithm is uniform; integers where the hyperparameter is one."""
    return Range("log", low, high)


def uniform(low: Number, high: Number) -> Range:
    """Numbers, each as likely as the others."""
    return Range("uniform", low, high)


def integers(low: int, high: int) -> Range:
    """Integers, each as likely as the others; both ends are included."""
    return Range("int", low, high, whole=True)


def choice(*given: Any) -> Choice:
    """One of the values."""
    return Choice(given)


class Space:
    """The values of each hyperparameter that varies, in the order they were named."""

    def __init__(self, axes: Mapping[str, Axis]) -> None:
        self.axes = {
            name: axis if isinstance(axis, Range) else _distinct(axis)
            for name, axis in axes.items()
        }

    @property
    def drawn(self) -> str | None:
        """The name of a range or a choice, which needs samples; None for a grid."""
        return next((n for n, axis in self.axes.items() if not isinstance(axis, tuple)), None)

    def settings(self, samples: int | None = None, seed: int = 0) -> list[Setting]:
        """Every setting of a grid, the last name varying fastest; or `samples` random ones.

        Each setting comes once, so a space that has no more gives fewer than `samples`. The first
        settings of a longer draw are those of a shorter one with the same seed.
        Raises errors.InputError for a range without samples and for more than LARGEST settings.
        """
        self._check(samples)
        if samples is None:
            grid = itertools.product(*typing.cast("list[tuple]", list(self.axes.values())))
            return [Setting(dict(zip(self.axes, point, strict=True))) for point in grid]
        generator = random.Random(seed)
        found: dict[Setting, None] = {}
        while len(found) < samples:
            setting = self.draw(generator, found)
            if setting is None:
                break
            found[setting] = None
        return list(found)

    def draw(self, generator: random.Random, known: Collection[Setting] = ()) -> Setting | None:
        """A random setting that is not known yet; None where no more are found."""
        for _ in range(_TRIES + 20 * len(known)):
            point = {name: _drawn(axis, generator.random()) for name, axis in self.axes.items()}
            setting = Setting(point)
            if setting not in known:
                return setting
        return None

    def _check(self, samples: int | None) -> None:
        if samples is not None and samples < 1:
            raise errors.InputError(f"--samples must be at least 1, got {samples}.")
        if samples is None and self.drawn is not None:
            raise errors.InputError(
                f"A sweep over a range must say how many settings to draw, got {self.drawn}="
                f"{self.axes[self.drawn]}.\nAdd --samples 32, or list the values."
            )
        listed = [len(axis) for axis in self.axes.values() if isinstance(axis, tuple)]
        count = math.prod(listed) if samples is None else samples
        if count > LARGEST:
            raise errors.InputError(
                f"A sweep must have at most {LARGEST:,} settings, got {count:,}. "
                "Draw some of them with --samples."
            )


def _distinct(axis: tuple[Any, ...] | Choice) -> tuple[Any, ...] | Choice:
    listed = axis.values if isinstance(axis, Choice) else axis
    kept: dict[str, Any] = {}
    for value in listed:
        kept.setdefault(_label({"": value}), value)
    return Choice(tuple(kept.values())) if isinstance(axis, Choice) else tuple(kept.values())


def _drawn(axis: Axis, share: Number) -> Any:
    if isinstance(axis, Range):
        return axis.at(share)
    listed = axis.values if isinstance(axis, Choice) else axis
    return listed[int(share * len(listed))]


def _label(given: Mapping[str, Any]) -> str:
    """A short name that is safe for a folder: "learning_rate=0.001,width=64".

    Where characters or length must give, a hash of the whole keeps labels apart.
    """
    plain = {name: values.plain(value) for name, value in given.items()}
    exact = ",".join(f"{name}={_text(value)}" for name, value in plain.items()) or "default"
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "_", exact)
    if safe == exact and len(exact) <= _LABEL and not _ambiguous(plain):
        return exact
    digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:8]
    return f"{safe[: _LABEL - 9]}-{digest}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_text, value)) or "none"
    return str(value)


def _ambiguous(plain: Any) -> bool:
    """Whether some text contains what separates values, so that two labels could be the same."""
    if isinstance(plain, dict):
        return any(map(_ambiguous, plain.values()))
    if isinstance(plain, list):
        return any(isinstance(item, list) for item in plain) or any(map(_ambiguous, plain))
    return isinstance(plain, str) and (plain in ("", "none") or bool(set("=,+") & set(plain)))
