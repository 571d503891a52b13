"""Connectionist temporal classification: transcripts without knowing when each symbol was said.

Graves, Fernández, Gomez and Schmidhuber, "Connectionist temporal classification" (2006). A network
says at each frame how probable each symbol is, or none, the blank. A path of one symbol a frame
stands for the transcript in which repetitions are one and blanks are left out; the probability of a
transcript is the sum over its paths.

Symbols are numbered from 1; 0 is the blank, and fills a transcript up behind its end.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
import scipy.special
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics

BLANK = 0


class Utterances(NamedTuple):
    """Frames of speech, what a model reads, and how many of each example count."""

    features: Float[Array, "b t f"]
    lengths: Int[Array, "b"]


class Frames(NamedTuple):
    """Logits at each frame, and how many frames of each example count."""

    logits: Float[Array, "b t k"]
    lengths: Int[Array, "b"]


def loss(frames: Frames, batch: dict[str, Any]) -> dict[str, Any]:
    """Minus the log-probability of `batch["target"]` (b, s), in nats: the mean over examples.

    A transcript with fewer frames than symbols (and one between equal neighbours) has no path: its
    loss is of the order 1e5. One with a symbol that the logits do not have, or with a blank before
    its end, makes it NaN.
    """
    target = batch["target"]
    outside = jnp.arange(frames.logits.shape[1])[None] >= frames.lengths[:, None]
    losses = optax.ctc_loss(
        frames.logits.astype(jnp.float32),
        outside.astype(jnp.float32),
        target,
        (target == BLANK).astype(jnp.float32),
        blank_id=BLANK,
    )
    known = (target >= 0) & (target < frames.logits.shape[-1])
    ended = (target[:, :-1] != BLANK) | (target[:, 1:] == BLANK)
    right = known.all(axis=1) & ended.all(axis=1)
    return {"loss": metrics.Mean.of(jnp.where(right, losses, jnp.nan))}


def greedy(frames: Frames) -> Int[Array, "b t"]:
    """The transcript of the most probable path, filled up with zeros; inside jit."""
    best = jnp.argmax(frames.logits, axis=-1)
    before = jnp.pad(best, ((0, 0), (1, 0)), constant_values=BLANK)[:, :-1]
    inside = jnp.arange(best.shape[1])[None] < frames.lengths[:, None]
    said = inside & (best != BLANK) & (best != before)
    place = jnp.where(said, jnp.cumsum(said, axis=1) - 1, best.shape[1])
    rows = jnp.broadcast_to(jnp.arange(len(best))[:, None], best.shape)
    return jnp.zeros_like(best).at[rows, place].set(best, mode="drop")


def beam_search(
    log_probabilities: Float[np.ndarray, "t k"], width: int = 16
) -> list[tuple[tuple[int, ...], float]]:
    """The most probable transcripts and their log-probabilities, best first: on the host.

    Prefix search (Graves 2006, section 3.2; Hannun et al. 2014): paths that stand for the same
    beginning are added up, ending in a blank or not apart, and the `width` best beginnings are
    kept. Exact where `width` is at least the number of transcripts.
    """
    if width < 1:
        raise errors.InputError(f"A beam's width must be at least 1, got {width}.")
    beams: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, -np.inf)}
    for frame in np.asarray(log_probabilities, np.float64):
        grown: dict[tuple[int, ...], tuple[float, float]] = {}
        for prefix, (blank, symbol) in beams.items():
            both = np.logaddexp(blank, symbol)
            _add(grown, prefix, both + frame[BLANK], -np.inf)
            if prefix:
                _add(grown, prefix, -np.inf, symbol + frame[prefix[-1]])
            for label in range(1, len(frame)):
                # A symbol said again is a new one only after a blank.
                start = blank if prefix and prefix[-1] == label else both
                _add(grown, (*prefix, label), -np.inf, start + frame[label])
        beams = dict(sorted(grown.items(), key=lambda item: -np.logaddexp(*item[1]))[:width])
    return [(prefix, float(np.logaddexp(*ends))) for prefix, ends in beams.items()]


def _add(
    beams: dict[tuple[int, ...], tuple[float, float]],
    prefix: tuple[int, ...],
    blank: float,
    symbol: float,
) -> None:
    old = beams.get(prefix, (-np.inf, -np.inf))
    beams[prefix] = (np.logaddexp(old[0], blank), np.logaddexp(old[1], symbol))


def error_rate(
    name: str = "error", width: int = 0
) -> Callable[[Frames, dict[str, Any]], dict[str, Any]]:
    """A function (frames, batch) -> the metric `name`: symbols put in, left out and changed, over
    those said, as jiwer counts the word error rate (the extra `speech`).

    width: of the beam; 0 reads the most probable path. errors.MissingError: there is no jiwer.
    """
    _library()

    def scores(frames: Frames, batch: dict[str, Any]) -> dict[str, Any]:
        if not width:
            arrays = {"said": greedy(frames), "target": batch["target"]}
            return {name: metrics.Collected(arrays, _greedy_error)}
        arrays = {"frames": frames, "target": batch["target"]}
        return {name: metrics.Collected(arrays, _BeamError(width))}

    return scores


def _greedy_error(arrays: dict[str, np.ndarray]) -> float:
    return _error(arrays["target"], arrays["said"])


@dataclasses.dataclass(frozen=True)
class _BeamError:
    """Equal to another of the same width: it is part of what a compiled program is known by."""

    width: int

    def __call__(self, arrays: dict[str, Any]) -> float:
        logits, lengths = arrays["frames"]
        logs = scipy.special.log_softmax(logits.astype(np.float64), axis=-1)
        said = [
            beam_search(rows[:length], self.width)[0][0]
            for rows, length in zip(logs, lengths, strict=True)
        ]
        return _error(arrays["target"], said)


def _error(target: Any, said: Any) -> float:
    true, heard = ([_text(row) for row in rows] for rows in (target, said))
    return float(_library().wer(true, heard))


def _text(symbols: Any) -> str:
    return " ".join(str(symbol) for symbol in symbols if symbol != BLANK)


def _library() -> Any:
    return errors.needed("Error rates", "jiwer")
