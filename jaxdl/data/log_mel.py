"""Speech as a network reads it: the logarithm of the power in bands that widen with frequency.

Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition"
(1980), without their last step, the cosine transform. A frame of samples times Hann's window, its
power at each frequency, summed in triangles of equal width on the mel scale, 2595 log10(1 + f/700)
(O'Shaughnessy 1987), then the logarithm. All of it runs inside jit.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from jaxdl import errors
from jaxdl.losses import ctc
from jaxdl.nn import limits

FLOOR = 1e-8  # of a band's power, under which is silence


@dataclasses.dataclass(frozen=True)
class LogMel:
    """From waveforms in [-1, 1] to frames of `bands` numbers.

    rate: samples a second. window, hop: samples of a frame, and from one frame to the next; 25 ms
        and 10 ms of 16 kHz are 400 and 160.
    low, high: hertz where the first triangle begins and the last ends; high None: half the rate.
    """

    rate: int = 16000
    window: int = 400
    hop: int = 160
    bands: int = 80
    low: float = 20.0
    high: float | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "window", "hop", "bands"):
            limits.at_least(1, f"LogMel's {name}", getattr(self, name))
        if not 0 <= self.low < self._high <= self.rate / 2:
            raise errors.InputError(
                f"LogMel's bands must lie in 0 to {self.rate / 2:g} Hz, half the rate, "
                f"got {self.low:g} to {self._high:g} Hz."
            )

    @property
    def _high(self) -> float:
        return self.rate / 2 if self.high is None else self.high

    def __call__(self, waves: Float[Array, "b s"]) -> Float[Array, "b t bands"]:
        """The frames that lie whole in the waveforms."""
        count = self.frames(waves.shape[1])
        if count < 1:
            raise errors.InputError(
                f"Waveforms must have the {self.window} samples of a frame or more, "
                f"got {waves.shape[1]}."
            )
        at = np.arange(count)[:, None] * self.hop + np.arange(self.window)[None]
        frames = waves[:, at] * self._hann()[None, None]
        spectrum = jnp.fft.rfft(frames, axis=-1)
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        return jnp.log(jnp.maximum(power @ self.triangles(), FLOOR))

    def frames(self, samples: int | Num[Array, "..."]) -> Any:
        """How many frames lie whole in so many samples: a number, or an array of them."""
        count = (samples - self.window) // self.hop + 1
        return max(0, count) if isinstance(count, int) else jnp.maximum(count, 0)

    def triangles(self) -> Float[np.ndarray, "frequencies bands"]:
        """What each frequency of a frame's spectrum gives to each band, at most 1."""
        frequency = np.arange(self.window // 2 + 1) * self.rate / self.window
        corners = _hertz(np.linspace(_mel(self.low), _mel(self._high), self.bands + 2))
        low, peak, high = corners[None, :-2], corners[None, 1:-1], corners[None, 2:]
        rising = (frequency[:, None] - low) / (peak - low)
        falling = (high - frequency[:, None]) / (high - peak)
        weights = np.maximum(0, np.minimum(rising, falling))
        empty = np.flatnonzero(weights.max(0) == 0)
        if empty.size:
            raise errors.InputError(
                f"LogMel's window of {self.window} samples must have a frequency in each of its "
                f"{self.bands} bands, got none in band {empty[0]}. Use fewer bands or a longer "
                "window."
            )
        return weights.astype(np.float32)

    def _hann(self) -> Float[np.ndarray, "window"]:
        turn = 2 * np.pi * np.arange(self.window) / self.window
        return (0.5 - 0.5 * np.cos(turn)).astype(np.float32)


def features(batch: dict[str, Any], front: LogMel) -> dict[str, Any]:
    """A batch of `wave` (b, s) integers of 16 bits and `length` (b,) as an acoustic model reads it:
    its `input` is the standardised frames and how many they are; the rest stays.
    """
    rest = {name: leaf for name, leaf in batch.items() if name not in ("wave", "length")}
    lengths = front.frames(batch["length"])
    frames = standardised(front(batch["wave"].astype(jnp.float32) / 2**15), lengths)
    return rest | {"input": ctc.Utterances(frames, lengths)}


def standardised(
    features: Float[Array, "b t f"], lengths: Int[Array, "b"]
) -> Float[Array, "b t f"]:
    """Each band with mean 0 and deviation 1 over an utterance's own frames, the others zero."""
    valid = (jnp.arange(features.shape[1])[None] < lengths[:, None])[..., None]
    count = jnp.maximum(lengths, 1)[:, None, None]
    mean = jnp.where(valid, features, 0).sum(1, keepdims=True) / count
    centred = jnp.where(valid, features - mean, 0)
    variance = jnp.square(centred).sum(1, keepdims=True) / count
    return centred * jax.lax.rsqrt(variance + 1e-5)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return 700 * (10 ** (mel / 2595) - 1)
