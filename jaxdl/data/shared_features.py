"""Made regression tasks that share their features, so that many of them help where data is few.

The setting of transfer that theory treats: a task is a linear function of features common to all
(Tripuraneni, Jordan and Jin, "On the Theory of Transfer Learning", 2020). The features are the
outputs of a random network of one hidden layer.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_INPUTS, _HIDDEN = 40, 32


@dataclasses.dataclass(frozen=True, eq=False)
class Tasks:
    """Tasks y = features(x)·weights, x standard normal (40,); each y has a variance near 0.6."""

    inner: np.ndarray  # (40, 32)
    outer: np.ndarray  # (32, features)
    weights: np.ndarray  # (features, tasks)

    def targets(self, x: Float[Array, "b 40"]) -> Float[Array, "b tasks"]:
        """The exact answers of all tasks."""
        return jnp.tanh(x @ self.inner) @ self.outer @ self.weights

    def draw(self, key: Array, count: int) -> dict[str, Array]:
        """Examples of all tasks; runs inside jit."""
        x = jax.random.normal(key, (count, _INPUTS))
        return {"input": x, "target": self.targets(x)}

    def examples(self, count: int, seed: int) -> dict[str, np.ndarray]:
        """Examples of all tasks in memory, the same for the same seed; of NumPy alone, as an
        experiment may be traced.
        """
        x = np.random.default_rng(seed).standard_normal((count, _INPUTS), np.float32)
        return {"input": x, "target": np.tanh(x @ self.inner) @ self.outer @ self.weights}


def tasks(count: int = 64, features: int = 12, seed: int = 0) -> Tasks:
    """`count` tasks on the same features."""
    random = np.random.default_rng(seed)

    # Units of deviation 2 before tanh: far from linear, or 40 examples would do without features.
    def normal(rows: int, columns: int, scale: float) -> np.ndarray:
        return (scale * random.standard_normal((rows, columns))).astype(np.float32)

    inner = normal(_INPUTS, _HIDDEN, 2 / np.sqrt(_INPUTS))
    outer = normal(_HIDDEN, features, 1 / np.sqrt(_HIDDEN))
    return Tasks(inner, outer, normal(features, count, 1 / np.sqrt(features)))
