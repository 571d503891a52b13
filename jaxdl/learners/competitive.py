"""Competitive learning: the self-organising map, units on a grid that come to lie like the data.

T. Kohonen, "Self-organized formation of topologically correct feature maps" (1982); the batch map:
"Essentials of the self-organizing map" (2013). Each unit has a point in the space of the data. The
unit nearest to an example wins, and it and its neighbours on the grid move towards the example; the
neighbourhood shrinks as the map learns. Pictures of a map: jaxdl/analysis/maps.py.

Metrics, of a step before its update:
- quantisation_error: the mean distance from an example to the unit that wins it.
- topographic_error: the share of examples whose second-best unit is no neighbour of the best one,
  0 where the map nowhere tears or folds (Kiviluoto 1996).
- radius, rate: the neighbourhood's width in steps of the grid, and the learning rate.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors, learner, metrics
from jaxdl.nn import layout, limits

Scalar = float | jax.Array  # traced in a sweep
Schedule = Callable[[jax.Array], Scalar]  # how many updates there were -> a number


class State(NamedTuple):
    """The units' points in the space of the data, and how many updates there were."""

    codebook: Float[Array, "units d"]
    updates: Int[Array, ""]


@dataclasses.dataclass(frozen=True)
class Grid:
    """Where the units stand; unit r * columns + c is the c-th of row r.

    cells: "square", where a unit has eight neighbours, or "hexagonal", where it has six: odd rows
        stand half a step to the right. Units at the border have fewer.
    """

    rows: int
    columns: int
    cells: str = "square"

    def __post_init__(self) -> None:
        limits.at_least(1, "A grid's rows", self.rows)
        limits.at_least(1, "A grid's columns", self.columns)
        if self.cells not in ("square", "hexagonal"):
            raise errors.InputError(
                f"A grid's cells must be square or hexagonal, got {self.cells!r}."
            )
        if self.units < 2:
            raise errors.InputError("A grid must have at least 2 units, got 1.")

    @property
    def units(self) -> int:
        """How many there are."""
        return self.rows * self.columns

    def distances(self) -> Float[np.ndarray, "units units"]:
        """Between every two units; 1 between those side by side in a row."""
        row, column = np.divmod(np.arange(self.units), self.columns)
        x, y = column.astype(float), row.astype(float)
        if self.cells == "hexagonal":
            x, y = x + row % 2 / 2, y * np.sqrt(3) / 2
        return np.hypot(x[:, None] - x[None], y[:, None] - y[None]).astype(np.float32)

    def neighbours(self) -> Bool[np.ndarray, "units units"]:
        """Whether two units are neighbours; none is its own."""
        reach = 1.5 if self.cells == "square" else 1.1  # above sqrt(2), and above 1
        distances = self.distances()
        return (distances > 0) & (distances < reach)


def shrinking(first: Scalar, last: Scalar, updates: int) -> Schedule:
    """From `first` to `last` by the same factor at each of so many updates, and then constant."""
    for name, value in (("first", first), ("last", last)):
        if isinstance(value, float | int) and value <= 0:
            raise errors.InputError(
                f"A shrinking schedule's {name} value must be positive, got {value}."
            )
    limits.at_least(1, "A shrinking schedule's updates", updates)
    return lambda done: first * (last / first) ** (jnp.minimum(done, updates) / updates)


def batch_map(grid: Grid, radius: Schedule) -> learner.Learner:
    """Kohonen's batch map of `batch["input"]`, whatever its shape; it has no learning rate.

    Each unit moves to the mean of the batch, every example weighted by how near its winner is on
    the grid: w_i = sum_x h(i, c(x)) x / sum_x h(i, c(x)), h(i, j) = exp(-|r_i - r_j|^2 / 2 s^2).
    A batch is best all of the data.
    """
    distances = grid.distances()

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        examples, width = layout.rows(batch["input"]), radius(state.updates)
        best, second, error = _nearest(state.codebook, examples)
        pull = _neighbourhood(distances, width)[:, best]
        total = pull.sum(1, keepdims=True)
        mean = pull @ examples / jnp.where(total > 0, total, 1)
        codebook = jnp.where(total > 0, mean, state.codebook)
        measured = _measured(grid, best, second, error) | {"radius": metrics.Mean.of(width)}
        return State(codebook, state.updates + 1), measured

    return _learner(grid, step)


def online_map(grid: Grid, radius: Schedule, rate: Schedule) -> learner.Learner:
    """Kohonen's first map of `batch["input"]`, whatever its shape: an update for each example.

    w_i += a h(i, c(x)) (x - w_i), with the rate a and h as in `batch_map`; the examples of a batch
    are presented one after another, and the schedules count them.
    """
    distances = grid.distances()

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        examples = layout.rows(batch["input"])
        best, second, error = _nearest(state.codebook, examples)
        measured = _measured(grid, best, second, error)
        measured["radius"] = metrics.Mean.of(radius(state.updates))
        measured["rate"] = metrics.Mean.of(rate(state.updates))
        return jax.lax.scan(present, state, examples)[0], measured

    def present(state: State, example: Any) -> tuple[State, None]:
        codebook, updates = state
        best, _, _ = _nearest(codebook, example[None])
        pull = rate(updates) * _neighbourhood(distances, radius(updates))[best[0]]
        moved = codebook + pull[:, None] * (example[None] - codebook)
        return State(moved.astype(codebook.dtype), updates + 1), None

    return _learner(grid, step)


def _learner(grid: Grid, step: Any) -> learner.Learner:
    """A map that begins as examples drawn from the first batch."""

    def init(key: learner.Key, batch: learner.Batch) -> State:
        return State(
            jax.random.choice(key, layout.rows(batch["input"]), (grid.units,)), jnp.int32(0)
        )

    def evaluate(state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        return _measured(grid, *_nearest(state.codebook, layout.rows(batch["input"])))

    return learner.Learner(
        init, step, evaluate, lambda state, batch: winners(state, batch["input"])
    )


def winners(state: State, inputs: Any) -> Int[Array, "b"]:
    """The unit that wins each example."""
    return _nearest(state.codebook, layout.rows(inputs))[0]


def _nearest(
    codebook: Float[Array, "units d"], examples: Float[Array, "b d"]
) -> tuple[Int[Array, "b"], Int[Array, "b"], Float[Array, "b"]]:
    """Each example's best unit and second-best, and its distance to the best."""
    # Differences, not |x|^2 - 2xw + |w|^2, whose rounding is as large as small distances.
    squares = jnp.square(examples[:, None] - codebook[None]).sum(-1)
    best = squares.argmin(1)
    others = jnp.where(jnp.arange(len(codebook))[None] == best[:, None], jnp.inf, squares)
    return best, others.argmin(1), jnp.sqrt(squares.min(1))


def _neighbourhood(distances: Any, radius: Scalar) -> Float[Array, "units units"]:
    return jnp.exp(-jnp.square(distances / radius) / 2)


def _measured(grid: Grid, best: Any, second: Any, error: Any) -> learner.Metrics:
    torn = ~jnp.asarray(grid.neighbours())[best, second]
    return {
        "quantisation_error": metrics.Mean.of(error),
        "topographic_error": metrics.Mean.of(torn),
    }
