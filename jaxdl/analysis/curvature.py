"""The loss around a trained state: noise of its gradients, its Hessian, influence of examples.

All by products with the Hessian (Pearlmutter, "Fast Exact Multiplication by the Hessian", 1994);
the matrix itself is never made. What is looked at is the loss that evaluation has, without dropout,
as a function of the parameters.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics

Product = Callable[[Float[Array, "d"]], Float[Array, "d"]]  # of the Hessian with a vector
AT_ONCE = 32  # examples whose gradients are in memory together


class Surface(NamedTuple):
    """A loss of one flat vector of parameters, and the vector at which it is looked at.

    loss: (vector, batch) -> its total over the examples, and their number; with the arrays it reads
    as its arguments, so that programs take them and do not hold them.
    """

    at: Float[Array, "d"]
    loss: jax.tree_util.Partial

    def mean(self, vector: Float[Array, "d"], batch: Any) -> Float[Array, ""]:
        """The mean loss of a batch."""
        found = self.loss(vector, batch)
        return found.total / found.count


class Noise(NamedTuple):
    """How far the gradients of single examples lie apart.

    scale: the batch size beyond which larger batches help little, trace / square.
    trace: of the covariance of the gradients of single examples. square: of the true gradient's
    norm. Both unbiased; where the noise hides the gradient, square may be below 0, and the scale
    is infinite. norms: of the examples' gradients.
    """

    scale: Float[Array, ""]
    trace: Float[Array, ""]
    square: Float[Array, ""]
    norms: Float[Array, "b"]


class Spectrum(NamedTuple):
    """Ritz values of a Hessian, the largest first, the ends of which are close to eigenvalues.

    bounds: so near to each of them lies an eigenvalue.
    """

    values: Float[Array, "m"]
    bounds: Float[Array, "m"]


class Influence(NamedTuple):
    """values: how the mean loss of the test examples changes per weight given to an example of
    training. residual: of the linear system, relative; where it is not small, more iterations or
    more damping are needed, the latter where the Hessian has negative eigenvalues.
    """

    values: Float[Array, "b"]
    residual: Float[Array, ""]


def surface(taught: learner.Learner, state: Any, key: learner.Key | None = None) -> Surface:
    """The loss of a gradient learner's evaluation, as a function of its parameters.

    Of a learner that evaluates an average of its parameters, a function of the average. key: of
    what the evaluation draws. errors.InputError: the state has no `params` of floats.
    """
    key = jax.random.key(0) if key is None else key
    at, _ = _vector(parameters(state))
    return Surface(at, jax.tree_util.Partial(_Loss(taught), state, key))


def parameters(state: Any) -> Any:
    """The `params` that a gradient learner's evaluation reads: their average where it has one.

    errors.InputError: the state has no `params` of floats.
    """
    average = getattr(state, "average", None)
    params = getattr(state if average is None else average, "params", None)
    leaves = jax.tree.leaves(params)
    if not leaves or not all(jnp.issubdtype(x.dtype, jnp.floating) for x in leaves):
        raise errors.InputError(
            "Gradients must be those of a learner that follows them, whose state has `params` of "
            f"floats, got a state of kind {type(state).__name__}."
        )
    return params


def evaluated(
    taught: learner.Learner, state: Any, params: Any, batch: learner.Batch, key: learner.Key
) -> metrics.Mean:
    """The loss of an evaluation with these in place of the state's `parameters`.

    errors.InputError: the evaluation has no mean `loss`.
    """
    average = getattr(state, "average", None)
    if average is None:
        state = state._replace(params=params)
    else:
        state = state._replace(params=params, average=average._replace(params=params))
    found = taught.evaluate(state, batch, key)
    if not isinstance(found.get("loss"), metrics.Mean):
        raise errors.InputError(
            "Gradients must be those of a learner whose evaluation has a mean `loss`, "
            f"got {', '.join(found) or 'nothing'}."
        )
    return found["loss"]


class _Loss(NamedTuple):
    """Equal for equal learners, so that what is compiled for one state serves the next."""

    taught: learner.Learner

    def __call__(self, state: Any, key: Any, vector: Any, batch: Any) -> metrics.Mean:
        params = parameters(state)
        _, unravel = _vector(params)
        own = jax.tree.map(lambda x, like: x.astype(like.dtype), unravel(vector), params)
        return evaluated(self.taught, state, own, batch, key)


def _vector(params: Any) -> tuple[Array, Callable[[Any], Any]]:
    wide = jax.tree.map(lambda x: x.astype(jnp.promote_types(x.dtype, jnp.float32)), params)
    return jax.flatten_util.ravel_pytree(wide)


def noise_summary(
    taught: learner.Learner, examples: learner.Batch, at_once: int = AT_ONCE
) -> Callable[[Any, learner.Key], float]:
    """A summary, for `Run.summaries`: the noise scale of the examples' gradients; compiled once."""

    def scale(state: Any, key: learner.Key) -> float:
        return float(noise_scale(surface(taught, state, key), examples, at_once).scale)

    return scale


def gradient_norms(
    surface: Surface, batch: learner.Batch, at_once: int = AT_ONCE
) -> Float[Array, "b"]:
    """The norm of the gradient of each example's loss; those of a batch have it as their mean."""
    _check(batch)
    return jnp.sqrt(_gradients(surface, batch, at_once)[0])


def noise_scale(surface: Surface, batch: learner.Batch, at_once: int = AT_ONCE) -> Noise:
    """The simple noise scale, tr(Σ) / |G|², of McCandlish et al., "An Empirical Model of
    Large-Batch Training" (2018), equation 2.9, from the gradients of single examples.

    Their appendix A.1, with batches of one and of all: with the mean m of the n squared norms and
    the square s of the mean's norm, tr(Σ) = (m - s) n / (n - 1) and |G|² = s - tr(Σ) / n.
    """
    count = _check(batch)
    if count < 2:
        raise errors.InputError(f"The noise of gradients must be of 2 examples, got {count}.")
    squares, mean = _gradients(surface, batch, at_once)
    whole = jnp.sum(mean**2)
    trace = (squares.mean() - whole) * count / (count - 1)
    square = whole - trace / count
    scale = jnp.where(square > 0, trace / jnp.where(square > 0, square, 1), jnp.inf)
    return Noise(scale, trace, square, jnp.sqrt(squares))


def hessian(surface: Surface, batch: learner.Batch) -> Product:
    """The product of a batch's mean loss's Hessian with a vector: forward over reverse."""
    gradient = jax.grad(lambda vector: surface.mean(vector, batch))
    return lambda vector: jax.jvp(gradient, (surface.at,), (vector,))[1]


def spectrum(
    surface: Surface, batch: learner.Batch, iterations: int = 64, key: learner.Key | None = None
) -> Spectrum:
    """Ritz values of the Hessian of a batch's mean loss, by Lanczos's iteration (1950).

    iterations: products with the Hessian; as many vectors of d numbers are kept, at most d. With d
    of them the values are the eigenvalues, all of them. Every vector is made orthogonal to all
    before it, twice. key: of the first direction.
    """
    if iterations < 1:
        raise errors.InputError(f"Lanczos's iterations must be at least 1, got {iterations}.")
    key = jax.random.key(0) if key is None else key
    count = min(iterations, len(surface.at))
    return _lanczos(surface, batch, count, key)


def influence(
    surface: Surface,
    train: learner.Batch,
    test: learner.Batch,
    *,
    damping: float = 0.0,
    iterations: int = 100,
    at_once: int = AT_ONCE,
) -> Influence:
    """Koh and Liang, "Understanding Black-box Predictions via Influence Functions" (2017):
    -∇L(test)ᵀ (H + damping)⁻¹ ∇L(example), their equation 2, by conjugate gradients.

    H is of the mean loss of `train`; that an example of it is left out changes the test's loss by
    about -1/n of its value.
    """
    return _influence(surface, train, test, damping, iterations, at_once)


@functools.partial(jax.jit, static_argnums=2)
def _gradients(
    surface: Surface, batch: learner.Batch, at_once: int
) -> tuple[Float[Array, "b"], Float[Array, "d"]]:
    """The squared norms of the examples' gradients, and the gradients' mean."""

    def square(example: learner.Batch) -> Array:
        return jnp.sum(jax.grad(_of_example(surface, batch, example))(surface.at) ** 2)

    mean = jax.grad(surface.mean)(surface.at, batch)
    return jax.lax.map(square, batch, batch_size=at_once), mean


def _of_example(
    surface: Surface, batch: learner.Batch, example: learner.Batch
) -> Callable[[Float[Array, "d"]], Float[Array, ""]]:
    """The loss of one example, so scaled that the mean over the examples is that of the batch,
    whatever they count for (a sentence by its tokens).
    """
    examples = len(jax.tree.leaves(batch)[0])
    share = examples / surface.loss(surface.at, batch).count
    alone = jax.tree.map(lambda x: x[None], example)
    return lambda vector: share * surface.loss(vector, alone).total


def _check(batch: learner.Batch) -> int:
    """How many examples there are."""
    sizes = {x.shape[0] if x.ndim else 0 for x in jax.tree.leaves(batch)}
    if len(sizes) != 1 or sizes == {0}:
        raise errors.InputError(
            "Gradients of single examples must be of a batch whose arrays all have the examples "
            f"as their first axis, got lengths {sorted(sizes)}."
        )
    return sizes.pop()


@functools.partial(jax.jit, static_argnums=2)
def _lanczos(surface: Surface, batch: learner.Batch, count: int, key: learner.Key) -> Spectrum:
    """Of a symmetric matrix of which only products are known."""
    product, like = hessian(surface, batch), surface.at

    def apart(basis: Array, vector: Array) -> Array:
        for _ in range(2):  # once leaves a rest of the rounding (Giraud et al. 2005)
            vector = vector - basis.T @ (basis @ vector)
        return vector

    def one(i: Any, carry: Any) -> Any:
        basis, diagonal, beside, vector = carry
        basis = basis.at[i].set(vector)
        image = product(vector)
        diagonal = diagonal.at[i].set(vector @ image)
        rest = apart(basis, image)
        size = jnp.linalg.norm(rest)
        # What no product leads out of is left by another direction: eigenvalues may be multiple.
        least = jnp.finfo(like.dtype).eps * jnp.linalg.norm(image)
        fresh = apart(basis, jax.random.normal(jax.random.fold_in(key, i), like.shape, like.dtype))
        closed = size <= least
        chosen = jnp.where(closed, fresh, rest)
        beside = beside.at[i].set(jnp.where(closed, 0, size))
        tiny = jnp.finfo(like.dtype).tiny
        return basis, diagonal, beside, chosen / jnp.maximum(jnp.linalg.norm(chosen), tiny)

    first = jax.random.normal(jax.random.fold_in(key, count), like.shape, like.dtype)
    numbers = jnp.zeros(count, like.dtype)
    start = (jnp.zeros((count, *like.shape), like.dtype), numbers, numbers)
    start = (*start, first / jnp.linalg.norm(first))
    _, diagonal, beside, _ = jax.lax.fori_loop(0, count, one, start)
    off = jnp.diag(beside[:-1], 1)
    values, vectors = jnp.linalg.eigh(jnp.diag(diagonal) + off + off.T)
    return Spectrum(values[::-1], jnp.abs(beside[-1] * vectors[-1])[::-1])


@functools.partial(jax.jit, static_argnums=(4, 5))
def _influence(
    surface: Surface, train: Any, test: Any, damping: Any, iterations: int, at_once: int
) -> Influence:
    times = hessian(surface, train)

    def damped(vector: Array) -> Array:
        return times(vector) + damping * vector

    wanted = jax.grad(lambda vector: surface.mean(vector, test))(surface.at)
    solved, _ = jax.scipy.sparse.linalg.cg(
        damped, wanted, tol=float(jnp.finfo(wanted.dtype).eps), maxiter=iterations
    )
    residual = jnp.linalg.norm(damped(solved) - wanted) / jnp.linalg.norm(wanted)

    def along(example: Any) -> Array:
        loss = _of_example(surface, train, example)
        return -jax.jvp(loss, (surface.at,), (solved,))[1]

    return Influence(jax.lax.map(along, train, batch_size=at_once), residual)
