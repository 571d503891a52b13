"""Time spent training, apart from compiling, evaluating and saving."""

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Counts from when it is made; rates are of the time that nothing else was done in."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._left_out = 0.0
        self._last = 0, 0.0
        self.fresh = True  # whether no rate has been asked for yet

    def begin(self, step: int) -> None:
        """Training begins now, at this step."""
        self._last = step, self._training()

    def total(self) -> float:
        """Seconds since the clock was made, all included."""
        return time.perf_counter() - self._start

    def leave_out(self, seconds: float) -> None:
        """These seconds were not training."""
        self._left_out += seconds

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not training."""
        start = time.perf_counter()
        yield
        self.leave_out(time.perf_counter() - start)

    def rate(self, step: int) -> float:
        """Steps per second since the last call."""
        (step_before, before), self._last = self._last, (step, self._training())
        self.fresh = False
        return (step - step_before) / max(self._last[1] - before, 1e-9)

    def _training(self) -> float:
        return self.total() - self._left_out
