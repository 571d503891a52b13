"""Text as the tokens of a tokenizer that others trained: the `tokenizer.json` of Hugging Face's
`tokenizers`, which is beside most published language models (the extra `interop`).

Sides are as `text.load` cuts them. Bits per token are no bits per byte: `Tokens.bytes_each` tells
how many bytes of the test a token stands for.
"""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from jaxtyping import Integer, UInt8

from jaxdl import errors
from jaxdl.data import checks, text


@dataclasses.dataclass(frozen=True, eq=False)
class Tokens:
    """The tokens to learn from and those to be examined on.

    vocabulary: how many tokens there are. bytes_each: of the test's text, on average.
    """

    train: Integer[np.ndarray, "train_tokens"]
    test: Integer[np.ndarray, "test_tokens"]
    vocabulary: int
    bytes_each: float


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to tokens and back, as a file says."""

    inner: Any
    vocabulary: int

    def encode(self, words: str) -> Integer[np.ndarray, "t"]:
        """The tokens of a text, without those that mark its beginning and end."""
        found = self.inner.encode(words, add_special_tokens=False).ids
        return np.array(found, np.uint16 if self.vocabulary <= 1 << 16 else np.int32)

    def decode(self, tokens: Integer[np.ndarray, "t"]) -> str:
        """The text of tokens."""
        checks.labels(tokens, self.vocabulary, "The tokens of a text")
        return self.inner.decode(np.asarray(tokens).tolist(), skip_special_tokens=False)

    def corpus(self, corpus: text.Corpus) -> Tokens:
        """Both sides of a text, file by file; what is not UTF-8 is U+FFFD."""
        train, test = (self._all(side) for side in corpus)
        if min(len(train), len(test)) < 2:
            raise errors.InputError(
                "Each side of a text must be 2 tokens or longer, "
                f"got {len(train)} and {len(test)}. Use a longer text."
            )
        return Tokens(train, test, self.vocabulary, len(corpus.test) / len(test))

    def _all(self, side: UInt8[np.ndarray, "n"]) -> Integer[np.ndarray, "t"]:
        parts = side.tobytes().split(bytes([text.SEPARATOR]))
        return np.concatenate([self.encode(part.decode("utf-8", "replace")) for part in parts])


def read(path: str | pathlib.Path) -> Tokenizer:
    """The tokenizer of a file, or of the `tokenizer.json` in a folder."""
    tokenizers = errors.needed("A tokenizer's file", "tokenizers")
    path = pathlib.Path(path).expanduser()
    path = path / "tokenizer.json" if path.is_dir() else path
    if not path.is_file():
        raise errors.InputError(f"A tokenizer's file must exist, got {path}.")
    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exceptions, with line and column
        said = str(error).partition("\n")[0].rstrip(".")
        raise errors.InputError(f"{path} must be a tokenizer's JSON, got: {said}.") from error
    # Numbers may have gaps, and a model needs a row for each.
    known = inner.get_vocab(with_added_tokens=True)
    if not known:
        raise errors.InputError(f"{path} must have a vocabulary, got an empty one.")
    return Tokenizer(inner, 1 + max(known.values()))
