"""A keyed permutation evaluated one element at a time: shuffling without an array of the order.

An alternating Feistel network over a × b cells, where a and b are about the root of the size, with
cycle walking for the few cells too many (Black and Rogaway, Ciphers with Arbitrary Finite Domains,
2002; their generalised Feistel construction). Cost O(1) per element, whatever the size.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Int, UInt32

ROUNDS = 8  # twice the four that suffice against an adversary with a perfect round function
# Few cells mix slowly: over 100,000 epochs of 8 examples, pairs of neighbours came 4 % too often or
# too seldom after 8 rounds; after 16 nothing could be measured.
FEW, ROUNDS_OF_FEW = 256, 16
LARGEST = 2**31 - 1  # indices are int32
_GOLDEN = 0x9E3779B9  # 2**32 over the golden ratio: spreads consecutive integers


# Traced once for all programs of a process; `inline` leaves no call in them.
@functools.partial(jax.jit, static_argnames=("count", "size"), inline=True)
def draw(
    words: UInt32[Array, "2"], epoch: ArrayLike, start: ArrayLike, count: int, size: int
) -> Int[Array, "b"]:
    """The examples at positions start … start+count-1 of an endless run of shuffled epochs.

    words: a random key's two words; every key gives its own order, every epoch a new one.
    epoch, start: position `start` (below 2**31) counted from the beginning of epoch `epoch`.
    count: at most `size`, so that the positions touch two epochs at most.
    """
    begin: Array = jnp.uint32(start)
    first: Array = jnp.uint32(epoch) + begin // size
    place = begin % size + jnp.arange(count, dtype=jnp.uint32)
    later = place >= size
    place = jnp.where(later, place - jnp.uint32(size), place)
    salt = jnp.where(later, _salt(words, first + 1), _salt(words, first))
    return permute(salt, place, size).astype(jnp.int32)


def permute(salt: UInt32[Array, "b"], x: UInt32[Array, "b"], size: int) -> UInt32[Array, "b"]:
    """Where each x in [0, size) stands in the permutation its salt chooses."""
    rows = math.isqrt(size - 1) + 1
    columns = -(-size // rows)
    rounds = ROUNDS_OF_FEW if size <= FEW else ROUNDS
    walked = _feistel(salt, x, rows, columns, rounds)

    def outside(walked: Array) -> Array:
        return jnp.any(walked >= size)

    def walk(walked: Array) -> Array:
        return jnp.where(walked >= size, _feistel(salt, walked, rows, columns, rounds), walked)

    return jax.lax.while_loop(outside, walk, walked)


def _feistel(salt: Array, x: Array, rows: int, columns: int, rounds: int) -> Array:
    """A permutation of [0, rows * columns): digits added to hashes of each other in turn."""
    left, right = x // jnp.uint32(columns), x % jnp.uint32(columns)
    for turn in range(rounds):
        if turn % 2 == 0:
            left = _add(left, salt + jnp.uint32(turn * _GOLDEN % 2**32), right, rows)
        else:
            right = _add(right, salt + jnp.uint32(turn * _GOLDEN % 2**32), left, columns)
    return left * jnp.uint32(columns) + right


def _add(digit: Array, salt: Array, other: Array, base: int) -> Array:
    """(digit + hash of the other digit) modulo a base of at most 2**16, without a division."""
    shift = (_mix(other * jnp.uint32(_GOLDEN) ^ salt) >> 16) * jnp.uint32(base) >> 16
    total = digit + shift
    return jnp.where(total >= base, total - jnp.uint32(base), total)


def _salt(words: Array, epoch: Array) -> Array:
    return _mix(words[0] ^ _mix(words[1] + epoch * jnp.uint32(_GOLDEN)))


def _mix(x: Array) -> Array:
    """A 32-bit finaliser: every input bit moves every output bit (Wellons' lowbias32, 2018)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
