"""The neural Turing machine: a network that reads and writes a memory by differentiable addressing.

Graves, Wayne and Danihelka, "Neural Turing Machines" (2014); numbers of equations are theirs. At
each step the controller sees the input and what was read last, one head writes, then each reading
head reads what is there now. The heads' first places and the memory's first content are learnt, one
for all slots: where each had its own, one run of three lost its way beyond the slots it had used.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import dense, limits, recurrence

CONTROLLERS = ("feedforward", "lstm")
_FOCUS = 10.0  # the first logit of a head's first place: 0.99 of the weight at 128 slots
_STEEPEST = 10.0
_SMALL = 1e-6  # keeps the derivatives of a norm and of a power finite at zero


class Address(NamedTuple):
    """What a head says of where to go: the key and its strength β ≥ 0, the gate g in (0, 1), the
    weights of the shifts from -1 to 1, the sharpness γ ≥ 1.
    """

    key: Float[Array, "b size"]
    strength: Float[Array, "b 1"]
    gate: Float[Array, "b 1"]
    shift: Float[Array, "b 3"]
    sharpness: Float[Array, "b 1"]


class State(NamedTuple):
    """What is carried from step to step; the writing head's place comes first."""

    memory: Float[Array, "b slots size"]
    places: Float[Array, "b heads slots"]  # the heads' weights, each sums to 1
    read: Float[Array, "b found"]  # by all reading heads, one after the other
    controller: recurrence.Carry  # (hidden, cell) of an LSTM, else empty


def content(
    memory: Float[Array, "b slots size"], key: Float[Array, "b size"], strength: Float[Array, "b 1"]
) -> Float[Array, "b slots"]:
    """Weights by the cosine of the key with each slot (5, 6)."""
    lengths = jnp.sqrt((memory**2).sum(-1) + _SMALL) * jnp.sqrt((key**2).sum(-1) + _SMALL)[:, None]
    cosine = jnp.einsum("bsm,bm->bs", memory, key) / lengths
    return jax.nn.softmax(strength * cosine)


def address(
    memory: Float[Array, "b slots size"], before: Float[Array, "b slots"], head: Address
) -> Float[Array, "b slots"]:
    """A head's next weights: by content, interpolated, shifted around the circle, sharpened."""
    by_content = content(memory, head.key, head.strength)
    gated = head.gate * by_content + (1 - head.gate) * before  # 7
    sides = jnp.roll(gated, -1, axis=1), gated, jnp.roll(gated, 1, axis=1)
    shifted = sum(head.shift[:, n, None] * side for n, side in enumerate(sides))  # 8
    return jax.nn.softmax(head.sharpness * jnp.log(shifted + _SMALL))  # 9: a power, normalised


def write(
    memory: Float[Array, "b slots size"],
    weights: Float[Array, "b slots"],
    erase: Float[Array, "b size"],
    add: Float[Array, "b size"],
) -> Float[Array, "b slots size"]:
    """The memory after a head has erased and added (3, 4)."""
    return memory * (1 - weights[..., None] * erase[:, None]) + weights[..., None] * add[:, None]


@jax.custom_vjp
def limited(x: Float[Array, "*b"]) -> Float[Array, "*b"]:
    """x itself, whose gradient is cut to ±10 (section 4.6): through a slot that is nearly empty it
    grows a thousandfold at every step.
    """
    return x


limited.defvjp(
    lambda x: (x, None), lambda _, gradient: (jnp.clip(gradient, -_STEEPEST, _STEEPEST),)
)


class NTM(nn.Module):
    """Outputs (b, t, outputs) of inputs (b, t, d); every sequence begins from the learnt state.

    slots, size: of the memory. reads: reading heads; one head writes.
    controller: "feedforward", one hidden layer, or "lstm"; both of `width` units.

    Parameters: the first state, `memory` (size,), `places` (1 + reads, slots; logits) and
    `read`; the controller's `controller/kernel`, `controller/bias`, `read_kernel` and, of the LSTM,
    `recurrent_kernel`; `heads_kernel` and `heads_bias`; `output/kernel` and `output/bias`.
    """

    outputs: int
    controller: str = "feedforward"
    width: int = 100
    slots: int = 128
    size: int = 20
    reads: int = 1

    def __post_init__(self) -> None:
        if self.controller not in CONTROLLERS:
            raise errors.InputError(
                f"NTM's controller must be one of {', '.join(CONTROLLERS)}, "
                f"got {self.controller!r}."
            )
        for name in ("outputs", "width", "size", "reads"):
            limits.at_least(1, f"NTM's {name}", getattr(self, name))
        limits.at_least(3, "NTM's slots", self.slots)  # that a shift has two sides
        super().__post_init__()

    def __call__(self, x: Float[Array, "b t d"], train: bool = False) -> Float[Array, "b t k"]:
        """The outputs of every step."""
        return self.traced(x)[0]

    @nn.compact
    def traced(
        self, x: Float[Array, "b t d"]
    ) -> tuple[Float[Array, "b t k"], Float[Array, "b t heads slots"]]:
        """The outputs, and where the heads were: the writing one, then those that read."""
        lstm = self.controller == "lstm"
        gates = recurrence.CELLS["lstm"].gates if lstm else 1
        found, init = self.reads * self.size, nn.initializers.lecun_normal()
        projected = dense.Dense(gates * self.width, name="controller")(jnp.swapaxes(x, 0, 1))
        from_read = self.param("read_kernel", init, (found, gates * self.width))
        recurrent = None
        if lstm:
            shape = (self.width, gates * self.width)
            recurrent = self.param("recurrent_kernel", recurrence.orthogonal_gates, shape)
        said = (1 + self.reads) * (self.size + 6) + 2 * self.size
        heads = self.param("heads_kernel", init, (self.width, said))
        heads_bias = self.param("heads_bias", nn.initializers.zeros, (said,))

        def step(state: State, projected: Array) -> tuple[State, tuple[Array, Array, Array]]:
            state = jax.tree.map(limited, state)
            projected = projected + state.read @ from_read
            if recurrent is None:
                hidden, carry = jnp.tanh(projected), ()
            else:
                before = state.controller[0] @ recurrent
                carry, _ = recurrence.CELLS["lstm"].forward(projected, before, state.controller)
                hidden = carry[0]
            state = self._used(state._replace(controller=carry), hidden @ heads + heads_bias[None])
            return state, (hidden, state.read, state.places)

        _, (hidden, read, places) = jax.lax.scan(step, self._start(x.shape[0]), projected)
        outputs = dense.Dense(self.outputs, name="output")(jnp.concatenate([hidden, read], axis=-1))
        return jnp.swapaxes(outputs, 0, 1), jnp.swapaxes(places, 0, 1)

    def _start(self, batch: int) -> State:
        """The learnt state in which every sequence begins, all heads at the first slot."""
        shape = (1 + self.reads, self.slots)
        first = self.param("places", lambda _: jnp.zeros(shape).at[:, 0].set(_FOCUS))
        memory = self.param("memory", nn.initializers.normal(0.05), (self.size,))
        read = self.param("read", nn.initializers.zeros, (self.reads * self.size,))
        zeros = jnp.zeros((batch, self.width))
        return State(
            jnp.broadcast_to(memory, (batch, self.slots, self.size)),
            jnp.broadcast_to(jax.nn.softmax(first), (batch, *shape)),
            jnp.broadcast_to(read, (batch, *read.shape)),
            (zeros, zeros) if self.controller == "lstm" else (),
        )

    def _used(self, state: State, said: Float[Array, "b n"]) -> State:
        """The state after the heads have done as they were told: write, then read."""
        told, (erase, add) = said[:, : -2 * self.size], jnp.split(said[:, -2 * self.size :], 2, -1)
        heads = [_address(one) for one in jnp.split(told, 1 + self.reads, axis=-1)]
        places = [address(state.memory, state.places[:, 0], heads[0])]
        memory = write(state.memory, places[0], nn.sigmoid(erase), jnp.tanh(add))
        for n, head in enumerate(heads[1:], 1):
            places.append(address(memory, state.places[:, n], head))
        stacked = jnp.stack(places, axis=1)
        read = jnp.einsum("brs,bsm->brm", stacked[:, 1:], memory)  # 2
        return state._replace(memory=memory, places=stacked, read=read.reshape(read.shape[0], -1))


def _address(said: Float[Array, "b n"]) -> Address:
    """A head's numbers, brought into their ranges."""
    size = said.shape[-1] - 6
    cuts = [size, size + 1, size + 2, size + 5]
    key, strength, gate, shift, sharpness = jnp.split(said, cuts, axis=-1)
    return Address(
        jnp.tanh(key),
        nn.softplus(strength),
        nn.sigmoid(gate),
        jax.nn.softmax(shift),
        1 + nn.softplus(sharpness),
    )
