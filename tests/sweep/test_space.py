"""The space of a sweep: what a command line and `sweep()` may say, and the settings it has."""

import enum
import math
import random
import subprocess
import sys
from typing import Any, Literal

import numpy as np
import pytest
from scipy import stats

from jaxdl import errors, hyperparameters
from jaxdl.sweep import reading, space


class Size(enum.Enum):
    SMALL = 1
    LARGE = 2


def function(
    learning_rate: float = 1e-3,
    width: int = 4,
    kind: Literal["relu", "gelu"] = "relu",
    size: Size = Size.SMALL,
    bias: bool = True,
    text: str = "a",
    features: tuple[int, ...] = (64,),
    pairs: tuple[tuple[int, int], ...] = (),
    dropout: float | None = None,
    act: Any = len,
): ...


KNOWN = hyperparameters.of(function)


def settings(*words: str, samples: int | None = None, seed: int = 0) -> list[dict[str, Any]]:
    return [dict(setting) for setting in reading.read(words, KNOWN).settings(samples, seed)]


def labels(*words: str) -> list[str]:
    return [setting.label for setting in reading.read(words, KNOWN).settings()]


# --- a grid ---


def test_a_grid_has_every_combination_in_the_order_of_the_words():
    rates, widths = (1e-4, 3e-4, 1e-3), (64, 128)
    expected = [{"learning_rate": rate, "width": width} for rate in rates for width in widths]
    assert settings("learning_rate=1e-4,3e-4,1e-3", "width=64,128") == expected
    assert settings("learning-rate=1e-4,3e-4,1e-3", "width= 64 , 128") == expected


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("kind=relu,gelu", ["relu", "gelu"]),
        ("size=SMALL,LARGE", [Size.SMALL, Size.LARGE]),
        ("bias=true,false", [True, False]),
        ("text=a,b-c", ["a", "b-c"]),
        ("features=(64,32),(128),()", [(64, 32), (128,), ()]),
        ("pairs=((1,2),(3,4)),((5,6))", [((1, 2), (3, 4)), ((5, 6),)]),
        ("dropout=None,0.5", [None, 0.5]),
        ("width=64,128,64", [64, 128]),
        ("learning_rate=0.1,1e-1,1", [0.1, 1.0]),
        ("width=-1", [-1]),
    ],
)
def test_values_have_the_type_of_the_hyperparameter(word, values):
    name = word.partition("=")[0]
    found = [setting[name] for setting in settings(word)]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))


def test_a_space_of_nothing_is_the_one_default_setting():
    assert [(dict(s), s.label) for s in space.Space({}).settings()] == [({}, "default")]


# --- labels ---


def test_a_label_names_the_values():
    assert labels("learning_rate=0.001", "width=64") == ["learning_rate=0.001,width=64"]
    assert labels("features=(64,32)", "kind=relu") == ["features=64+32,kind=relu"]


def test_labels_are_safe_and_stay_apart():
    texts = ["a/b", "a_b", "a b", "..", "ä", "x" * 300, "x" * 301, "", "a+b", "1,width=2", "A=B"]
    found = [space.Setting({"text": text}).label for text in texts]
    found += [
        space.Setting({"text": tuple(text)}).label
        for text in ("ab", ("a", "b+c"), ("a+b", "c"), ())
    ]
    found += [space.Setting({"text": nested}).label for nested in (((1, 2), (3,)), ((1,), (2, 3)))]
    assert len(set(found)) == len(found)
    assert all(len(label) <= 100 for label in found)
    assert not set("".join(found)) & set("/\\\0 :*?\"<>|'()")


def test_a_setting_is_known_by_its_label():
    one, same = space.Setting({"features": (1, 2)}), space.Setting({"features": [1, 2]})
    other = space.Setting({"features": (1, 2, 3)})
    assert one == same
    assert len({one, same, other}) == 2


# --- draws ---


def test_draws_are_reproducible_and_a_longer_draw_begins_with_a_shorter_one():
    words = ("learning_rate=log(1e-5,1e-1)", "width=64,128", "kind=choice(relu,gelu)")
    first = settings(*words, samples=8, seed=1)
    assert first == settings(*words, samples=8, seed=1)
    assert first == settings(*words, samples=20, seed=1)[:8]
    assert first != settings(*words, samples=8, seed=2)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (space.log(1e-5, 1e-1), stats.loguniform(1e-5, 1e-1)),
        (space.uniform(-1, 3), stats.uniform(-1, 4)),
    ],
)
def test_draws_follow_their_distribution(scale, expected):
    drawn = space.Space({"x": scale}).settings(2000, seed=0)
    found = [setting["x"] for setting in drawn]
    assert stats.kstest(found, expected.cdf).pvalue > 0.01
    assert all(value == float(f"{value:.6g}") for value in found)


@pytest.mark.parametrize("logarithmic", [False, True])
def test_integers_reach_both_ends(logarithmic):
    scale = "log" if logarithmic else "int"
    generator = random.Random(0)
    found = [space.Range(scale, 1, 8, whole=True).at(generator.random()) for _ in range(8000)]
    edges = np.arange(0.5, 9)
    shares = np.diff(np.log(edges)) if logarithmic else np.diff(edges)
    expected = 8000 * shares / shares.sum()
    assert all(type(value) is int for value in found)
    assert stats.chisquare(np.bincount(found, minlength=9)[1:], expected).pvalue > 0.01


def test_an_integer_may_have_a_range_of_log():
    found = settings("width=log(16,256)", samples=50)
    assert all(type(s["width"]) is int and 16 <= s["width"] <= 256 for s in found)


def test_a_space_that_is_used_up_gives_what_it_has():
    assert sorted(s["width"] for s in settings("width=int(1,5)", samples=40)) == [1, 2, 3, 4, 5]
    grid = settings("width=" + ",".join(map(str, range(300))), samples=300)
    assert sorted(s["width"] for s in grid) == list(range(300))
    narrow = space.Space({"x": space.uniform(1.0, math.nextafter(1.0, 2))}).settings(5)
    assert 1 <= len(narrow) <= 2


# --- Python ---


def test_python_says_the_same_as_the_words():
    given = {
        "learning_rate": space.log(1e-5, 1e-1),
        "width": np.array([64, 128]),
        "kind": space.choice("relu", "gelu"),
        "features": [(64, 32), [128]],
        "dropout": [None, 0.5, np.float64(0.25), 1],
    }
    words = (
        "learning_rate=log(1e-5,1e-1)",
        "width=64,128",
        "kind=choice(relu,gelu)",
        "features=(64,32),(128)",
        "dropout=None,0.5,0.25,1",
    )
    expected = settings(*words, samples=30)
    found = [dict(setting) for setting in reading.of(given, KNOWN).settings(30)]
    assert found == expected
    assert all(type(s["dropout"]) in (float, type(None)) for s in found)


def test_python_may_vary_what_no_command_line_can_write():
    found = reading.of({"act": [len, sum]}, KNOWN).settings()
    assert [setting["act"] for setting in found] == [len, sum]


# --- errors ---

BOTH = "--sweep width must have a value on each side of a comma, got"
WORDS = {
    (): "--sweep must be followed by NAME=VALUES, as in learning_rate=1e-4,1e-3.",
    ("width",): "--sweep must be followed by NAME=VALUES, got 'width'. Values are separated by "
    "commas alone; quote a word that has spaces.",
    ("lr=1",): "--sweep must name hyperparameters of the experiment, got 'lr'. "
    "Did you mean learning_rate?",
    ("zzz=1",): "--sweep must name hyperparameters of the experiment, got 'zzz'. It has act, bias, "
    "dropout, features, kind, learning_rate, pairs, size, text, width.",
    ("seed=1,2",): "--sweep must leave the seed alone. Give --seeds 8 instead.",
    ("width=1", "width=2"): "--sweep must name a hyperparameter once, got width twice. "
    "List all its values: width=A,B.",
    ("width=",): "--sweep width must have at least one value, got none.",
    ("width=1,,2",): f"{BOTH} '1,,2'.",
    ("width=1,",): f"{BOTH} '1,'.",
    ("width=1e3",): "--sweep width must be an integer, got '1e3'. Did you mean 1000?",
    ("learning_rate=fast",): "--sweep learning_rate must be a number, got 'fast'.",
    ("kind=relu,gel",): "--sweep kind must be relu or gelu, got 'gel'. Did you mean gelu?",
    ("bias=maybe",): "--sweep bias must be true or false, got 'maybe'.",
    ("features=64,32",): "--sweep features must have each value in parentheses, got '64,32'. "
    "Write 'features=(64,32)'.",
    ("width=(1,2",): "--sweep width must close the parentheses it opens, got '(1,2'.",
    ("width=1)",): "--sweep width must close the parentheses it opens, got '1)'.",
    ("learning_rate=lgo(1,2)",): "--sweep learning_rate must be values or a range, "
    "got 'lgo(1,2)'. Did you mean log?",
    ("learning_rate=gauss(1,2)",): "--sweep learning_rate must be values or a range, "
    "got 'gauss(1,2)'. There are log, uniform, int and choice.",
    ("learning_rate=log(1,2),3",): "--sweep learning_rate must be one range or a list of values, "
    "got 'log(1,2),3'.",
    ("learning_rate=log(1)",): "--sweep learning_rate must have two numbers as its ends, "
    "got 'log(1)'.",
    ("learning_rate=log(0,1)",): "--sweep learning_rate: A range of log must begin above 0, "
    "got log(0,1). `uniform` may begin anywhere.",
    ("learning_rate=log(-1,1)",): "--sweep learning_rate: A range of log must begin above 0, "
    "got log(-1,1). `uniform` may begin anywhere.",
    ("learning_rate=uniform(2,1)",): "--sweep learning_rate: A range must go from a low to a high "
    "number, got uniform(2,1).",
    ("learning_rate=uniform(1,1)",): "--sweep learning_rate: A range must go from a low to a high "
    "number, got uniform(1,1).",
    ("learning_rate=uniform(0,inf)",): "--sweep learning_rate: A range must have two numbers as "
    "its ends, got uniform(0,inf).",
    ("learning_rate=int(1,2)",): "--sweep learning_rate must be a number, got int(1,2). "
    "Use uniform(1,2).",
    ("width=uniform(1,2)",): "--sweep width must be an integer, got uniform(1,2). Use int(1,2).",
    ("width=log(1.5,2)",): "--sweep width: A range of integers must have whole ends, "
    "got log(1.5,2).",
    ("width=choice()",): "--sweep width must have at least one value, got none.",
    ("kind=log(1,2)",): "--sweep kind must list its values, got log(1,2). A value is relu or gelu.",
}


@pytest.mark.parametrize(("words", "message"), WORDS.items())
def test_words_that_are_wrong(words, message):
    with pytest.raises(errors.InputError) as caught:
        reading.read(words, KNOWN)
    assert str(caught.value) == message


GIVEN = [
    (None, "sweep() must return the values of each hyperparameter by its name, got None."),
    ({}, "sweep() must return the values of each hyperparameter by its name, got {}."),
    ({"widht": [1]}, "sweep() must name hyperparameters of the experiment, got 'widht'. "
     "Did you mean width?"),
    ({"seed": [1]}, "sweep() must leave the seed alone. Give --seeds 8 instead."),
    ({"width": 3}, "sweep() of width must be a list of values or a range, got 3."),
    ({"text": "abc"}, "sweep() of text must be a list of values or a range, got 'abc'."),
    ({"width": []}, "sweep() of width must have at least one value, got none."),
    ({"width": [1.5]}, "sweep() of width must be an integer, got 1.5."),
    ({"width": [True]}, "sweep() of width must be an integer, got True."),
    ({"learning_rate": ["1"]}, "sweep() of learning_rate must be a number, got '1'."),
    ({"learning_rate": [math.nan]}, "sweep() of learning_rate must be a number, got nan."),
    ({"kind": space.choice("relu", "gel")},
     "sweep() of kind must be relu or gelu, got 'gel'."),
    ({"size": ["SMALL"]}, "sweep() of size must be SMALL or LARGE, got 'SMALL'."),
    ({"features": [64]}, "sweep() of features must be of the form [INT ...], got 64."),
    ({"features": [(64, 0.5)]},
     "sweep() of features must be of the form [INT ...], got (64, 0.5)."),
    ({"width": space.uniform(1, 2)},
     "sweep() of width must be an integer, got uniform(1,2). Use int(1,2)."),
]  # fmt: skip


@pytest.mark.parametrize(("given", "message"), GIVEN)
def test_what_python_gives_wrong(given, message):
    with pytest.raises(errors.InputError) as caught:
        reading.of(given, KNOWN)
    assert str(caught.value) == message


def test_python_ranges_check_themselves():
    wrong = [(space.log, 0, 1), (space.uniform, 1, 1.0), (space.integers, 3, 2)]
    for function, low, high in wrong:
        with pytest.raises(errors.InputError, match="A range"):
            function(low, high)


def test_samples():
    drawn = reading.read(["width=1,2", "learning_rate=log(1e-5,1e-1)"], KNOWN)
    with pytest.raises(errors.InputError) as caught:
        drawn.settings()
    assert str(caught.value) == (
        "A sweep over a range must say how many settings to draw, got "
        "learning_rate=log(1e-05,0.1).\nAdd --samples 32, or list the values."
    )
    for axes in (drawn, reading.read(["width=1,2"], KNOWN)):
        with pytest.raises(errors.InputError, match="--samples must be at least 1, got 0"):
            axes.settings(0)
    large = space.Space({name: tuple(range(100)) for name in "abc"})
    with pytest.raises(errors.InputError, match="at most 100,000 settings, got 1,000,000"):
        large.settings()
    assert len(large.settings(3)) == 3


def test_a_typing_error_is_answered_without_jax():
    code = "import sys; from jaxdl.sweep import reading; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
