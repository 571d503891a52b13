"""25 Gaussians on a grid: made data that shows whether a generator forgets modes.

Means at -4, -2, 0, 2, 4 in both directions, deviation 0.05, as in Srivastava et al., "VEEGAN"
(2017), and Lin et al., "PacGAN" (2018); divided by the deviation of the means, √8, as in Gulrajani
et al., "Improved Training of Wasserstein GANs" (2017): the data has mean 0 and variance 1.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import metrics
from jaxdl.nn import limits


@dataclasses.dataclass(frozen=True)
class Grid:
    """An even mixture of `side`² round Gaussians, `spacing` apart, around the origin."""

    side: int = 5
    spacing: float = 2 / math.sqrt(8)
    sigma: float = 0.05 / math.sqrt(8)

    @property
    def centres(self) -> Float[np.ndarray, "k 2"]:
        """The means, row by row."""
        line = self.spacing * (np.arange(self.side) - (self.side - 1) / 2)
        return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


PUBLISHED = Grid()


def draw(count: int, seed: int, grid: Grid = PUBLISHED) -> Float[np.ndarray, "b 2"]:
    """`count` points of the mixture, float32; the same for the same seed."""
    limits.at_least(1, "count", count)
    random = np.random.default_rng(seed)
    centres = grid.centres[random.integers(grid.side**2, size=count)]
    return (centres + grid.sigma * random.standard_normal((count, 2))).astype(np.float32)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Coverage:
    """How often each mode is the nearest to a sample, how often within four sigma of it, and the
    sum of the squares of the distances, in sigmas, of those inside.
    """

    nearest: metrics.Leaf
    inside: metrics.Leaf
    squares: metrics.Leaf

    def value(self) -> dict[str, float]:
        """modes: those with samples within 4 sigma, at least a tenth of a fair share of all.
        inside: share of samples within 4 sigma of a mode (of the mixture's own: 0.99966).
        variation: total variation between the frequencies of the nearest modes and equal ones; of
        5,000 samples of the mixture itself about 0.028.
        spread: deviation of the samples inside, in sigmas: below 1, modes are drawn too narrow.
        """
        nearest = np.asarray(self.nearest, np.float64)
        inside = np.asarray(self.inside, np.float64)
        total, modes = max(nearest.sum(), 1), len(nearest)
        return {
            "modes": float((inside >= max(total / modes / 10, 1)).sum()),
            "inside": float(inside.sum() / total),
            "variation": float(np.abs(nearest / total - 1 / modes).sum() / 2),
            "spread": float(np.sqrt(self.squares / max(inside.sum(), 1) / 2)),
        }


def coverage(samples: Float[Array, "b 2"], grid: Grid = PUBLISHED) -> Coverage:
    """Count samples by mode; runs inside jit, and coverages of batches add up."""
    centres = jnp.asarray(grid.centres, jnp.float32)
    squares = ((samples[:, None] - centres[None]) ** 2).sum(-1) / grid.sigma**2
    mode, square = squares.argmin(-1), squares.min(-1)
    inside = square <= 4**2
    none = jnp.zeros(len(centres), jnp.uint32)
    return Coverage(
        none.at[mode].add(1),
        none.at[mode].add(inside.astype(jnp.uint32)),
        jnp.where(inside, square, 0).sum(),
    )


def picture(samples: Float[Array, "b 2"]) -> Float[Array, "h w"]:
    """How many samples fall into each of 128 × 128 cells of [-2, 2]², black on white; the fullest
    twentieth of the seen cells is black. Runs inside jit.
    """
    cells = jnp.floor((samples + 2) * 32).astype(jnp.int32)
    seen = ((cells >= 0) & (cells < 128)).all(-1)
    x, y = jnp.where(seen[:, None], cells, 128).T  # out of the picture, and dropped
    counts = jnp.zeros((128, 128)).at[127 - y, x].add(1.0, mode="drop")
    most = jnp.nanquantile(jnp.where(counts > 0, counts, jnp.nan), 0.95)
    return 1 - jnp.clip(counts / most, 0, 1)
