"""Every way of explaining under one name, for images, texts, tables and series alike: what the
command and a run's summaries call.

Tokens have no gradient: methods that need one explain the vectors that the first layer reads, with
those of the baseline's token in the place of an empty input, and add up each word's.
"""

import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxdl import errors, learner, summary
from jaxdl.analysis import attribution, coalitions, heat, inside, relevance, rollout, sheets

Name = Literal[
    "saliency",
    "smooth_grad",
    "integrated_gradients",
    "gradient_shap",
    "kernel_shap",
    "occlusion",
    "relevance",
    "grad_cam",
    "rollout",
]
NAMES: tuple[Name, ...] = typing.get_args(Name)
Kind = Literal["images", "text", "table", "series"]

# Methods whose values add up to the score less that of the baseline.
ADDING = ("integrated_gradients", "gradient_shap", "kernel_shap")
_CELLS = 4  # players of kernel SHAP along each side of an image, so 16 in all
_MOST = 32  # players of kernel SHAP along a series
_COUNTS = 0.01  # the part of a text's largest value from which a word counts


class Settings(NamedTuple):
    """What methods are told; see the functions of their names.

    baseline: of an empty input; of texts, a token. background: further inputs (m, ...), over which
        SHAP averages; None is the baseline alone. steps: of integrated gradients; samples: of
        whatever draws, of kernel SHAP at least 512 and 8 for each player. rule: of relevance.
        layer: of Grad-CAM. reads: of rollout.
    """

    baseline: float = 0.0
    background: Any = None
    steps: int = 32
    samples: int = 64
    rule: str = "gamma"
    layer: str | None = None
    reads: str | None = None


def kind(x: Any) -> Kind:
    """What inputs are: images (b, h, w, 1 or 3), text (b, t) of integers, a table (b, d) or series
    (b, t, d) of floats.
    """
    floats = jnp.issubdtype(x.dtype, jnp.floating)
    if floats and x.ndim == 4 and x.shape[-1] in (1, 3):
        return "images"
    if x.ndim == 2:
        return "table" if floats else "text"
    if floats and x.ndim == 3:
        return "series"
    raise errors.InputError(
        "Inputs that are explained must be images (b, h, w, 1 or 3), tokens (b, t), features "
        f"(b, d) or series (b, t, d), got {x.dtype}{list(x.shape)}. "
        "Call the method by itself: jaxdl/analysis/attribution.py."
    )


def explained(
    name: Name, score: attribution.Score, x: Any, key: Any, settings: Settings | None = None
) -> Array:
    """The attribution of inputs by a method: of their shape, of texts (b, t), of Grad-CAM and of
    rollout on images (b, h, w, 1).

    errors.InputError: the method does not suit the network or the inputs.
    """
    told = settings or Settings()
    x = jnp.asarray(x)
    what = kind(x)
    if name in ("kernel_shap", "occlusion"):
        return _hiding(name, score, x, key, told, what)
    if name == "rollout":
        return rollout.attributed(score, x, told.reads)
    if name == "grad_cam":
        if what != "images":
            raise errors.InputError(f"Grad-CAM must be of images, got a {what}. Use occlusion.")
        return inside.grad_cam(score, x, told.layer)
    if what == "text":
        return _of_words(name, score, x, key, told)
    background = _background(x, told)
    return _by_gradient(name, score, x, background[:1] * 0 + told.baseline, background, key, told)


def summary_of(
    taught: learner.Learner,
    examples: learner.Batch,
    name: Name = "integrated_gradients",
    names: Sequence[str] = (),
    settings: Settings | None = None,
) -> Callable[[Any, Any], summary.Image | summary.Text]:
    """A summary for Run.summaries: the examples, and what of them the network goes by.

    names: of the tokens, by number, of a table's features, or of a series' variables.
    """

    @jax.jit
    def found(state: Any, key: Any) -> Array:
        score = attribution.scores(taught.predict, state, examples)
        return explained(name, score, examples["input"], key, settings)

    return lambda state, key: shown(examples["input"], found(state, key), names)


def shown(
    x: Any, values: Any, names: Sequence[str] = (), captions: Sequence[str] = ()
) -> summary.Image | summary.Text:
    """An attribution as its kind is looked at: over images, in the words of texts, as curves, and
    of a table the mean over the examples as bars. captions: of series, one for each example.
    """
    what = kind(x)
    if what == "images":
        return heat.overlay(x, values)
    if what == "text":
        return heat.text(read(x, values, names), values)
    known = named(names, np.shape(x)[-1])
    if what == "series":
        return sheets.series(x, values, known, captions)
    values = np.asarray(values)
    return sheets.bars(
        known, values.mean(0), f"mean of {len(values)} examples, each for its output"
    )


def read(tokens: Any, values: Any, names: Sequence[str]) -> list[list[str]]:
    """The words of texts as one reads them: of a token that a text ends with again and again and
    that counts nothing, which is padding, the first.
    """
    found = words(tokens, names)
    for row, counts in zip(found, np.abs(heat.scaled(np.asarray(values))) >= _COUNTS, strict=True):
        while len(row) > 1 and row[-2] == row[-1] and not counts[len(row) - 1]:
            row.pop()
    return found


def words(tokens: Any, names: Sequence[str]) -> list[list[str]]:
    """The words of tokens; the number of one that has no name."""
    known = dict(enumerate(names))
    return [[known.get(i, str(i)) for i in row] for row in np.asarray(tokens).tolist()]


def named(names: Sequence[str], count: int) -> list[str]:
    """The names of features, or of a series' variables; a number for one that has none."""
    return [names[i] if i < len(names) else f"feature {i}" for i in range(count)]


def of_nothing(name: Name, score: attribution.Score, x: Any, settings: Settings) -> Array:
    """The score (b,) of empty inputs in the place of x, from which a method of `ADDING` explains.

    Of texts, gradients go from the vectors of empty words, between which x's own padding is hidden.
    """
    empty = jnp.full_like(x, settings.baseline)
    if kind(x) == "text" and name != "kernel_shap":
        return inside.embedded(score, x)[1](inside.embedded(score, empty)[0])
    if settings.background is None or name == "integrated_gradients":
        return score(empty)
    inputs = (jnp.broadcast_to(one, x.shape) for one in settings.background)
    return jnp.stack([score(one) for one in inputs]).mean(0)


def _of_words(name: Name, score: attribution.Score, x: Array, key: Any, told: Settings) -> Array:
    vectors, above = inside.embedded(score, x)
    nothing, _ = inside.embedded(score, jnp.full_like(x, told.baseline))
    if name == "gradient_shap" and told.background is not None:
        raise errors.InputError(
            "Gradient SHAP's background must be None for texts, whose places have no mean. Choose "
            "the baseline."
        )
    values = _by_gradient(name, above, vectors, nothing, nothing[:1], key, told)
    return values.sum(-1)


def _by_gradient(
    name: Name,
    score: attribution.Score,
    x: Array,
    baseline: Array,
    background: Array,
    key: Any,
    told: Settings,
) -> Array:
    if name == "saliency":
        return attribution.saliency(score, x)
    if name == "smooth_grad":
        return attribution.smooth_grad(score, x, key, samples=told.samples)
    if name == "integrated_gradients":
        return attribution.integrated_gradients(score, x, baseline, steps=told.steps)
    if name == "gradient_shap":
        return attribution.gradient_shap(score, x, background, key, samples=told.samples)
    if name == "relevance":
        return relevance.relevance(score, x, told.rule)
    raise errors.InputError(f"A method must be one of {', '.join(NAMES)}, got {name!r}.")


def _hiding(
    name: Name, score: attribution.Score, x: Array, key: Any, told: Settings, what: Kind
) -> Array:
    if name == "occlusion":
        window = _window(x, what)
        stride = [max(1, side // 2) if i < x.ndim - 2 else side for i, side in enumerate(window)]
        stride = stride if what == "images" else window
        return coalitions.occlusion(score, x, window, stride, told.baseline)
    groups = _groups(x, what)
    value, laid = coalitions.game(score, x, _background(x, told), groups)
    count = coalitions.players(groups, x)
    samples = max(told.samples, 512, 8 * count)
    return laid(coalitions.kernel_shap(value, count, key, samples=samples))


def _background(x: Array, told: Settings) -> Array:
    if told.background is None:
        return jnp.full_like(x[:1], told.baseline)
    return jnp.asarray(told.background, x.dtype)


def _window(x: Array, what: Kind) -> list[int]:
    """About a fifth of an image's sides, a sixteenth of a series, one word, one feature."""
    if what == "images":
        return [max(1, x.shape[1] // 5), max(1, x.shape[2] // 5), x.shape[3]]
    return [max(1, x.shape[1] // 16), x.shape[2]] if what == "series" else [1]


def _groups(x: Array, what: Kind) -> np.ndarray | None:
    """The players of kernel SHAP: cells of images, stretches of series, words, features."""
    if what == "images":
        down, right = (np.arange(side) * min(side, _CELLS) // side for side in x.shape[1:3])
        cell = down[:, None] * (right.max() + 1) + right[None]
        return np.broadcast_to(cell[..., None], x.shape[1:])
    if what == "series":
        count = min(x.shape[1], _MOST)
        stretch = np.arange(x.shape[1]) * count // x.shape[1]
        return np.broadcast_to(stretch[:, None], x.shape[1:])
    return None
