"""A trace of JAX's profiler, from one step of a run to another."""

import contextlib
import pathlib
from typing import Any

import jax


class Trace:
    """Starts and ends the trace; TensorBoard's profile tab shows it (the extra `profile`)."""

    def __init__(self, folder: pathlib.Path, steps: tuple[int, int] | None) -> None:
        self.folder, self.steps, self.running = folder, steps, False

    def __enter__(self) -> "Trace":
        return self

    def after(self, step: int) -> list[int]:
        """The next steps at which a chunk must end."""
        return [edge for edge in self.steps or () if edge > step]

    def marked(self, step: int) -> contextlib.AbstractContextManager[Any]:
        """Around a chunk that begins with `step`: the tab tells the time of a step by it."""
        if not self.running:
            return contextlib.nullcontext()
        return jax.profiler.StepTraceAnnotation("train", step_num=step)

    def at(self, step: int, carry: Any) -> None:
        """Start or end the trace if it is time."""
        if self.steps is None:
            return
        if not self.running and self.steps[0] <= step < self.steps[1]:
            jax.profiler.start_trace(str(self.folder))
            self.running = True
        elif self.running and step >= self.steps[1]:
            jax.block_until_ready(carry)
            self.__exit__()

    def __exit__(self, *_: object) -> None:
        if self.running:
            jax.profiler.stop_trace()
            self.running = False
