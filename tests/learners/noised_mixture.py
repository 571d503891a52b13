"""What can be known of a mixture of Gaussians in noise, in closed form, and tests made of it."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl.data import gaussians

WIDE = gaussians.Grid(side=3, spacing=1.0, sigma=0.3)  # modes that overlap: nothing is 0 or 1


def exact_data(x, signal, noise, grid):
    """The mean of the data given points x = signal·data + noise·ε of shape (b, 2).

    Each Gaussian of the mixture gives x a Gaussian of its own, of variance signal²σ² + noise², and
    its data a mean linear in x; the posterior weighs them.
    """
    centres = jnp.asarray(grid.centres, jnp.float32)[None]
    signal, noise = (jnp.broadcast_to(value, x.shape[:1])[:, None] for value in (signal, noise))
    variance = (signal * grid.sigma) ** 2 + noise**2
    away = x[:, None] - signal[..., None] * centres
    weights = jax.nn.softmax(-(away**2).sum(-1) / (2 * variance), axis=-1)
    means = centres + (signal * grid.sigma**2 / variance)[..., None] * away
    return (weights[..., None] * means).sum(1)


class Beside:
    """A model that says what `exact(x, time)` says, and something else as far as it learns to.

    The gradient of a mean square error in the weights beside the exact answer is its error's
    product with waves over the plane and time: zero in the mean for the conditional expectation,
    and for nothing else.
    """

    def __init__(self, exact):
        self.exact = exact

    def init(self, keys, x, time, label, train):
        return {"params": {"weights": jnp.zeros((14, 2))}}

    def apply(self, variables, x, time, label, train, rngs=None, mutable=None):
        angles = x @ jnp.float32([[2, 1, -1, 4, 0], [0, 1, 3, -2, 5]]) + time[:, None]
        waves = [jnp.sin(angles), jnp.cos(angles), x, time[:, None], jnp.ones_like(time)[:, None]]
        outputs = self.exact(x, time) + jnp.concatenate(waves, -1) @ variables["params"]["weights"]
        return outputs if mutable is None else (outputs, {})


def pull(learner, batches=40, size=5000):
    """How many standard errors the learner's first step moves the weights of a `Beside`, at most.

    The learner's optimizer is plain gradient descent; each batch is another draw of the mixture.
    """
    points = gaussians.draw(batches * size, seed=0, grid=WIDE).reshape(batches, size, 2)
    state = learner.init(jax.random.key(0), {"input": points[0]})

    def moved(points, key):
        return learner.step(state, {"input": points}, key)[0].params["weights"]

    keys = jax.random.split(jax.random.key(1), batches)
    moves = np.asarray(
        jax.jit(lambda *all: jax.lax.map(lambda each: moved(*each), all))(points, keys)
    )
    return np.abs(moves.mean(0) / (moves.std(0, ddof=1) / np.sqrt(batches))).max()
