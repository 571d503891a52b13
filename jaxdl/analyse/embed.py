"""What the layers of a trained run make of examples: scores of probes, and the projector's points.

Scores are accuracies in five folds of the examples: of a linear probe and of nearest neighbours, on
each layer, on the same layer before training, and on the inputs themselves.
"""

import dataclasses
from typing import Any

import numpy as np

from jaxdl import errors, summary, trained
from jaxdl.analyse import report
from jaxdl.analysis import embedding, layers, probing, scatter

ALL = "all"
_NOTE = "accuracy in five folds of {:,} examples; in brackets: before training"
_NO_LABELS = "no scores: the examples have no classes, one whole number each; see --labels"
_UNFIT = "no scores: {} must have {}; see --labels and --examples"


@dataclasses.dataclass(frozen=True)
class Options:
    """Any layer's activations in TensorBoard's projector, PCA, t-SNE, linear probe, neighbours."""

    layer: str | None = None
    """Of the model, by its path; "all" of them; without, the one before the last."""
    test: str | None = None
    """Whose examples; without, the first test's."""
    examples: int = 1000
    """How many of them, at most."""
    labels: str = "target"
    """The array of the examples that holds their classes, one whole number each."""
    neighbours: int = 5
    """How many vote."""
    perplexity: float = 30.0
    """Of t-SNE: about how many neighbours a point has."""


def analyse(found: trained.Trained, options: Options) -> report.Report:
    """The table of scores, and for each layer its points and two pictures."""
    examples = trained.examples(found.test(options.test), options.examples)
    labels, classes = _labels(examples, options.labels)
    taught, state = found.run.learner, found.state
    read = embedding.reader(taught)
    after, before = read(state, examples), read(found.program.begin().state, examples)
    names = list(after) if options.layer == ALL else [layers.chosen(list(after), options.layer)]
    for name in names:
        _check_finite(name, after[name], before[name])
    note, scored = _scored(labels, options.labels)
    inputs = _numbers(examples)
    rows = []
    if scored is not None and inputs is not None:
        rows.append(["(inputs)", inputs.shape[1], *_scores(inputs, scored, options), "", ""])
    for name in names:
        scores = [*_scores(after[name], scored, options), *_scores(before[name], scored, options)]
        rows.append([name, after[name].shape[1], *scores])
    votes = f"{options.neighbours}-NN"
    head = ("layer", "width", "probe", votes, "(probe)", f"({votes})")
    shown: dict[str, Any] = {}
    for name in names:
        named = {"target": labels} if labels is not None else {}
        images = {"input": examples.get("input")}
        shown |= _shown(name, after[name], named | images, labels, classes, options)
    return report.Report([report.Table("layers", head, rows, note)], shown)


def _labels(examples: Any, name: str) -> tuple[np.ndarray | None, list[str]]:
    """The classes of the examples as numbers from 0, and what they are called."""
    if not isinstance(examples, dict):
        raise errors.InputError(
            f"Examples must be named arrays to be embedded, got {type(examples).__name__}."
        )
    if name not in examples and name != "target":
        have = ", ".join(examples)
        raise errors.InputError(f"--labels must be an array of the examples, {have}, got {name}.")
    found = examples.get(name)
    values = found if isinstance(found, np.ndarray) else np.zeros(())  # not a tree of several
    if values.ndim != 1 or not np.issubdtype(values.dtype, np.integer):
        return None, []
    kinds, labels = np.unique(values, return_inverse=True)
    return labels, [str(kind) for kind in kinds]


def _scored(labels: np.ndarray | None, name: str) -> tuple[str, np.ndarray | None]:
    """What the table says of its scores, and the labels, where there can be any."""
    if labels is None:
        return _NO_LABELS, None
    lack = probing.lack(labels)
    if lack is not None:
        return _UNFIT.format(name, lack), None
    return _NOTE.format(len(labels)), labels


def _check_finite(layer: str, *vectors: np.ndarray) -> None:
    broken = max(int((~np.isfinite(x)).any(1).sum()) for x in vectors)
    if broken:
        raise errors.InputError(
            f"Layer {layer} must put out finite numbers, got others for {broken} of "
            f"{len(vectors[0])} examples."
        )


def _numbers(examples: dict[str, Any]) -> np.ndarray | None:
    """The inputs as vectors, where they are floats, and none is missing."""
    inputs = examples.get("input")
    if not isinstance(inputs, np.ndarray) or not np.issubdtype(inputs.dtype, np.floating):
        return None
    return inputs.reshape(len(inputs), -1) if np.isfinite(inputs).all() else None


def _scores(vectors: np.ndarray, labels: np.ndarray | None, options: Options) -> list[Any]:
    if labels is None:
        return ["", ""]
    return [probing.probe(vectors, labels), probing.nearest(vectors, labels, options.neighbours)]


def _shown(
    layer: str,
    vectors: np.ndarray,
    examples: dict[str, Any],
    labels: np.ndarray | None,
    classes: list[str],
    options: Options,
) -> dict[str, Any]:
    """The layer's points for the projector; and in two dimensions, as pictures and as files."""
    flat = {
        "PCA": probing.pca(vectors),
        "t-SNE": probing.tsne(vectors, min(options.perplexity, (len(vectors) - 1) / 3)),
    }
    shown: dict[str, Any] = {layer: embedding.points(vectors, examples, classes)}
    for name, points in flat.items():
        shown[f"embed/{layer}, {name}"] = summary.Image(scatter.picture(points, labels, classes))
        shown[f"{layer}, {name}"] = embedding.points(points, examples, classes)
    return shown
