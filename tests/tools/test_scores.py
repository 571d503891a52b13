"""The scores' rules and their table."""

import importlib
import math
import pathlib

import pytest

from jaxdl import errors
from jaxdl.run import AtLeast, AtMost

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
NAN = math.nan


@pytest.fixture(scope="module")
def scores():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        yield importlib.import_module("scores")


@pytest.mark.parametrize(
    ("expect", "history", "value"),
    [
        (AtLeast("test/return", 475.0), [500, 100], 100),
        (AtLeast("test/return", 475.0, best=True), [NAN, 500, 100], 500),
        (AtMost("test/loss", 1.0, best=True), [3, 0.5, 2], 0.5),
    ],
)
def test_the_last_evaluation_counts_or_the_best(expect, history, value):
    assert expect.of(history) == value


def test_of_nothing_but_nan_there_is_no_best():
    score = AtLeast("test/return", 475.0, best=True)
    assert math.isnan(score.of([NAN, NAN])) and not score.met(NAN)


@pytest.mark.parametrize(
    ("expect", "values", "reached"),
    [
        (AtLeast("test/accuracy", 0.9), [0.8, 1.0], True),
        (AtLeast("test/accuracy", 0.9, share=1.0), [0.8, 1.0], False),
        (AtLeast("test/accuracy", 0.9, share=0.8), [0.8, 0.9, 1.0, 1.0, 1.0], True),
        (AtLeast("test/accuracy", 0.9, share=0.8), [0.8, 0.8, 1.0, 1.0, 1.0], False),
        (AtMost("test/loss", 0.9), [0.8, NAN], False),
    ],
)
def test_the_mean_must_reach_it_or_a_share_of_the_seeds(scores, expect, values, reached):
    assert scores.Score(expect, tuple(values)).reached is reached


def test_a_share_lies_between_none_and_all():
    with pytest.raises(errors.InputError, match=r"must lie in \[0, 1\], got 1\.5"):
        AtLeast("test/accuracy", 0.9, share=1.5)


def test_the_table_has_a_row_for_each_and_keeps_those_not_measured(scores):
    before = "| `other` | kept |\n| `it` | old |\n"
    found = (
        scores.Score(AtLeast("test/a", 0.9, share=0.8), (1.0, 0.5)),
        scores.Score(AtMost("test/b", 2.0, best=True), (1.0, 2.0)),
    )
    rows = scores.table([scores.Measured("it", "It.", found, 3.4)], before).splitlines()[2:]
    assert rows == [
        "| `it` | It. | test/a<br>test/b, best | ≥ 0.9 in 80% of seeds<br>≤ 2 "
        "| **0.7500** (0.3536, 2)<br>**1.5000** (0.7071, 2) | 3 s |",
        "| `other` | kept |",
    ]


MODEL = '''"""A thing: small, and quick (Elder 1990).

Author and Other, "On things: a view" (1986). More.
"""

class Thing(nn.Module):
    pass
'''


README = """A
<!-- scores: begin -->
| `x_thing` | X. | test/a | ≥ 1 | **2** (0, 3) | 3 s |
<!-- scores: end -->
B
<!-- architectures: begin -->
old
<!-- architectures: end -->
C
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout of a model in two experiments, one of which uses another more often found."""
    files = {
        "jaxdl/models/thing.py": MODEL,
        "jaxdl/models/base.py": MODEL.replace(" (Elder 1990)", ""),
        "jaxdl/models/names.py": '"""No module."""\n',
        "experiments/x_thing.py": "from jaxdl.models import base, thing\n",
        "experiments/y_base.py": "from jaxdl.models import base\n",
        "experiments/z_base.py": "from jaxdl.models import base\n",
        "README.md": README,
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_architectures_are_told_from_the_tree(scores, checkout, monkeypatch):
    monkeypatch.setattr(scores, "ROOT", checkout)
    scores.write(checkout / "README.md", [])
    before, _, after = (
        (checkout / "README.md").read_text().partition("<!-- architectures: begin -->")
    )
    assert after.splitlines()[3:] == [
        '| `base`: A thing | Author and Other, "On things: a view" (1986) '
        "| `y_base`<br>`z_base` |  |  |",
        "| `thing`: A thing | Elder 1990 | `x_thing` | test/a **2** | 3 s |",
        "<!-- architectures: end -->",
        "C",
    ]
    assert before.startswith("A\n") and "| `x_thing` |" in before


def test_every_architecture_has_a_name_and_a_source(scores):
    import architectures

    found = architectures.found(TOOLS.parent)
    assert {"gpt", "mlp"} <= {one.name for one in found}
    assert all(one.about and one.source for one in found), found


def test_a_readme_without_the_marks_is_refused(scores, tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(SystemExit, match="must hold the marks <!-- scores: begin -->"):
        scores.write(tmp_path / "README.md", [])
    assert (tmp_path / "README.md").read_text() == "nothing"
