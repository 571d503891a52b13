"""The masked autoencoder: a transformer that sees some patches of an image and draws the others.

He et al., "Masked autoencoders are scalable vision learners" (2021): the encoder reads the visible
patches alone, and a smaller decoder puts a learnt token in the place of each hidden one.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors
from jaxdl.models import pretrained, tensor_layouts, vit
from jaxdl.nn import layer_norm, limits, patches, positions, transformer


class MaskedAutoencoder(nn.Module):
    """Reads the patches of images that are kept, and draws all.

    patch: height and width of a patch; it must divide the image's.
    width, depth, heads: of the encoder; the decoder's have names of their own, its heads by default
        as many.
    token: whether a class token comes first, as in the paper.
    positions: "learned", or "sines": those of a square grid of patches, the paper's, which stay;
        they are the collection "constants".
    size, channels: of the images, which only a file in the form of transformers needs.
    """

    patch: int = 2
    width: int = 64
    depth: int = 2
    heads: int = 4
    decoder_width: int = 64
    decoder_depth: int = 1
    decoder_heads: int | None = None
    token: bool = False
    positions: str = "learned"
    act: Callable[[Array], Array] = jax.nn.gelu
    epsilon: float = 1e-5
    size: int | None = None
    channels: int | None = None

    def __post_init__(self) -> None:
        for name in ("patch", "width", "depth", "heads", "decoder_width", "decoder_depth"):
            limits.at_least(1, f"MaskedAutoencoder's {name}", getattr(self, name))
        for name in ("decoder_heads", "size", "channels"):
            limits.at_least(1, f"MaskedAutoencoder's {name}", getattr(self, name))
        if self.positions not in ("learned", "sines"):
            raise errors.InputError(
                'MaskedAutoencoder\'s positions must be "learned" or "sines", '
                f"got {self.positions!r}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], kept: Int[Array, "b m"], train: bool = False
    ) -> tuple[Float[Array, "b n p"], Float[Array, "b e d"]]:
        """Patches as drawn, in the order of `patches.cut`, and the encoder's features, behind that
        of the class token if there is one.

        kept: the indices of each image's visible patches.
        """
        batch, height, width, channels = x.shape
        count = height // self.patch * (width // self.patch)
        place, places = self._places("positions", count, self.width)
        tokens = patches.Embed(self.patch, self.width, name="embed")(x, kept) + places[kept]
        if self.token:
            first = self.param("token", nn.initializers.normal(0.02), (self.width,))
            first = jnp.broadcast_to(first[None, None] + place[None], (batch, 1, self.width))
            tokens = jnp.concatenate([first, tokens], axis=1)
        features = self._blocks("encoder", self.depth, self.heads, tokens, train)
        seen = nn.Dense(self.decoder_width, name="decoder_embed")(features)
        first, seen = jnp.split(seen, [int(self.token)], axis=1)
        hidden = self.param("mask", nn.initializers.normal(0.02), (self.decoder_width,))
        whole = jnp.broadcast_to(hidden[None, None], (batch, count, self.decoder_width))
        whole = jax.vmap(lambda row, places, values: row.at[places].set(values))(whole, kept, seen)
        place, places = self._places("decoder_positions", count, self.decoder_width)
        whole = whole + places[None]
        whole = jnp.concatenate([first + place[None], whole], axis=1) if self.token else whole
        heads = self.decoder_heads or self.heads
        whole = self._blocks("decoder", self.decoder_depth, heads, whole, train)
        drawn = nn.Dense(self.patch**2 * channels, name="output")(whole)
        return drawn[:, int(self.token) :], features

    def _places(
        self, name: str, count: int, width: int
    ) -> tuple[Float[Array, "e d"], Float[Array, "n d"]]:
        """The position of the class token, if there is one, and those of the patches."""
        extra = int(self.token)
        if self.positions == "learned":
            places = self.param(name, nn.initializers.normal(1.0), (extra + count, width))
        else:
            fixed = functools.partial(_sines, extra, count, width)
            places = self.variable("constants", name, fixed).value
        return places[:extra], places[extra:]

    def _blocks(
        self, name: str, depth: int, heads: int, x: Float[Array, "b n d"], train: bool
    ) -> Float[Array, "b n d"]:
        norm = functools.partial(layer_norm.LayerNorm, epsilon=self.epsilon)
        for i in range(depth):
            block = transformer.Block(heads, act=self.act, norm=norm, name=f"{name}_{i}")
            x, _ = block(x, train)
        return norm(name=f"{name}_norm")(x)


def _sines(extra: int, count: int, width: int) -> Float[Array, "n d"]:
    places = jnp.asarray(positions.square_sines(count, width))
    return jnp.concatenate([jnp.zeros((extra, width)), places])


RULES = transformer.RULES  # of where parameters lie on a mesh, for Run.rules

# The paper's, of the encoders of `vit` and a decoder of 8 blocks of 512; parameters without the
# fixed positions, for images of 224 pixels a side.
published = functools.partial(
    MaskedAutoencoder,
    decoder_width=512,
    decoder_depth=8,
    decoder_heads=16,
    token=True,
    positions="sines",
    act=transformer.exact_gelu,
    epsilon=1e-12,
)
mae_base = functools.partial(published, patch=16, width=768, depth=12, heads=12)  # 111,655,680
mae_large = functools.partial(published, patch=16, width=1024, depth=24, heads=16)  # 329,239,296
mae_huge = functools.partial(published, patch=14, width=1280, depth=32, heads=16)  # 656,613,964


def _from_config(config: pretrained.Config) -> MaskedAutoencoder:
    for name in ("", "decoder_"):
        pretrained.four_times("MaskedAutoencoder", config, name)
    return published(
        patch=config["patch_size"],
        width=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        decoder_width=config["decoder_hidden_size"],
        decoder_depth=config["decoder_num_hidden_layers"],
        decoder_heads=config["decoder_num_attention_heads"],
        epsilon=config.get("layer_norm_eps", 1e-12),
        size=config["image_size"],
        channels=config["num_channels"],
    )


def _to_config(model: MaskedAutoencoder) -> pretrained.Config:
    pretrained.exact_gelu(model)
    if not model.token or model.positions != "sines" or not (model.size and model.channels):
        raise errors.InputError(
            "A MaskedAutoencoder in the form of ViTMAEForPreTraining must have a class token, "
            f"positions of sines, a size and channels, got token {model.token}, positions "
            f"{model.positions!r}, size {model.size} and channels {model.channels}."
        )
    return {
        "image_size": model.size,
        "num_channels": model.channels,
        "patch_size": model.patch,
        "hidden_size": model.width,
        "intermediate_size": 4 * model.width,
        "num_hidden_layers": model.depth,
        "num_attention_heads": model.heads,
        "decoder_hidden_size": model.decoder_width,
        "decoder_intermediate_size": 4 * model.decoder_width,
        "decoder_num_hidden_layers": model.decoder_depth,
        "decoder_num_attention_heads": model.decoder_heads or model.heads,
        "layer_norm_eps": model.epsilon,
    }


def _inputs(model: MaskedAutoencoder) -> tuple[jax.ShapeDtypeStruct, ...]:
    image = (1, model.size or 1, model.size or 1, model.channels or 1)
    return jax.ShapeDtypeStruct(image, jnp.float32), jax.ShapeDtypeStruct((1, 1), jnp.int32)


_EMBEDDINGS = "vit.embeddings."
_Row, _ONE = pretrained.Tensor, tensor_layouts.within(1)
PRETRAINED = (
    pretrained.Format(
        model=MaskedAutoencoder,
        model_type="vit_mae",
        architectures=("ViTMAEForPreTraining",),
        module=_from_config,
        config=_to_config,
        tensors=(
            _Row(_EMBEDDINGS + "cls_token", "token", tensor_layouts.within(2)),
            _Row(_EMBEDDINGS + "position_embeddings", "constants/positions", _ONE),
            _Row(
                _EMBEDDINGS + "patch_embeddings.projection.weight",
                "embed/kernel",
                tensor_layouts.CONV_2D,
            ),
            _Row(_EMBEDDINGS + "patch_embeddings.projection.bias", "embed/bias"),
            _Row("decoder.mask_token", "mask", tensor_layouts.within(2)),
            _Row("decoder.decoder_pos_embed", "constants/decoder_positions", _ONE),
            *vit.rows("vit.encoder.layer.{n}.", "encoder_{n}/"),
            *vit.rows("decoder.decoder_encoder.layer.{n}.", "decoder_{n}/"),
            *pretrained.normed(
                {"vit.layernorm": "encoder_norm", "decoder.decoder_norm": "decoder_norm"}
            ),
            *pretrained.affine(
                {"decoder.decoder_embed": "decoder_embed", "decoder.decoder_pred": "output"}
            ),
        ),
        supported={"hidden_act": ("gelu",), "qkv_bias": (True,)},
        inputs=_inputs,
    ),
)
