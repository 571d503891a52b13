"""Grey pixels as probabilities of black and white ones, from which the images are drawn.

The convention by which density models of digits are compared: Salakhutdinov and Murray, "On the
quantitative analysis of deep belief networks" (2008). Training images are drawn anew at each step,
test images once.
"""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from jaxdl import errors


def draw(batch: dict[str, Any], key: Any) -> dict[str, Any]:
    """The batch with its "input", numbers in [0, 1], drawn as 0 or 1: augments batches."""
    x = batch["input"]
    return batch | {"input": jax.random.bernoulli(key, x).astype(x.dtype)}


def drawn(examples: dict[str, np.ndarray], seed: int = 0) -> dict[str, np.ndarray]:
    """The examples with their "input", numbers in [0, 1], drawn once as 0 or 1."""
    x = examples["input"]
    if x.min() < 0 or x.max() > 1:
        raise errors.InputError(f"Probabilities must lie in [0, 1], got {x.min()} to {x.max()}.")
    uniform = np.random.default_rng(seed).random(x.shape)
    return examples | {"input": (uniform < x).astype(x.dtype)}


def independent(train: Float[np.ndarray, "b ..."], test: Float[np.ndarray, "c ..."]) -> float:
    """The mean log-likelihood of 0s and 1s under independent pixels, in nats: what a model beats.

    A pixel's probability is its mean in the training part, half an example of each value added.
    """
    probability = (train.sum(0) + 0.5) / (len(train) + 1)
    terms = test * np.log(probability)[None] + (1 - test) * np.log1p(-probability)[None]
    return float(terms.reshape(len(test), -1).sum(1).mean())
