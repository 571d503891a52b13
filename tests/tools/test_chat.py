"""The chat writes on after prompts, of a run and of a pretrained model, and errs in one line."""

import importlib
import json
import pathlib
import re

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import runs
import tokenizers

from jaxdl.models import pretrained
from jaxdl.nn import decoding

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def chat():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        yield importlib.import_module("chat")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of a tiny language model."""
    values = {"width": 8, "length": 8, "batch_size": 4, "steps": 2, "test_bytes": 200}
    return runs.of_experiment("stdlib_lstm", tmp_path_factory.mktemp("chat"), **values).folder


@pytest.fixture
def words(tmp_path):
    """A pretrained folder of a language of 19 letters."""
    path = hf.folder("gpt", tmp_path, eos_token_id=18)
    vocabulary = {chr(ord("a") + n): n for n in range(19)}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="s")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(path / "tokenizer.json"))
    return path


def test_a_run_writes_on_beyond_its_window(chat, folder, capsys):
    told = []
    for seed in ("1", "1", "2"):
        assert chat.main([str(folder), "--prompt", "import", "--tokens", "20", "--seed", seed]) == 0
        told.append(capsys.readouterr().out)
    assert told[0].startswith("import") and told[0] == told[1] != told[2]


def test_a_pretrained_model_writes_what_it_generates(chat, words, capsys, monkeypatch):
    typed = iter(["a b c", ""])

    def asked(_):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", asked)
    assert chat.main([str(words), "--tokens", "8", "--temperature", "0"]) == 0
    first, error = capsys.readouterr().out.splitlines()
    assert error == "error: The prompt must have at least 1 token, got 0."
    model, variables = pretrained.load(words)
    prompt = jnp.asarray([[0, 1, 2]], jnp.int32)
    wanted = decoding.generate(
        model, variables["params"], prompt, 8, jax.random.key(0), temperature=0.0
    )
    wanted = np.asarray(wanted[0]).tolist()
    wanted = wanted[: wanted.index(18)] if 18 in wanted else wanted
    assert first == "a b c" + " ".join(chr(ord("a") + n) for n in wanted)


def test_errors_are_one_line(chat, folder, words, capsys):
    def error(*arguments):
        assert chat.main([str(argument) for argument in arguments]) == 2
        return capsys.readouterr().err

    assert re.search(r"must be of a run .* got .*/nothing\.\n$", error(words / "nothing"))
    assert "tokens must be at least 1, got 0." in error(folder, "--tokens", 0)
    assert "Temperature must be at least 0" in error(folder, "--temperature", -1)
    prompt = "--prompt", "a b c", "--tokens", 10
    assert "context of 12 tokens, got 3 + 10" in error(words, *prompt)
    (words / "tokenizer.json").write_text(json.dumps({}))
    assert "tokenizer.json must be a tokenizer's JSON" in error(words, *prompt)
    (words / "tokenizer.json").unlink()
    assert "A tokenizer's file must exist, got" in error(words, *prompt)
