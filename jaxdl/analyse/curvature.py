"""The loss around a trained state: noise of the gradients, Hessian, influence of examples."""

import contextlib
import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, learner, summary, trained
from jaxdl.analyse import report
from jaxdl.analysis import curvature
from jaxdl.data import batches

SOLVED = 1e-2  # relative residual of the linear system below which an order of examples is shown


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the loss around the state: gradients of single examples, the Hessian's ends, and
    which examples of training help or harm a test the most.
    """

    test: str | None = None
    """The test whose loss the examples of training influence; the first one unless named."""
    examples: int = 512
    """How many examples of training, in the order the run saw them, and of the test; 2 or more."""
    iterations: int = 64
    """Products with the Hessian, of Lanczos and of conjugate gradients; each keeps d numbers."""
    eigenvalues: int = 5
    """How many of the largest to show."""
    damping: float = 0.1
    """Added to the Hessian's diagonal where it is inverted; as large as its most negative value."""
    shown: int = 5
    """How many examples to name in each table."""


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """Three tables, and the distributions of the norms and of the influences."""
    least = {"examples": 2, "iterations": 1, "eigenvalues": 1, "shown": 1}
    for name, bound in least.items():
        value = getattr(options, name)
        if value < bound:
            raise errors.InputError(f"--{name} must be at least {bound}, got {value}.")
    surface = curvature.surface(found.run.learner, found.state)
    train = _training(found, options.examples)
    test = jax.tree.map(jnp.asarray, trained.examples(found.test(options.test), options.examples))
    noise = curvature.noise_scale(surface, train)
    norms = np.asarray(noise.norms)
    if not norms.any():
        raise errors.InputError(
            "Curvature must be of a learner whose evaluation depends on `state.params`, got one "
            "without a gradient: a mean over draws of a posterior has none."
        )
    spectrum = curvature.spectrum(surface, train, options.iterations)
    influence = curvature.influence(
        surface, train, test, damping=options.damping, iterations=options.iterations
    )
    tables = [_around(surface, train, noise, spectrum, options), _largest(norms, train, options)]
    tables.append(_influential(influence, train, options))
    shown = {
        "curvature/gradient_norms": summary.Histogram(norms),
        "curvature/influence": summary.Histogram(np.asarray(influence.values)),
    }
    return report.Report(tables, shown)


def _training(found: trained.Trained, count: int) -> learner.Batch:
    """The first examples of training, as the run saw them, each once."""
    source = found.run.train
    if source is None:
        raise errors.InputError(
            "Curvature must be of a run with training data, got one that makes its own experience."
        )
    count = min(count, source.size or count)
    with contextlib.closing(batches.opened(source, found.launched.seed)) as feed:
        feed.onto(None)
        select = jax.jit(source.select)
        steps = range(-(-count // source.batch_size))
        parts = [select(feed.take(i, 1), 0) for i in steps]
    return jax.tree.map(lambda *x: jnp.concatenate(x)[:count], *parts)


def _around(
    surface: curvature.Surface,
    train: Any,
    noise: curvature.Noise,
    spectrum: curvature.Spectrum,
    options: Options,
) -> report.Table:
    gradient = jax.grad(surface.mean)(surface.at, train)
    rows: list[tuple[str, Any]] = [
        ("parameters", len(surface.at)),
        ("loss", float(surface.mean(surface.at, train))),
        ("norm of the gradient", float(jnp.linalg.norm(gradient))),
        ("trace of the gradients' covariance", float(noise.trace)),
        ("gradient noise scale", float(noise.scale)),
    ]
    values, bounds = np.asarray(spectrum.values), np.asarray(spectrum.bounds)
    largest = itertools.islice(zip(values, bounds, strict=True), options.eigenvalues)
    rows += [(f"eigenvalue {i + 1}", f"{v:.4g} ± {b:.1g}") for i, (v, b) in enumerate(largest)]
    rows.append(("lowest eigenvalue", f"{values[-1]:.4g} ± {bounds[-1]:.1g}"))
    note = "The noise scale is the batch size above which larger batches help little."
    return report.Table("The loss around the state", ("", "value"), rows, note)


def _largest(norms: np.ndarray, train: Any, options: Options) -> report.Table:
    order = np.argsort(-norms)[: options.shown]
    rows = [(int(i), _target(train, i), float(norms[i])) for i in order]
    low, middle, high = np.quantile(norms, (0.1, 0.5, 0.9))
    note = f"10 % are below {low:.3g}, half below {middle:.3g}, 90 % below {high:.3g}."
    return report.Table("Examples with the largest gradients", _HEAD, rows, note)


def _influential(found: curvature.Influence, train: Any, options: Options) -> report.Table:
    """What leaving an example out would do to the test's loss."""
    without = -np.asarray(found.values) / len(found.values)
    order, count = np.argsort(without), min(options.shown, len(without) // 2)
    chosen = [*order[:count], *order[::-1][:count][::-1]]
    rows = [(int(i), _target(train, i), float(without[i])) for i in chosen]
    note = f"The lowest are the harmful ones. Relative residual {float(found.residual):.1g}"
    if not found.residual < SOLVED:  # nor is NaN solved
        note += ": not solved. Take a larger --damping, or more --iterations"
    head = ("example", "target", "test loss without it")
    return report.Table("Examples of the largest influence", head, rows, f"{note}.")


_HEAD = ("example", "target", "norm")


def _target(train: Any, i: Any) -> str:
    """What an example was to be, where it is one number."""
    target = train.get("target") if isinstance(train, dict) else None
    return str(np.asarray(target[i])) if target is not None and np.ndim(target) == 1 else "-"
