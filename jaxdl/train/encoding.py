"""What a run shows as TensorBoard's protocol buffers, one function for each kind."""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import io
import wave
from collections.abc import Sequence
from typing import Any, SupportsFloat

import numpy as np
from jaxtyping import Float, Int16
from tensorboard.compat.proto import summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
from tensorboard.plugins.audio import plugin_data_pb2 as audio_pb2
from tensorboard.plugins.pr_curve import plugin_data_pb2 as curve_pb2

from jaxdl import errors, summary
from jaxdl.train import confusion, picture

_BUCKETS = 30  # TensorBoard's default: tensorboard.plugins.histogram.summary_v2
_THRESHOLDS = 201  # TensorBoard's default: tensorboard.plugins.pr_curve.summary
_FULL = 2**15  # of integers of 16 bits


def value(tag: str, item: Any) -> summary_pb2.Summary.Value:
    """One value of an event; all kinds of summary but the embedding, which is files."""
    match item:
        case summary.Image():
            return image(tag, picture.arrange(item.pixels, tag))
        case summary.Confusion():
            return image(tag, confusion.picture(item, tag))
        case summary.Histogram():
            return _histogram(tag, _buckets(np.asarray(item.values)))
        case summary.Buckets():
            return _histogram(tag, _counted(item, tag))
        case summary.Curve():
            return _curve(tag, item)
        case summary.Audio():
            return _audio(tag, item)
        case summary.Text():
            # A lone surrogate (half of an emoji that a model of bytes has sampled) must not end a
            # run.
            return text(tag, "text", [item.markdown.encode("utf-8", errors="replace")])
    return scalar(tag, item)


def scalar(tag: str, number: SupportsFloat) -> summary_pb2.Summary.Value:
    """A point of a curve."""
    # The older of two encodings, because scripts read it with EventAccumulator.Scalars.
    return summary_pb2.Summary.Value(tag=tag, simple_value=float(number))


def image(tag: str, pixels: np.ndarray) -> summary_pb2.Summary.Value:
    """A picture of bytes."""
    height, width, channels = pixels.shape
    content = summary_pb2.Summary.Image(
        height=height,
        width=width,
        colorspace=channels,
        encoded_image_string=picture.png(pixels),
    )
    return summary_pb2.Summary.Value(tag=tag, image=content)


def text(
    tag: str, plugin: str, data: Sequence[bytes], content: bytes = b"", shape: Sequence[int] = ()
) -> summary_pb2.Summary.Value:
    """Strings of bytes for one of TensorBoard's tabs."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, string_val=data, tensor_shape=_shape(shape) if shape else None
    )
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata(plugin, content))


def numbers(
    tag: str, plugin: str, array: np.ndarray, content: bytes = b""
) -> summary_pb2.Summary.Value:
    """An array for one of TensorBoard's tabs."""
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_DOUBLE,
        tensor_shape=_shape(array.shape),
        tensor_content=array.astype("<f8").tobytes(),
    )
    return summary_pb2.Summary.Value(tag=tag, tensor=tensor, metadata=metadata(plugin, content))


def metadata(plugin: str, content: bytes = b"") -> summary_pb2.SummaryMetadata:
    """Whose tab a value is of."""
    data = summary_pb2.SummaryMetadata.PluginData(plugin_name=plugin, content=content)
    return summary_pb2.SummaryMetadata(plugin_data=data)


def _shape(sizes: Sequence[int]) -> tensor_shape_pb2.TensorShapeProto:
    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes]
    return tensor_shape_pb2.TensorShapeProto(dim=dims)


# --- histograms


def _histogram(tag: str, rows: Float[np.ndarray, "n 3"]) -> summary_pb2.Summary.Value:
    return numbers(tag, "histograms", rows)


def _buckets(values: np.ndarray) -> Float[np.ndarray, "n 3"]:
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


def _counted(buckets: summary.Buckets, tag: str) -> Float[np.ndarray, "n 3"]:
    edges, counts = (np.asarray(x, np.float64) for x in buckets)
    if counts.ndim != 1 or edges.shape != (len(counts) + 1,):
        raise errors.InputError(
            f"Buckets {tag!r} must have counts (n,) and edges (n + 1,), "
            f"got {counts.shape} and {edges.shape}."
        )
    return np.stack([edges[:-1], edges[1:], counts], axis=1)


# --- precision and recall


def _curve(tag: str, curve: summary.Curve) -> summary_pb2.Summary.Value:
    """At each threshold: true and false positives, true and false negatives, precision, recall."""
    positive, negative = (np.asarray(x, np.float64) for x in curve)
    if positive.ndim != 1 or positive.shape != negative.shape or not positive.size:
        raise errors.InputError(
            f"Curve {tag!r} must have two arrays of one length, "
            f"got {positive.shape} and {negative.shape}."
        )
    bins = len(positive)
    edges = np.round(np.linspace(0, bins, _THRESHOLDS)).astype(int)
    hits, alarms = (x.sum() - np.append(0, np.cumsum(x))[edges] for x in (positive, negative))
    precision = hits / np.maximum(hits + alarms, 1)
    recall = hits / max(positive.sum(), 1)
    rows = (hits, alarms, negative.sum() - alarms, positive.sum() - hits, precision, recall)
    data = curve_pb2.PrCurvePluginData(version=0, num_thresholds=_THRESHOLDS)
    return numbers(tag, "pr_curves", np.stack(rows), data.SerializeToString())


# --- sound


def _audio(tag: str, audio: summary.Audio) -> summary_pb2.Summary.Value:
    waves = np.asarray(audio.waves)
    waves = waves[None] if waves.ndim == 1 else waves
    if waves.ndim != 2 or not waves.size or audio.rate < 1:
        raise errors.InputError(
            f"Audio {tag!r} must have waves (samples,) or (n, samples) and a rate of 1 or more, "
            f"got {np.shape(audio.waves)} and {audio.rate}."
        )
    lengths = [waves.shape[1]] * len(waves) if audio.lengths is None else audio.lengths
    sounds = [
        _wav(_integers(row[: int(length)]), audio.rate)
        for row, length in zip(waves, np.asarray(lengths), strict=True)
    ]
    data = audio_pb2.AudioPluginData(version=0, encoding=audio_pb2.AudioPluginData.Encoding.WAV)
    # Rows of a sound and its label; TensorBoard has stopped showing labels.
    strings = [part for sound in sounds for part in (sound, b"")]
    return text(tag, "audio", strings, data.SerializeToString(), (len(sounds), 2))


def _integers(samples: np.ndarray) -> Int16[np.ndarray, "samples"]:
    if np.issubdtype(samples.dtype, np.integer):
        return np.clip(samples, -_FULL, _FULL - 1).astype(np.int16)
    loud = np.nan_to_num(samples.astype(np.float32), nan=0.0) * _FULL
    return np.clip(np.rint(loud), -_FULL, _FULL - 1).astype(np.int16)


def _wav(samples: Int16[np.ndarray, "samples"], rate: int) -> bytes:
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return stream.getvalue()
