"""Why a trained network said so: what of its input it goes by, by each method that suits it."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, learner, summary, trained
from jaxdl.analyse import report
from jaxdl.analysis import attribution, explain, pointing, sheets, visualise
from jaxdl.data import batches

_MOST = 20  # features in the table, the largest first
_PLACES = {
    "images": "largest (row column)",
    "text": "largest",
    "table": "largest",
    "series": "largest (step)",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Show what in its input the network goes by: over images, in the words of texts, as bars of a
    table's features, along series; each method beside an untrained network's.
    """

    method: tuple[explain.Name, ...] = ()
    """The methods; all that suit the network unless named."""
    test: str | None = None
    """The test whose first examples are explained; the first one unless named."""
    examples: int = 8
    """How many examples."""
    target: int | None = None
    """The class, or output, to explain; for each example the one predicted unless given."""
    baseline: float = 0.0
    """The value of an empty input; of texts, a token, such as that of padding."""
    background: int = 0
    """How many further examples SHAP averages over in the place of the empty input."""
    steps: int = 32
    """Steps of integrated gradients."""
    samples: int = 64
    """Draws of smooth_grad and gradient_shap; of kernel_shap at least 512 and 8 for each player."""
    rule: str = "gamma"
    """Of relevance: epsilon, gamma or z+."""
    layer: str | None = None
    """Of grad_cam: the path of a layer; the last convolution unless named."""
    reads: Literal["first", "last", "mean"] | None = None
    """Of rollout: the token that the output reads; unless given, the last one of a causal model or
    of one with outputs for every token, else the first."""
    names: pathlib.Path | None = None
    """A file with a line for each token, from number 0 on, for each feature of a table, or for each
    variable of a series; the run's own names unless given."""
    best_inputs: bool = False
    """Also make the image that each class would most like to see."""


class _Found(NamedTuple):
    """A method's attribution, how far its sum is off (None where it does not add up), and how alike
    it is to that of an untrained network.
    """

    values: Any
    off: float | None
    alike: float


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """A table of the methods, one of the examples and, of a table, one of its features."""
    _check(options)
    predict = found.predictor("An explanation")
    names = _names(options.names) if options.names else found.run.names
    every = trained.examples(found.test(options.test), options.examples + options.background)
    _check_background(options, len(jax.tree.leaves(every)[0]))
    every = jax.tree.map(jnp.asarray, every)
    batch = jax.tree.map(lambda x: x[: options.examples], every)
    target: Any = options.target
    if target is None:
        target = attribution.predicted(predict, found.state, batch)
    score = attribution.scores(predict, found.state, batch, target)
    kind = explain.kind(batch["input"])
    _check_kind(options, kind, score, batch["input"])
    outputs = jax.eval_shape(predict, found.state, batch)
    settings = _settings(options, every["input"], outputs.ndim)

    def by(name: explain.Name, state: Any) -> Any:
        told = attribution.scores(predict, state, batch, target)
        return explain.explained(name, told, batch["input"], jax.random.key(0), settings)

    by = jax.jit(by, static_argnums=0)
    new = _untrained(found)
    made, left = {}, []
    for name in options.method or explain.NAMES:
        try:
            values = by(name, found.state)
            alike = float(jnp.nanmean(pointing.alike(values, by(name, new))))
            off = _off(name, values, score, batch["input"], settings)
            made[name] = _Found(np.asarray(values), off, alike)
        except errors.InputError as error:
            if options.method:
                raise
            left.append(f"{name}: {error}")
    if not made:
        raise errors.InputError(
            f"The network must suit one of the methods, got none. {' '.join(left)}"
        )
    target = np.broadcast_to(np.asarray(target), len(batch["input"]))
    examples = _examples(batch, target, score, made, names)
    tables = [_methods(made, left), examples]
    if kind == "table":
        tables.append(_features(made, names))
    shown = _shown(made, batch["input"], names, [_caption(row) for row in examples.rows])
    if options.best_inputs:
        shown["explain/best_inputs"] = _best(predict, found.state, batch)
    return report.Report(tables, shown)


def _check(options: Options) -> None:
    for name, least in (("examples", 1), ("background", 0), ("steps", 1), ("samples", 1)):
        if getattr(options, name) < least:
            raise errors.InputError(
                f"--{name} must be at least {least}, got {getattr(options, name)}."
            )


def _check_background(options: Options, have: int) -> None:
    least = options.examples + options.background
    if options.background and have < least:
        raise errors.InputError(
            f"--examples and --background must be at most the {have} examples of the test "
            f"together, got {options.examples} and {options.background}."
        )


def _check_kind(options: Options, kind: explain.Kind, score: attribution.Score, x: Any) -> None:
    """Raise where what is asked does not suit this kind of inputs."""
    if options.best_inputs and kind != "images":
        raise errors.InputError(f"--best-inputs must be of images, got a run of {kind}.")
    if options.background and kind == "text":
        raise errors.InputError(
            "--background must be 0 for texts, whose places have no mean. Choose the --baseline."
        )
    whole = options.baseline >= 0 and float(options.baseline).is_integer()
    if kind == "text" and not whole:
        raise errors.InputError(
            "--baseline must be a whole number of at least 0 for texts, a token, "
            f"got {options.baseline}."
        )
    empty = jnp.full_like(x, options.baseline)
    told = {*explain.ADDING, "occlusion"} & {*(options.method or explain.NAMES)}
    if told and not jnp.isfinite(score(empty)).all():
        raise errors.InputError(
            "--baseline must be an input with a finite score, such as of texts a token of the "
            f"vocabulary, got {options.baseline}."
        )


def _names(path: pathlib.Path) -> list[str]:
    try:
        return path.expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.InputError(f"--names must be a readable file of lines, got {path}.") from error


def _settings(options: Options, x: Any, axes: int) -> explain.Settings:
    """axes: of the outputs; of (b, t, k) the last step is explained."""
    return explain.Settings(
        baseline=options.baseline,
        background=x[options.examples :] if options.background else None,
        steps=options.steps,
        samples=options.samples,
        rule=options.rule,
        layer=options.layer,
        reads=options.reads or ("last" if axes == 3 else None),
    )


def _untrained(found: trained.Trained) -> Any:
    """A state before the first step, of another seed than the run's."""
    seed, source = found.launched.seed + 1, found.run.train
    first = None
    if source is not None:
        with contextlib.closing(batches.opened(source, seed)) as feed:
            feed.onto(None)
            first = jax.jit(source.select)(feed.take(0, 1), 0)
    return jax.jit(found.run.learner.init)(jax.random.key(seed), first)


def _off(
    name: explain.Name, values: Any, score: attribution.Score, x: Any, settings: explain.Settings
) -> float | None:
    """How far the sums of values are from the change of the score, relative to that; None where
    they need not add up.
    """
    if name not in explain.ADDING:
        return None
    change = score(x) - explain.of_nothing(name, score, x, settings)
    miss = jnp.abs(values.reshape(len(x), -1).sum(1) - change)
    return float(miss.sum() / jnp.abs(change).sum())


def _methods(made: dict[explain.Name, _Found], left: list[str]) -> report.Table:
    rows = [
        (name, "" if found.off is None else f"{found.off:.1%}", f"{found.alike:.2f}")
        for name, found in made.items()
    ]
    note = (
        "Off: how far the values' sums are from the change of the score, where they should add up. "
        "Alike: the rank correlation with an untrained network's; near 1 says nothing of training."
    )
    return report.Table(
        "Methods", ("method", "off", "alike"), rows, "\n".join([note, *("Not " + x for x in left)])
    )


def _examples(
    batch: learner.Batch,
    target: Any,
    score: attribution.Score,
    made: dict[explain.Name, _Found],
    names: Sequence[str],
) -> report.Table:
    """Of each example, what was explained and the three parts that count most, by the first."""
    name, found = next(iter(made.items()))
    x, scores = np.asarray(batch["input"]), np.asarray(score(batch["input"]))
    kind = explain.kind(x)
    words = explain.words(x, names) if kind == "text" else None
    rows = []
    for i, values in enumerate(found.values):
        # Of an image or a series the places, over channels and variables.
        heat = values if values.ndim == 1 else values.sum(-1)
        largest = np.argsort(-np.abs(heat), axis=None, kind="stable")[:3]
        places = [np.unravel_index(at, heat.shape) for at in largest]
        if words is not None:
            said = [words[i][at] for (at,) in places]
        elif kind == "table":
            said = [explain.named(names, len(heat))[at] for (at,) in places]
        else:
            said = [" ".join(map(str, place)) for place in places]
        given = batch.get("target")
        actual = "" if given is None or given.ndim > 1 else str(given[i])
        rows.append((i, actual, int(target[i]), float(scores[i]), " · ".join(said)))
    head = ("example", "target", "output", "score", f"{_PLACES[kind]} by {name}")
    note = (
        "Output: the one that is explained. Score: its value. Target: what is right, where known."
    )
    return report.Table("Examples", head, rows, note)


def _caption(row: Sequence[Any]) -> str:
    """Of an example, from its row in the table."""
    example, actual, output, score, _ = row
    right = f", target {actual}" if actual else ""
    return f"example {example}: output {output}{right}, score {score:.3g}"


def _features(made: dict[explain.Name, _Found], names: Sequence[str]) -> report.Table:
    """The mean size of each feature's values, the largest by the first method on top."""
    sizes = np.stack([np.abs(found.values).mean(0) for found in made.values()], axis=1)
    order = np.argsort(-sizes[:, 0], kind="stable")[:_MOST]
    labels = explain.named(names, len(sizes))
    largest = max(sizes[:, 0].max(), 1e-12)
    rows = [
        (labels[i], "█" * round(8 * sizes[i, 0] / largest), *map(float, sizes[i])) for i in order
    ]
    return report.Table("Features", ("feature", "", *made), rows)


def _shown(
    made: dict[explain.Name, _Found], x: Any, names: Sequence[str], captions: Sequence[str]
) -> dict[str, summary.Image | summary.Text]:
    shown: dict[str, summary.Image | summary.Text] = {}
    for name, found in made.items():
        shown[f"explain/{name}"] = explain.shown(x, found.values, names, captions)
        if explain.kind(x) == "text":
            drawn = sheets.texts(explain.read(x, found.values, names), found.values, captions)
            shown[f"explain/{name}/picture"] = drawn
    return shown


def _best(predict: Any, state: Any, batch: learner.Batch) -> summary.Image:
    """Of each class the image that it would most like to see, from grey noise, in the range of the
    examples, of which 0 is shown as the least and 1 as the largest value.
    """
    low, high = batch["input"].min(), batch["input"].max()
    classes = jax.eval_shape(lambda: predict(state, batch)).shape[-1]
    one = {name: jnp.repeat(a[:1], classes, 0) for name, a in batch.items()}
    score = attribution.scores(predict, state, one, np.arange(classes))
    start = 0.5 + 0.05 * jax.random.normal(jax.random.key(0), one["input"].shape)
    climb = jax.jit(
        lambda x: visualise.best_inputs(
            lambda part: score(low + (high - low) * part),
            x,
            jax.random.key(1),
            roughness=0.01,
            jitter=1,
            bounds=(0.0, 1.0),
        )
    )
    return summary.Image(climb(start))
