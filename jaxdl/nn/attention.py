"""Scaled dot-product attention (Vaswani et al. 2017), with grouped heads (Ainslie et al. 2023).

`attend` is the library's only attention; `MultiHead` puts the four projections around it, rotary
positions if wanted, and a cache of keys and values to decode with; it reads its own input, or a
memory such as an encoder's output.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxdl import errors
from jaxdl.nn import dense, layout, positions

Initializer = Callable[..., Any]
# Added to the scores of hidden keys, which are float32: exp of it is zero, and it stays finite.
HIDDEN = -1e30


class Cache(NamedTuple):
    """Keys and values of the tokens read so far, padded to the context's length."""

    key: Float[Array, "b s g d"]
    value: Float[Array, "b s g d"]


def attend(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b s g d"],
    value: Float[Array, "b s g d"],
    *,
    causal: bool = False,
    mask: Bool[Array, "#b #t s"] | None = None,
    bias: Float[Array, "#b h t s"] | None = None,
    scale: float | None = None,
    implementation: str | None = None,
) -> Float[Array, "b t h d"]:
    """softmax(scale · query keyᵀ + bias) value in every head; the softmax in float32.

    causal: query i sees keys up to i; needs as many queries as keys. mask: True where a query
    sees a key; each query must see one. Each of the g key heads serves h / g query heads.
    scale: default 1 / √d.
    implementation: "matmul" (default on CPU: two batched matmuls), "jax" (default elsewhere:
    `jax.nn.dot_product_attention`) or "cudnn" (default where NVIDIA's fused kernel applies: the
    same through FlashAttention, in 16 bits, without a mask or a bias).
    """
    _check(query, key, causal)
    if implementation is None:
        implementation = _implementation(jax.devices()[0].device_kind, query, mask, bias)
    if implementation in ("jax", "cudnn"):
        kernel: Any = "cudnn" if implementation == "cudnn" else None
        return jax.nn.dot_product_attention(
            query,
            key,
            value,
            bias=bias,
            mask=None if mask is None else mask[:, None],
            scale=scale,
            is_causal=causal,
            implementation=kernel,
        )
    if implementation == "matmul":
        return _attend_by_matmul(query, key, value, causal, mask, bias, scale)
    raise errors.InputError(
        'Attention\'s implementation must be "matmul", "jax", "cudnn" or None, '
        f"got {implementation!r}."
    )


def weights(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b s g d"],
    *,
    causal: bool = False,
    mask: Bool[Array, "#b #t s"] | None = None,
    bias: Float[Array, "#b h t s"] | None = None,
    scale: float | None = None,
) -> Float[Array, "b h t s"]:
    """What `attend` weighs the values with: for looking at, not for speed."""
    _check(query, key, causal)
    query = query * (query.shape[-1] ** -0.5 if scale is None else scale)
    key = jnp.repeat(key, query.shape[2] // key.shape[2], axis=2)
    scores = jnp.einsum("bthd,bshd->bhts", query, key, preferred_element_type=jnp.float32)
    scores = _hidden(scores if bias is None else scores + bias, causal, mask)
    return jax.nn.softmax(scores, axis=-1)


def _hidden(scores: Array, causal: bool, mask: Array | None) -> Array:
    if causal:
        before = jnp.tril(jnp.ones((1, *scores.shape[2:]), bool))
        mask = before if mask is None else before & mask
    return scores if mask is None else jnp.where(mask[:, None], scores, HIDDEN)


def _implementation(
    device: str, query: Array, mask: Array | None, bias: Array | None = None
) -> str:
    """The fastest there is; cuDNN's kernel wants heads of 8 to 128 in steps of 8."""
    if device == "cpu":
        return "matmul"
    width, half = query.shape[-1], query.dtype in (jnp.bfloat16, jnp.float16)
    fits = half and mask is None and bias is None and width % 8 == 0 and width <= 128
    # Of compute capability 8.0 on, which device kinds do not tell: the cards of older ones.
    old = any(name in device for name in ("V100", "T4", "P100", "RTX 20", "GTX", "TITAN"))
    return "cudnn" if "NVIDIA" in device and fits and not old else "jax"


def _attend_by_matmul(
    query: Float[Array, "b t h d"],
    key: Float[Array, "b s g d"],
    value: Float[Array, "b s g d"],
    causal: bool,
    mask: Bool[Array, "#b #t s"] | None,
    bias: Float[Array, "#b h t s"] | None,
    scale: float | None,
) -> Float[Array, "b t h d"]:
    """Attention whose gradient XLA:CPU computes fast though nobody wrote it by hand.

    Heads come before time, the layout of its batched matmuls. The queries are scaled, not the
    larger scores, and the outputs divided by the sums, not the larger probabilities: what autodiff
    makes of that is the backward pass of FlashAttention (Dao et al. 2022, equation 4), which needs
    no sum over gradients of scores.
    """
    batch, time, heads, width = query.shape
    groups = key.shape[2]
    query = query * (width**-0.5 if scale is None else scale)
    query, key, value = (jnp.swapaxes(x, 1, 2) for x in (query, key, value))
    if groups != heads:
        query = query.reshape(batch, groups, heads // groups * time, width)
    scores = jnp.einsum("bhtd,bhsd->bhts", query, key, preferred_element_type=jnp.float32)
    scores = scores.reshape(batch, heads, time, -1)
    scores = _hidden(scores if bias is None else scores + bias, causal, mask)
    largest = jax.lax.stop_gradient(_largest(scores))
    weights = jnp.exp(scores - largest)
    # A product with ones: 0.97 of the training step's time with `weights.sum(-1)`.
    sums = jnp.einsum("bhts,s->bht", weights, jnp.ones(weights.shape[-1]))[..., None]
    weights = weights.astype(value.dtype).reshape(batch, groups, -1, key.shape[2])
    out = jnp.einsum("bhts,bhsd->bhtd", weights, value, preferred_element_type=jnp.float32)
    out = out.reshape(batch, heads, time, width) / sums
    return jnp.swapaxes(out.astype(value.dtype), 1, 2)


def _largest(x: Float[Array, "*b s"]) -> Float[Array, "*b 1"]:
    """The maximum over the last axis, folded in halves: XLA:CPU does not vectorise a max of rows.

    A small GPT's whole training step takes 0.95 of the time it takes with `x.max(-1)`.
    """
    while x.shape[-1] % 2 == 0:
        half = x.shape[-1] // 2
        x = jnp.maximum(x[..., :half], x[..., half:])
    return x.max(-1, keepdims=True)


def _check(query: Array, key: Array, causal: bool) -> None:
    if query.shape[2] % key.shape[2]:
        raise errors.InputError(
            "Attention's query heads must be a multiple of its key heads, "
            f"got {query.shape[2]} and {key.shape[2]}."
        )
    if causal and query.shape[1] != key.shape[1]:
        raise errors.InputError(
            "Causal attention must have as many queries as keys, "
            f"got {query.shape[1]} and {key.shape[1]}. Give a mask instead."
        )


class MultiHead(nn.Module):
    """Attention with projections to heads and back to the input's width.

    groups: heads of keys and values (default: as many as `heads`). rotary: base of the rotary
    positions, or None for none. head_width: default, the input's width over the heads. scale: of
    the scores, see `attend`. query_init: by default `kernel_init`. Parameters: `query`, `key`,
    `value`, `output`, each kernel and, with use_bias, bias. Where "intermediates" may be written,
    `weights` (b, h, t, s) are put there.
    """

    heads: int
    groups: int | None = None
    causal: bool = False
    rotary: float | None = None
    head_width: int | None = None
    use_bias: bool = True
    scale: float | None = None
    dtype: Any = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()
    output_init: Initializer = nn.initializers.lecun_normal()
    query_init: Initializer | None = None

    def __post_init__(self) -> None:
        groups = self.heads if self.groups is None else self.groups
        if self.heads < 1 or groups < 1 or self.heads % groups:
            raise errors.InputError(
                "MultiHead's heads must be a positive multiple of its groups, "
                f"got {self.heads} and {groups}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t w"],
        cache: Cache | None = None,
        start: Int[Array, ""] | int = 0,
        mask: Bool[Array, "#b #t s"] | None = None,
        bias: Float[Array, "#b h t s"] | None = None,
        memory: Float[Array, "b m e"] | Cache | None = None,
    ) -> tuple[Float[Array, "b t w"], Cache | None]:
        """The attended input and, given a cache, the cache with keys and values of x put in.

        start: the position of x's first token; with a cache, it sees all positions before it.
        memory: what is read in the place of x, without rotary positions; the cache that comes back
            holds its keys and values, and may be given as the memory from then on.
        """
        batch, time, width = x.shape
        if self.head_width is None and width % self.heads:
            raise errors.InputError(
                f"MultiHead's input width must be a multiple of its heads, got {width} "
                f"and {self.heads}."
            )
        causal, query = False, self._project("query", x, self.heads, width)
        if self.rotary is not None and memory is None:
            query = positions.rotate(query, start + jnp.arange(time), self.rotary)
        if memory is not None:
            cache = memory if isinstance(memory, Cache) else Cache(*self._read(memory, width))
            key, value = cache
        else:
            key, value = self._read(x, width)
            if self.rotary is not None:
                key = positions.rotate(key, start + jnp.arange(time), self.rotary)
            if cache is None:
                causal = self.causal
            else:
                key, value = (_put(o, n, start) for o, n in zip(cache, (key, value), strict=True))
                cache = Cache(key, value)
                before = jnp.arange(key.shape[1])[None] <= start + jnp.arange(time)[:, None]
                mask = before[None] if mask is None else before[None] & mask
        seen: Any = {"causal": causal, "mask": mask, "bias": bias, "scale": self.scale}
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "weights", weights(query, key, **seen))
        out = attend(query, key, value, **seen).reshape(batch, time, -1)
        output = dense.Dense(
            width, self.use_bias, self.dtype, kernel_init=self.output_init, name="output"
        )
        return output(out), cache

    def _read(self, x: Float[Array, "b s e"], width: int) -> tuple[Array, Array]:
        groups = self.groups or self.heads
        return self._project("key", x, groups, width), self._project("value", x, groups, width)

    def _project(
        self, name: str, x: Float[Array, "b t e"], heads: int, width: int
    ) -> Float[Array, "b t h d"]:
        head_width = self.head_width or width // self.heads
        init = self.query_init if name == "query" and self.query_init else self.kernel_init
        project = dense.Dense(
            heads * head_width, self.use_bias, self.dtype, kernel_init=init, name=name
        )
        return layout.constrain(
            project(x).reshape(*x.shape[:2], heads, head_width), "batch", None, "tensor"
        )


def _put(old: Array, new: Array, start: Int[Array, ""] | int) -> Array:
    return jax.lax.dynamic_update_slice_in_dim(old, new.astype(old.dtype), start, axis=1)
