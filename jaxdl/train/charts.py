"""Which curves stand on one chart of TensorBoard's tab Custom Scalars: those of one metric."""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import re
from collections.abc import Iterable

from tensorboard.plugins.custom_scalar import layout_pb2

TAG = "custom_scalars__config__"  # tensorboard.plugins.custom_scalar.metadata


def layout(tags: Iterable[str], tests: Iterable[str]) -> layout_pb2.Layout:
    """The layout of a run that has logged these tags.

    A chart for each metric, first those that training and a test share, then those of tests alone,
    of training alone, and the speed. A chart names its metric in whatever test: so the layouts of
    many runs become one, where TensorBoard shows them together.
    """
    of: dict[str, set[str]] = {}  # group -> its metrics
    for tag in tags:
        group, _, metric = tag.partition("/")
        of.setdefault(group, set()).add(metric)
    train, speed = of.get("train", set()), of.get("speed", set())
    tested = set().union(*(of.get(test, set()) for test in tests))
    categories = {
        "training and test": [(name, r"[^/]+") for name in _ordered(train & tested)],
        "test": [(name, r"(?!train/)[^/]+") for name in _ordered(tested - train)],
        "training": [(name, "train") for name in _ordered(train - tested)],
        "speed": [(name, "speed") for name in _ordered(speed)],
    }
    return layout_pb2.Layout(
        category=[
            layout_pb2.Category(title=title, chart=[_chart(*chart) for chart in found])
            for title, found in categories.items()
            if found
        ]
    )


def _chart(metric: str, group: str) -> layout_pb2.Chart:
    lines = layout_pb2.MultilineChartContent(tag=[f"^{group}/{re.escape(metric)}$"])
    return layout_pb2.Chart(title=metric.replace("_", " "), multiline=lines)


def _ordered(names: set[str]) -> list[str]:
    """The loss first."""
    return sorted(names, key=lambda name: (name != "loss", name))
