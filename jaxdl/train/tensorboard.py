"""Writes what a run logs as TensorBoard event files, without TensorFlow.

TensorBoard (Google, 2015) reads it on the dashboards Time Series, Scalars, Images, Histograms,
Distributions, Text and HParams. Writing is synchronous: no thread, no queue, nothing that a kill
could leave behind after `flush`.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import dataclasses
import enum
import math
import pathlib
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, SupportsFloat

import numpy as np
from google.protobuf import struct_pb2
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from jaxdl import summary
from jaxdl.train import event_file, picture

_BUCKETS = 30  # TensorBoard's default: tensorboard.plugins.histogram.summary_v2
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
        self._write(step, [_scalar(tag, value) for tag, value in values.items()])

    def show(
        self,
        step: int,
        items: Mapping[str, summary.Image | summary.Histogram | summary.Text | SupportsFloat],
    ) -> None:
        """Adds images, histograms, texts and numbers; arrays may be NumPy's or JAX's, bfloat16 too.

        A picture with wrong axes raises `errors.InputError`.
        """
        self._write(step, [_value(tag, item) for tag, item in items.items()])

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


def _value(tag: str, item: Any) -> summary_pb2.Summary.Value:
    if isinstance(item, summary.Image):
        return _image(tag, item)
    if isinstance(item, summary.Histogram):
        return _histogram(tag, item)
    if isinstance(item, summary.Text):
        return _text(tag, item)
    return _scalar(tag, item)


def _scalar(tag: str, value: SupportsFloat) -> summary_pb2.Summary.Value:
    # The older of two encodings, because scripts read it with EventAccumulator.Scalars.
    return summary_pb2.Summary.Value(tag=tag, simple_value=float(value))


def _image(tag: str, image: summary.Image) -> summary_pb2.Summary.Value:
    pixels = picture.arrange(image.pixels, tag)
    height, width, channels = pixels.shape
    content = summary_pb2.Summary.Image(
        height=height,
        width=width,
        colorspace=channels,
        encoded_image_string=picture.png(pixels),
    )
    return summary_pb2.Summary.Value(tag=tag, image=content)


def _histogram(tag: str, histogram: summary.Histogram) -> summary_pb2.Summary.Value:
    buckets = _buckets(np.asarray(histogram.values))
    shape = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in buckets.shape]
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_DOUBLE,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=shape),
        tensor_content=buckets.astype("<f8").tobytes(),
    )
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=_metadata("histograms"))


def _buckets(values: np.ndarray) -> np.ndarray:
    """Rows of left edge, right edge and count: zeros where there is no value, and for a single
    value everything in the last row, as TensorBoard's own writer has it."""
    values = values.astype(np.float64).ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        return np.zeros((_BUCKETS, 3))
    low, high = values.min(), values.max()
    width = high / 4 - low / 4  # quarters: the difference of two finite numbers may be infinite
    if width > 0:
        places = np.floor((values / 4 - low / 4) / width * _BUCKETS).astype(np.int64)
        counts = np.bincount(np.minimum(places, _BUCKETS - 1), minlength=_BUCKETS)
        edges = np.linspace(low / 4, high / 4, _BUCKETS + 1)
        edges[1:-1] *= 4
    else:
        counts = np.array([0] * (_BUCKETS - 1) + [values.size])
        edges = np.full(_BUCKETS + 1, low)
    edges[0], edges[-1] = low, high
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


def _text(tag: str, text: summary.Text) -> summary_pb2.Summary.Value:
    # A lone surrogate (half of an emoji that a model of bytes has sampled) must not end a run.
    data = text.markdown.encode("utf-8", errors="replace")
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[data])
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=_metadata("text"))


def _session(tag: str, data: plugin_data_pb2.HParamsPluginData) -> summary_pb2.Summary.Value:
    # The record is the metadata; the tensor is there because readers skip a value without one.
    empty = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=0)])
    return summary_pb2.Summary.Value(
        tag=event_file.SESSION_TAGS + tag,
        tensor=tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape=empty),
        metadata=_metadata("hparams", data.SerializeToString()),
    )


def _metadata(plugin: str, content: bytes = b"") -> summary_pb2.SummaryMetadata:
    data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return summary_pb2.SummaryMetadata(plugin_data=data)


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
