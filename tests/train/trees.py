"""Trees to save, and how to tell that two are the same to the last bit."""

import dataclasses
import pathlib
import subprocess
import sys
import typing

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxdl import metrics
from jaxdl.train import checkpoint

ROOT = pathlib.Path(__file__).parents[2]


class Pair(typing.NamedTuple):
    first: typing.Any
    second: typing.Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Record:
    value: typing.Any
    nothing: None = None


def hairy():
    rng = np.random.default_rng(0)
    params = {"dense": {"kernel": jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)}}
    bits = jnp.asarray(rng.integers(0, 2**16, 40), jnp.uint16)
    bfloat16 = jax.lax.bitcast_convert_type(bits, jnp.bfloat16)
    return {
        "state": Pair(params, optax.adam(1e-3).init(params)),
        "metrics": {"loss": metrics.Mean(jnp.float32(1.5), jnp.float32(3))},
        "bfloat16": jnp.where(jnp.isnan(bfloat16), jnp.bfloat16(-0.0), bfloat16),
        "extremes": jnp.array([jnp.inf, -jnp.inf, -0.0, 1e-45, 3.4e38], jnp.float32),
        "float16": jnp.arange(3, dtype=jnp.float16),
        "float8": jnp.arange(4, dtype=jnp.float8_e4m3fn),
        "complex": jnp.array([[1 + 2j]], jnp.complex64),
        "ints": [jnp.arange(-3, 3, dtype=dtype) for dtype in (jnp.int8, jnp.int32, jnp.int4)],
        "uint4": jnp.arange(16, dtype=jnp.uint4),
        "bools": (jnp.array([True, False]), jnp.array(True)),
        "keys": [
            jax.random.key(3),
            jax.random.split(jax.random.key(4, impl="rbg"), (2, 2)),
            jax.random.split(jax.random.key(5), 0),
        ],
        "legacy key": jax.random.PRNGKey(0),
        "empty": {
            "leaf": jnp.zeros((2, 0, 3), jnp.bfloat16),
            "dict": {},
            "tuple": (),
            "none": None,
        },
        "record": Record(jnp.uint32(2**32 - 1)),
        "numpy": np.arange(4.0),
        "python": (3, 2.5, True),
        'odd "é"\\': {"x/y": jnp.ones(2), "x": {"y": jnp.zeros(2)}},
    }


def raw(leaf):
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return (str(leaf.dtype), leaf.shape, np.asarray(jax.random.key_data(leaf)).tobytes())
    array = np.asarray(leaf)
    return (array.dtype.name, array.shape, array.tobytes())


def assert_same(got, wanted):
    assert jax.tree.structure(got) == jax.tree.structure(wanted)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted), strict=True):
        assert raw(a) == raw(b)


def never(line):
    raise AssertionError(line)


def small(value, size=8):
    return {"a": jnp.full(size, value, jnp.float32), "b": [jnp.full(size, value, jnp.int32)]}


def save_all(folder, steps, size=8, keep=9):
    with checkpoint.Checkpoints(folder, keep) as store:
        for step in steps:
            store.save(step, small(step, size), {"step": step}, None)


def files(folder):
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda p: p.name)


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def child(program, *arguments):
    command = [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
