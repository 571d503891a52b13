"""Batches of a masked language model: some tokens are hidden, and are to be found again.

J. Devlin et al., "BERT" (2018), section 3.1: of the tokens that are chosen, 80 % become a token of
their own, 10 % one drawn from all, and 10 % stay what they are, for the model is not to know which
ones it is asked for.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
from jaxtyping import Integer

from jaxdl import errors
from jaxdl.nn import limits


@dataclasses.dataclass(frozen=True)
class Hiding:
    """How tokens are hidden; its methods make batches of it.

    mask: the token that stands for a hidden one; those drawn in the place of others lie below it.
    rate: the part of tokens chosen. masked, swapped: parts of these that become `mask` and another.
    """

    mask: int
    rate: float = 0.15
    masked: float = 0.8
    swapped: float = 0.1

    def __post_init__(self) -> None:
        limits.at_least(1, "Hiding's mask", self.mask)
        for name in ("rate", "masked", "swapped"):
            limits.share(f"Hiding's {name}", getattr(self, name))
        if self.masked + self.swapped > 1:
            raise errors.InputError(
                "Hiding's masked and swapped must be at most 1 together, "
                f"got {self.masked} and {self.swapped}."
            )

    def augment(self, batch: dict[str, Any], key: Any) -> dict[str, Any]:
        """Hides tokens of `batch["input"]`, others at each step: an `augment` of `batches`.

        "target" are the tokens as they were, and "mask" is 1 where one was chosen.
        """
        tokens = batch["input"].astype(np.int32)  # bytes cannot hold a mask beyond them
        chance_key, other_key = jax.random.split(key)
        chance = jax.random.uniform(chance_key, tokens.shape)
        other = jax.random.randint(other_key, tokens.shape, 0, self.mask, tokens.dtype)
        return batch | self._hidden(tokens, chance, other)

    def once(self, tokens: Integer[np.ndarray, "n t"], seed: int) -> dict[str, Any]:
        """Hides tokens once and on the host: the arrays of a test."""
        random = np.random.default_rng(seed)
        chance = random.random(tokens.shape, np.float32)
        other = random.integers(0, self.mask, tokens.shape)
        return self._hidden(tokens.astype(np.int32), chance, other)

    def _hidden(self, tokens: Any, chance: Any, other: Any) -> dict[str, Any]:
        xp = tokens.__array_namespace__()
        masked, swapped = self.rate * self.masked, self.rate * (self.masked + self.swapped)
        changed = xp.where(chance < masked, self.mask, other)
        hidden = xp.where(chance < swapped, changed, tokens).astype(np.int32)
        chosen = (chance < self.rate).astype(np.float32)
        return {"input": hidden, "target": tokens, "mask": chosen}
