"""Recordings in folders: speech with transcripts as LibriSpeech lays it out, and single words as
Speech Commands does.

LibriSpeech: V. Panayotov et al., "Librispeech: an ASR corpus based on public domain audio books"
(2015), CC BY 4.0. In `<speaker>/<chapter>/<speaker>-<chapter>.trans.txt` each line is the name of a
recording beside it and what is said. Speech Commands: P. Warden (2018), CC BY 4.0. A recording of
one second for each `<word>/<name>.wav`; `validation_list.txt` and `testing_list.txt` name those
that are not to learn from.

A .wav file is read with SciPy, a .flac file with libsndfile: the extra `speech`.
"""

import pathlib
import struct
import warnings
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int16
from scipy.io import wavfile

from jaxdl import errors
from jaxdl.data import files, splits

TRANSCRIPTS = "*.trans.txt"
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
BACKGROUND = "_background_noise_"  # of Speech Commands: minutes of noise, no word
DAMAGE = (ValueError, OSError, EOFError, struct.error, ZeroDivisionError)  # SciPy's, by where it is
LIMIT = 1 << 28  # bytes of a transcript or a list
LIBRISPEECH = (
    "Give an extracted part of LibriSpeech, such as LibriSpeech/dev-clean "
    "(https://www.openslr.org/12)."
)
COMMANDS = (
    "Give the extracted folder of Speech Commands "
    "(http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz)."
)


class Recording(NamedTuple):
    """A file, and the text that is said in it."""

    path: pathlib.Path
    text: str


class Words(NamedTuple):
    """Recordings to learn from, to choose by and to be examined on, and the words in order."""

    train: list[Recording]
    validation: list[Recording]
    test: list[Recording]
    words: tuple[str, ...]


def librispeech(folder: str | pathlib.Path) -> list[Recording]:
    """Every recording that a transcript names, in the order of the paths; none is opened."""
    directory = files.folder(folder, LIBRISPEECH)
    lists = sorted(directory.rglob(TRANSCRIPTS))
    if not lists:
        raise errors.InputError(
            f"The folder {directory} must hold files {TRANSCRIPTS}, got none. {LIBRISPEECH}"
        )
    return [recording for path in lists for recording in _transcribed(path)]


def speech_commands(folder: str | pathlib.Path) -> Words:
    """Every recording of a word; the folder of noise is left out; none is opened."""
    directory = files.folder(folder, COMMANDS)
    folders = sorted(path for path in directory.iterdir() if path.is_dir())
    words = tuple(path.name for path in folders if not path.name.startswith(("_", ".")))
    found = {
        f"{word}/{path.name}": Recording(path, word)
        for word in words
        for path in sorted((directory / word).glob("*.wav"))
    }
    if not found:
        raise errors.InputError(
            f"The folder {directory} must hold folders of .wav files, one for each word, got none. "
            f"{COMMANDS}"
        )
    apart = {part: _listed(directory / name, found) for part, name in LISTS.items()}
    taken = set().union(*apart.values())
    return Words(
        [recording for name, recording in found.items() if name not in taken],
        [found[name] for name in apart["validation"]],
        [found[name] for name in apart["test"]],
        words,
    )


def load(
    recordings: list[Recording], rate: int = 16000, longest: int | None = None
) -> splits.Examples:
    """The recordings in memory: `wave` int16 (n, samples), zero behind the end, and `length` int32
    (n,), as `log_mel.features` takes them.

    rate: samples a second that each must have. longest: samples; the rest is cut off; None keeps
    all.
    """
    if not recordings:
        raise errors.InputError("There must be a recording to load, got none.")
    waves = [read(recording.path, rate)[:longest] for recording in recordings]
    lengths = np.array([len(wave) for wave in waves], np.int32)
    out = np.zeros((len(waves), lengths.max()), np.int16)
    for row, wave in zip(out, waves, strict=True):
        row[: len(wave)] = wave
    return {"wave": out, "length": lengths}


def read(path: pathlib.Path, rate: int = 16000) -> Int16[np.ndarray, "samples"]:
    """The samples of one recording: several channels in the mean, scaled to 16 bits."""
    found, samples = (_flac if path.suffix == ".flac" else _wav)(path)
    if found != rate:
        raise errors.InputError(
            f"{path} must have {rate} samples a second, got {found}. Resample it, or set the rate."
        )
    samples = _scaled(samples, path)
    if samples.ndim > 1:
        samples = samples.mean(axis=1)
    if not len(samples):
        raise errors.InputError(f"{path} must hold a sample, got none.")
    return np.clip(np.round(samples * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def _transcribed(path: pathlib.Path) -> list[Recording]:
    lines = _text(path, LIBRISPEECH).splitlines()
    out = []
    for number, line in enumerate(lines, start=1):
        name, _, text = line.strip().partition(" ")
        if not name:
            continue
        if not text.strip() or pathlib.Path(name).name != name:
            raise errors.InputError(
                f"{path}, line {number}, must be a recording's name and its text, got {line!r}."
            )
        choices = [path.with_name(name + end) for end in (".flac", ".wav")]
        there = [choice for choice in choices if choice.is_file()]
        if not there:
            raise errors.InputError(
                f"{path}, line {number}, must name a .flac or .wav file beside it, got {name!r}."
            )
        out.append(Recording(there[0], text.strip()))
    return out


def _listed(path: pathlib.Path, found: dict[str, Recording]) -> list[str]:
    """The names a list holds; without the list, none."""
    if not path.is_file():
        return []
    names = []
    for number, line in enumerate(_text(path, COMMANDS).splitlines(), start=1):
        if line.strip() and line.strip() not in found:
            raise errors.InputError(
                f"{path}, line {number}, must name a recording of the folder, got {line!r}."
            )
        names += [line.strip()] if line.strip() else []
    return names


def _text(path: pathlib.Path, remedy: str) -> str:
    try:
        return files.read(path, LIMIT, remedy).decode("utf-8")
    except UnicodeDecodeError as error:
        raise errors.InputError(f"{path} must be UTF-8, got: {error}.") from error


def _wav(path: pathlib.Path) -> tuple[int, np.ndarray]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Reached EOF prematurely")  # cut off
            return wavfile.read(path)
    except (*DAMAGE, wavfile.WavFileWarning) as error:
        raise errors.InputError(
            f"{path} must be a whole .wav file, got: {error}. Copy it again."
        ) from error


def _flac(path: pathlib.Path) -> tuple[int, np.ndarray]:
    soundfile = errors.needed(f"To be read, {path}", "soundfile")
    try:
        samples, rate = soundfile.read(path, dtype="float32")
    except (RuntimeError, OSError) as error:
        told = str(error).rstrip(".")
        raise errors.InputError(
            f"{path} must be a whole .flac file, got: {told}. Copy it again."
        ) from error
    return rate, samples


def _scaled(samples: np.ndarray, path: pathlib.Path) -> Float32[np.ndarray, "..."]:
    """In [-1, 1]: bytes have their zero at 128, 24 bits come as the upper ones of 32."""
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return (samples / float(-np.iinfo(samples.dtype).min)).astype(np.float32)
    if samples.dtype.kind == "f" and np.isfinite(samples).all():
        return samples.astype(np.float32)
    raise errors.InputError(f"{path} must hold finite numbers, got {samples.dtype}.")
