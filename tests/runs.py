"""Small runs for the tests of the loop, and how to look at what they leave behind."""

import pathlib
import subprocess
import sys
import textwrap

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from tensorboard.backend.event_processing import event_accumulator

from jaxdl import experiment, learner, metrics, run
from jaxdl.data import batches, streams
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.train import loop, record, stop

TESTS = pathlib.Path(__file__).parent


def examples(count=50, features=5, classes=3):
    """Noisy examples whose class is where their largest feature is."""
    random = np.random.default_rng(0)
    values = random.normal(size=(count, features)).astype(np.float32)
    return {"input": values, "target": values[:, :classes].argmax(1).astype(np.int32)}


def full(streamed=False, **changes):
    """A run with all that a resume has to bring back: dropout, statistics, moments, averages."""
    model = mlp.MLP(features=(8,), classes=3, dropout=0.3, norm=nn.BatchNorm)
    taught = gradient.supervised(
        model, classification.cross_entropy, optax.adam(1e-2), clip=1.0, average=0.9
    )
    source = (streams if streamed else batches).shuffled(examples(), 8)
    settings = {
        "steps": 60,
        "log_every": 6,
        "eval_every": 12,
        "save_every": 12,
        "chunk": 2,
        "strategy": "rolled",
        "summaries": {"shown/norm": lambda state, key: optax.tree.norm(state.params)},
    }
    tests = {"test": batches.once(examples(20), 8)}
    return run.Run(learner=taught, train=source, tests=tests, **(settings | changes))


def linear(rate=0.1, size=4, **changes):
    """Least squares by gradient descent in plain JAX: compiles in no time."""

    def loss(weights, batch):
        return metrics.Mean.of((batch["input"] @ weights - batch["target"]) ** 2)

    def init(key, batch):
        return {"weights": jax.random.normal(key, (size,)), "count": jnp.int32(0)}

    def step(state, batch, key):
        def mean(weights):
            measured = loss(weights, batch)
            return measured.total / measured.count, measured

        slope, measured = jax.grad(mean, has_aux=True)(state["weights"])
        noise = 0.01 * jax.random.normal(key, (size,))
        weights = state["weights"] - rate * (slope + noise)
        return {"weights": weights, "count": state["count"] + 1}, {"loss": measured}

    def evaluate(state, batch, key):
        return {"loss": loss(state["weights"], batch)}

    return plain(learner.Learner(init, step, evaluate), size, **changes)


def plain(taught, size=4, **changes):
    """A run of a learner on random numbers with a linear target."""
    random = np.random.default_rng(1)
    values = random.normal(size=(40, size)).astype(np.float32)
    data = {"input": values, "target": values.sum(1)}
    settings = {"steps": 60, "log_every": 10, "eval_every": 20, "save_every": 20}
    settings |= {"train": batches.shuffled(data, 8), "tests": {"test": batches.once(data, 16)}}
    return run.Run(learner=taught, **(settings | changes))


def launched(seed=0, experiment="small", source=None, **hyperparameters):
    """What the launcher would say that the user launched."""
    return record.Launched(experiment, source, hyperparameters, seed, "python -m jaxdl.launch")


def of_experiment(name, logdir, **values):
    """The result of an experiment of the catalogue, run quietly in a folder of `logdir`."""
    path = TESTS.parent / "experiments" / f"{name}.py"
    what = experiment.File(path).function(**values)
    told = launched(experiment=name, source=path, **values)
    return loop.train(what, logdir / name / "run", told, quiet=True)


def train(what, folder, seed=0, **options):
    """Run it quietly."""
    return loop.train(what, folder, launched(seed), quiet=True, **options)


class StopAfter(stop.Catcher):
    """In place of `stop.Catcher`: a signal that comes while the n-th chunk runs."""

    def __init__(self, chunks):
        self.left = chunks

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @property
    def requested(self):
        self.left -= 1
        return None if self.left >= 0 else "SIGTERM"


def accumulated(folder):
    """What TensorBoard's own reader makes of a run's folder."""
    accumulator = event_accumulator.EventAccumulator(
        str(folder), size_guidance={event_accumulator.SCALARS: 0}
    )
    return accumulator.Reload()


def curves(folder):
    """Tag -> [(step, value)] as TensorBoard reads it, without what depends on the clock."""
    accumulator = accumulated(folder)
    tags = [tag for tag in accumulator.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in tags}


def history(result):
    """Tag -> [(step, value)] of a result, in float32 and without what depends on the clock."""
    return {
        tag: list(zip(steps.tolist(), values.astype(np.float32).tolist(), strict=True))
        for tag, (steps, values) in result.history.items()
        if not tag.startswith("speed/")
    }


def bits(tree):
    """Path -> dtype, shape and bytes of every leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    arrays = [(jax.tree_util.keystr(path), np.asarray(leaf)) for path, leaf in leaves]
    return {path: (str(x.dtype), x.shape, x.tobytes()) for path, x in arrays}


def check_same(one, two):
    """Two results are of the same run, to the bit."""
    assert (one.status, one.step, one.best) == (two.status, two.step, two.best)
    assert bits(one.state) == bits(two.state)
    assert history(one) == history(two)
    assert curves(one.folder) == curves(two.folder) == history(one)


def child(script, *arguments, **options):
    """Start a script in a process of its own, with the tests' settings (see conftest.py)."""
    head = f"import sys; sys.path[:0] = {[str(TESTS), str(TESTS.parent)]!r}\nimport runs\n"
    return subprocess.Popen(
        [sys.executable, "-u", "-c", head + textwrap.dedent(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
