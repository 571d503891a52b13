"""Dropout (Srivastava et al. 2014), of units or of a whole branch, whose rate may be a value in the
program.

flax.linen's asks the rate whether it is 0 or 1, which a traced one, that of a sweep in one program,
cannot answer.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Dropout(nn.Module):
    """Zeros a part `rate` of x in training and divides the rest by 1 - rate.

    rate: a number in [0, 1), or a traced one. A plain 0 costs nothing; a traced one always draws.
    Randomness: the collection "dropout". A plain rate gives the bits of flax.linen's Dropout.
    """

    rate: float | jax.Array

    @nn.compact
    def __call__(self, x: Float[Array, "*b"], train: bool) -> Float[Array, "*b"]:
        if not train or (isinstance(self.rate, int | float) and self.rate == 0):
            return x
        keep = 1.0 - self.rate
        mask = jax.random.bernoulli(self.make_rng("dropout"), keep, x.shape)
        # In x's dtype, as a plain number is: a traced float32 would widen bfloat16.
        return jnp.where(mask, x / jnp.asarray(keep, x.dtype), jnp.zeros_like(x))


class StochasticDepth(nn.Module):
    """Drops an example's whole branch x with probability `rate` in training, and divides the others
    by 1 - rate (Huang et al. 2016).
    """

    rate: float | jax.Array

    @nn.compact
    def __call__(self, x: Float[Array, "b *d"], train: bool) -> Float[Array, "b *d"]:
        ones = jnp.ones((x.shape[0], *[1] * (x.ndim - 1)), x.dtype)
        return x * Dropout(self.rate, name="branch")(ones, train)
