"""Sentences in two made languages, and the rules by which one says what the other does.

A sentence tells how many of something do what to how many of something else, and when:

    yesterday two red cats watched one house  ->  katerul rodurul zwo   hausolom einom   sehtak ya

The first language is a little English. The second puts the verb and the time last, adjectives and
numbers after their nouns, and ones before tens ("four and twenty"); nouns, adjectives and the word
for one agree in gender, number and case, the verb with its subject's number and the time. So
a translation must reorder, count, and carry forms over the whole sentence, and each has exactly one.
"""

from typing import NamedTuple

PADDING, END = 0, 1
LONGEST = 16  # words of a sentence in either language, END included

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

ONES = (
    ("one", "ein"), ("two", "zwo"), ("three", "tri"), ("four", "kva"), ("five", "pem"),
    ("six", "sek"), ("seven", "sep"), ("eight", "okt"), ("nine", "nof"), ("ten", "dek"),
    ("eleven", "elf"), ("twelve", "zelf"), ("thirteen", "tridek"), ("fourteen", "kvadek"),
    ("fifteen", "pemdek"), ("sixteen", "sekdek"), ("seventeen", "sepdek"), ("eighteen", "oktdek"),
    ("nineteen", "nofdek"),
)  # fmt: skip
TENS = (
    ("twenty", "zwonti"), ("thirty", "trinti"), ("forty", "kvanti"), ("fifty", "pemnti"),
    ("sixty", "seknti"), ("seventy", "sepnti"), ("eighty", "oktnti"), ("ninety", "nofnti"),
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
    hundreds, rest = divmod(phrase.count, 100)
    words = [ONES[hundreds - 1][0], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(TENS[rest // 10 - 2][0])
        rest %= 10
    if rest:
        words.append(ONES[rest - 1][0])
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
    words += [ONES[hundreds - 1][1], "sent"] if hundreds else []
    tens = []
    if rest >= 20:
        tens = ["e", TENS[rest // 10 - 2][1]] if rest % 10 else [TENS[rest // 10 - 2][1]]
        rest %= 10
    if rest:
        # One alone agrees; in a greater number it is a word like the others.
        words.append(ONES[rest - 1][1] + (ending if phrase.count == 1 else ""))
    return [*words, *tens]
