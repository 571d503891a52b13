"""What a run can show besides numbers, as plain values: TensorBoard has a tab for each kind.

A summary is a function `(state, key) -> Shown`, or to several by name; `Run.summaries` names
them, the loop calls them after each evaluation and TensorBoard shows them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Image(NamedTuple):
    """Pixels of shape (height, width), (height, width, channels) or (n, height, width, channels).

    Floats are in [0, 1], integers in [0, 255]; channels are 1, 3 or 4; n images are laid out as one
    grid.
    """

    pixels: Any


class Confusion(NamedTuple):
    """Counts (classes, classes) of how often class i (row) was taken for class j (column), drawn as
    a picture; `classes` are their names, else their numbers.
    """

    matrix: Any
    classes: Sequence[str] = ()


class Histogram(NamedTuple):
    """The distribution of all values of an array of any shape; empty and non-finite values are
    left out.
    """

    values: Any


class Buckets(NamedTuple):
    """A distribution that has been counted already: `counts` (n,) between the ascending `edges`
    (n + 1,).
    """

    edges: Any
    counts: Any


class Curve(NamedTuple):
    """Precision against recall, of how many positive and negative examples have a score in each of
    n equal bins of [0, 1]: two arrays (n,).
    """

    positive: Any
    negative: Any


class Audio(NamedTuple):
    """Sound: integers of 16 bits, or floats in [-1, 1], of shape (samples,) or (n, samples), with
    `rate` samples a second.

    lengths: of n sounds, how many samples each has; the rest of its row is left out.
    """

    waves: Any
    rate: int
    lengths: Any = None


class Text(NamedTuple):
    """Markdown, as TensorBoard's text tab renders it."""

    markdown: str


class Embedding(NamedTuple):
    """Points for TensorBoard's projector: `vectors` (n, d).

    columns: name -> n labels or numbers, by which the points are named and coloured.
    pictures: (n, height, width) or (n, height, width, channels), shown in the points' places.
    """

    vectors: Any
    columns: Mapping[str, Any] = {}
    pictures: Any = None


Kind = Image | Confusion | Histogram | Buckets | Curve | Audio | Text | Embedding
Shown = Kind | float
