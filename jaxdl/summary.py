"""What a run can show besides numbers: images, histograms and text, as plain values.

A summary is a function `(state, key) -> Image | Histogram | Text | float`; `Run.summaries` names
them, the loop calls them after each evaluation and TensorBoard shows them.
"""

from typing import Any, NamedTuple


class Image(NamedTuple):
    """Pixels of shape (height, width), (height, width, channels) or (n, height, width, channels).

    Floats are in [0, 1], integers in [0, 255]; channels are 1, 3 or 4; n images are laid out as one
    grid.
    """

    pixels: Any


class Histogram(NamedTuple):
    """The distribution of all values of an array of any shape; empty and non-finite values are
    left out.
    """

    values: Any


class Text(NamedTuple):
    """Markdown, as TensorBoard's text tab renders it."""

    markdown: str
