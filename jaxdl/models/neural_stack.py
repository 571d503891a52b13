"""The differentiable stack: a network that pushes and pops by degrees, and reads what is on top.

Grefenstette, Hermann, Suleyman and Blunsom, "Learning to transduce with unbounded memory" (2015);
numbers of equations are theirs. Step t writes row t and no row is ever overwritten: popping takes
a row's strength, not its value. So the stack is as high as the sequence is long, and rows that are
yet to come have strength 0 and count nowhere.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl.nn import dense, limits, recurrence

# The pop gate's first bias: what is pushed is to stay until popping has been learnt. Of 8 runs that
# are to reverse most learn it from 0 or -1, none from -3 or 1.
_POP = -1.0


class State(NamedTuple):
    """What is carried from step to step; higher rows are nearer to the top."""

    values: Float[Array, "b rows size"]
    strengths: Float[Array, "b rows"]
    read: Float[Array, "b size"]
    controller: recurrence.Carry  # (hidden, cell) of the LSTM


def above(strengths: Float[Array, "b rows"]) -> Float[Array, "b rows"]:
    """The strength that lies above each row."""
    return jnp.pad(jax.lax.cumsum(strengths[:, 1:], axis=1, reverse=True), ((0, 0), (0, 1)))


def pop(strengths: Float[Array, "b rows"], amount: Float[Array, "b 1"]) -> Float[Array, "b rows"]:
    """The strengths after an amount in [0, 1] has been taken from the top (2, where i < t)."""
    return nn.relu(strengths - nn.relu(amount - above(strengths)))


def push(
    values: Float[Array, "b rows size"],
    strengths: Float[Array, "b rows"],
    row: Int[Array, ""],
    value: Float[Array, "b size"],
    amount: Float[Array, "b 1"],
) -> tuple[Float[Array, "b rows size"], Float[Array, "b rows"]]:
    """The values (1) and strengths (2, where i = t) with a value at a row that was empty."""
    return values.at[:, row].set(value), strengths.at[:, row].set(amount[:, 0])


def read(
    values: Float[Array, "b rows size"], strengths: Float[Array, "b rows"]
) -> Float[Array, "b size"]:
    """The values by their strengths, from the top until these are 1 (3)."""
    weights = jnp.minimum(strengths, nn.relu(1 - above(strengths)))
    return jnp.einsum("br,brs->bs", weights, values)


class NeuralStack(nn.Module):
    """Outputs (b, t, outputs) of inputs (b, t, d), by an LSTM that sees what was read the step
    before; every sequence begins with an empty stack and a state of zeros (section 3.3).

    width: of the LSTM. size: of a value on the stack.

    Parameters: the controller's `controller/kernel`, `controller/bias`, `read_kernel` and
    `recurrent_kernel`; `stack_kernel` and `stack_bias`, which tell the push, the pop and the value;
    `output/kernel` and `output/bias`. The output is linear, where the paper's goes through a tanh.
    """

    outputs: int
    width: int = 32
    size: int = 16

    def __post_init__(self) -> None:
        for name in ("outputs", "width", "size"):
            limits.at_least(1, f"NeuralStack's {name}", getattr(self, name))
        super().__post_init__()

    def __call__(self, x: Float[Array, "b t d"], train: bool = False) -> Float[Array, "b t k"]:
        """The outputs of every step."""
        return self.traced(x)[0]

    @nn.compact
    def traced(
        self, x: Float[Array, "b t d"]
    ) -> tuple[Float[Array, "b t k"], Float[Array, "b t rows"]]:
        """The outputs, and the strengths of all rows after every step."""
        (batch, time), width = x.shape[:2], 4 * self.width
        lecun, cell = nn.initializers.lecun_normal(), recurrence.CELLS["lstm"]
        projected = dense.Dense(width, name="controller")(jnp.swapaxes(x, 0, 1))
        from_read = self.param("read_kernel", lecun, (self.size, width))
        recurrent = self.param("recurrent_kernel", recurrence.orthogonal_gates, (self.width, width))
        kernel = self.param("stack_kernel", lecun, (self.width, 2 + self.size))
        bias = self.param("stack_bias", lambda _: jnp.zeros(2 + self.size).at[1].set(_POP))

        def step(state: State, inputs: tuple[Array, Array]) -> tuple[State, tuple[Array, Array]]:
            row, projected = inputs
            before = state.read @ from_read + state.controller[0] @ recurrent
            carry, _ = cell.forward(projected, before, state.controller)
            said = carry[0] @ kernel + bias[None]
            d, u, value = nn.sigmoid(said[:, :1]), nn.sigmoid(said[:, 1:2]), jnp.tanh(said[:, 2:])
            values, strengths = push(state.values, pop(state.strengths, u), row, value, d)
            state = State(values, strengths, read(values, strengths), carry)
            return state, (carry[0], strengths)

        zeros = jnp.zeros((batch, self.width))
        start = State(
            jnp.zeros((batch, time, self.size)),
            jnp.zeros((batch, time)),
            jnp.zeros((batch, self.size)),
            (zeros, zeros),
        )
        _, (hidden, strengths) = jax.lax.scan(step, start, (jnp.arange(time), projected))
        outputs = dense.Dense(self.outputs, name="output")(hidden)
        return jnp.swapaxes(outputs, 0, 1), jnp.swapaxes(strengths, 0, 1)
