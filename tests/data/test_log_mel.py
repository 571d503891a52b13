"""Log-mel bands against transformers' and SciPy's, standardisation, and SpecAugment."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from jaxdl import errors
from jaxdl.data import log_mel, spec_augment

with np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "speech.npz") as kept:
    KEPT = {name: jnp.asarray(kept[name]) for name in kept.files if name.startswith("mel/")}
FRONT = log_mel.LogMel(8000, window=200, hop=80, bands=20)


def test_bands_equal_transformers():
    found = jax.jit(FRONT)(KEPT["mel/wave"][None])[0]
    assert found.shape == KEPT["mel/bands"].shape == (FRONT.frames(1000), 20)
    np.testing.assert_allclose(found, KEPT["mel/bands"], rtol=1e-5, atol=1e-5)


def test_power_is_scipys_and_a_tone_is_in_its_band():
    wave = np.sin(2 * np.pi * 1000 * np.arange(1000) / 8000).astype(np.float32)
    found = np.asarray(FRONT(jnp.array(wave)[None])[0])
    stft = signal.ShortTimeFFT(signal.windows.hann(200, sym=False), hop=80, fs=8000)
    frame = np.abs(np.fft.rfft(wave[80:280] * stft.win)) ** 2
    wanted = np.log(np.maximum(frame @ FRONT.triangles(), log_mel.FLOOR))
    np.testing.assert_allclose(found[1], wanted, atol=1e-2)  # bands far from the tone are rounding
    edges = 700 * (
        10 ** (np.linspace(*(2595 * np.log10(1 + np.array([20, 4000]) / 700)), 22) / 2595) - 1
    )
    band = found[1].argmax()
    assert edges[band] < 1000 < edges[band + 2]


def test_lengths_and_padding():
    assert FRONT.frames(199) == 0 and FRONT.frames(200) == 1 and FRONT.frames(280) == 2
    waves = np.zeros((2, 1000), np.int16)
    waves[0] = 3000 * np.random.default_rng(0).standard_normal(1000)
    waves[1, :600] = waves[0, :600]
    batch = {
        "wave": jnp.array(waves),
        "length": jnp.array([1000, 600]),
        "target": jnp.zeros((2, 1)),
    }
    found = log_mel.features(batch, FRONT)
    features, lengths = found["input"]
    assert found.keys() == {"input", "target"}
    assert lengths.tolist() == [11, 6]
    assert not features[1, 6:].any()
    alone = log_mel.features({"wave": batch["wave"][1:, :600], "length": jnp.array([600])}, FRONT)
    np.testing.assert_allclose(alone["input"].features[0], features[1, :6], atol=1e-4)
    np.testing.assert_allclose(features[0].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(features[0].std(0), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hop": 0}, "hop must be at least 1, got 0"),
        ({"high": 9000.0}, "must lie in 0 to 8000 Hz, half the rate, got 20 to 9000 Hz"),
    ],
)
def test_bad_fields(fields, message):
    with pytest.raises(errors.InputError, match=message):
        log_mel.LogMel(**fields)


def test_too_short_and_too_fine():
    with pytest.raises(errors.InputError, match="the 200 samples of a frame or more, got 100"):
        FRONT(jnp.zeros((1, 100)))
    with pytest.raises(errors.InputError, match="Use fewer bands or a longer window"):
        log_mel.LogMel(8000, window=64, bands=40).triangles()


def test_stretches_are_hidden_by_example_and_no_more_than_allowed():
    x, lengths = jnp.ones((64, 50, 16)), jnp.arange(64) % 41 + 10
    mask = jax.jit(lambda key: spec_augment.masked(x, lengths, key, longest=8, share=0.1, widest=3))
    hidden = np.asarray(mask(jax.random.key(0))) == 0
    rows, columns = hidden.all(2), hidden.all(1)
    assert (hidden == (rows[:, :, None] | columns[:, None, :])).all()
    most = np.minimum(8, np.asarray(lengths) // 10)
    assert (rows.sum(1) <= 2 * most).all() and (columns.sum(1) <= 6).all()
    assert not rows[np.arange(50)[None] >= np.asarray(lengths)[:, None]].any()
    assert rows.any() and columns.any() and len({row.tobytes() for row in columns}) > 20
    with pytest.raises(errors.InputError, match=r"share must lie in \[0, 1\], got 2"):
        spec_augment.masked(x, lengths, jax.random.key(0), share=2.0)
