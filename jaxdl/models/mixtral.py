"""Mixtral: a sparse mixture of experts (Jiang et al. 2024, "Mixtral of Experts"): Llama's
transformer in which each token's MLP is two of eight, chosen by a router.

Shazeer et al. (2017) choose the k likeliest experts; the loss that keeps all of them busy is that
of the Switch Transformer (Fedus et al. 2021, equations 4 to 6).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import classification
from jaxdl.models import llama, pretrained, tensor_layouts
from jaxdl.nn import attention, decoding, dense, layer_norm, layout, limits, transformer


class Outputs(NamedTuple):
    """Logits of the next token, and the router's of the experts in every block."""

    logits: Float[Array, "b n v"]
    router: Float[Array, "b n depth e"]


class Experts(nn.Module):
    """Gated MLPs, of which each token goes through the `chosen` that the router finds likeliest,
    weighted by its softmax over them. No token is dropped, and no other expert is computed.

    Returns the outputs and the router's logits. Parameters: `router/kernel` (d, e), and the
    experts' in stacks, to be cut by expert: `gate`, `up` (e, d, hidden), `down` (e, hidden, d).
    """

    experts: int
    chosen: int
    hidden: int
    act: Callable[[Array], Array] = jax.nn.silu
    dtype: Any = jnp.float32
    kernel_init: attention.Initializer = nn.initializers.lecun_normal()
    output_init: attention.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"]
    ) -> tuple[Float[Array, "b t d"], Float[Array, "b t e"]]:
        shape = (self.experts, x.shape[-1], self.hidden)
        gate = self.param("gate", self.kernel_init, shape).astype(self.dtype)
        up = self.param("up", self.kernel_init, shape).astype(self.dtype)
        down = self.param("down", self.output_init, (shape[0], shape[2], shape[1]))
        router = dense.Dense(
            self.experts, False, self.dtype, kernel_init=self.kernel_init, name="router"
        )
        rows = dense.rows(x)
        logits = router(rows).astype(jnp.float32)
        weight, expert = jax.lax.top_k(jax.nn.softmax(logits), self.chosen)
        weight = weight / weight.sum(-1, keepdims=True)
        # One row for each token and expert it goes to, those of an expert side by side.
        order = jnp.argsort(expert.reshape(-1), stable=True)
        token = order // self.chosen
        counts = jnp.bincount(expert.reshape(-1), length=self.experts)
        one = functools.partial(jax.lax.ragged_dot, group_sizes=counts)
        rows = jnp.take(rows, token, axis=0)
        y = one(self.act(one(rows, gate)) * one(rows, up), down.astype(self.dtype))
        y = y * weight.reshape(-1)[order][:, None].astype(self.dtype)
        y = jnp.zeros((x.shape[0] * x.shape[1], x.shape[2]), y.dtype).at[token].add(y)
        return y.reshape(x.shape), logits.reshape(*x.shape[:2], self.experts)


class Block(nn.Module):
    """x + attention(norm(x)), then x + experts(norm(x)).

    Parameters: `norm_1`, `attention`, `norm_2`, `experts`.
    """

    heads: int
    groups: int | None
    rotary: float
    norm: Callable[..., nn.Module]
    experts: Callable[..., nn.Module]
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
    ) -> tuple[Float[Array, "b t d"], attention.Cache | None, Float[Array, "b t e"]]:
        shared: Any = {
            "dtype": self.dtype,
            "kernel_init": self.kernel_init,
            "output_init": self.output_init,
        }
        attend = attention.MultiHead(
            self.heads, self.groups, True, self.rotary, use_bias=False, name="attention", **shared
        )
        x = layout.constrain(x, "batch")
        y, cache = attend(self.norm(dtype=self.dtype, name="norm_1")(x), cache, start)
        x = x + y
        y, router = self.experts(name="experts", **shared)(
            self.norm(dtype=self.dtype, name="norm_2")(x)
        )
        return layout.constrain(x + y, "batch"), cache, router


class Mixtral(nn.Module):
    """A language model: integer tokens (b, n), n up to `length`, to `Outputs`.

    experts, chosen: how many there are in a block, and how many a token goes through. hidden: of
    each. The other fields as of `llama.Llama`; parameters too, with `experts` (see `Experts`) in
    the place of `mlp`.
    """

    vocabulary: int = 32000
    length: int = 32768
    width: int = 4096
    depth: int = 32
    heads: int = 32
    groups: int | None = 8
    hidden: int = 14336
    experts: int = 8
    chosen: int = 2
    rotary: float = 1e6
    epsilon: float = 1e-5
    tied: bool = False
    dtype: Any = jnp.float32
    remat: str = "none"

    def __post_init__(self) -> None:
        llama.check("Mixtral", self)
        for name in ("hidden", "experts", "chosen"):
            limits.at_least(1, f"Mixtral's {name}", getattr(self, name))
        if self.chosen > self.experts:
            raise errors.InputError(
                "Mixtral's chosen must be at most its experts, "
                f"got {self.chosen} of {self.experts}."
            )
        transformer.rematerialised(self.remat)
        super().__post_init__()

    def __call__(self, x: Int[Array, "b n"], train: bool = False) -> Outputs:
        """Logits of the next token after each of x's, and the router's."""
        logits, _, router = self.advance(x, None, train)
        return Outputs(logits, router)

    @nn.compact
    def advance(
        self, x: Int[Array, "b n"], cache: decoding.Cache | None = None, train: bool = False
    ) -> tuple[Float[Array, "b n v"], decoding.Cache | None, Float[Array, "b n depth e"]]:
        """Logits, the cache with x read in, and the router's logits."""
        decoding.check_tokens("Mixtral", x, self.length)
        norm = functools.partial(layer_norm.RMSNorm, epsilon=self.epsilon)
        make = functools.partial(
            transformer.rematerialised(self.remat, Block),
            self.heads,
            self.groups,
            self.rotary,
            norm,
            functools.partial(Experts, self.experts, self.chosen, self.hidden),
            dtype=self.dtype,
            kernel_init=nn.initializers.normal(0.02),
            output_init=nn.initializers.normal(0.02 * (2 * self.depth) ** -0.5),  # as GPT-2's
        )
        last = norm(dtype=self.dtype, name="norm")
        logits, cache, routers = decoding.decoded(
            self, lambda n: make(name=f"block_{n}"), last, x, cache, train
        )
        return logits, cache, jnp.stack([router for (router,) in routers], axis=2)

    def empty_cache(self, batch: int) -> decoding.Cache:
        """The cache of a model that has read nothing yet."""
        groups, width = self.groups or self.heads, self.width // self.heads
        return decoding.empty_cache(batch, self.length, self.depth, groups, width, self.dtype)


mixtral_8x7b = functools.partial(Mixtral)  # table 1 of the paper: 46,702,792,704 parameters

# Where parameters lie on a mesh, for Run.rules: whole experts share the axis `tensor`.
RULES = (
    *llama.RULES,
    (r"experts/(gate|up)$", ("tensor", "fsdp", None)),
    (r"experts/down$", ("tensor", None, "fsdp")),
)


def shares(router: Float[Array, "b n depth e"], chosen: int) -> Float[Array, "e"]:
    """Of the tokens in all blocks the part that goes through each expert; `chosen` in all."""
    experts = router.shape[-1]
    _, picked = jax.lax.top_k(router, chosen)
    return jax.nn.one_hot(picked, experts).reshape(-1, chosen, experts).mean(0).sum(0)


def balance(router: Float[Array, "b n depth e"], chosen: int) -> Float[Array, ""]:
    """e times the sum over experts of their share of tokens times that of probability: `chosen`
    where all are equal, up to e where the same few get all.
    """
    probability = dense.rows(jax.nn.softmax(router)).mean(0)
    return router.shape[-1] * (shares(router, chosen) * probability).sum()


def loss(
    outputs: Outputs, batch: dict[str, Any], chosen: int, weight: float | Array
) -> dict[str, Any]:
    """The next token's cross-entropy, to which "loss" adds `weight` times the balance.

    "busiest": the largest part of the choices that falls on one expert; 1 / e where all are equal.
    """
    measured = classification.in_bits(outputs.logits, batch)
    uneven = balance(outputs.router, chosen)
    total, count = measured["loss"].total, measured["loss"].count
    return measured | {
        "loss": metrics.Mean(total + weight * uneven * count, count),
        "balance": metrics.Mean.of(uneven),
        "busiest": metrics.Mean.of(shares(outputs.router, chosen).max() / chosen),
    }


def _to_config(model: Mixtral) -> pretrained.Config:
    return llama.to_config(model) | {
        "num_local_experts": model.experts,
        "num_experts_per_tok": model.chosen,
    }


def _from_config(config: pretrained.Config) -> Mixtral:
    return Mixtral(
        **llama.from_config(config),
        experts=config["num_local_experts"],
        chosen=config["num_experts_per_tok"],
    )


_Row = pretrained.Tensor
_MIXTURE, _OURS = "model.layers.{n}.block_sparse_moe.", "block_{n}/experts/"
_EXPERT = _MIXTURE + "experts.{e}."
PRETRAINED = (
    pretrained.Format(
        model=Mixtral,
        model_type="mixtral",
        architectures=("MixtralForCausalLM",),
        module=_from_config,
        config=_to_config,
        tensors=(
            *llama.TENSORS,
            _Row(_MIXTURE + "gate.weight", _OURS + "router/kernel", tensor_layouts.TRANSPOSED),
            _Row(_EXPERT + "w1.weight", _OURS + "gate", tensor_layouts.TRANSPOSED),
            _Row(_EXPERT + "w3.weight", _OURS + "up", tensor_layouts.TRANSPOSED),
            _Row(_EXPERT + "w2.weight", _OURS + "down", tensor_layouts.TRANSPOSED),
        ),
        supported={"hidden_act": ("silu",), "sliding_window": (None,)},
        prefix="model.",
        ignored=(r"rotary_emb\.inv_freq$",),
        copies={"lm_head.weight": "model.embed_tokens.weight"},
    ),
)
