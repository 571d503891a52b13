"""The transformer's block, normalising first (Xiong et al. 2020) or last (Vaswani et al. 2017)."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.nn import attention, dense, dropout, layer_norm, layout

# The definition, where `jax.nn.gelu` by itself is its tanh form.
exact_gelu = functools.partial(jax.nn.gelu, approximate=False)


class MLP(nn.Module):
    """Two affine layers with an activation between, position by position: `up` and `down`."""

    hidden: int
    act: Callable[[Array], Array] = jax.nn.gelu  # the tanh form, GPT-2's
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: attention.Initializer = nn.initializers.lecun_normal()
    output_init: attention.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        width = x.shape[-1]
        affine = functools.partial(dense.Dense, use_bias=self.use_bias, dtype=self.dtype)
        x = affine(self.hidden, kernel_init=self.kernel_init, name="up")(x)
        x = layout.constrain(x, "batch", None, "tensor")
        return affine(width, kernel_init=self.output_init, name="down")(self.act(x))


class GatedMLP(nn.Module):
    """down(act(gate(x)) * up(x)), without biases: Shazeer (2020), "GLU variants improve
    transformer"; with the default, SiLU, it is SwiGLU.
    """

    hidden: int
    act: Callable[[Array], Array] = jax.nn.silu
    dtype: Any = jnp.float32
    kernel_init: attention.Initializer = nn.initializers.lecun_normal()
    output_init: attention.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: Float[Array, "b t d"]) -> Float[Array, "b t d"]:
        gate, up = (
            dense.Dense(self.hidden, False, self.dtype, kernel_init=self.kernel_init, name=name)
            for name in ("gate", "up")
        )
        down = dense.Dense(
            x.shape[-1], False, self.dtype, kernel_init=self.output_init, name="down"
        )
        y = layout.constrain(self.act(gate(x)) * up(x), "batch", None, "tensor")
        return down(y)


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), each branch with dropout.

    mlp: makes another than `MLP`, given name, dtype and initializers. use_bias: of the attention.
    first: whether to normalise first; else norm(x + attention(x)), then norm(x + mlp(x)), as BERT.
    Parameters: `norm_1`, `attention`, `norm_2`, `mlp`.
    """

    heads: int
    groups: int | None = None
    causal: bool = False
    rotary: float | None = None
    expansion: int = 4
    dropout: float | Array = 0.0
    act: Callable[[Array], Array] = jax.nn.gelu
    norm: Callable[..., Any] = layer_norm.LayerNorm
    first: bool = True
    mlp: Callable[..., Any] | None = None
    use_bias: bool = True
    dtype: Any = jnp.float32
    kernel_init: attention.Initializer = nn.initializers.lecun_normal()
    output_init: attention.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t d"],
        train: bool = False,
        cache: attention.Cache | None = None,
        start: Int[Array, ""] | int = 0,
        mask: Bool[Array, "#b #t s"] | None = None,
    ) -> tuple[Float[Array, "b t d"], attention.Cache | None]:
        """The block's output, and the cache; cache, start and mask as of `attention.MultiHead`."""
        shared = {
            "dtype": self.dtype,
            "kernel_init": self.kernel_init,
            "output_init": self.output_init,
        }
        attend = attention.MultiHead(
            self.heads,
            self.groups,
            self.causal,
            self.rotary,
            use_bias=self.use_bias,
            name="attention",
            **shared,
        )
        norms = [self.norm(dtype=self.dtype, name=f"norm_{n}") for n in (1, 2)]
        before, after = (norms, [_same] * 2) if self.first else ([_same] * 2, norms)
        make = self.mlp or functools.partial(MLP, self.expansion * x.shape[-1], self.act)
        mlp = make(name="mlp", **shared)
        x = layout.constrain(x, "batch")
        y, cache = attend(before[0](x), cache, start, mask)
        x = after[0](x + dropout.Dropout(self.dropout, name="dropout_1")(y, train))
        y = mlp(before[1](x))
        x = after[1](x + dropout.Dropout(self.dropout, name="dropout_2")(y, train))
        return layout.constrain(x, "batch"), cache


def _same(x: Array) -> Array:
    return x


# Where a block's parameters lie on a mesh: (pattern of the path, an axis or None for each
# dimension), for the rules of models. Columns of what goes into heads and hidden units and rows of
# what comes out of them share the axis `tensor`, so that each block needs two sums over it (Shoeybi
# et al. 2019, section 3); the other dimension goes over `fsdp`.
RULES = (
    (r"attention/(query|key|value)/kernel$", ("fsdp", "tensor")),
    (r"attention/(query|key|value)/bias$", ("tensor",)),
    (r"attention/output/kernel$", ("tensor", "fsdp")),
    (r"mlp/(gate|up)/kernel$", ("fsdp", "tensor")),
    (r"mlp/up/bias$", ("tensor",)),
    (r"mlp/down/kernel$", ("tensor", "fsdp")),
)


def rematerialised(policy: str, block: type[nn.Module] = Block) -> type[nn.Module]:
    """A block with what its backward pass finds saved (Chen et al. 2016); the same parameters.

    "none": all it needs, no recomputation. "block": the block's input alone, for one more forward
    pass. "dots": the products with kernels too; attention and activations are computed again.
    """
    if policy not in ("none", "block", "dots"):
        raise errors.InputError(f"remat must be none, block or dots, got {policy!r}.")
    if policy == "none":
        return block
    saved = None if policy == "block" else jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    return nn.remat(block, policy=saved, static_argnums=(2,))  # of (self, x, train, ...)
