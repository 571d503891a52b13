"""Made speech: phones as a formant synthesiser says them, with a known transcript.

A source, pulses of a voice or noise, through resonators in parallel, one for each formant (Klatt,
"Software for a cascade/parallel formant synthesizer", 1980). Five vowels have the mean formants of
Peterson and Barney ("Control methods used in a study of the vowels", 1952, men), the others are of
textbooks' order. A speaker has a pitch and a length of the vocal tract, by which all formants are
scaled; each phone has a length of its own, formants glide from one to the next, and there is white
noise on all. No phone follows itself: two without a break between them are one.
"""

import functools
from typing import NamedTuple

import numpy as np
from scipy import signal

from jaxdl import errors
from jaxdl.data import splits

RATE = 8000  # samples a second
FRAME = 40  # samples, 5 ms, for which formants stand still
GLIDE = 5  # frames over which one phone turns into the next
SHORTEST, LONGEST = 12, 26  # frames of a phone
PITCH, TRACT, SNR = (90.0, 220.0), (0.9, 1.1), (20.0, 35.0)  # hertz, ratio, decibels


class Phone(NamedTuple):
    """Formants and bandwidths in hertz, how loud each formant is, and the source: the share of it
    that is noise.
    """

    name: str
    formants: tuple[float, float, float]
    loudness: tuple[float, float, float]
    noise: float = 0.0


PHONES = (
    Phone("iy", (270, 2290, 3010), (1.0, 0.5, 0.3)),
    Phone("ae", (660, 1720, 2410), (1.0, 0.6, 0.3)),
    Phone("aa", (730, 1090, 2440), (1.0, 0.8, 0.2)),
    Phone("uw", (300, 870, 2240), (1.0, 0.4, 0.1)),
    Phone("er", (490, 1350, 1690), (1.0, 0.6, 0.5)),
    Phone("m", (250, 1100, 2200), (0.5, 0.25, 0.02)),
    Phone("n", (250, 1800, 2700), (0.4, 0.35, 0.10)),
    Phone("s", (300, 2600, 3600), (0.0, 0.1, 0.8), 1.0),
    Phone("sh", (300, 1900, 2700), (0.0, 1.5, 1.0), 1.0),
    Phone("z", (250, 2600, 3600), (0.5, 0.1, 0.6), 0.5),
)
NAMES = ("-", *(phone.name for phone in PHONES))  # by symbol; 0 is the blank
BANDWIDTHS = (80.0, 110.0, 160.0)  # hertz


@functools.cache  # a sweep builds the experiment for each member
def load(train: int = 2000, test: int = 300, most: int = 8, seed: int = 0) -> splits.Split:
    """`wave` int16 (n, samples) and `length` int32 (n,), the samples of each utterance; `target`
    int32 (n, most): phones from 1 on, 0 behind the end.

    most: phones of an utterance, which has 3 or more.
    """
    if min(train, test) < 1 or most < 3:
        raise errors.InputError(
            f"train and test must be at least 1 and most at least 3, got {train}, {test}, {most}."
        )
    random = np.random.default_rng(seed)
    return splits.Split(_utterances(random, train, most), _utterances(random, test, most))


def _utterances(random: np.random.Generator, count: int, most: int) -> splits.Examples:
    target = _transcripts(random, count, most)
    lasting = random.integers(SHORTEST, LONGEST + 1, target.shape) * (target > 0)
    frames = lasting.sum(1)
    tracks = _tracks(target, lasting, most * LONGEST)
    tracks["formants"] *= random.uniform(*TRACT, (count, 1, 1))
    wave = _filtered(tracks, _sources(random, tracks["noise"]))
    said = np.arange(wave.shape[1])[None] < frames[:, None] * FRAME
    wave = np.where(said, wave, 0)  # the last phone's going on counts in no peak and no power
    wave = wave / np.abs(wave).max(1, keepdims=True)
    level = random.uniform(*SNR, (count, 1))
    power = (wave**2).sum(1, keepdims=True) / said.sum(1, keepdims=True)
    wave = wave + np.sqrt(power * 10 ** (-level / 10)) * random.standard_normal(wave.shape)
    wave = np.where(said, 0.5 * wave, 0)
    clipped = np.clip(np.round(wave * 32767), -32768, 32767).astype(np.int16)
    length = (frames * FRAME).astype(np.int32)
    return {"wave": clipped, "length": length, "target": target}


def _transcripts(random: np.random.Generator, count: int, most: int) -> np.ndarray:
    """Phones, none after itself."""
    size = len(PHONES)
    steps = random.integers(1, size, (count, most))
    steps[:, 0] = random.integers(0, size, count)
    phones = 1 + np.cumsum(steps, axis=1) % size
    there = np.arange(most)[None] < random.integers(3, most + 1, count)[:, None]
    return np.where(there, phones, 0).astype(np.int32)


def _tracks(target: np.ndarray, lasting: np.ndarray, frames: int) -> dict[str, np.ndarray]:
    """What the synthesiser is told at each frame: formants, loudness (n, t, 3) and noise (n, t)."""
    ends = np.cumsum(lasting, axis=1)
    place = (np.arange(frames)[None, :, None] >= ends[:, None, :]).sum(-1)
    place = np.minimum(place, (target > 0).sum(1, keepdims=True) - 1)  # the last one goes on
    phone = np.take_along_axis(target, place, axis=1) - 1
    glide = np.ones(GLIDE) / GLIDE

    def track(values: list) -> np.ndarray:
        steps = np.array(values, np.float64)[phone]
        edge = [(0, 0), (GLIDE // 2, GLIDE // 2)] + [(0, 0)] * (steps.ndim - 2)
        kernel = glide.reshape(1, -1, *[1] * (steps.ndim - 2))
        return signal.oaconvolve(np.pad(steps, edge, mode="edge"), kernel, "valid", axes=1)

    return {
        "formants": track([phone.formants for phone in PHONES]),
        "loudness": track([phone.loudness for phone in PHONES]),
        "noise": track([phone.noise for phone in PHONES]),
    }


def _sources(random: np.random.Generator, noise: np.ndarray) -> np.ndarray:
    """Pulses at a speaker's falling pitch, and noise (n, samples)."""
    count, samples = len(noise), noise.shape[1] * FRAME
    fall = np.linspace(1.1, 0.8, samples)[None]
    phase = np.cumsum(random.uniform(*PITCH, (count, 1)) * fall / RATE, axis=1)
    pulses = np.diff(np.floor(phase), axis=1, prepend=0)
    share = noise.repeat(FRAME, axis=1)
    hiss = 0.1 * random.standard_normal((count, samples))
    return (1 - share) * pulses + share * hiss


def _filtered(tracks: dict[str, np.ndarray], source: np.ndarray) -> np.ndarray:
    """The sum of the resonators' outputs: y = a x + b y₁ + c y₂, all utterances at once."""
    width = np.array(BANDWIDTHS)[None, None]
    radius = np.exp(-np.pi * width / RATE)
    b = 2 * radius * np.cos(2 * np.pi * tracks["formants"] / RATE)
    c = np.broadcast_to(-(radius**2), b.shape)
    a = tracks["loudness"] * (1 - radius) * 2
    out = np.empty_like(source)
    first = second = np.zeros((len(source), len(BANDWIDTHS)))
    for t in range(source.shape[1]):
        k = t // FRAME
        new = a[:, k] * source[:, t, None] + b[:, k] * first + c[:, k] * second
        first, second = new, first
        out[:, t] = new.sum(1)
    return out
