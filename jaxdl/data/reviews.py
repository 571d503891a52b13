"""Reviews and whether they praise: made ones, of a grammar that knows, and those of files.

A made review judges one or two things. "Not" turns a judgement around, and of two that disagree
the one in the main clause counts: "although the plot was never dull, the ending was not convincing"
blames. So words alone do not tell; `bag_of_words` measures how far they go.
"""

import collections
import csv
import pathlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from sklearn import linear_model

from jaxdl import errors
from jaxdl.data import splits
from jaxdl.nn import limits

THINGS = ("plot", "ending", "music", "cast", "story", "dialogue", "camera", "pace", "humour")
GOOD = ("good", "moving", "clever", "convincing", "fresh", "brilliant", "charming", "gripping")
BAD = ("bad", "dull", "clumsy", "boring", "weak", "silly", "stale", "tedious")
NOT = ("not", "never", "hardly")
DEGREES = ("", "really", "very", "truly", "quite")
OPENINGS = ("", "we saw it on sunday .", "my second visit this year .", "i had read the book .")

PADDING, UNKNOWN, FIRST = 0, 1, 2  # FIRST begins every text: what a classifier reads from
LABELS = {"0": 0, "negative": 0, "1": 1, "positive": 1}


class Reviews(NamedTuple):
    """Texts, and for each 1 where it praises and 0 where it blames."""

    texts: list[str]
    labels: Int[np.ndarray, "n"]


def draw(count: int, seed: int = 0) -> Reviews:
    """So many made reviews, no two of them the same, half of them praise in the long run."""
    limits.at_least(1, "The number of reviews", count)
    random = np.random.default_rng(seed)
    made: dict[str, int] = {}
    while len(made) < count:
        text, label = _review(random)
        made[text] = label
    return Reviews(list(made), np.asarray(list(made.values()), np.int32))


def read(path: str | pathlib.Path) -> Reviews:
    """The reviews of a CSV file, or TSV by its name, UTF-8, whose first line names the columns
    "text" and "label"; labels are 0 or negative, 1 or positive.

    errors.InputError: the file or a line of it is not so; the line is named.
    """
    found = pathlib.Path(path).expanduser()
    try:
        with found.open(encoding="utf-8", newline="") as file:
            dialect = "excel-tab" if found.suffix == ".tsv" else "excel"
            rows = csv.reader(file, dialect, strict=True)
            return _parsed(found, rows)
    except OSError as error:
        raise errors.InputError(f"{found} must be readable, got: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise errors.InputError(
            f"{found} must be UTF-8, got byte {error.object[error.start]:#04x}. "
            "Save it as UTF-8 first."
        ) from error


class Encoded(NamedTuple):
    """A split as tokens, "input" (n, length) and "target" (n,), and the words they stand for."""

    train: splits.Examples
    test: splits.Examples
    words: tuple[str, ...]


def encoded(
    reviews: Reviews, length: int, most: int = 20_000, test_fraction: float = 0.2, seed: int = 0
) -> Encoded:
    """Reviews split and cut into words; each text begins with FIRST and ends where `length` does.

    most: words of the training part that are known, the commonest; others are UNKNOWN.
    """
    limits.at_least(2, "The length of texts", length)
    order = np.arange(len(reviews.texts))
    split = splits.stratified(order, reviews.labels, test_fraction, seed)
    counts = collections.Counter(
        word for i in split.train["input"] for word in words(reviews.texts[i])
    )
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    known = ("<padding>", "<unknown>", "<first>", *ranked[:most])
    number = {word: i for i, word in enumerate(known)}

    def tokens(indices: np.ndarray) -> np.ndarray:
        out = np.full((len(indices), length), PADDING, np.int32)
        for row, i in zip(out, indices, strict=True):
            found = [number.get(word, UNKNOWN) for word in words(reviews.texts[i])]
            found = [FIRST, *found][:length]
            row[: len(found)] = found
        return out

    parts = [part | {"input": tokens(part["input"])} for part in split]
    return Encoded(parts[0], parts[1], known)


def words(text: str) -> list[str]:
    """The words of a text in small letters, and its marks each by itself."""
    return re.findall(r"[\w']+|[^\w\s]", text.lower())


def bag_of_words(train: splits.Examples, test: splits.Examples) -> float:
    """The test's accuracy of logistic regression on how often each word comes up in a text."""
    size = 1 + max(int(part["input"].max()) for part in (train, test))
    counts, wanted = (
        np.stack([np.bincount(row, minlength=size)[FIRST + 1 :] for row in part["input"]])
        for part in (train, test)
    )
    model = linear_model.LogisticRegression(max_iter=1000).fit(counts, train["target"])
    return float(model.score(wanted, test["target"]))


def _review(random: np.random.Generator) -> tuple[str, int]:
    """A text and its label."""
    form, label = int(random.integers(5)), int(random.integers(2))
    opening = OPENINGS[random.integers(len(OPENINGS))]
    main, aside = _clause(random, label), _clause(random, 1 - label)
    body = (
        main,
        f"{main} , and {_clause(random, label)}",
        f"{aside} , but {main}",
        f"although {aside} , {main}",
        f"{main} , although {aside}",
    )[form]
    return f"{opening} {body} .".strip(), label


def _clause(random: np.random.Generator, praises: int) -> str:
    thing, degree = THINGS[random.integers(len(THINGS))], DEGREES[random.integers(len(DEGREES))]
    negated = random.random() < 1 / 3
    judgement = (GOOD if praises != negated else BAD)[random.integers(len(GOOD))]
    turned = NOT[random.integers(len(NOT))] if negated else ""
    return " ".join(f"the {thing} was {turned} {degree} {judgement}".split())


def _parsed(path: pathlib.Path, rows: Any) -> Reviews:
    texts: list[str] = []
    labels: list[int] = []
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        if sorted(header) != ["label", "text"]:
            raise errors.InputError(
                f"{path}, line 1 must name the columns text and label, got {', '.join(header)!r}."
            )
        for row in rows:
            text, label = _row(f"{path}, line {rows.line_num}", header, row)
            texts.append(text)
            labels.append(label)
    except csv.Error as error:
        raise errors.InputError(
            f"{path}, line {rows.line_num} must be well quoted, got: {error}."
        ) from error
    if len(set(labels)) < 2:
        raise errors.InputError(f"{path} must hold reviews of both labels, got {len(texts)} lines.")
    return Reviews(texts, np.asarray(labels, np.int32))


def _row(where: str, header: Sequence[str], row: Sequence[str]) -> tuple[str, int]:
    if len(row) != 2:
        raise errors.InputError(
            f"{where} must have 2 fields, got {len(row)}. Quote a text that has the separator."
        )
    named = dict(zip(header, row, strict=True))
    text, label = named["text"].strip(), named["label"].strip().lower()
    if not text:
        raise errors.InputError(f"{where} must have a text, got none.")
    if label not in LABELS:
        raise errors.InputError(
            f"{where} must have the label {', '.join(LABELS)}, got {named['label']!r}."
        )
    return text, LABELS[label]
