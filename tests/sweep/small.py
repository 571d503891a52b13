"""Small experiments for the tests of sweeps, and how to run a sweep of one."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import runs

from jaxdl import learner, metrics, run
from jaxdl.data import batches
from jaxdl.sweep import campaign, execute, plan, race, space
from jaxdl.train import program


def linear(rate: float = 0.1, size: int = 4, steps: int = 40) -> run.Run:
    """Least squares; its rate is a value, its size is not."""
    return runs.linear(rate, size, steps=steps, log_every=10, eval_every=20, save_every=20)


def walk(
    rate: float = 0.1,
    harm: float = 0.0,
    hidden: float = 0.0,
    size: int = 4,
    steps: int = 40,
    every: int = 10,
    patience: int | None = None,
    chunk: int = 10,
) -> run.Run:
    """A noisy walk to zero: without data, so that it compiles in no time.

    harm: from step 15 on, where it is not 0, the loss is NaN; hidden: only a part of the state is.
    """

    def init(key, batch):
        at = jax.random.normal(key, (size,))
        return {
            "at": at,
            "apart": jnp.zeros(2),
            "count": jnp.int32(0),
            "key": jax.random.clone(key),
        }

    def step(state, batch, key):
        at = state["at"] - rate * (state["at"] + 0.1 * jax.random.normal(key, (size,)))
        late = state["count"] == 15
        at = jnp.where(late & (harm > 0), jnp.nan, at)
        apart = jnp.where(late & (hidden > 0), jnp.nan, state["apart"])
        after = {"at": at, "apart": apart, "count": state["count"] + 1, "key": state["key"]}
        return after, {"loss": metrics.Mean.of(at**2)}

    def evaluate(state, batch, key):
        return {"loss": metrics.Mean.of(jnp.abs(state["at"] - 0.2))}

    return run.Run(
        learner=learner.Learner(init, step, evaluate),
        train=None,
        tests={"test": batches.once({"input": np.zeros((2, 1), np.float32)}, 2)},
        steps=steps,
        log_every=every,
        eval_every=every,
        save_every=every,
        patience=patience,
        chunk=chunk,
    )


def forced(together, wave=100):
    """In place of `race.decide`: one of the two ways."""

    def decide(run, members, ways):
        return race.Decision(together, min(wave, members), "as the test wants it"), None

    return decide


def made(function, folder, sweep=None, **asked):
    """A sweep of a function, all its settings given by name."""
    base = runs.launched(experiment=function.__name__, source=None)
    experiment = execute.Experiment(function, {}, base, asked.pop("mesh", None))
    outer = {name: asked.pop(name) for name in ("quiet", "ensemble") if name in asked}
    known = campaign.Asked(sweep or None, **asked)
    return campaign.Campaign(
        experiment, campaign.asked_space(known, function), known, folder, **outer
    )


def run_all(function, folder, *sweep, **asked):
    """Run a sweep to its end, quietly."""
    return campaign.run_all(made(function, folder, list(sweep), quiet=True, **asked))


def groups(function, **values):
    """The groups of a grid of settings."""
    settings = space.Space({name: tuple(v) for name, v in values.items()}).settings()
    return plan.groups(execute.Experiment(function, {}, runs.launched()).make, settings)


def table(folder):
    """The rows of results.csv, by label and seed, without what depends on the clock."""
    with (folder / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in [n for n in row if n == "seconds" or n == "folder" or n.startswith("speed/")]:
            del row[name]
    return {(row["label"], row["seed"]): row for row in rows}


def curves(folder):
    """Member -> its curves, of all members of a sweep."""
    folders = [path.parent for path in sorted(folder.glob("*/run.json"))]
    return {path.name: runs.curves(path) for path in folders}


def stepped(what, seed, steps):
    """The state of a run after so many steps, each by itself."""
    feed = batches.opened(what.train, seed)
    made = program.Program(what, seed, feed.first())
    carry = made.begin()
    for i in range(steps):
        carry = made.advance(carry, feed.take(i, 1), i, 1)
    return carry.state


def shape(what):
    """Of a run's carry."""
    feed = batches.opened(what.train, 0)
    return program.Program(what, 0, feed.first()).shape


def close(one, two, tolerance=1e-4):
    """Two sets of curves are the same but for the last bits."""
    assert one.keys() == two.keys()
    for tag, points in one.items():
        assert [step for step, _ in points] == [step for step, _ in two[tag]], tag
        values = np.array([[v for _, v in curve] for curve in (points, two[tag])])
        np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance, err_msg=tag)


def long(rate: float = 0.1) -> run.Run:
    """A walk of some seconds, saved often."""
    return walk(rate, steps=3000, every=100, chunk=100)
