"""CTC against PyTorch's, and its decoders against all paths."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.losses import ctc

with np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "speech.npz") as kept:
    KEPT = {name: jnp.asarray(kept[name]) for name in kept.files if name.startswith("ctc/")}
FRAMES = ctc.Frames(KEPT["ctc/logits"], KEPT["ctc/lengths"])


def collapsed(path):
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != ctc.BLANK)


def transcripts(logs):
    """Every transcript's log-probability, by all paths."""
    found = {}
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        score = sum(row[symbol] for row, symbol in zip(logs, path, strict=True))
        found[collapsed(path)] = np.logaddexp(found.get(collapsed(path), -np.inf), score)
    return found


def test_loss_and_gradient_equal_torch():
    def total(logits):
        frames = ctc.Frames(logits, FRAMES.lengths)
        return ctc.loss(frames, {"target": KEPT["ctc/target"]})["loss"].total

    value, gradient = jax.value_and_grad(total)(FRAMES.logits)
    assert float(value) == pytest.approx(float(KEPT["ctc/loss"].sum()), rel=1e-5)
    np.testing.assert_allclose(gradient, KEPT["ctc/gradient"], atol=1e-5)


def test_the_loss_is_the_sum_over_paths():
    logits = FRAMES.logits[:2, :4, :3]
    logs = np.asarray(jax.nn.log_softmax(logits), np.float64)
    target = jnp.array([[1, 2], [2, 0]])
    for i, length in enumerate((4, 3)):
        wanted = transcripts(logs[i, :length])[collapsed(target[i].tolist())]
        frames = ctc.Frames(logits[i : i + 1], jnp.array([length]))
        loss = ctc.loss(frames, {"target": target[i : i + 1]})["loss"].total
        assert float(loss) == pytest.approx(-wanted, rel=1e-5)


@pytest.mark.parametrize("target", [[5, 0], [-1, 0], [0, 1]])
def test_a_transcript_that_is_none_makes_the_loss_nan(target):
    frames = ctc.Frames(jnp.zeros((1, 6, 5)), jnp.array([6]))
    found = ctc.loss(frames, {"target": jnp.array([target])})["loss"].total
    assert np.isnan(found)


def test_greedy_is_the_best_path():
    said = np.asarray(jax.jit(ctc.greedy)(FRAMES))
    for row, logits, length in zip(said, *map(np.asarray, FRAMES), strict=True):
        wanted = collapsed(logits[:length].argmax(-1))
        assert tuple(row[: len(wanted)]) == wanted
        assert not row[len(wanted) :].any()


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_what_all_paths_say(seed):
    logits = 2 * np.random.default_rng(seed).standard_normal((5, 3))
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    wanted = transcripts(logs)
    found = dict(ctc.beam_search(logs, width=1000))
    for transcript, score in wanted.items():
        assert found[transcript] == pytest.approx(score, abs=1e-12)
    best = ctc.beam_search(logs, width=3)[0]
    assert best[0] == max(wanted, key=wanted.get)
    assert best[1] <= wanted[best[0]] + 1e-12


def test_the_beam_adds_paths_up_where_the_best_path_does_not():
    """Two frames of (0.6, 0.4): the best path is two blanks, 0.36; "1" has the other 0.64."""
    logs = np.log([[0.6, 0.4], [0.6, 0.4]])
    assert ctc.beam_search(logs)[0] == ((1,), pytest.approx(np.log(0.64)))
    frames = ctc.Frames(jnp.array(logs)[None], jnp.array([2]))
    assert not ctc.greedy(frames).any()
    target = {"target": jnp.array([[1]])}
    assert metrics.values(ctc.error_rate("e")(frames, target)) == {"e": 1.0}
    assert metrics.values(ctc.error_rate("e", width=4)(frames, target)) == {"e": 0.0}
    with pytest.raises(errors.InputError, match="width must be at least 1, got 0"):
        ctc.beam_search(logs, 0)
