"""Made speech: what is said can be seen in the spectrum."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import formants

TRAIN, TEST = formants.load(60, 8)


def test_transcripts_and_lengths():
    target, length, wave = TRAIN["target"], TRAIN["length"], TRAIN["wave"]
    assert wave.dtype == np.int16 and target.shape == (60, 8)
    said = (target > 0).sum(1)
    assert said.min() == 3 and said.max() == 8
    pairs = (target[:, 1:] == target[:, :-1]) & (target[:, 1:] > 0)
    assert not pairs.any()
    assert set(np.unique(target)) == set(range(len(formants.NAMES)))
    frames = length / formants.FRAME
    assert ((frames >= said * formants.SHORTEST) & (frames <= said * formants.LONGEST)).all()
    for one, end in zip(wave, length, strict=True):
        assert np.abs(one[:end]).max() > 10000 and not one[end:].any()


def test_formants_are_where_a_phone_has_them():
    """One phone, drawn out: its spectrum has its peak at a formant; noise has no pitch."""
    random = np.random.default_rng(0)
    for symbol, phone in enumerate(formants.PHONES[:5], start=1):
        target, lasting = np.array([[symbol]]), np.array([[40]])
        tracks = formants._tracks(target, lasting, 40)
        np.testing.assert_allclose(tracks["formants"][0, 20], phone.formants)
        wave = formants._filtered(tracks, random.standard_normal((1, 1600)))[0]
        power = np.abs(np.fft.rfft(wave.reshape(4, 400), axis=1)) ** 2
        peak = power.mean(0).argmax() * formants.RATE / 400
        assert abs(peak - phone.formants[0]) < 80, phone.name


def test_the_noise_is_as_far_below_the_voice_as_is_told(monkeypatch):
    """The same draws with noise that rounds to none and with noise 20 dB below."""

    def made(level):
        monkeypatch.setattr(formants, "SNR", (level, level))
        return formants._utterances(np.random.default_rng(1), 20, 8)

    clean, noisy = made(200.0), made(20.0)
    voice = clean["wave"].astype(float)
    noise = noisy["wave"] - voice
    ratio = 10 * np.log10((voice**2).sum(1) / (noise**2).sum(1))
    np.testing.assert_allclose(ratio, 20, atol=0.7)  # 1,440 samples or more: 0.16 dB of deviation
    np.testing.assert_allclose(np.abs(voice).max(1), 16384, atol=1)


def test_the_same_seed_gives_the_same_and_none_is_refused():
    again = formants.load.__wrapped__(60, 8)
    np.testing.assert_array_equal(again.train["wave"], TRAIN["wave"])
    with pytest.raises(errors.InputError, match="most at least 3, got 1, 300, 2"):
        formants.load(1, most=2)
