"""Recurrent networks: vanilla (Elman 1990), LSTM (Hochreiter & Schmidhuber 1997), GRU (Cho 2014).

Stacked, read in one direction or both (Schuster & Paliwal 1997), with dropout between the layers
(Zaremba et al. 2014), over tokens or vectors; one output per step (a language model) or one per
sequence (a classifier).
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.nn import dense, dropout, limits, recurrence

Carries = tuple[recurrence.Carry, ...]  # per layer, the forward one before the backward one


class RNN(nn.Module):
    """A stack of recurrent layers and an affine output.

    x: integer tokens (b, t) with `vocabulary`, otherwise vectors (b, t, d). Returns float32 outputs
    (b, t, outputs), or (b, outputs) with `last`, read from the last state of each direction.

    Parameters: `embedding/embedding` (vocabulary, width), only with a vocabulary; `forward_0`,
    `backward_0` (only if bidirectional), `forward_1`, ... each as `recurrence.Recurrent` documents;
    `output/kernel` (width or twice the width, outputs) and `output/bias`.
    """

    outputs: int
    cell: str = "lstm"
    width: int = 128
    depth: int = 1
    bidirectional: bool = False
    dropout: float | Array = 0.0
    vocabulary: int | None = None
    last: bool = False
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        if self.cell not in recurrence.CELLS:
            known = ", ".join(recurrence.CELLS)
            raise errors.InputError(f"RNN's cell must be one of {known}, got {self.cell!r}.")
        for name in ("outputs", "width", "depth", "vocabulary"):
            limits.at_least(1, f"RNN's {name}", getattr(self, name))
        limits.rate("RNN's dropout", self.dropout)
        super().__post_init__()

    def __call__(
        self,
        x: Int[Array, "b t"] | Float[Array, "b t d"],
        train: bool = False,
        lengths: Int[Array, "b"] | None = None,
    ) -> Float[Array, "..."]:
        """The outputs, every sequence begun from zeros."""
        return self.advance(x, None, train, lengths)[0]

    @nn.compact
    def advance(
        self,
        x: Int[Array, "b t"] | Float[Array, "b t d"],
        carries: Carries | None = None,
        train: bool = False,
        lengths: Int[Array, "b"] | None = None,
    ) -> tuple[Float[Array, "..."], Carries]:
        """The outputs and the last carries, going on from `carries` (default: zeros).

        Streaming, one step or one piece at a time, gives what the whole sequence at once gives:
        `outputs, carries = model.apply(variables, piece, carries, method="advance")`.
        """
        _check_input(x, self.vocabulary)
        index = None
        if self.vocabulary is not None:
            index, x = x, nn.Embed(self.vocabulary, self.width, name="embedding").embedding
        directions = ("forward", "backward") if self.bidirectional else ("forward",)
        last: list[recurrence.Carry] = []
        for layer in range(self.depth):
            if layer > 0:
                x = dropout.Dropout(self.dropout, name=f"dropout_{layer}")(x, train)
            sides = []
            for direction in directions:
                name = f"{direction}_{layer}"
                reverse = direction == "backward"
                side = recurrence.Recurrent(self.cell, self.width, reverse, self.dtype, name=name)
                carry = None if carries is None else carries[len(last)]
                hidden, after = side(x, index, carry, lengths)
                sides.append(hidden)
                last.append(after)
            x, index = jnp.concatenate(sides, axis=-1) if len(sides) > 1 else sides[0], None
        if self.last:
            x = jnp.concatenate([carry[0] for carry in last[-len(directions) :]], axis=-1)
        output = dense.Dense(self.outputs, dtype=self.dtype, name="output")(x)
        return output.astype(jnp.float32), tuple(last)


def _check_input(x: Array, vocabulary: int | None) -> None:
    tokens = jnp.issubdtype(x.dtype, jnp.integer)
    if vocabulary is not None and not (tokens and x.ndim == 2):
        raise errors.InputError(
            "RNN's input must be integer tokens (b, t) where a vocabulary is set, "
            f"got {x.dtype}{list(x.shape)}."
        )
    if vocabulary is None and (tokens or x.ndim != 3):
        raise errors.InputError(
            "RNN's input must be float vectors (b, t, d) where no vocabulary is set, "
            f"got {x.dtype}{list(x.shape)}. Set vocabulary to read tokens."
        )
