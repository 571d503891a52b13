"""Folders of recordings: what is read, and what is refused by its name and line."""

import sys

import numpy as np
import pytest
from scipy.io import wavfile

from jaxdl import errors
from jaxdl.data import wav_folder

WAVE = np.round(1000 * np.sin(np.arange(50))).astype(np.int16)


def libri(folder, lines=("1-2-0001 THE FIRST", "1-2-0000 AND BEFORE IT", "")):
    chapter = folder / "1" / "2"
    chapter.mkdir(parents=True, exist_ok=True)
    (chapter / "1-2.trans.txt").write_text("\n".join(lines))
    for i, wave in enumerate((WAVE, WAVE[:20])):
        wavfile.write(chapter / f"1-2-000{i}.wav", 16000, wave)
    return chapter


def commands(folder):
    for word in ("yes", "no", "_background_noise_"):
        (folder / word).mkdir(parents=True)
        for name in ("a", "b"):
            wavfile.write(folder / word / f"{name}.wav", 16000, WAVE)
    (folder / "testing_list.txt").write_text("yes/b.wav\n")
    return folder


def test_librispeech(tmp_path):
    chapter = libri(tmp_path)
    found = wav_folder.librispeech(tmp_path)
    assert found == [
        (chapter / "1-2-0001.wav", "THE FIRST"),
        (chapter / "1-2-0000.wav", "AND BEFORE IT"),
    ]
    batch = wav_folder.load(found)
    assert batch["length"].tolist() == [20, 50] and batch["wave"].shape == (2, 50)
    np.testing.assert_array_equal(batch["wave"][1], WAVE)
    assert not batch["wave"][0, 20:].any()
    assert wav_folder.load(found, longest=10)["length"].tolist() == [10, 10]


def test_speech_commands(tmp_path):
    found = wav_folder.speech_commands(commands(tmp_path))
    assert found.words == ("no", "yes")
    assert [(r.text, r.path.stem) for r in found.train] == [("no", "a"), ("no", "b"), ("yes", "a")]
    assert [(r.text, r.path.stem) for r in found.test] == [("yes", "b")]
    assert found.validation == []
    (tmp_path / "validation_list.txt").write_text("no/a.wav\nno/c.wav\n")
    with pytest.raises(errors.InputError, match=r"validation_list\.txt, line 2, .* got 'no/c.wav'"):
        wav_folder.speech_commands(tmp_path)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int32, np.float32])
def test_all_kinds_of_numbers_are_read_alike(tmp_path, kind):
    wave = WAVE / 2**15
    if kind == np.uint8:
        stored = np.round(wave * 128 + 128).astype(np.uint8)
    elif kind == np.float32:
        stored = wave.astype(np.float32)
    else:
        stored = np.round(wave * -float(np.iinfo(kind).min)).astype(kind)
    wavfile.write(tmp_path / "a.wav", 8000, np.stack([stored, stored], axis=1))
    found = wav_folder.read(tmp_path / "a.wav", rate=8000)
    np.testing.assert_allclose(found, WAVE, atol=128 if kind == np.uint8 else 0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1-2-0000", r"trans\.txt, line 2, must be a recording's name and its text"),
        ("../x HELLO", r"line 2, must be a recording's name"),
        ("1-2-0009 HELLO", r"line 2, must name a \.flac or \.wav file beside it, got '1-2-0009'"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path, line, message):
    libri(tmp_path, ("1-2-0000 FINE", line))
    with pytest.raises(errors.InputError, match=message):
        wav_folder.librispeech(tmp_path)


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24"])
def test_flac_files_are_read_to_16_bits(tmp_path, kind):
    soundfile = pytest.importorskip("soundfile")
    chapter = libri(tmp_path)
    wave = np.concatenate([WAVE, np.int16([-(2**15), 2**15 - 1, 0, -1])])
    soundfile.write(chapter / "1-2-0000.flac", wave, 16000, kind)
    soundfile.write(chapter / "1-2-0001.flac", np.stack([wave, wave], axis=1), 16000, kind)
    found = wav_folder.librispeech(tmp_path)
    assert {recording.path.suffix for recording in found} == {".flac"}  # before those of .wav
    batch = wav_folder.load(found)
    np.testing.assert_array_equal(batch["wave"], [wave, wave])
    with pytest.raises(errors.InputError, match="must have 8000 samples a second, got 16000"):
        wav_folder.read(found[0].path, rate=8000)


def test_a_damaged_flac_file_is_refused_by_its_name(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    path = tmp_path / "a.flac"
    soundfile.write(path, np.tile(WAVE, 100), 16000)
    whole = path.read_bytes()
    late = len(whole) - 20
    flipped = whole[:late] + bytes([whole[late] ^ 0xFF]) + whole[late + 1 :]
    for content in (*(whole[:size] for size in range(0, len(whole), 97)), b"text", flipped):
        path.write_bytes(content)
        with pytest.raises(errors.InputError, match=r"a\.flac must be a whole \.flac file, got: "):
            wav_folder.read(path)


def test_a_recording_that_is_cut_off_is_refused(tmp_path):
    path = tmp_path / "a.wav"
    wavfile.write(path, 16000, WAVE)
    whole = path.read_bytes()
    assert len(whole) == 44 + 2 * len(WAVE)
    no_channel = whole[:22] + b"\0\0" + whole[24:]
    for content in (*(whole[:size] for size in (0, *range(4, len(whole), 6))), no_channel):
        path.write_bytes(content)
        with pytest.raises(errors.InputError, match=r"a\.wav must be a whole \.wav file, got: "):
            wav_folder.read(path)


def test_files_that_are_none(tmp_path, monkeypatch):
    with pytest.raises(errors.InputError, match=r"must hold files .* got none"):
        wav_folder.librispeech(tmp_path)
    with pytest.raises(errors.InputError, match="one for each word, got none"):
        wav_folder.speech_commands(tmp_path)
    with pytest.raises(errors.InputError, match="must be a recording to load"):
        wav_folder.load([])
    wavfile.write(tmp_path / "a.wav", 8000, WAVE)
    with pytest.raises(errors.InputError, match="must have 16000 samples a second, got 8000"):
        wav_folder.read(tmp_path / "a.wav")
    wavfile.write(tmp_path / "a.wav", 16000, np.float32([np.nan]))
    with pytest.raises(errors.InputError, match="must hold finite numbers"):
        wav_folder.read(tmp_path / "a.wav")
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(errors.MissingError, match=r'pip install "jaxdl\[speech\]"'):
        wav_folder.read(tmp_path / "a.flac")
