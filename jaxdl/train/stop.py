"""Stopping on request: a signal sets a flag, and the loop saves at the next chunk boundary.

Nothing else happens inside the handler: saving there may hang or corrupt what was being written.
"""

import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import ClassVar

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: stopped and saved, launch again to go on


class Catcher:
    """While entered, the first SIGTERM or SIGINT sets `requested`; a second one ends at once.

    At once: by the system's own handler, also where Python waits for the device. In a notebook or
    at a prompt the handlers from before take over, so that the session lives on.

    One within another, as of a run of a sweep, knows what the outer one knows: a signal counts
    whichever of them it meets, and between them.
    """

    _entered: ClassVar[list["Catcher"]] = []

    def __init__(self) -> None:
        self.requested: str | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Catcher":
        if threading.current_thread() is threading.main_thread():
            self._entered.append(self)
            if len(self._entered) == 1:
                for number in (signal.SIGTERM, signal.SIGINT):
                    self._before[number] = signal.signal(number, self._catch)
            self.requested = self._entered[0].requested
        return self

    def _catch(self, number: int, frame: FrameType | None) -> None:
        for catcher in self._entered:
            catcher.requested = signal.Signals(number).name
        interactive = hasattr(sys, "ps1") or "ipykernel" in sys.modules
        for caught, before in self._before.items():
            signal.signal(caught, before if interactive else signal.SIG_DFL)  # type: ignore

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self in self._entered:
            self._entered.remove(self)
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
