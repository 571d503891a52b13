"""SpecAugment: stretches of time and of frequency are hidden from an acoustic model in training.

Park et al., "SpecAugment: A simple data augmentation method for automatic speech recognition"
(2019), without its time warp, which they find to matter least. Runs inside jit.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl.nn import limits


def masked(
    features: Float[Array, "b t f"],
    lengths: Int[Array, "b"],
    key: Array,
    *,
    times: int = 2,
    longest: int = 20,
    share: float | Array = 0.2,
    bands: int = 2,
    widest: int = 8,
) -> Float[Array, "b t f"]:
    """Features with zeros, the mean of standardised ones, where they are hidden; every example has
    masks of its own.

    times, longest: how many stretches of time, each of 0 to `longest` frames, and at most `share`
        of the utterance. bands, widest: the same of frequencies.
    """
    for name, value in (("times", times), ("bands", bands)):
        limits.at_least(0, f"SpecAugment's {name}", value)
    limits.share("SpecAugment's share", share)

    def one(x: Float[Array, "t f"], length: Int[Array, ""], key: Array) -> Float[Array, "t f"]:
        time_key, band_key = jax.random.split(key)
        most = jnp.minimum(longest, (share * length).astype(jnp.int32))
        hidden = _stretches(time_key, times, most, length, x.shape[0])[:, None]
        width = jnp.int32(x.shape[1])
        hidden = hidden | _stretches(band_key, bands, widest, width, x.shape[1])[None]
        return jnp.where(hidden, 0, x)

    return jax.vmap(one)(features, lengths, jax.random.split(key, len(features)))


def _stretches(
    key: Array, count: int, most: int | Int[Array, ""], length: Int[Array, ""], size: int
) -> Bool[Array, "n"]:
    """Where `count` stretches lie, each uniform in length, 0 to `most`, and in place."""
    size_key, place_key = jax.random.split(key)
    sizes = jax.random.randint(size_key, (count, 1), 0, jnp.minimum(most, length) + 1)
    starts = jax.random.randint(place_key, (count, 1), 0, length - sizes + 1)
    at = jnp.arange(size)[None]
    return ((at >= starts) & (at < starts + sizes)).any(0)
