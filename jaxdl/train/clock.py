"""Time spent training, apart from compiling, evaluating and saving."""

import contextlib
import time
from collections.abc import Iterator

WINDOW = 1.0  # seconds of training that a rate is over: over less it is noise


class Clock:
    """Counts from when it is made; rates are of the time that nothing else was done in."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self._left_out = 0.0
        self._marks = [(0, 0.0)]  # step and seconds of training
        self.fresh = True  # whether no rate has been asked for yet

    def begin(self, step: int) -> None:
        """Training begins now, at this step."""
        self._marks = [(step, self._training())]

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
        """Steps per second over the last second or, where steps are long, since the last call."""
        self.fresh = False
        now = self._training()
        while len(self._marks) > 1 and self._marks[1][1] <= now - WINDOW:
            del self._marks[0]
        step_before, before = self._marks[0]
        self._marks.append((step, now))
        return (step - step_before) / max(now - before, 1e-9)

    def _training(self) -> float:
        return self.total() - self._left_out
