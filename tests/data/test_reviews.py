"""Made reviews say what their labels say, words alone do not tell, and bad files are refused."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import reviews


def judged(clause):
    """What a clause says, read word by word: 1 praise, 0 blame."""
    said = clause.split()
    praise = bool(set(said) & set(reviews.GOOD))
    assert praise != bool(set(said) & set(reviews.BAD))
    return int(praise != bool(set(said) & {"not", "never", "hardly"}))


def verdict(text):
    """The truth by the rules in the docstring, from the text alone."""
    body = text.removesuffix(" .").rsplit(" . ", 1)[-1]
    clauses = body.split(" , ")
    if clauses[-1].startswith("although"):
        return judged(clauses[0])
    if len(clauses) == 2 and clauses[1].startswith("and"):
        assert judged(clauses[0]) == judged(clauses[1])
    return judged(clauses[-1])


def test_labels_follow_from_the_texts_and_words_alone_do_not_tell():
    made = reviews.draw(3000)
    assert [verdict(text) for text in made.texts] == made.labels.tolist()
    assert len(set(made.texts)) == 3000  # so none of the test's was learnt from
    assert 0.45 < made.labels.mean() < 0.55
    train, test, _ = reviews.encoded(made, 32)
    assert 0.5 < reviews.bag_of_words(train, test) < 0.7
    same = reviews.draw(5)
    assert same.texts == reviews.draw(5).texts != reviews.draw(5, seed=1).texts


def test_texts_become_tokens_of_known_words():
    texts = ["Not bad, really.", "bad", "a b c d e f", "bad bad"] * 5
    found = reviews.Reviews(texts, np.asarray([1, 0, 1, 0] * 5, np.int32))
    train, test, words = reviews.encoded(found, 5, most=2)
    assert words[:4] == ("<padding>", "<unknown>", "<first>", "bad") and len(words) == 5
    assert (len(train["input"]), len(test["input"])) == (16, 4)
    rows = {tuple(row) for row in train["input"].tolist()}
    assert (2, 3, 0, 0, 0) in rows and (2, 3, 3, 0, 0) in rows
    assert all(row[0] == 2 for row in rows)
    assert reviews.words("It's GOOD, isn't it?") == ["it's", "good", ",", "isn't", "it", "?"]


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_file_is_read(tmp_path, suffix):
    mark = "," if suffix == "csv" else "\t"
    path = tmp_path / f"r.{suffix}"
    path.write_text(f'label{mark}text\n1{mark}"fine{mark} and\nlong"\nNegative{mark}schlecht ü\n')
    found = reviews.read(path)
    assert found.texts == [f"fine{mark} and\nlong", "schlecht ü"]
    assert found.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,x\n", "line 1 must name the columns text and label, got 'a, b'"),
        (b"text,label\ngood,1\nbad,bad,0\n", "line 3 must have 2 fields, got 3"),
        (b"text,label\ngood,2\n", "line 2 must have the label .*, got '2'"),
        (b"text,label\n ,1\n", "line 2 must have a text, got none"),
        (b'text,label\n"good,1\n', "line 2 must be well quoted"),
        (b"text,label\ngood,1\n", "both labels, got 1 lines"),
        (b"text,label\n\xff,1\n", "must be UTF-8, got byte 0xff"),
    ],
)
def test_bad_files_are_refused(tmp_path, content, message):
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(errors.InputError, match=message) as caught:
        reviews.read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="must be readable, got: No such file"):
        reviews.read(tmp_path / "none.csv")
