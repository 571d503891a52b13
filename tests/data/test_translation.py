"""The made languages by translations done by hand, their vocabulary, and BLEU."""

import numpy as np
import pytest

from jaxdl import errors
from jaxdl.data import translation

Phrase, Meaning = translation.Phrase, translation.Meaning


@pytest.mark.parametrize(
    ("meaning", "english", "other"),
    [
        (
            Meaning(Phrase(2, 0, 0), Phrase(1, 10, -1), 0, 0),
            "yesterday two red cats watched one house",
            "kater roder zwo hausolm einolm sehuak ya",
        ),
        (
            Meaning(Phrase(1, 13, 3), Phrase(124, 5, 2), 5, 1),
            "today one young child carries one hundred twenty four old queens",
            "kintol junol einol reginenm vetenm ein sent kva e zwonti portiis hu",
        ),
        (
            Meaning(Phrase(940, 3, -1), Phrase(13, 13, -1), 4, 2),
            "tomorrow nine hundred forty rivers will find thirteen children",
            "flumer nof sent kvanti kintumm tridek trovuor mo",
        ),
    ],
)
def test_translations_done_by_hand(meaning, english, other):
    assert " ".join(translation.english(meaning)) == english
    assert " ".join(translation.other(meaning)) == other
    row = translation.encode([meaning])
    assert translation.decode(row["input"]["source"][0]) == english
    assert translation.decode(row["target"][0]) == other


def test_examples_are_padded_shifted_and_apart():
    train, test = translation.load(300, 50)
    for part, count in ((train, 300), (test, 50)):
        source, begun = part["input"]["source"], part["input"]["target"]
        assert source.shape == part["target"].shape == (count, translation.LONGEST)
        assert (begun[:, 0] == translation.PADDING).all()
        np.testing.assert_array_equal(begun[:, 1:], part["target"][:, :-1])
        np.testing.assert_array_equal(part["mask"], part["target"] != translation.PADDING)
        assert ((part["target"] == translation.END).sum(1) == 1).all()
    rows = [{tuple(row) for row in part["input"]["source"].tolist()} for part in (train, test)]
    assert len(rows[1]) == 50 and not rows[0] & rows[1]


def test_the_languages_share_no_word():
    words = translation.words()
    assert len(set(words)) == len(words)
    assert "children" in words and "sent" in words


def test_bleu_of_what_was_meant_is_100():
    pytest.importorskip("sacrebleu")
    wanted = translation.load(300, 50)[1]["target"]
    score = translation.bleu()
    assert score({"written": wanted, "wanted": wanted}) == pytest.approx(100)
    assert score({"written": np.roll(wanted, 1, axis=0), "wanted": wanted}) < 30
    cut = np.where(np.arange(translation.LONGEST) < 3, wanted, translation.PADDING)
    assert score({"written": cut, "wanted": wanted}) < 60


def test_counts_are_refused():
    with pytest.raises(errors.InputError, match="sentences for test must be at least 1, got 0"):
        translation.load(3, 0)
