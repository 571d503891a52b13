"""What a notebook shows of a run: its card, and its curves inline.

The curves need matplotlib (the extra `notebook`); without it the card stands alone.
"""

import base64
import html
import io
import math
import shlex
from collections.abc import Mapping
from typing import Any

from jaxdl import errors
from jaxdl.train import progress, record

PANELS = 6  # of curves; TensorBoard has them all
ACROSS = 3
INCHES = (3.4, 2.4)  # of a panel


def of(result: Any) -> str:
    """A run's result as HTML."""
    kept = record.load(result.folder) or {}
    title = f"{kept.get('experiment', 'a run')} · {result.status} at step {result.step:,}"
    rows = "".join(
        f"<tr><td style='text-align:left;opacity:0.6'>{html.escape(name)}</td>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in _card(result, kept).items()
    )
    return f"<b>{html.escape(title)}</b><table>{rows}</table>{_image(result.history)}"


def figure(history: Mapping[str, Any]) -> Any:
    """A matplotlib figure of curves, a panel for each metric, in it a line for training and for
    each test.

    history: tag -> (steps, values), as of a Result. errors.MissingError: there is no matplotlib.
    """
    library = errors.needed("A figure of curves", "matplotlib.figure")
    panels = _panels(history)
    across = min(ACROSS, len(panels)) or 1
    down = math.ceil(len(panels) / across) or 1
    size = (INCHES[0] * across, INCHES[1] * down)
    made = library.Figure(figsize=size, layout="constrained")
    parts = list(dict.fromkeys(part for lines in panels.values() for part in lines))
    for i, (metric, lines) in enumerate(panels.items()):
        axes = made.add_subplot(down, across, i + 1)
        axes.set(title=metric, xlabel="step")
        axes.grid(alpha=0.3)
        for part, (steps, values) in lines.items():
            mark = "o" if len(steps) < 2 else None  # a line of one point is not seen
            colour = f"C{parts.index(part)}"  # the same in every panel
            axes.plot(steps, values, label=part, color=colour, marker=mark)
        axes.legend(frameon=False)
    return made


def _panels(history: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Metric -> part -> its curve; the losses first, then what the tests have."""
    found: dict[str, dict[str, Any]] = {}
    for tag, curve in history.items():
        part, _, metric = tag.partition("/")
        if part != "speed":
            found.setdefault(metric, {})[part] = curve

    def place(metric: str) -> tuple[bool, bool, bool]:
        return metric != "loss", found[metric].keys() == {"train"}, "/" in metric

    return {metric: found[metric] for metric in sorted(found, key=place)[:PANELS]}


def _card(result: Any, kept: Mapping[str, Any]) -> dict[str, str]:
    metrics = {t: x for t, x in result.metrics.items() if not t.startswith("speed/")}
    tests = {t: x for t, x in metrics.items() if not t.startswith("train/")} or metrics
    rows = {"result": progress.listed({t: x for t, x in tests.items() if t.count("/") < 2}, " · ")}
    if result.best is not None:
        step, value = result.best
        monitor = (kept.get("result") or {}).get("monitor") or ""
        rows["best"] = f"{monitor} {progress.number(value)} at step {step:,}".strip()
    if kept:
        given = {**kept["hyperparameters"], "seed": kept["seed"]}
        rows["hyperparameters"] = " · ".join(f"{name} {value}" for name, value in given.items())
        rows["devices"] = ", ".join(kept["devices"])
    compiling = progress.duration(result.compile_seconds)
    rows["time"] = f"{progress.duration(result.seconds)}, of which {compiling} compiling"
    rows["curves"] = f"tensorboard --logdir {shlex.quote(str(result.folder))}"
    return rows


def _image(history: Mapping[str, Any]) -> str:
    try:
        made = figure(history)
    except errors.MissingError as error:
        return f"<pre>{html.escape(str(error))}</pre>"
    content = io.BytesIO()
    made.savefig(content, format="png", dpi=100)
    text = base64.b64encode(content.getvalue()).decode()
    return f'<img alt="curves" src="data:image/png;base64,{text}">'
