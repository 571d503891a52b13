"""The README's table of architectures: each file of jaxdl/models, who published it, the experiments
that put it to work, and what they reached, from the table of scores.
"""

import ast
import collections
import pathlib
import re
from collections.abc import Mapping
from typing import NamedTuple

YEAR = r"(?:1[89]|20)\d\d"
MOST = 6  # experiments in a row
COLON = "\0"  # in the place of a title's


class Architecture(NamedTuple):
    """A file of jaxdl/models: what it says of itself, and the experiments that are about it: of the
    models that an experiment imports, the one that the fewest others do.
    """

    name: str
    about: str
    source: str
    experiments: tuple[str, ...]


def found(root: pathlib.Path) -> list[Architecture]:
    """Those of a checkout, by the names of their files; files that define no module are none."""
    uses = {path.stem: imported(path) for path in sorted((root / "experiments").glob("*.py"))}
    often = collections.Counter(model for models in uses.values() for model in models)
    rarest = {
        name: min(models, key=lambda m: often[m], default="") for name, models in uses.items()
    }
    those = []
    for path in sorted((root / "jaxdl" / "models").glob("*.py")):
        tree = ast.parse(path.read_text())
        if not any(isinstance(node, ast.ClassDef) and _is_module(node) for node in tree.body):
            continue
        text = " ".join((ast.get_docstring(tree) or "").split())
        users = tuple(name for name, model in rarest.items() if path.stem == model)
        those.append(Architecture(path.stem, title(text), source(text), users))
    return those


def imported(experiment: pathlib.Path) -> list[str]:
    """The files of jaxdl/models that an experiment imports."""
    return [
        alias.name
        for node in ast.walk(ast.parse(experiment.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "jaxdl.models"
        for alias in node.names
    ]


def title(text: str) -> str:
    """The first sentence of a docstring, without what stands in brackets."""
    text = re.sub(rf"\s*\([^()]*{YEAR}[^()]*\)", "", text)
    return re.split(r"(?<=\w)[.:](?: |$)", text)[0]


def source(text: str) -> str:
    """The first publication that a docstring names, with its year; empty where there is none."""
    year = re.search(rf"\(([^()]*{YEAR})[^()]*\)", text)
    if year is None:
        return ""
    if not re.fullmatch(YEAR, year[1]):
        return year[1]  # (Elman 1990)
    # A title has a colon of its own.
    quoted = re.sub(r'"[^"]*"', lambda found: found[0].replace(": ", COLON), text[: year.start()])
    sentence = re.split(r"(?<=[a-z0-9\)\"])[.:] ", quoted)[-1].replace(COLON, ": ").strip()
    return f"{sentence} ({year[1]})"


def table(root: pathlib.Path, scores: str) -> str:
    """As Markdown; `scores` is the table of scores, whose cells are used again. Experiments that it
    does not have come last, by their names alone.
    """
    rows: Mapping[str, list[str]] = {
        row.split("`")[1]: [cell.strip() for cell in row.split("|")]
        for row in scores.splitlines()
        if row.startswith("| `")
    }
    lines = ["| architecture | published | experiment | reached | time |", "|---|---|---|---|---|"]
    for one in found(root):
        shown = sorted(one.experiments, key=lambda name: name not in rows)[:MOST]
        measured = [rows[name] for name in shown if name in rows]
        cells = (
            f"`{one.name}`: {one.about}",
            one.source,
            "<br>".join(f"`{name}`" for name in shown),
            "<br>".join(f"{row[3].split('<br>')[0]} {_first(row[5])}" for row in measured),
            "<br>".join(row[6] for row in measured),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _first(cell: str) -> str:
    """The first mean of a cell of scores, without deviation and seeds."""
    return cell.split("<br>")[0].partition(" (")[0]


def _is_module(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("nn.Module") for base in node.bases)
