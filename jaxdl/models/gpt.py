"""GPT-2: a decoder-only transformer (Radford et al. 2019, "Language Models are Unsupervised
Multitask Learners"), with learned or rotary positions (Su et al. 2021).
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import decoding, dense, dropout, layer_norm, layout, limits, transformer


class GPT(nn.Module):
    """A language model: integer tokens (b, n), n up to `length`, to float32 logits (b, n, v).

    Dropout falls on the embeddings and on the branches of the blocks, not on attention weights.
    tied: the output uses the token embedding, as GPT-2 does; otherwise `output/kernel`.
    remat: what the backward pass computes again, see `transformer.rematerialised`.

    Parameters: `tokens/embedding` (v, width), `positions/embedding` (length, width) if learned,
    `block_0`, ... as `transformer.Block` documents, `norm`, and `output/kernel` if not tied.
    """

    vocabulary: int = 50257
    length: int = 1024
    width: int = 768
    depth: int = 12
    heads: int = 12
    groups: int | None = None
    positions: str = "learned"  # or "rotary"
    tied: bool = True
    dropout: float | Array = 0.0
    dtype: Any = jnp.float32
    remat: str = "none"

    def __post_init__(self) -> None:
        for name in ("vocabulary", "length", "width", "depth", "heads"):
            limits.at_least(1, f"GPT's {name}", getattr(self, name))
        if self.width % self.heads:
            raise errors.InputError(
                f"GPT's width must be a multiple of its heads, got {self.width} and {self.heads}."
            )
        if self.groups is not None and (self.groups < 1 or self.heads % self.groups):
            raise errors.InputError(
                f"GPT's heads must be a multiple of its groups, got {self.heads} and {self.groups}."
            )
        if self.positions not in ("learned", "rotary"):
            raise errors.InputError(
                f'GPT\'s positions must be "learned" or "rotary", got {self.positions!r}.'
            )
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise errors.InputError(
                "GPT's width per head must be even for rotary positions, "
                f"got {self.width // self.heads}."
            )
        limits.rate("GPT's dropout", self.dropout)
        transformer.rematerialised(self.remat)
        super().__post_init__()

    def __call__(self, x: Int[Array, "b n"], train: bool = False) -> Float[Array, "b n v"]:
        """Logits of the next token after each of x's."""
        return self.advance(x, None, train)[0]

    @nn.compact
    def advance(
        self, x: Int[Array, "b n"], cache: decoding.Cache | None = None, train: bool = False
    ) -> tuple[Float[Array, "b n v"], decoding.Cache | None]:
        """Logits, and the cache with x read in; x goes on after what the cache has read.

        `logits, cache = model.apply(variables, tokens, cache, method="advance")`, begun with
        `model.empty_cache(batch)`, gives what the whole sequence at once gives. The cache holds
        `length` tokens; more must not be put in.
        """
        decoding.check_tokens("GPT", x, self.length)
        start = jnp.zeros((), jnp.int32) if cache is None else cache.length
        small = nn.initializers.normal(0.02)
        embed = nn.Embed(
            self.vocabulary, self.width, dtype=self.dtype, embedding_init=small, name="tokens"
        )
        # Gathered over fsdp before it is used, as other parameters are without being told.
        table = layout.constrain(embed.embedding.astype(self.dtype), "tensor")
        y = jnp.take(table, x, axis=0)
        if self.positions == "learned":
            y = y + self._places(x.shape[1], start)[None]
        y = dropout.Dropout(self.dropout, name="dropout")(y, train)
        y = layout.constrain(y, "batch")
        make, blocks = transformer.rematerialised(self.remat), []
        for n in range(self.depth):
            block = make(
                self.heads,
                self.groups,
                causal=True,
                rotary=10_000.0 if self.positions == "rotary" else None,
                dropout=self.dropout,
                dtype=self.dtype,
                kernel_init=small,
                # What the residual stream sums grows with depth; section 2.3 of the paper.
                output_init=nn.initializers.normal(0.02 * (2 * self.depth) ** -0.5),
                name=f"block_{n}",
            )
            y, memory = block(y, train, None if cache is None else cache.blocks[n], start)
            blocks.append(memory)
        y = layer_norm.LayerNorm(dtype=self.dtype, name="norm")(y)
        if self.tied:
            logits = jnp.dot(y.reshape(-1, self.width), table.T).reshape(*x.shape, self.vocabulary)
        else:
            output = dense.Dense(
                self.vocabulary, False, self.dtype, kernel_init=small, name="output"
            )
            logits = output(y)
        cache = None if cache is None else decoding.Cache(tuple(blocks), start + x.shape[1])
        return layout.constrain(logits.astype(jnp.float32), "batch", None, "tensor"), cache

    def _places(self, count: int, start: Int[Array, ""]) -> Float[Array, "n d"]:
        init = nn.initializers.normal(0.02)
        places = nn.Embed(
            self.length, self.width, dtype=self.dtype, embedding_init=init, name="positions"
        )
        table = places.embedding.astype(self.dtype)
        return jax.lax.dynamic_slice_in_dim(table, start, count)

    def empty_cache(self, batch: int) -> decoding.Cache:
        """The cache of a model that has read nothing yet."""
        heads = self.groups or self.heads
        return decoding.empty_cache(
            batch, self.length, self.depth, heads, self.width // self.heads, self.dtype
        )


# Table 2 of the paper; the counts of parameters are those of the published files.
gpt2 = functools.partial(GPT, width=768, depth=12, heads=12)  # 124,439,808
gpt2_medium = functools.partial(GPT, width=1024, depth=24, heads=16)  # 354,823,168
gpt2_large = functools.partial(GPT, width=1280, depth=36, heads=20)  # 774,030,080
gpt2_xl = functools.partial(GPT, width=1600, depth=48, heads=25)  # 1,557,611,200

# Where parameters lie on a mesh, for Run.rules: the vocabulary's rows share the axis `tensor` too.
RULES = (
    *transformer.RULES,
    (r"tokens/embedding$", ("tensor", "fsdp")),
    (r"positions/embedding$", (None, "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
)


def _from_config(config: pretrained.Config) -> GPT:
    return GPT(
        vocabulary=config["vocab_size"],
        length=config["n_positions"],
        width=config["n_embd"],
        depth=config["n_layer"],
        heads=config["n_head"],
        tied=config.get("tie_word_embeddings", True),
    )


def _to_config(model: GPT) -> pretrained.Config:
    if model.positions != "learned" or model.groups not in (None, model.heads):
        raise errors.InputError(
            "A GPT in the form of GPT2LMHeadModel must have learned positions and no groups, got "
            f"{model.positions!r} and groups {model.groups}."
        )
    end = min(50256, model.vocabulary - 1)  # GPT-2's own, which ends a text and begins one
    return {
        "vocab_size": model.vocabulary,
        "n_positions": model.length,
        "n_embd": model.width,
        "n_layer": model.depth,
        "n_head": model.heads,
        "tie_word_embeddings": model.tied,
        "resid_pdrop": model.dropout,
        "embd_pdrop": model.dropout,
        "attn_pdrop": 0.0,
        "bos_token_id": end,
        "eos_token_id": end,
    }


_Row = pretrained.Tensor
_BLOCK, _OURS = "transformer.h.{n}.", "block_{n}/"
_QKV = ("query", "key", "value")
PRETRAINED = (
    pretrained.Format(
        model=GPT,
        model_type="gpt2",
        architectures=("GPT2LMHeadModel",),
        module=_from_config,
        config=_to_config,
        tensors=(
            _Row("transformer.wte.weight", "tokens/embedding"),
            _Row("transformer.wpe.weight", "positions/embedding"),
            _Row(_BLOCK + "ln_1.weight", _OURS + "norm_1/scale"),
            _Row(_BLOCK + "ln_1.bias", _OURS + "norm_1/bias"),
            # A "Conv1D" there is a matrix (in, out), and needs no turning.
            _Row(
                _BLOCK + "attn.c_attn.weight",
                tuple(f"{_OURS}attention/{part}/kernel" for part in _QKV),
                tensor_layouts.split(3),
            ),
            _Row(
                _BLOCK + "attn.c_attn.bias",
                tuple(f"{_OURS}attention/{part}/bias" for part in _QKV),
                tensor_layouts.split(3),
            ),
            _Row(_BLOCK + "attn.c_proj.weight", _OURS + "attention/output/kernel"),
            _Row(_BLOCK + "attn.c_proj.bias", _OURS + "attention/output/bias"),
            _Row(_BLOCK + "ln_2.weight", _OURS + "norm_2/scale"),
            _Row(_BLOCK + "ln_2.bias", _OURS + "norm_2/bias"),
            _Row(_BLOCK + "mlp.c_fc.weight", _OURS + "mlp/up/kernel"),
            _Row(_BLOCK + "mlp.c_fc.bias", _OURS + "mlp/up/bias"),
            _Row(_BLOCK + "mlp.c_proj.weight", _OURS + "mlp/down/kernel"),
            _Row(_BLOCK + "mlp.c_proj.bias", _OURS + "mlp/down/bias"),
            _Row("transformer.ln_f.weight", "norm/scale"),
            _Row("transformer.ln_f.bias", "norm/bias"),
            _Row("lm_head.weight", "output/kernel", tensor_layouts.TRANSPOSED),
        ),
        supported={
            "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
            "layer_norm_epsilon": (1e-5,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "reorder_and_upcast_attn": (False, True),
            "n_inner": (None,),
            "add_cross_attention": (False,),
        },
        prefix="transformer.",
        # The causal mask, and the tied matrix's second name, in files of older versions.
        ignored=(r"attn\.(masked_)?bias$",),
        copies={"lm_head.weight": "transformer.wte.weight"},
    ),
)
