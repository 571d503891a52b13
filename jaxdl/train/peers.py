"""The processes of one run: all go on, or all stop with the same error.

They talk through JAX's coordination service (strings kept by process 0), which needs no device: a
thread may wait here while the main thread computes. A device collective may not do that, as every
device must see its collectives in one order. JAX has no public name for the service's client yet;
only this module knows the private one.
"""

import collections
import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

from jax._src import distributed

from jaxdl import errors

PATIENCE = 600.0  # seconds that a process may come later than the first one
GRACE = 30.0  # seconds more, in which process 0 says who did not come

_opened: collections.Counter[str] = collections.Counter()  # how many `Peers` of each name


class Peers:
    """What this process knows of the others. Alone, nothing is sent and nothing waited for.

    Every process makes it under the same name, and calls its methods in the same order: one thread
    at a time. kinds: the exceptions that keep their class on their way from process to process.
    """

    def __init__(self, name: str, kinds: tuple[type[Exception], ...]):
        state = distributed.global_state
        self._client: Any = state.client
        self.index = state.process_id if self._client else 0
        self.count = state.num_processes if self._client else 1
        self._kinds = {kind.__name__: kind for kind in kinds}
        self._name = f"jaxdl/{name}/{_opened[name]}"
        self._round = 0
        if self.count > 1:
            _opened[name] += 1

    @property
    def first(self) -> bool:
        """Whether this is the process that does what is to be done once."""
        return self.index == 0

    def told(self, value: Any) -> Any:
        """What process 0 has as `value`, which must be JSON."""
        return json.loads(self._exchange(json.dumps(value))[0])

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All processes leave the block, or each raises what the first of those that failed raised.

        RuntimeError: in another process an exception that is not one of `kinds`.
        errors.StorageError: a process did not come.
        """
        try:
            yield
        except Exception as error:
            self._agree([type(error).__name__, str(error)], error)
            raise
        self._agree(None, None)

    def _agree(self, failure: list[str] | None, own: Exception | None) -> None:
        words = [json.loads(word) for word in self._exchange(json.dumps(failure))]
        failed = next((i for i, word in enumerate(words) if word), self.index)
        if failed != self.index:
            kind, text = words[failed]
            if kind not in self._kinds:
                raise RuntimeError(f"Process {failed} failed with {kind}: {text}") from own
            raise self._kinds[kind](f"{text} (process {failed})") from own

    def _exchange(self, word: str) -> list[str]:
        """What every process says, in the order of the processes; all hear the same."""
        if self.count == 1:
            return [word]
        at, self._round = f"{self._name}/{self._round}", self._round + 1
        try:
            self._client.key_value_set(f"{at}/{self.index}", word)
            if self.first:
                self._publish(at)
            patience = int(1000 * (PATIENCE + GRACE))
            words = json.loads(self._client.blocking_key_value_get(f"{at}/all", patience))
        except RuntimeError as error:  # all that JAX says of its service
            raise errors.StorageError(
                f"Process 0 must be reached by process {self.index}, "
                f"got: {str(error).splitlines()[0][:200]}. Look at the output of process 0."
            ) from error
        if None in words:
            raise errors.StorageError(
                f"Checkpoints must be written and read by all {self.count} processes within "
                f"{PATIENCE:g} s, got no word from process {words.index(None)}. "
                "Look at its output, and launch again to resume."
            )
        return words

    def _publish(self, at: str) -> None:
        until = time.monotonic() + PATIENCE
        words: list[str | None] = []
        for i in range(self.count):
            left = max(1, int(1000 * (until - time.monotonic())))
            try:
                words.append(self._client.blocking_key_value_get(f"{at}/{i}", left))
            except RuntimeError as error:
                if "DEADLINE_EXCEEDED" not in str(error):
                    raise
                words.append(None)
        self._client.key_value_set(f"{at}/all", json.dumps(words))
        if self._round > 1 and None not in words:  # all are here: none reads the last round now
            self._client.key_value_delete(f"{self._name}/{self._round - 2}")
