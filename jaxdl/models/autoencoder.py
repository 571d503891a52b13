"""Autoencoders: a code of the input from which the input is rebuilt.

Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural networks" (2006). Sparse
ones: Makhzani and Frey, "k-sparse autoencoders" (2013); Gao et al., "Scaling and evaluating sparse
autoencoders" (2024).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import limits

Pair = tuple[Float[Array, "b code"], Float[Array, "b *shape"]]  # the code, and the input rebuilt


class Autoencoder(nn.Module):
    """Any encoder, and any decoder that gives as many numbers as the input has.

    Both are called as `module(x, train=...)`; mlp.MLP serves. The code is what the encoder gives.
    """

    encoder: nn.Module
    decoder: nn.Module

    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Pair:
        code = self.encoder(x, train=train)
        outputs = self.decoder(code, train=train)
        if outputs.size != x.size:
            raise errors.InputError(
                "Autoencoder's decoder must give as many numbers as the input has, "
                f"{x.size // len(x)}, got {outputs.size // len(x)}."
            )
        return code, outputs.reshape(x.shape)


class SparseAutoencoder(nn.Module):
    """A dictionary of `units` atoms of unit length; few of them make up an input.

    code = strongest(relu((x - offset) kernel + bias)), outputs = code atoms + offset. The kernel
    begins as the transposed atoms, which leaves few units without use (Gao et al., section 2.4).

    active: how many units of a code may differ from zero; None leaves the choice to a penalty,
        which the unit length keeps from being escaped by small codes and long atoms.
    """

    units: int
    active: int | None = None

    def __post_init__(self) -> None:
        limits.at_least(1, "SparseAutoencoder's units", self.units)
        limits.at_least(1, "SparseAutoencoder's active", self.active)
        if self.active is not None and self.active > self.units:
            raise errors.InputError(
                f"SparseAutoencoder's active must be at most its {self.units} units, "
                f"got {self.active}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *shape"], train: bool = False) -> Pair:
        flat = x.reshape(x.shape[0], -1)
        width = flat.shape[-1]
        atoms = unit(self.param("atoms", nn.initializers.normal(1.0), (self.units, width)))
        kernel = self.param("kernel", lambda _: jnp.asarray(atoms.T))
        bias = self.param("bias", nn.initializers.zeros, (self.units,))
        offset = self.param("offset", nn.initializers.zeros, (width,))
        code = nn.relu((flat - offset[None]) @ kernel + bias[None])
        if self.active is not None:
            code = strongest(code, self.active)
        return code, (code @ atoms + offset[None]).reshape(x.shape)


def unit(rows: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Each row divided by its length."""
    return rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)


def strongest(code: Float[Array, "b n"], count: int) -> Float[Array, "b n"]:
    """The `count` largest of each row, and those equal to the least of them; the rest is zero."""
    least = jax.lax.top_k(jax.lax.stop_gradient(code), count)[0][:, -1:]
    return jnp.where(code >= least, code, 0)
