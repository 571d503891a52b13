"""The variational autoencoder's two networks: a posterior over codes, a likelihood of the input.

Kingma and Welling, "Auto-encoding variational Bayes" (2013). Conditional: Sohn, Lee and Yan,
"Learning structured output representation using deep conditional generative models" (2015).
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxdl import errors
from jaxdl.nn import limits

Label = Integer[Array, "b"] | None


class Posterior(NamedTuple):
    """Independent normal distributions of a code's units; both arrays are (b, latent)."""

    mean: Array
    log_variance: Array

    def drawn(self, noise: Float[Array, "s b d"]) -> Float[Array, "s b d"]:
        """Codes from standard normal noise (the reparametrisation trick, section 2.4)."""
        return self.mean[None] + jnp.exp(self.log_variance / 2)[None] * noise

    def log_density(self, z: Float[Array, "s b d"]) -> Float[Array, "s b"]:
        """log q(z | x) in nats."""
        return normal_log_density(z, self.mean[None], self.log_variance[None]).sum(-1)

    def divergence(self) -> Float[Array, "b d"]:
        """KL(q(z | x) || N(0, 1)) of each unit in nats (the paper's appendix B)."""
        return (jnp.exp(self.log_variance) + self.mean**2 - 1 - self.log_variance) / 2


class VAE(nn.Module):
    """Any encoder and any decoder, called as `module(x, train=...)`; mlp.MLP serves.

    encoder: gives 2 latent numbers, the means and log-variances of the code's units.
    decoder: from a code of shape (b, latent), as many numbers as the input has.
    likelihood: "bernoulli" of inputs in [0, 1], the decoder's numbers being logits; "gaussian", the
        numbers being means and the variance one learnt number for all elements.
    classes: of a conditional model, how many labels there are; a label joins what both networks
        read, as further channels: one-hot, the same at each place.
    """

    encoder: nn.Module
    decoder: nn.Module
    latent: int
    likelihood: str = "bernoulli"  # or "gaussian"
    classes: int | None = None

    def __post_init__(self) -> None:
        limits.at_least(1, "VAE's latent", self.latent)
        limits.at_least(2, "VAE's classes", self.classes)
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise errors.InputError(
                f'VAE\'s likelihood must be "bernoulli" or "gaussian", got {self.likelihood!r}.'
            )
        super().__post_init__()

    def setup(self) -> None:
        if self.likelihood == "gaussian":
            self.log_variance = self.param("log_variance", nn.initializers.zeros, ())

    def __call__(
        self,
        x: Float[Array, "b *shape"],
        noise: Float[Array, "s b d"],
        label: Label = None,
        train: bool = False,
    ) -> tuple[Posterior, Float[Array, "s b"]]:
        """The posterior of each example, and log p(x | z) of the codes drawn with the noise."""
        posterior = self.encode(x, label, train)
        return posterior, self.log_likelihood(x, posterior.drawn(noise), label, train)

    def encode(
        self, x: Float[Array, "b *shape"], label: Label = None, train: bool = False
    ) -> Posterior:
        """q(z | x)."""
        outputs = self.encoder(self._joined(x, label), train=train)
        if outputs.shape[-1] != 2 * self.latent:
            raise errors.InputError(
                f"VAE's encoder must give 2 x latent = {2 * self.latent} numbers, "
                f"got {outputs.shape[-1]}."
            )
        mean, log_variance = jnp.split(outputs.astype(jnp.float32), 2, axis=-1)
        return Posterior(mean, log_variance)

    def log_likelihood(
        self,
        x: Float[Array, "b *shape"],
        z: Float[Array, "s b d"],
        label: Label = None,
        train: bool = False,
    ) -> Float[Array, "s b"]:
        """log p(x | z) in nats, summed over the elements of an example."""
        draws, size = len(z), x.shape[0]
        labels = None if label is None else jnp.tile(label, draws)
        outputs = self._decoded(z.reshape(draws * size, -1), labels, train)
        flat = x.reshape(1, size, -1)
        outputs = outputs.reshape(draws, size, -1)
        if outputs.shape[-1] != flat.shape[-1]:
            raise errors.InputError(
                f"VAE's decoder must give as many numbers as the input has, {flat.shape[-1]}, "
                f"got {outputs.shape[-1]}."
            )
        if self.likelihood == "gaussian":
            terms = normal_log_density(flat, outputs, self.log_variance)
        else:
            terms = flat * outputs - jax.nn.softplus(outputs)
        return terms.sum(-1)

    def decode(
        self, z: Float[Array, "b d"], label: Label = None, train: bool = False
    ) -> Float[Array, "b n"]:
        """The mean of p(x | z), its elements in one row."""
        outputs = self._decoded(z, label, train).reshape(z.shape[0], -1)
        return outputs if self.likelihood == "gaussian" else jax.nn.sigmoid(outputs)

    def _decoded(self, z: Float[Array, "b d"], label: Label, train: bool) -> Array:
        return self.decoder(self._joined(z, label), train=train).astype(jnp.float32)

    def _joined(self, x: Float[Array, "b *shape"], label: Label) -> Float[Array, "b *joined"]:
        if (label is None) != (self.classes is None):
            raise errors.InputError(
                "VAE must have labels where it has classes, and only there, got "
                f"classes={self.classes} and {'no' if label is None else 'a'} label."
            )
        if label is None or self.classes is None:
            return x
        code = jax.nn.one_hot(label, self.classes, dtype=x.dtype)
        code = code.reshape(x.shape[0], *(1,) * (x.ndim - 2), self.classes)
        code = jnp.broadcast_to(code, (*x.shape[:-1], self.classes))
        return jnp.concatenate([x, code], axis=-1)


def normal_log_density(x: Array, mean: Array, log_variance: Array) -> Array:
    """Of each element, in nats; the shapes must broadcast."""
    scaled = (x - mean) ** 2 * jnp.exp(-log_variance)
    return -(scaled + log_variance + math.log(2 * math.pi)) / 2
