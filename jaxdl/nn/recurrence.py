"""Recurrent layers: the vanilla network, the GRU and the LSTM, over one shared scan.

Elman (1990) "Finding structure in time"; Hochreiter & Schmidhuber (1997) "Long short-term memory",
with the forget gate of Gers et al. (2000); Cho et al. (2014), the GRU, in cuDNN's and PyTorch's
form, whose reset gate multiplies the projected state.

A cell is a pair of pure functions of one time step, forward and backward. `scan` runs any of them
and is differentiated by hand: its backward loop carries the gradient of the state only, stores the
gates' gradients, and forms the kernel's gradient in one matmul afterwards. Plain autodiff adds a
full weight gradient at every step, which costs half of the whole backward pass on a CPU.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import dense, initializers

Carry = tuple[Float[Array, "b width"], ...]  # (hidden,), or (hidden, cell) of the LSTM


class Cell(NamedTuple):
    """One time step: everything but the matmul with the recurrent kernel, which the scan owns.

    gates, states: how many widths of pre-activations it takes and of state it carries.
    forward: (projected, recurrent, carry) -> (carry, saved), from the projected input and state,
    both (b, gates * width).
    backward: (saved, hidden before, gradient of the carry after) -> (gradient of projected, of
    recurrent, of the carry before through all but recurrent). A cell that only sees the sum of the
    two returns one array as both their gradients, and the scan then stores it once.
    """

    gates: int
    states: int
    forward: Callable[[Array, Array, Carry], tuple[Carry, Any]]
    backward: Callable[[Any, Array, Carry], tuple[Array, Array, Carry]]


def _vanilla_forward(projected: Array, recurrent: Array, carry: Carry) -> tuple[Carry, Any]:
    hidden = jnp.tanh(projected + recurrent)
    return (hidden,), hidden


def _vanilla_backward(hidden: Any, before: Array, gradient: Carry) -> tuple[Array, Array, Carry]:
    slope = gradient[0] * (1 - hidden * hidden)
    return slope, slope, (jnp.zeros_like(slope),)


def _lstm_forward(projected: Array, recurrent: Array, carry: Carry) -> tuple[Carry, Any]:
    _, before = carry
    a = jnp.split(projected + recurrent, 4, axis=-1)
    gates = _sigmoid(a[0]), _sigmoid(a[1]), jnp.tanh(a[2]), _sigmoid(a[3])
    # Computed once each: XLA:CPU would repeat them in every fusion that reads them.
    i, f, g, o = lax.optimization_barrier(gates)
    cell = f * before + i * g
    return (o * jnp.tanh(cell), cell), (i, f, g, o, before)


def _lstm_backward(saved: Any, before: Array, gradient: Carry) -> tuple[Array, Array, Carry]:
    i, f, g, o, cell_before = saved
    squashed = jnp.tanh(f * cell_before + i * g)
    hidden, cell = gradient
    # Computed once for its four readers, not fused into each.
    cell = lax.optimization_barrier(cell + hidden * o * (1 - squashed * squashed))
    slope = jnp.concatenate(
        [
            cell * g * i * (1 - i),
            cell * cell_before * f * (1 - f),
            cell * i * (1 - g * g),
            hidden * squashed * o * (1 - o),
        ],
        axis=-1,
    )
    return slope, slope, (jnp.zeros_like(hidden), cell * f)


def _gru_forward(projected: Array, recurrent: Array, carry: Carry) -> tuple[Carry, Any]:
    (before,) = carry
    x, q = jnp.split(projected, 3, axis=-1), jnp.split(recurrent, 3, axis=-1)
    r, z = _sigmoid(x[0] + q[0]), _sigmoid(x[1] + q[1])
    n = jnp.tanh(x[2] + r * q[2])
    return (n + z * (before - n),), (r, z, n, q[2])


def _gru_backward(saved: Any, before: Array, gradient: Carry) -> tuple[Array, Array, Carry]:
    r, z, n, q = saved
    (hidden,) = gradient
    dn = hidden * (1 - z) * (1 - n * n)
    dz = hidden * (before - n) * z * (1 - z)
    dr = dn * q * r * (1 - r)
    projected = jnp.concatenate([dr, dz, dn], axis=-1)
    recurrent = jnp.concatenate([dr, dz, dn * r], axis=-1)
    return projected, recurrent, (hidden * z,)


CELLS = {
    "vanilla": Cell(1, 1, _vanilla_forward, _vanilla_backward),
    "gru": Cell(3, 1, _gru_forward, _gru_backward),
    "lstm": Cell(4, 2, _lstm_forward, _lstm_backward),
}


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def scan(
    cell: Cell,
    reverse: bool,
    projected: Float[Array, "t b gates"],
    kernel: Float[Array, "d gates"],
    bias: Float[Array, "gates"] | None,
    carry: Carry,
    mask: Float[Array, "t b 1"] | None,
) -> tuple[Float[Array, "t b d"], Carry]:
    """Run a cell over time: the hidden state after every step, and the last carry.

    Matmuls take the kernel's dtype, which is that of `projected`; the carry is float32. `bias`
    joins the recurrent projection, which the GRU's reset gate multiplies. Where `mask` is 0 the
    carry stays as it is; the mask has no gradient.
    """
    hidden, last, _ = _forward(cell, reverse, projected, kernel, bias, carry, mask)
    return hidden, last


def _forward(cell, reverse, projected, kernel, bias, carry, mask):
    # Two half kernels: an LSTM's forward scan (32 rows, width 128) took 6.7 ms instead of 8.5.
    halves = (kernel[:, : kernel.shape[1] // 2], kernel[:, kernel.shape[1] // 2 :])

    def step(carry, inputs):
        projected, mask = inputs
        rows = carry[0].astype(kernel.dtype)
        recurrent = jnp.concatenate([dense.matmul(rows, half) for half in halves], axis=-1)
        if bias is not None:
            recurrent = recurrent + bias[None, :]
        after, saved = cell.forward(projected, recurrent, carry)
        if mask is not None:
            after = jax.tree.map(lambda new, old: jnp.where(mask > 0, new, old), after, carry)
        store = jax.tree.map(lambda a: a.astype(projected.dtype), (carry[0], saved))
        return after, (after[0].astype(projected.dtype), store)

    last, (hidden, saved) = lax.scan(step, carry, (projected, mask), reverse=reverse)
    return hidden, last, saved


def _scan_forward(cell, reverse, projected, kernel, bias, carry, mask):
    hidden, last, saved = _forward(cell, reverse, projected, kernel, bias, carry, mask)
    return (hidden, last), (saved, kernel, bias, mask)


def _scan_backward(cell, reverse, residuals, gradients):
    (before, saved), kernel, bias, mask = residuals
    outputs, last = gradients
    transposed = kernel.T  # once, not in every step

    def step(carry, inputs):
        output, before, saved, mask = inputs
        carry = (carry[0] + output, *carry[1:])
        through = carry if mask is None else tuple(a * mask for a in carry)
        projected, recurrent, inner = cell.backward(saved, before, through)
        same = recurrent is projected
        projected, recurrent = projected.astype(kernel.dtype), recurrent.astype(kernel.dtype)
        inner = (inner[0] + dense.matmul(recurrent, transposed), *inner[1:])
        if mask is not None:
            inner = jax.tree.map(lambda a, b: a + b * (1 - mask), inner, carry)
        return inner, (projected, None if same else recurrent)

    inputs = (outputs, before, saved, mask)
    first, (projected, recurrent) = lax.scan(step, last, inputs, reverse=not reverse)
    slopes = dense.rows(projected if recurrent is None else recurrent)
    kernel_gradient = dense.matmul(dense.rows(before).T, slopes).astype(kernel.dtype)
    bias_gradient = None if bias is None else dense.sum_rows(slopes).astype(bias.dtype)
    return projected, kernel_gradient, bias_gradient, first, None


scan.defvjp(_scan_forward, _scan_backward)


def _sigmoid(x: Array) -> Array:
    return 0.5 * jnp.tanh(0.5 * x) + 0.5  # two thirds of jax.nn.sigmoid's time on XLA:CPU


class Recurrent(nn.Module):
    """One recurrent layer in one direction.

    Parameters, float32: `input_kernel` (features, gates * width), `recurrent_kernel` (width,
    gates * width), `bias` (gates * width,) and, of the GRU alone, `recurrent_bias` (width,), the
    bias inside the reset gate's product. Gates stand in PyTorch's order: i f g o; r z n. PyTorch's
    two biases are added into one. The LSTM's forget gate starts open, its bias at 1 (Gers 2000).
    """

    cell: str
    width: int
    reverse: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise errors.InputError(f"Cell must be one of {', '.join(CELLS)}, got {self.cell!r}.")
        if self.width < 1:
            raise errors.InputError(f"Width must be at least 1, got {self.width}.")
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*b d"],
        index: Int[Array, "b t"] | None = None,
        carry: Carry | None = None,
        lengths: Int[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "b t width"], Carry]:
        """The hidden states (b, t, width) and the last carry, begun from `carry` or zeros.

        x: (b, t, d), or with `index`, integer tokens (b, t), an embedding table (v, d): a table
        of fewer rows than there are tokens is projected once, and its projection looked up.
        lengths: steps of each sequence; beyond them the state stays as it was. Read in reverse, a
        sequence then begins at its own last step.
        """
        cell = CELLS[self.cell]
        size = cell.gates * self.width
        kernel = self.param("input_kernel", nn.initializers.lecun_normal(), (x.shape[-1], size))
        recurrent = self.param("recurrent_kernel", orthogonal_gates, (self.width, size))
        bias = self.param("bias", _first_bias(self.cell), (size,))
        inner = None
        if self.cell == "gru":
            inner = self.param("recurrent_bias", nn.initializers.zeros, (self.width,))
            inner = jnp.pad(inner, (size - self.width, 0)).astype(self.dtype)
        x, kernel, recurrent, bias = (a.astype(self.dtype) for a in (x, kernel, recurrent, bias))
        if index is None:
            projected = dense.affine(jnp.swapaxes(x, 0, 1), kernel, bias)
        elif index.size > x.shape[0]:
            projected = _look_up(dense.affine(x, kernel, bias), index.T)
        else:
            projected = dense.affine(_look_up(x, index.T), kernel, bias)
        time, batch = projected.shape[:2]
        if carry is None:
            carry = tuple(jnp.zeros((batch, self.width)) for _ in range(cell.states))
        mask = None
        if lengths is not None:
            mask = (jnp.arange(time)[:, None] < lengths[None, :]).astype(jnp.float32)[..., None]
        run: Any = scan  # the type of a custom_vjp's result is lost on pyright
        hidden, last = run(cell, self.reverse, projected, recurrent, inner, carry, mask)
        return jnp.swapaxes(hidden, 0, 1), last


def _look_up(table: Array, index: Array) -> Array:
    """Rows of a table, NaN where the index lies outside: from one more row, not a pass over all."""
    size = table.shape[0]
    table = jnp.concatenate([table, jnp.full_like(table[:1], jnp.nan)])
    inside = (index >= 0) & (index < size)
    return table.at[jnp.where(inside, index, size)].get(mode="promise_in_bounds")


def orthogonal_gates(key: Any, shape: tuple[int, int], dtype: Any = jnp.float32) -> Array:
    """A square orthogonal matrix for every gate, side by side."""
    width, size = shape
    init = initializers.orthogonal()
    keys = jax.random.split(key, size // width)
    return jnp.concatenate([init(key, (width, width), dtype) for key in keys], axis=1)


def _first_bias(cell: str) -> Callable[..., Array]:
    def init(key: Any, shape: tuple[int], dtype: Any = jnp.float32) -> Array:
        zeros = jnp.zeros(shape, dtype)
        quarter = shape[0] // 4
        return zeros.at[quarter : 2 * quarter].set(1) if cell == "lstm" else zeros

    return init
