"""Sentences in two made languages, and the rules by which one says what the other does.

A sentence tells how many of something do what to how many of something else, and when:

    yesterday two red cats watched one house -> kater roder zwo hausolm einolm sehuak ya

The first language is a little English. The second puts the verb and the time last, adjectives and
numbers after their nouns, and ones before tens ("four and twenty"); nouns, adjectives and the word
for one agree in gender, number and case, the verb with its subject's number and the time. So a
translation must reorder, count, and carry forms over the whole sentence; each sentence has one.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxdl import errors
from jaxdl.data import numbers
from jaxdl.nn import limits

PADDING, END = 0, 1
LONGEST = 17  # words of a sentence in either language, END included

# English, the stem, and the gender of each noun.
NOUNS = (
    ("cat", "kat", 0), ("dog", "wuf", 0), ("king", "rek", 0), ("river", "flum", 0),
    ("horse", "hipp", 0), ("queen", "regin", 1), ("bird", "avi", 1), ("ship", "naf", 1),
    ("tree", "arb", 1), ("song", "kant", 1), ("house", "haus", 2), ("book", "lib", 2),
    ("stone", "petr", 2), ("child", "kint", 2), ("star", "stel", 2), ("town", "urb", 2),
)  # fmt: skip
ADJECTIVES = (
    ("red", "rod"), ("blue", "blav"), ("old", "vet"), ("young", "jun"), ("small", "pik"),
    ("large", "gran"), ("quiet", "tas"), ("bright", "klar"),
)  # fmt: skip
VERBS = (
    ("watch", "seh"), ("follow", "sekv"), ("paint", "mal"), ("help", "adju"), ("find", "trov"),
    ("carry", "port"), ("visit", "vis"), ("remember", "memor"),
)  # fmt: skip
PAST = {"find": "found", "carry": "carried"}
SINGULAR = {"watch": "watches", "carry": "carries"}
TIMES = (("yesterday", "ya"), ("today", "hu"), ("tomorrow", "mo"))
TENSES = ("ak", "is", "or")  # the ending of the verb at each of the times
ENDINGS = (("o", "er"), ("a", "en"), ("ol", "um"))  # of each gender: one, and many

# Numbers of the second language.
ONES = (
    "ein", "zwo", "tri", "kva", "pem",
    "sek", "sep", "okt", "nof", "dek",
    "elf", "zelf", "tridek", "kvadek",
    "pemdek", "sekdek", "sepdek", "oktdek",
    "nofdek",
)  # fmt: skip
TENS = (
    "zwonti", "trinti", "kvanti", "pemnti",
    "seknti", "sepnti", "oktnti", "nofnti",
)  # fmt: skip


class Phrase(NamedTuple):
    """So many things: a noun, perhaps an adjective (-1: none), by their places in the tables."""

    count: int
    noun: int
    adjective: int


class Meaning(NamedTuple):
    """What a sentence says."""

    subject: Phrase
    object: Phrase
    verb: int
    time: int


class Pairs(NamedTuple):
    """Examples to learn from and others for the test."""

    train: dict[str, Any]
    test: dict[str, Any]


@functools.cache
def load(train: int = 50_000, test: int = 1_000, seed: int = 0) -> Pairs:
    """So many sentences, none of the test's among those to learn from, as tokens.

    "input" has "source", the English ones, and "target", the others behind a PADDING and without
    their last word; "target" are the others; "mask" is 1 where there is a word. Each is
    (n, LONGEST); sentences end with END, then PADDING.
    """
    for name, count in (("train", train), ("test", test)):
        limits.at_least(1, f"The number of sentences for {name}", count)
    random = np.random.default_rng(seed)
    held: dict[Meaning, None] = {}
    while len(held) < test:
        held[_drawn(random)] = None
    learnt: list[Meaning] = []
    while len(learnt) < train:
        meaning = _drawn(random)
        if meaning not in held:
            learnt.append(meaning)
    return Pairs(encode(learnt), encode(list(held)))


def encode(meanings: Sequence[Meaning]) -> dict[str, Any]:
    """Sentences of both languages as tokens, see `load`."""
    number = {word: i for i, word in enumerate(words())}
    source, target = np.full((2, len(meanings), LONGEST), PADDING, np.int32)
    for row, meaning in enumerate(meanings):
        for array, sentence in ((source, english(meaning)), (target, other(meaning))):
            array[row, : len(sentence)] = [number[word] for word in sentence]
            array[row, len(sentence)] = END
    begun = np.pad(target[:, :-1], ((0, 0), (1, 0)), constant_values=PADDING)
    mask = (target != PADDING).astype(np.int32)
    return {"input": {"source": source, "target": begun}, "target": target, "mask": mask}


def decode(tokens: Int[np.ndarray, "t"]) -> str:
    """The words of a sentence up to its end."""
    known, found = words(), np.asarray(tokens)
    stop = np.flatnonzero(found == END)
    found = found[: stop[0]] if stop.size else found
    return " ".join(known[token] for token in found if token != PADDING)


@functools.cache
def words() -> tuple[str, ...]:
    """The vocabulary of both languages, the words of the first before those of the second."""
    two = Phrase(2, 0, -1)
    meanings = [Meaning(Phrase(count, 0, -1), two, 0, 0) for count in range(1, 1000)]
    for count in (1, 2):
        for noun in range(len(NOUNS)):
            for adjective in range(-1, len(ADJECTIVES)):
                phrase = Phrase(count, noun, adjective)
                meanings.append(Meaning(phrase, phrase, 0, 0))
        for verb in range(len(VERBS)):
            for time in range(len(TIMES)):
                meanings.append(Meaning(Phrase(count, 0, -1), two, verb, time))
    sides = [sorted({word for m in meanings for word in say(m)}) for say in (english, other)]
    return ("<padding>", "<end>", *sides[0], *sides[1])


def bleu() -> Callable[[dict[str, Any]], float]:
    """What makes BLEU (Papineni et al. 2002), 0 to 100, of all that was written and wanted.

    errors.MissingError: sacrebleu is not installed.
    """
    sacrebleu = errors.needed("BLEU", "sacrebleu")

    def score(pairs: dict[str, Any]) -> float:
        written, wanted = (list(map(decode, pairs[name])) for name in ("written", "wanted"))
        # The words are cut already, and meant to be compared as they are.
        return sacrebleu.corpus_bleu(written, [wanted], tokenize="none", force=True).score

    return score


def english(meaning: Meaning) -> list[str]:
    """The words of the first language."""
    verb = VERBS[meaning.verb][0]
    if meaning.time == 0:
        verb = [PAST.get(verb, verb + "ed")]
    elif meaning.time == 2:
        verb = ["will", verb]
    else:
        verb = [SINGULAR.get(verb, verb + "s") if meaning.subject.count == 1 else verb]
    subject, things = (_english(phrase) for phrase in (meaning.subject, meaning.object))
    return [TIMES[meaning.time][0], *subject, *verb, *things]


def other(meaning: Meaning) -> list[str]:
    """The words of the second language."""
    many = "u" if meaning.subject.count > 1 else "i"
    verb = VERBS[meaning.verb][1] + many + TENSES[meaning.time]
    subject, things = _other(meaning.subject, ""), _other(meaning.object, "m")
    return [*subject, *things, verb, TIMES[meaning.time][1]]


def _english(phrase: Phrase) -> list[str]:
    words = numbers.spelled(phrase.count)
    if phrase.adjective >= 0:
        words.append(ADJECTIVES[phrase.adjective][0])
    noun = NOUNS[phrase.noun][0]
    many = "children" if noun == "child" else noun + "s"
    return [*words, noun if phrase.count == 1 else many]


def _other(phrase: Phrase, case: str) -> list[str]:
    _, stem, gender = NOUNS[phrase.noun]
    ending = ENDINGS[gender][phrase.count > 1] + case
    words = [stem + ending]
    if phrase.adjective >= 0:
        words.append(ADJECTIVES[phrase.adjective][1] + ending)
    hundreds, rest = divmod(phrase.count, 100)
    words += [ONES[hundreds - 1], "sent"] if hundreds else []
    tens = []
    if rest >= 20:
        tens = ["e", TENS[rest // 10 - 2]] if rest % 10 else [TENS[rest // 10 - 2]]
        rest %= 10
    if rest:
        # One alone agrees; in a greater number it is a word like the others.
        words.append(ONES[rest - 1] + (ending if phrase.count == 1 else ""))
    return [*words, *tens]


def _drawn(random: np.random.Generator) -> Meaning:
    """A meaning; counts of one, below twenty and below a thousand come up alike."""
    phrases = []
    for _ in range(2):
        highest = (1, 19, 999)[random.integers(3)]
        count, noun = random.integers(1, highest + 1), random.integers(len(NOUNS))
        adjective = random.integers(-1, len(ADJECTIVES))
        phrases.append(Phrase(int(count), int(noun), int(adjective)))
    verb, time = random.integers(len(VERBS)), random.integers(len(TIMES))
    return Meaning(phrases[0], phrases[1], int(verb), int(time))
