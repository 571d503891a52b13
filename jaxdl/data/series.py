"""Series in time, and the windows by which a model reads them: the extra `series`.

Two real ones ship with statsmodels:

sunspots: yearly mean numbers of sunspots, 1700 to 2008. National Geophysical Data Center, NOAA;
    public domain.
co2: weekly parts per million of carbon dioxide in the air over Mauna Loa, March 1958 to December
    2001, with gaps. C. Keeling and T. Whorf, Carbon Dioxide Research Group, Scripps Institution of
    Oceanography, in "Trends: A Compendium of Data on Global Change", 2004; public domain.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from jaxdl import errors
from jaxdl.data import splits
from jaxdl.nn import limits

Series = Float[np.ndarray, "t"]
VARIABLES = ("standardised", "measured")  # of each step that is read


def sunspots() -> Series:
    """309 yearly numbers, 0 and above."""
    return _read("sunspots")


def co2() -> Series:
    """2,284 weekly values in parts per million; NaN in the 59 weeks when nothing was measured."""
    return _read("co2")


def forecasting(
    series: Series, past: int, future: int, test: int, around: int | None = None
) -> tuple[splits.Split, float]:
    """To read `past` values of a series and tell the `future` ones after them; and the scale.

    The split is in time: the last `test` values are told in the test alone, where also earlier ones
    are read. Values are standardised by those before them; an error times the scale is one in the
    series' units. around: of a series with a trend, whose level at the test no training window has:
    values are told from the mean of the window's last so many read ones.

    input: (n, past, 2): values, 0 where there is none, and 1 where there is one. target: (n,
    future), 0 where there is none. mask: (n, future), 1 where there is one. All float32.
    """
    limits.at_least(1, "The steps of the past", past)
    limits.at_least(1, "The steps of the future", future)
    if np.isinf(series).any():
        raise errors.InputError(
            f"A series must be finite, or NaN where nothing is known, got an infinity at index "
            f"{int(np.isinf(series).argmax())}."
        )
    if around is not None and not 1 <= around <= past:
        raise errors.InputError(f"around must be in 1..{past}, the past's steps, got {around}.")
    known = len(series) - test
    if test < future or known < past + future:
        raise errors.InputError(
            f"A series must hold a window of {past} + {future} values before the test's, which are "
            f"at least {future}; got {len(series)} values, {test} of them for the test."
        )
    parts = [_windows(x, past + future) for x in (series[:known], series[known - past :])]
    if around is None:
        parts = [part - np.nanmean(series[:known]) for part in parts]
        scale = np.nanstd(series[:known])
    else:
        parts = [part - _mean(part[:, past - around : past]) for part in parts]
        scale = np.nanstd(parts[0])
    if not scale > 0:
        raise errors.InputError(
            "A series must change before the test's values, got a deviation of "
            f"{scale} from their mean."
        )
    return splits.Split(*(_examples(part / scale, past) for part in parts)), float(scale)


def _windows(series: Series, steps: int) -> Float[np.ndarray, "n steps"]:
    """Every window of a series."""
    return np.lib.stride_tricks.sliding_window_view(series, steps)


def _mean(windows: Float[np.ndarray, "n steps"]) -> Float[np.ndarray, "n 1"]:
    """Of the values that there are."""
    if np.isnan(windows).all(1).any():
        raise errors.InputError(
            f"Of {windows.shape[1]} values in a row one must be there, got none; "
            "choose a greater `around`."
        )
    return np.nanmean(windows, axis=1, keepdims=True)


def _examples(windows: Float[np.ndarray, "n steps"], past: int) -> splits.Examples:
    there = np.isfinite(windows)
    values, there = np.where(there, windows, 0).astype(np.float32), there.astype(np.float32)
    return {
        "input": np.stack([values[:, :past], there[:, :past]], axis=-1),
        "target": values[:, past:],
        "mask": there[:, past:],
    }


def _read(name: str) -> Series:
    datasets = errors.needed(f"The series {name}", "statsmodels.datasets")
    table: Any = getattr(datasets, name).load_pandas().data
    return table.to_numpy(np.float64)[:, -1]
