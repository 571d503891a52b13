"""Radial basis functions: bumps around centres, read out linearly; and exact interpolation by them.

Broomhead and Lowe, "Multivariable functional interpolation and adaptive networks" (1988). Centres
by k-means and widths by the distance of the neighbours: Moody and Darken, "Fast learning in
networks of locally-tuned processing units" (1989). Interpolation with a polynomial: Wahba, "Spline
models for observational data" (1990).
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import limits

# Each a function of the square of the distance, whose derivative exists where the distance is 0.
SMOOTH: dict[str, Callable[[Array], Array]] = {
    "gaussian": lambda s: jnp.exp(-s),
    "inverse_quadratic": lambda s: 1 / (1 + s),
    "inverse_multiquadric": lambda s: jax.lax.rsqrt(1 + s),
    "multiquadric": lambda s: -jnp.sqrt(1 + s),
}
# For interpolation: splines, the same at every scale.
SPLINES: dict[str, Callable[[Array], Array]] = {
    "linear": lambda s: -_root(s),
    "thin_plate_spline": lambda s: s * jnp.log(jnp.where(s > 0, s, 1)) / 2,
    "cubic": lambda s: s * _root(s),
    "quintic": lambda s: -(s**2) * _root(s),
}
# The least degree of the polynomial beside a kernel that makes the interpolant unique.
DEGREES = {"multiquadric": 0, "linear": 0, "thin_plate_spline": 1, "cubic": 1, "quintic": 2}


class Basis(nn.Module):
    """How near each of `units` centres an input is: kernel(|x - centre| / width).

    The centres begin as k-means of the inputs that the module is initialised with, the widths as
    `spread` times the root of the mean square distance to the two nearest other centres.
    kernel: "gaussian" exp(-r²), "inverse_quadratic", "inverse_multiquadric" or "multiquadric".
    Parameters: `centres` (units, d), `log_widths` (units,).
    """

    units: int
    kernel: str = "gaussian"
    spread: float | Array = 1.0

    def __post_init__(self) -> None:
        _check("Basis", self)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"]) -> Float[Array, "b units"]:
        x = x.reshape(x.shape[0], -1)
        centres = self.param("centres", lambda key: kmeans(key, x, self.units))
        start = functools.partial(_log_widths, centres, self.spread)
        widths = jnp.exp(self.param("log_widths", lambda key: start()))
        return SMOOTH[self.kernel](squares(x, centres) / jnp.square(widths)[None])


class RBF(nn.Module):
    """Radial basis functions and a linear layer, all of it learnt by gradient.

    classes, outputs: the width of the last layer, one of them: logits of classes or plain numbers.
    units, kernel, spread: of its `Basis`. Parameters: those of `basis`, and `output`.
    """

    units: int
    classes: int | None = None
    outputs: int | None = None
    kernel: str = "gaussian"
    spread: float | Array = 1.0

    def __post_init__(self) -> None:
        if (self.classes is None) == (self.outputs is None):
            raise errors.InputError(
                "RBF must have either classes or outputs, got "
                f"classes={self.classes} and outputs={self.outputs}."
            )
        _check("RBF", self)
        limits.at_least(1, "RBF's classes", self.classes)
        limits.at_least(1, "RBF's outputs", self.outputs)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Float[Array, "b k"]:
        near = Basis(self.units, self.kernel, self.spread, name="basis")(x)
        width = self.outputs if self.classes is None else self.classes
        assert width is not None  # checked above
        return nn.Dense(width, name="output")(near)


def _check(name: str, made: Basis | RBF) -> None:
    limits.at_least(3, f"{name}'s units", made.units)
    limits.positive(f"{name}'s spread", made.spread)
    if made.kernel not in SMOOTH:
        raise errors.InputError(
            f"{name}'s kernel must be {', '.join(SMOOTH)}, got {made.kernel!r}."
        )


def kmeans(
    key: Array, points: Float[Array, "b d"], count: int, turns: int = 20
) -> Float[Array, "count d"]:
    """Centres by Lloyd's algorithm (1957; 1982), begun as k-means++ (Arthur and Vassilvitskii
    2007): points drawn in proportion to their squared distance from those drawn before.

    A centre to which no point is nearest stays where it is.
    """

    def draw(i: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        centres, nearest = carry
        logs = jnp.log(jnp.maximum(nearest, jnp.finfo(nearest.dtype).tiny))
        chosen = points[jax.random.categorical(jax.random.fold_in(key, i), logs)]
        distance = squares(points, chosen[None])[:, 0]
        return centres.at[i].set(chosen), jnp.minimum(nearest, distance)

    def move(_: Array, centres: Array) -> Array:
        mine = jax.nn.one_hot(squares(points, centres).argmin(1), count, dtype=points.dtype)
        sizes = mine.sum(0)[:, None]
        return jnp.where(sizes > 0, mine.T @ points / jnp.maximum(sizes, 1), centres)

    far = jnp.full(len(points), jnp.finfo(points.dtype).max)
    empty = jnp.zeros((count, points.shape[1]), points.dtype)
    centres, _ = jax.lax.fori_loop(0, count, draw, (empty, far))
    return jax.lax.fori_loop(0, turns, move, centres)


def squares(x: Float[Array, "b d"], centres: Float[Array, "m d"]) -> Float[Array, "b m"]:
    """Squared distances, by differences: |x|² - 2xc + |c|² would round as much as they measure."""
    return jnp.square(x[:, None] - centres[None]).sum(-1)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("points", "weights", "polynomial", "shift", "scale"),
    meta_fields=("kernel", "epsilon", "degree"),
)
@dataclasses.dataclass(frozen=True)
class Interpolant:
    """A function through given values at given points, see `interpolated`."""

    points: Float[Array, "n d"]
    weights: Float[Array, "n k"]
    polynomial: Float[Array, "terms k"]
    shift: Float[Array, "d"]
    scale: Float[Array, "d"]
    kernel: str
    epsilon: float
    degree: int

    def __call__(self, x: Float[Array, "b d"]) -> Float[Array, "b k"]:
        """Its values at points x."""
        bumps = _kernel(self.kernel)(squares(x, self.points) * self.epsilon**2)
        terms = _monomials((x - self.shift[None]) / self.scale[None], self.degree)
        return bumps @ self.weights + terms @ self.polynomial


def interpolated(
    points: Float[Array, "n d"],
    values: Float[Array, "n k"],
    *,
    kernel: str = "thin_plate_spline",
    epsilon: float = 1.0,
    smoothing: float | Array = 0.0,
    degree: int | None = None,
) -> Interpolant:
    """Σ wᵢ kernel(epsilon |x - xᵢ|) and a polynomial, through the values, or nearly: SciPy's
    `RBFInterpolator`.

    Solves [[K + smoothing I, P], [Pᵀ, 0]] [w, c] = [values, 0]. epsilon matters for the smooth
    kernels; degree is the polynomial's, -1 for none, by default the least that the kernel needs but
    at least 0.
    """
    function = _kernel(kernel)
    degree = max(DEGREES.get(kernel, -1), 0) if degree is None else degree
    count, terms = len(points), math.comb(degree + points.shape[1], points.shape[1])
    if count < terms:
        raise errors.InputError(
            f"Interpolation with a polynomial of degree {degree} in {points.shape[1]} variables "
            f"must have at least {terms} points, got {count}."
        )
    _check_points(points, smoothing)
    low, high = points.min(0), points.max(0)
    shift, scale = (low + high) / 2, (high - low) / 2
    scale = jnp.where(scale > 0, scale, 1)
    bumps = function(squares(points, points) * epsilon**2) + smoothing * jnp.eye(count)
    powers = _monomials((points - shift[None]) / scale[None], degree)
    corner = jnp.zeros((terms, terms), points.dtype)
    system = jnp.block([[bumps, powers], [powers.T, corner]])
    wanted = jnp.concatenate([values, jnp.zeros((terms, values.shape[1]), values.dtype)])
    found = jnp.linalg.solve(system, wanted)
    return Interpolant(points, found[:count], found[count:], shift, scale, kernel, epsilon, degree)


def _check_points(points: Array, smoothing: float | Array) -> None:
    """Without smoothing the equations of two equal points have no single solution; what is traced
    is let pass.
    """
    if any(isinstance(x, jax.core.Tracer) for x in (points, smoothing)) or smoothing:
        return
    again = len(points) - len(np.unique(points, axis=0))
    if again:
        raise errors.InputError(
            f"Points of an interpolation without smoothing must differ, got {again} again. "
            "Leave them out, or set smoothing."
        )


def _kernel(name: str) -> Callable[[Array], Array]:
    known = SMOOTH | SPLINES
    if name not in known:
        raise errors.InputError(
            f"An interpolation's kernel must be {', '.join(known)}, got {name!r}."
        )
    return known[name]


def _monomials(x: Float[Array, "n d"], degree: int) -> Float[Array, "n terms"]:
    """All products of at most `degree` of the variables; none for a negative degree."""
    columns = range(x.shape[1])
    chosen = [
        list(these)
        for size in range(degree + 1)
        for these in itertools.combinations_with_replacement(columns, size)
    ]
    terms = [jnp.prod(x[:, np.asarray(these, int)], axis=1) for these in chosen]
    return jnp.stack(terms, axis=1) if terms else jnp.zeros((x.shape[0], 0), x.dtype)


def _root(s: Array) -> Array:
    """The square root, whose derivative at 0 is 0."""
    return jnp.where(s > 0, jnp.sqrt(jnp.where(s > 0, s, 1)), 0)


def _log_widths(centres: Float[Array, "m d"], spread: float | Array) -> Float[Array, "m"]:
    apart = squares(centres, centres)
    nearest = jnp.sort(apart, axis=1)[:, 1:3].mean(1)  # the first is the centre itself
    # Centres that fell together (fewer points than centres) get the width of the others, or 1.
    typical = jnp.where(nearest.max() > 0, nearest.mean(), 1)
    return jnp.log(spread * jnp.sqrt(jnp.where(nearest > 0, nearest, typical)))
