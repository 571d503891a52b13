"""Llama: a decoder-only transformer with root mean square norms, gated MLPs, rotary positions and
grouped heads (Touvron et al. 2023, "LLaMA" and "Llama 2"; Grattafiori et al. 2024, "Llama 3").
"""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import decoding, layer_norm, limits, transformer


class Llama(nn.Module):
    """A language model: integer tokens (b, n), n up to `length`, to float32 logits (b, n, v).

    groups: heads of keys and values; None means as many as heads. hidden: of the MLP; None means
    8/3 of the width, rounded up to a multiple of 256, as in the paper (section 2.2). tied: the
    output uses the token embedding. remat: see `transformer.rematerialised`.

    Parameters: `tokens/embedding`, `block_0`, ... with `norm_1`, `attention` (`query`, `key`,
    `value`, `output`), `norm_2` and `mlp` (`gate`, `up`, `down`), `norm`, `output` if not tied.
    """

    vocabulary: int = 32000
    length: int = 4096
    width: int = 4096
    depth: int = 32
    heads: int = 32
    groups: int | None = None
    hidden: int | None = None
    rotary: float = 10_000.0
    epsilon: float = 1e-5
    tied: bool = False
    dtype: Any = jnp.float32
    remat: str = "none"

    def __post_init__(self) -> None:
        check("Llama", self)
        limits.at_least(1, "Llama's hidden", self.hidden)
        transformer.rematerialised(self.remat)
        super().__post_init__()

    def __call__(self, x: Int[Array, "b n"], train: bool = False) -> Float[Array, "b n v"]:
        """Logits of the next token after each of x's."""
        return self.advance(x, None, train)[0]

    @nn.compact
    def advance(
        self, x: Int[Array, "b n"], cache: decoding.Cache | None = None, train: bool = False
    ) -> tuple[Float[Array, "b n v"], decoding.Cache | None]:
        """Logits, and the cache with x read in; x goes on after what the cache has read."""
        decoding.check_tokens("Llama", x, self.length)
        small = nn.initializers.normal(0.02)
        norm = functools.partial(layer_norm.RMSNorm, epsilon=self.epsilon)
        make = functools.partial(
            transformer.rematerialised(self.remat),
            self.heads,
            self.groups,
            causal=True,
            rotary=self.rotary,
            norm=norm,
            mlp=functools.partial(transformer.GatedMLP, self.hidden or hidden(self.width)),
            use_bias=False,
            dtype=self.dtype,
            kernel_init=small,
            output_init=nn.initializers.normal(0.02 * (2 * self.depth) ** -0.5),  # as GPT-2's
        )
        last = norm(dtype=self.dtype, name="norm")
        return decoding.decoded(self, lambda n: make(name=f"block_{n}"), last, x, cache, train)[:2]

    def empty_cache(self, batch: int) -> decoding.Cache:
        """The cache of a model that has read nothing yet."""
        groups, width = self.groups or self.heads, self.width // self.heads
        return decoding.empty_cache(batch, self.length, self.depth, groups, width, self.dtype)


def check(name: str, model: Any) -> None:
    """Refuse sizes that a model of grouped heads with rotary positions cannot have."""
    for field in ("vocabulary", "length", "width", "depth", "heads", "groups"):
        limits.at_least(1, f"{name}'s {field}", getattr(model, field))
    limits.positive(f"{name}'s epsilon", model.epsilon)
    limits.positive(f"{name}'s rotary", model.rotary)
    if model.width % model.heads or model.width // model.heads % 2:
        raise errors.InputError(
            f"{name}'s width must be an even multiple of its heads, "
            f"got {model.width} and {model.heads}."
        )
    if model.groups is not None and model.heads % model.groups:
        raise errors.InputError(
            f"{name}'s heads must be a multiple of its groups, "
            f"got {model.heads} and {model.groups}."
        )


def hidden(width: int) -> int:
    """8/3 of a width, rounded up to a multiple of 256: three matrices of it hold what two of 4
    times the width do.
    """
    return -(-(8 * width // 3) // 256) * 256


# Table 2 of "LLaMA" and table 1 of "Llama 2", and table 3 of "Llama 3"; counts of parameters are
# those of the published files.
llama2_7b = functools.partial(Llama)  # 6,738,415,616
llama2_13b = functools.partial(Llama, width=5120, depth=40, heads=40)  # 13,015,864,320
llama2_70b = functools.partial(  # 68,976,648,192
    Llama, width=8192, depth=80, heads=64, groups=8, hidden=28672
)
_llama3 = functools.partial(
    Llama, vocabulary=128256, length=8192, groups=8, rotary=500_000.0, hidden=14336
)
llama3_8b = functools.partial(_llama3)  # 8,030,261,248
llama3_70b = functools.partial(_llama3, width=8192, depth=80, heads=64, hidden=28672)

# Where parameters lie on a mesh, for Run.rules: the vocabulary's rows share the axis `tensor` too.
RULES = (
    *transformer.RULES,
    (r"tokens/embedding$", ("tensor", "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
)


def from_config(config: pretrained.Config) -> dict[str, Any]:
    """The fields that Llama and its kin have in common."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise errors.InputError(
            f"Rotary positions must not be scaled (rope_type 'default'), got {rope}."
        )
    if config.get("head_dim") not in (None, config["hidden_size"] // config["num_attention_heads"]):
        raise errors.InputError(
            "The heads must share the width (head_dim = hidden_size / num_attention_heads), "
            f"got a head_dim of {config['head_dim']}."
        )
    return {
        "vocabulary": config["vocab_size"],
        "length": config["max_position_embeddings"],
        "width": config["hidden_size"],
        "depth": config["num_hidden_layers"],
        "heads": config["num_attention_heads"],
        "groups": config.get("num_key_value_heads"),
        "hidden": config["intermediate_size"],
        "rotary": rope.get("rope_theta", config.get("rope_theta", 10_000.0)),
        "epsilon": config["rms_norm_eps"],
        "tied": config.get("tie_word_embeddings", False),
    }


def to_config(model: Any) -> pretrained.Config:
    """The settings of those fields."""
    return {
        "vocab_size": model.vocabulary,
        "max_position_embeddings": model.length,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.groups or model.heads,
        "intermediate_size": model.hidden or hidden(model.width),
        "head_dim": model.width // model.heads,
        "rope_theta": model.rotary,  # the setting's name before transformers 5
        "rope_parameters": {"rope_type": "default", "rope_theta": model.rotary},
        "rms_norm_eps": model.epsilon,
        "tie_word_embeddings": model.tied,
    }


_Row = pretrained.Tensor
_BLOCK, _OURS = "model.layers.{n}.", "block_{n}/"
# Of every model here that has these parts.
TENSORS = (
    _Row("model.embed_tokens.weight", "tokens/embedding"),
    _Row(_BLOCK + "input_layernorm.weight", _OURS + "norm_1/scale"),
    *(
        _Row(f"{_BLOCK}self_attn.{theirs}_proj.weight", f"{_OURS}attention/{ours}/kernel", turned)
        for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value"), ("o", "output"))
        for turned in (tensor_layouts.TRANSPOSED,)
    ),
    _Row(_BLOCK + "post_attention_layernorm.weight", _OURS + "norm_2/scale"),
    _Row("model.norm.weight", "norm/scale"),
    _Row("lm_head.weight", "output/kernel", tensor_layouts.TRANSPOSED),
)
PRETRAINED = (
    pretrained.Format(
        model=Llama,
        model_type="llama",
        architectures=("LlamaForCausalLM",),
        module=lambda config: Llama(**from_config(config)),
        config=to_config,
        tensors=(
            *TENSORS,
            *(
                _Row(
                    f"{_BLOCK}mlp.{part}_proj.weight",
                    f"{_OURS}mlp/{part}/kernel",
                    tensor_layouts.TRANSPOSED,
                )
                for part in ("gate", "up", "down")
            ),
        ),
        supported={
            "hidden_act": ("silu",),
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "pretraining_tp": (1, 2),  # how it was trained; nothing that one computes
        },
        prefix="model.",
        ignored=(r"rotary_emb\.inv_freq$",),
        copies={"lm_head.weight": "model.embed_tokens.weight"},
    ),
)
