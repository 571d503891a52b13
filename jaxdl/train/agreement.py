"""On where to stop: a signal that reaches one process stops all of them at the same chunk."""

import itertools
import threading
from types import TracebackType

from jaxdl import cluster

POLL_SECONDS = 0.5  # between looks whether another process has been asked to stop
PATIENCE = 60  # seconds for the others to tell how far they are

_made = itertools.count()  # of this process; the same number in every one


class Agreement:
    """On where to stop: a signal that reaches one process stops all of them at the same chunk.

    Hosts hand chunks to their devices ahead of time, one farther than the other. So each tells how
    far it is, stands still until process 0 has heard all of them, and stops one chunk after the
    farthest. A thread does this, as the main one may be waiting for the devices of a slower host.
    """

    def __init__(self) -> None:
        runtime = cluster.runtime()
        self._calls = 0
        self._several = cluster.count() > 1
        if runtime is None or not self._several:
            return
        self._client, self._index = runtime.client, runtime.process_id
        self._count = runtime.num_processes
        self._name = f"jaxdl/stop/{next(_made)}"
        self._asked: str | None = None
        self._told = False  # whether this process has told how far it is
        self._last: int | None = None  # the call at which all stop
        self._still = threading.Lock()  # held while the calls must not go on
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def agreed(self, requested: str | None) -> str | None:
        """What one of the processes was asked, at the same call in all of them; else None.

        requested: the signal that this process has received, if any.
        """
        if not self._several:
            return requested
        if requested is not None and self._asked is None:
            self._put("asked", requested)
        with self._still:
            self._calls += 1
            return self._asked if self._last is not None and self._calls >= self._last else None

    def close(self) -> None:
        """The loop has ended here; where it ended by itself, it will in the other processes too."""
        if not self._several or self._closed.is_set():
            return
        self._closed.set()
        if self._still.acquire(timeout=PATIENCE):
            if not self._told:
                self._tell("ended")
            self._still.release()
        self._thread.join(PATIENCE)

    def __enter__(self) -> "Agreement":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _watch(self) -> None:
        try:
            while not self._closed.wait(POLL_SECONDS):
                asked = self._get("asked")
                if asked is not None:
                    self._agree(asked)
                    return
        except RuntimeError:  # the service is gone, and with it the job; JAX says it
            return

    def _agree(self, asked: str) -> None:
        with self._still:
            if self._told:
                return
            self._tell(str(self._calls))
            if self._index == 0:
                told = [self._wait(str(i)) for i in range(self._count)]
                ended = "ended" in told
                self._put("last", "never" if ended else str(1 + max(map(int, told))))
            last = self._wait("last")
            self._asked, self._last = asked, None if last == "never" else int(last)

    def _tell(self, calls: str) -> None:
        self._told = True
        self._put(str(self._index), calls)
        if self._index == 0 and calls == "ended":
            self._put("last", "never")

    def _put(self, name: str, value: str) -> None:
        try:
            self._client.key_value_set(f"{self._name}/{name}", value)
        except RuntimeError as error:
            if "ALREADY_EXISTS" not in str(error):
                raise

    def _get(self, name: str) -> str | None:
        try:
            return self._client.key_value_try_get(f"{self._name}/{name}")
        except RuntimeError as error:
            if "NOT_FOUND" not in str(error):
                raise
            return None

    def _wait(self, name: str) -> str:
        return self._client.blocking_key_value_get(f"{self._name}/{name}", 1000 * PATIENCE)
