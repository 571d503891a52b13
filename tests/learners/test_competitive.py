"""Self-organising maps against MiniSom (tests/fixtures/make_competitive.py) and geometry."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.data import square
from jaxdl.learners import competitive

FIXTURE = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "competitive.npz")
DATA = FIXTURE["data"]
GRIDS = {
    "rectangular": competitive.Grid(5, 4),
    "hexagonal": competitive.Grid(5, 4, "hexagonal"),
}
KEY = jax.random.key(0)


def asymptotic(first, updates=30):
    """MiniSom's schedule over so many updates."""
    return lambda done: first / (1 + done / (updates / 2))


def state(codebook, updates=0):
    return competitive.State(jnp.asarray(codebook, jnp.float32), jnp.int32(updates))


@pytest.mark.parametrize("cells", GRIDS)
def test_each_online_update_is_minisoms(cells):
    learner = competitive.online_map(GRIDS[cells], asymptotic(1.5), asymptotic(0.5))
    wanted, step = FIXTURE[f"{cells}/online"], jax.jit(learner.step)
    for i, x in enumerate(DATA):
        after, measured = step(state(wanted[i], i), {"input": x[None]}, KEY)
        np.testing.assert_allclose(after.codebook, wanted[i + 1], atol=1e-6)
        assert measured["rate"].value() == pytest.approx(0.5 / (1 + i / 15))
        assert measured["radius"].value() == pytest.approx(1.5 / (1 + i / 15))


@pytest.mark.parametrize("cells", GRIDS)
@pytest.mark.parametrize("size", [1, 10])
def test_a_run_of_online_updates_is_minisoms(cells, size):
    """However many examples a batch has, they are presented one after another."""
    learner = competitive.online_map(GRIDS[cells], asymptotic(1.5), asymptotic(0.5))
    now, step = state(FIXTURE[f"{cells}/online"][0]), jax.jit(learner.step)
    for part in DATA.reshape(-1, size, 3):
        now, _ = step(now, {"input": part}, KEY)
    assert int(now.updates) == len(DATA)
    np.testing.assert_allclose(now.codebook, FIXTURE[f"{cells}/online"][-1], atol=1e-6)


@pytest.mark.parametrize("cells", GRIDS)
def test_the_batch_map_is_minisoms(cells):
    learner = competitive.batch_map(GRIDS[cells], asymptotic(1.5, updates=4))
    now, step = state(FIXTURE[f"{cells}/online"][0]), jax.jit(learner.step)
    for _ in range(4):
        now, _ = step(now, {"input": DATA}, KEY)
    np.testing.assert_allclose(now.codebook, FIXTURE[f"{cells}/batch"], atol=1e-6)


@pytest.mark.parametrize("cells", GRIDS)
def test_errors_and_winners_are_minisoms(cells):
    grid, last = GRIDS[cells], state(FIXTURE[f"{cells}/online"][-1])
    learner = competitive.batch_map(grid, lambda done: 1.0)
    measured = metrics.values(learner.evaluate(last, {"input": DATA}, KEY))
    names = {"quantisation_error", "topographic_error"}
    wanted = {name: float(FIXTURE[f"{cells}/{name}"]) for name in names}
    assert measured == pytest.approx(wanted, abs=1e-6)
    winners = np.asarray(learner.predict(last, {"input": DATA}))
    np.testing.assert_array_equal(np.bincount(winners, minlength=20), FIXTURE[f"{cells}/hits"])


def test_a_unit_that_nothing_reaches_stays():
    learner = competitive.batch_map(competitive.Grid(1, 9), lambda done: 0.1)
    start = state(np.linspace(0, 1, 9)[:, None])
    after, _ = learner.step(start, {"input": jnp.full((3, 1), 0.01)}, KEY)
    assert float(after.codebook[0, 0]) == pytest.approx(0.01)
    np.testing.assert_array_equal(after.codebook[2:], start.codebook[2:])


@pytest.mark.parametrize(("cells", "inside"), [("square", 8), ("hexagonal", 6)])
def test_neighbours_surround_a_unit(cells, inside):
    grid = competitive.Grid(5, 6, cells)
    near = grid.neighbours()
    counts = near.sum(1).reshape(5, 6)
    assert (counts[1:-1, 1:-1] == inside).all() and (counts[0] < inside).all()
    assert (near == near.T).all() and not near.diagonal().any()
    if cells == "hexagonal":  # all six stand at the distance of one
        np.testing.assert_allclose(grid.distances()[near], 1, atol=1e-6)


def test_an_even_square_is_quantised_as_by_a_chess_board():
    train, test = square.load(2000, 2000)
    learner = competitive.batch_map(competitive.Grid(8, 8), competitive.shrinking(8.0, 0.45, 49))
    now = learner.init(KEY, train)
    learnt = jax.jit(
        lambda now: jax.lax.scan(lambda s, _: learner.step(s, train, KEY), now, None, 50)
    )
    now, _ = learnt(now)
    measured = metrics.values(jax.jit(learner.evaluate)(now, test, KEY))
    assert measured["topographic_error"] == 0
    assert measured["quantisation_error"] == pytest.approx(square.TO_CENTRE / 8, rel=0.03)
    assert pytest.approx(0.382598, abs=1e-6) == square.TO_CENTRE
    points = np.random.default_rng(1).random((200_000, 2)) - 0.5
    assert np.hypot(*points.T).mean() == pytest.approx(square.TO_CENTRE, abs=1e-3)


def test_a_map_begins_as_examples_of_the_batch():
    learner = competitive.batch_map(GRIDS["rectangular"], lambda done: 1.0)
    images = {"input": DATA.reshape(-1, 3, 1)}
    first = learner.init(KEY, images)
    assert all((unit == DATA).all(1).any() for unit in np.asarray(first.codebook))
    assert not np.array_equal(first.codebook, learner.init(jax.random.key(1), images).codebook)


def test_a_schedule_shrinks_by_equal_factors_and_then_stays():
    radius = competitive.shrinking(8.0, 0.5, 4)
    assert [float(radius(jnp.int32(t))) for t in range(6)] == pytest.approx([8, 4, 2, 1, 0.5, 0.5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: competitive.Grid(0, 3), "A grid's rows must be at least 1, got 0."),
        (lambda: competitive.Grid(1, 1), "A grid must have at least 2 units, got 1."),
        (
            lambda: competitive.Grid(2, 2, "round"),
            "A grid's cells must be square or hexagonal, got 'round'.",
        ),
        (
            lambda: competitive.shrinking(0.0, 1.0, 5),
            "A shrinking schedule's first value must be positive, got 0.0.",
        ),
        (
            lambda: competitive.shrinking(1.0, 1.0, 0),
            "A shrinking schedule's updates must be at least 1, got 0.",
        ),
        (lambda: square.load(0), "square's train must be at least 1, got 0."),
    ],
)
def test_what_cannot_be_meant_is_refused(make, message):
    with pytest.raises(errors.InputError) as caught:
        make()
    assert str(caught.value) == message
