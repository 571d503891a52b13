"""A tokenizer that is trained here goes through its file; a text through its tokens."""

import json

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import text, tokens

tokenizers = pytest.importorskip("tokenizers")
WORDS = "the cat sat on the mat; the dog — ö — sat on the cat. "


@pytest.fixture
def path(tmp_path):
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<end>"],
    )
    made.train_from_iterator([WORDS] * 5, trainer)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_a_text_comes_back(path):
    read = tokens.read(path.parent)  # of a folder, the file of that name
    theirs = tokenizers.Tokenizer.from_file(str(path))
    assert read.vocabulary == theirs.get_vocab_size()
    found = read.encode(WORDS)
    assert found.dtype == np.uint16 and found.tolist() == theirs.encode(WORDS).ids
    assert len(found) < len(WORDS) and read.decode(found) == WORDS
    with pytest.raises(errors.InputError, match=r"tokens of a text must be in 0\.\."):
        read.decode(np.array([read.vocabulary]))


def test_both_sides_of_a_corpus(path):
    read = tokens.read(path)
    side = text.encode(WORDS + "\0" + WORDS)
    made = read.corpus(text.Corpus(side, text.encode(WORDS)))
    assert np.array_equal(made.train, np.concatenate([read.encode(WORDS)] * 2))
    assert made.vocabulary == read.vocabulary
    assert made.bytes_each == len(WORDS.encode()) / len(made.test) > 1
    with pytest.raises(errors.InputError, match="must be 2 tokens or longer, got 0 and 0"):
        read.corpus(text.Corpus(text.encode(""), text.encode("")))


def test_a_file_that_is_none_is_refused_by_its_line(path):
    with pytest.raises(errors.InputError, match="tokenizer's file must exist, got"):
        tokens.read(path.with_name("none.json"))
    path.write_text(path.read_text()[:50])
    with pytest.raises(errors.InputError, match=r"must be a tokenizer's JSON, got: .* line \d+"):
        tokens.read(path)
    path.write_text(json.dumps({"model": {}}))
    with pytest.raises(errors.InputError, match="must be a tokenizer's JSON, got: "):
        tokens.read(path)
