"""Mamba: a language model without attention (Gu and Dao 2023, "Mamba: linear-time sequence modeling
with selective state spaces"). What it remembers of a text is of one size however long the text is.
"""

import functools
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts
from jaxdl.nn import decoding, dense, layer_norm, layout, limits, state_space


class Memory(NamedTuple):
    """What a block remembers: the last inputs of its convolution, and the state of its channels."""

    inputs: Float[Array, "b m c"]
    state: Float[Array, "b s c"]


class Mixer(nn.Module):
    """Projection, causal convolution of each channel, selective state space, gate, projection.

    Parameters: `input/kernel` (d, 2 c), whose second half is the gate's; `convolution` (k, c) and
    `convolution_bias`; `select/kernel` (c, rank + 2 states), to a token's step, B and C;
    `step/kernel`, `step_bias`; `log_rate` (s, c); `skip` (c,); `output/kernel` (c, d).
    """

    channels: int
    states: int
    rank: int
    kernel: int
    dtype: Any = jnp.float32
    kernel_init: Any = nn.initializers.lecun_normal()
    output_init: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], memory: Memory | None = None
    ) -> tuple[Float[Array, "b t d"], Memory | None]:
        affine = functools.partial(
            dense.Dense, use_bias=False, dtype=self.dtype, kernel_init=self.kernel_init
        )
        y, gate = jnp.split(affine(2 * self.channels, name="input")(x), 2, axis=-1)
        y = layout.constrain(y, "batch", None, "tensor")
        before = memory or empty_memory(
            x.shape[0], self.channels, self.states, self.kernel, self.dtype
        )
        y, inputs = self._convolve(y, before.inputs)
        sizes = [self.rank, self.rank + self.states]
        step, into, out = jnp.split(affine(sizes[1] + self.states, name="select")(y), sizes, -1)
        step = affine(self.channels, kernel_init=_uniform(self.rank**-0.5), name="step")(step)
        bias = self.param("step_bias", _first_steps, (self.channels,))
        step = jax.nn.softplus(step.astype(jnp.float32) + bias[None, None])
        rate = -jnp.exp(self.param("log_rate", _log_rates, (self.states, self.channels)))
        skip = self.param("skip", nn.initializers.ones, (self.channels,))
        y, state = state_space.scan(y, step, rate, into, out, skip, before.state)
        y = y.astype(self.dtype) * jax.nn.silu(gate)
        y = affine(x.shape[-1], kernel_init=self.output_init, name="output")(y)
        return y, None if memory is None else Memory(inputs, state)

    def _convolve(
        self, x: Float[Array, "b t c"], before: Float[Array, "b m c"]
    ) -> tuple[Array, Array]:
        """SiLU of the convolution over the inputs so far, and the last of them for the next."""
        shape = (self.kernel, self.channels)
        kernel = self.param("convolution", _uniform(self.kernel**-0.5), shape).astype(self.dtype)
        bias = self.param("convolution_bias", nn.initializers.zeros, (self.channels,))
        seen = jnp.concatenate([before.astype(self.dtype), x], axis=1)
        # Shifted products: a convolution of single channels is slow on XLA:CPU.
        y = sum(seen[:, i : i + x.shape[1]] * kernel[i][None, None] for i in range(self.kernel))
        return jax.nn.silu(y + bias.astype(self.dtype)[None, None]), seen[:, x.shape[1] :]


def empty_memory(batch: int, channels: int, states: int, kernel: int, dtype: Any) -> Memory:
    """What a block remembers before the first token."""
    return Memory(
        jnp.zeros((batch, kernel - 1, channels), dtype), jnp.zeros((batch, states, channels))
    )


def _uniform(bound: float) -> Any:
    def init(key: Any, shape: Any, dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


def _log_rates(key: Any, shape: Any, dtype: Any = jnp.float32) -> Array:
    """Decays of 1 to s per unit of time in every channel: S4D-Real (section 3.6)."""
    states = jnp.arange(1, shape[0] + 1, dtype=dtype)
    return jnp.broadcast_to(jnp.log(states)[:, None], shape)


def _first_steps(key: Any, shape: Any, dtype: Any = jnp.float32) -> Array:
    """Steps from 0.001 to 0.1, evenly in their logarithm (section 3.6), before softplus."""
    step = jnp.exp(jax.random.uniform(key, shape, dtype, math.log(1e-3), math.log(1e-1)))
    return step + jnp.log(-jnp.expm1(-step))


class Block(nn.Module):
    """x + mixer(norm(x)): `norm`, `mixer`."""

    mixer: Any  # makes one by name
    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t d"], train: bool, memory: Memory | None, start: Any
    ) -> tuple[Float[Array, "b t d"], Memory | None]:
        norm = layer_norm.RMSNorm(self.epsilon, self.dtype, name="norm")
        x = layout.constrain(x, "batch")
        y, memory = self.mixer(name="mixer")(norm(x), memory)
        return layout.constrain(x + y, "batch"), memory


class Mamba(nn.Module):
    """A language model: integer tokens (b, n) to float32 logits (b, n, v), of any length n.

    channels: of a mixer; None means twice the width. rank: of the projection to steps; None means
    a sixteenth of the width, rounded up. kernel: tokens that the convolution sees.
    Parameters: `tokens/embedding`, `block_0`, ... (`norm`, `mixer`, see `Mixer`), `norm`, and
    `output/kernel` if not tied.
    """

    vocabulary: int = 50280
    width: int = 768
    depth: int = 24
    channels: int | None = None
    states: int = 16
    rank: int | None = None
    kernel: int = 4
    epsilon: float = 1e-5
    tied: bool = True
    dtype: Any = jnp.float32

    length = None  # there is no end to its context

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "depth", "channels", "states", "rank", "kernel"):
            limits.at_least(1, f"Mamba's {name}", getattr(self, name))
        limits.positive("Mamba's epsilon", self.epsilon)
        super().__post_init__()

    def __call__(self, x: Int[Array, "b n"], train: bool = False) -> Float[Array, "b n v"]:
        """Logits of the next token after each of x's."""
        return self.advance(x, None, train)[0]

    @nn.compact
    def advance(
        self, x: Int[Array, "b n"], cache: decoding.Cache | None = None, train: bool = False
    ) -> tuple[Float[Array, "b n v"], decoding.Cache | None]:
        """Logits, and the cache with x read in; x goes on after what the cache has read."""
        decoding.check_tokens("Mamba", x)
        norm = layer_norm.RMSNorm(self.epsilon, self.dtype, name="norm")

        mixer = functools.partial(
            Mixer,
            self.channels or 2 * self.width,
            self.states,
            self.rank or rank(self.width),
            self.kernel,
            self.dtype,
            output_init=_output_init(self.depth),
        )

        def block(n: int) -> Block:
            return Block(mixer, self.epsilon, self.dtype, name=f"block_{n}")

        return decoding.decoded(self, block, norm, x, cache, train)[:2]

    def empty_cache(self, batch: int) -> decoding.Cache:
        """The cache of a model that has read nothing yet."""
        memory = empty_memory(
            batch, self.channels or 2 * self.width, self.states, self.kernel, self.dtype
        )
        return decoding.Cache((memory,) * self.depth, jnp.zeros((), jnp.int32))


def rank(width: int) -> int:
    """A sixteenth of a width, rounded up."""
    return -(-width // 16)


def _output_init(depth: int) -> Any:
    """Smaller the more branches the residual stream sums, as in the authors' code, whose uniform
    draw has a third of this variance.
    """
    return nn.initializers.variance_scaling(1 / depth, "fan_in", "truncated_normal")


# Table 12 of the paper; counts of parameters are those of the published files.
mamba_130m = functools.partial(Mamba)  # 129,135,360
mamba_370m = functools.partial(Mamba, width=1024, depth=48)  # 371,516,416
mamba_790m = functools.partial(Mamba, width=1536, depth=48)  # 793,204,224
mamba_1_4b = functools.partial(Mamba, width=2048, depth=48)  # 1,372,178,432
mamba_2_8b = functools.partial(Mamba, width=2560, depth=64)  # 2,768,345,600

# Where parameters lie on a mesh, for Run.rules: channels share the axis `tensor`.
RULES = (
    (r"mixer/(input|step)/kernel$", ("fsdp", "tensor")),
    (r"mixer/(output|select)/kernel$", ("tensor", "fsdp")),
    (r"mixer/(convolution|log_rate)$", (None, "tensor")),
    (r"mixer/(convolution_bias|step_bias|skip)$", ("tensor",)),
    (r"tokens/embedding$", ("tensor", "fsdp")),
    (r"output/kernel$", ("fsdp", "tensor")),
)


def _from_config(config: pretrained.Config) -> Mamba:
    width = config["hidden_size"]
    return Mamba(
        vocabulary=config["vocab_size"],
        width=width,
        depth=config["num_hidden_layers"],
        channels=config.get("intermediate_size", width * config.get("expand", 2)),
        states=config["state_size"],
        rank=config["time_step_rank"],
        kernel=config["conv_kernel"],
        epsilon=config["layer_norm_epsilon"],
        tied=config.get("tie_word_embeddings", True),
    )


def _to_config(model: Mamba) -> pretrained.Config:
    channels = model.channels or 2 * model.width
    if channels % model.width:
        raise errors.InputError(
            "A Mamba in the form of MambaForCausalLM must have a multiple of its width of "
            f"channels, got {channels} and {model.width}."
        )
    return {
        "vocab_size": model.vocabulary,
        "hidden_size": model.width,
        "num_hidden_layers": model.depth,
        "intermediate_size": channels,
        "expand": channels // model.width,
        "state_size": model.states,
        "time_step_rank": model.rank or rank(model.width),
        "conv_kernel": model.kernel,
        "layer_norm_epsilon": model.epsilon,
        "tie_word_embeddings": model.tied,
    }


_Row = pretrained.Tensor
_MIXER, _OURS = "backbone.layers.{n}.mixer.", "block_{n}/mixer/"
_TURNED = tensor_layouts.TRANSPOSED
# torch's kernel of single channels, (channel, 1, width).
_KERNEL = tensor_layouts.Layout(lambda x: (x[:, 0].T,), lambda x: x.T[:, None])
PRETRAINED = (
    pretrained.Format(
        model=Mamba,
        model_type="mamba",
        architectures=("MambaForCausalLM",),
        module=_from_config,
        config=_to_config,
        tensors=(
            _Row("backbone.embeddings.weight", "tokens/embedding"),
            _Row("backbone.layers.{n}.norm.weight", "block_{n}/norm/scale"),
            _Row(_MIXER + "in_proj.weight", _OURS + "input/kernel", _TURNED),
            _Row(_MIXER + "conv1d.weight", _OURS + "convolution", _KERNEL),
            _Row(_MIXER + "conv1d.bias", _OURS + "convolution_bias"),
            _Row(_MIXER + "x_proj.weight", _OURS + "select/kernel", _TURNED),
            _Row(_MIXER + "dt_proj.weight", _OURS + "step/kernel", _TURNED),
            _Row(_MIXER + "dt_proj.bias", _OURS + "step_bias"),
            _Row(_MIXER + "A_log", _OURS + "log_rate", _TURNED),
            _Row(_MIXER + "D", _OURS + "skip"),
            _Row(_MIXER + "out_proj.weight", _OURS + "output/kernel", _TURNED),
            _Row("backbone.norm_f.weight", "norm/scale"),
            _Row("lm_head.weight", "output/kernel", _TURNED),
        ),
        supported={"hidden_act": ("silu",), "use_bias": (False,), "use_conv_bias": (True,)},
        prefix="backbone.",
        copies={"lm_head.weight": "backbone.embeddings.weight"},
    ),
)
