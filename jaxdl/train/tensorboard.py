"""Writes what a run logs as TensorBoard event files, without TensorFlow.

TensorBoard (Google, 2015) reads it on the dashboards Time Series, Scalars, Custom Scalars, Images,
Graphs, Distributions, Histograms, Text, Audio, PR Curves, Projector and HParams. Writing is
synchronous: no thread, no queue, nothing that a kill could leave behind after `flush`.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import dataclasses
import enum
import math
import pathlib
import time
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, SupportsFloat

from google.protobuf import struct_pb2
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from jaxdl import summary
from jaxdl.train import charts, encoding, event_file, projector
from jaxdl.train import graph as graphs

_EXACT_INTEGERS = 2**53  # TensorBoard keeps numbers as float64


class Writer:
    """The event file of one run; also a context manager that closes it.

    `start_step` is the number of steps the run has behind it: 0 for a new run, the checkpoint's
    step for a resumed one. What the folder's earlier files hold beyond that step is taken out (at
    0: everything), so that every reader shows the curves of a run that was never interrupted. So
    flush before each checkpoint, and let only one process write into a folder.

    Writing, flushing and closing raise `errors.StorageError` where the folder or the disk refuses.
    """

    def __init__(self, folder: pathlib.Path, start_step: int = 0):
        if start_step < 0:
            raise ValueError(f"start_step must be at least 0, got {start_step}.")
        resumes = event_file.cut(folder, start_step)
        with event_file.storage(folder):
            projector.cut(folder, start_step)
        self._folder = folder
        self._file = event_file.EventFile(folder)
        self._step = start_step
        self.path = self._file.path
        # The reader of --load_fast=false and EventAccumulator forget the points from this step on,
        # also those that they had read before the cut; but only if they have seen an earlier mark,
        # so a new run writes one too.
        mark = start_step + 1 if resumes and start_step else start_step
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self._file.append(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        self._file.append(event_pb2.Event(wall_time=time.time(), step=mark, session_log=start))
        self.flush()

    def scalars(self, step: int, values: Mapping[str, SupportsFloat]) -> None:
        """Adds one point to each curve, all in one event; NaN and infinities are shown as such."""
        self._write(step, [encoding.scalar(tag, value) for tag, value in values.items()])

    def show(
        self,
        step: int,
        items: Mapping[str, summary.Kind | SupportsFloat],
    ) -> None:
        """Adds images, sounds, texts and the rest of jaxdl/summary.py, and numbers; arrays may be
        NumPy's or JAX's, bfloat16 too. Of embeddings the run's folder keeps the last of each tag.

        Arrays with wrong axes raise `errors.InputError`.
        """
        values = []
        for tag, item in items.items():
            if isinstance(item, summary.Embedding):
                with event_file.storage(self._folder):
                    projector.write(self._folder, step, tag, item)
            else:
                values.append(encoding.value(tag, item))
        self._write(step, values)

    def layout(self, step: int, tags: Iterable[str], tests: Iterable[str]) -> None:
        """Arranges the curves of these tags on the dashboard Custom Scalars: a chart a metric."""
        content = charts.layout(tags, tests).SerializeToString()
        self._write(step, [encoding.text(charts.TAG, "custom_scalars", [content])])

    def graph(self, traced: graphs.Traced) -> None:
        """Shows the graph of what was traced, unless it is too large; it belongs to no step."""
        found = graphs.definition(traced)
        if found is not None:
            content = found.SerializeToString()
            self._file.append(event_pb2.Event(wall_time=time.time(), graph_def=content))

    def start(self, hyperparameters: Mapping[str, object], name: str) -> None:
        """Makes the run one row of the HParams dashboard, named `name`.

        Runs of the same name are averaged into one row. Nested dataclasses and mappings become
        columns such as "optimizer.rate"; what is no bool, number or string is shown as text. The
        dashboard finds the columns and metrics of all runs by itself because no run writes an
        experiment record: one such record would hide the hyperparameters of every other run.
        """
        info = plugin_data_pb2.SessionStartInfo(group_name=name, start_time_secs=time.time())
        for key, value in _flatten(hyperparameters, ""):
            info.hparams[key].CopyFrom(value)
        data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
        self._write(self._step, [_session("session_start_info", data)])

    def finish(self, success: bool) -> None:
        """Ends the run's row with success or failure; a run that will be resumed needs no end."""
        status = "STATUS_SUCCESS" if success else "STATUS_FAILURE"
        info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
        self._write(self._step, [_session("session_end_info", data)])

    def flush(self) -> None:
        """Returns when a kill -9 of this process can no longer lose anything that was written."""
        self._file.flush()

    def close(self) -> None:
        """Flushes and closes; quiet if writing has failed before or the file is closed."""
        self._file.close()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, step: int, values: list[summary_pb2.Summary.Value]) -> None:
        if not values:
            return
        self._step = int(step)
        content = summary_pb2.Summary(value=values)
        self._file.append(event_pb2.Event(wall_time=time.time(), step=self._step, summary=content))


def _session(tag: str, data: plugin_data_pb2.HParamsPluginData) -> summary_pb2.Summary.Value:
    # The record is the metadata; the tensor is there because readers skip a value without one.
    empty = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=0)])
    return summary_pb2.Summary.Value(
        tag=event_file.SESSION_TAGS + tag,
        tensor=tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=empty),
        metadata=encoding.metadata("hparams", data.SerializeToString()),
    )


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, struct_pb2.Value]]:
    for name, value in values.items():
        key = f"{prefix}{name}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            yield from _flatten(fields, f"{key}.")
        elif isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, _hyperparameter(value)


def _hyperparameter(value: Any) -> struct_pb2.Value:
    if isinstance(value, enum.Enum):
        return struct_pb2.Value(string_value=value.name)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()  # a NumPy or JAX scalar
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    # The dashboard leaves out numbers that JSON does not have.
    if isinstance(value, float) and math.isfinite(value):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, int) and abs(value) <= _EXACT_INTEGERS:
        return struct_pb2.Value(number_value=value)
    return struct_pb2.Value(string_value=str(value))
