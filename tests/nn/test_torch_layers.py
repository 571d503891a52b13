"""Attention, embeddings and norms of rows against PyTorch: the same weights, outputs, gradients."""

import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from jaxdl.nn import attention, layer_norm, normalization

with np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "attention.npz") as file:
    FIXTURE = dict(file)


def below(path):
    """The arrays of one part of a fixture."""
    start = path + "/"
    flat = {k[len(start) :]: jnp.asarray(x) for k, x in FIXTURE.items() if k.startswith(start)}
    return traverse_util.unflatten_dict(flat, sep="/")


def check(function, name, *inputs):
    """A function of parameters and inputs has the fixture's output and gradients."""
    kept = below(name)
    arguments = (kept["params"], *(kept[label] for label in inputs))
    with jax.default_matmul_precision("highest"):
        out, pull = jax.vjp(function, *arguments)
        found = pull(kept["cotangent"])
    wanted = (kept["gradient"]["params"], *(kept["gradient"][label] for label in inputs))
    for ours, theirs in ((out, kept["output"]), (found, wanted)):
        assert jax.tree.structure(ours) == jax.tree.structure(theirs)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("name", ["self", "causal", "padded", "memory"])
def test_attention_is_torchs(name):
    layer, mask = attention.MultiHead(3, causal=name == "causal"), below(name)["mask"]

    def attend(params, x, memory=None):
        out, _ = layer.apply({"params": params}, x, mask=mask, memory=memory)
        return out

    check(attend, name, "input", *(["memory"] if name == "memory" else []))
    kept = below(name)
    seen: dict = layer.apply(
        {"params": kept["params"]},
        kept["input"],
        mask=mask,
        memory=kept.get("memory"),
        mutable="intermediates",
    )[1]
    (weights,) = seen["intermediates"]["weights"]
    np.testing.assert_allclose(weights, kept["weights"], rtol=1e-5, atol=1e-6)


def test_embeddings_are_torchs():
    layer, tokens = nn.Embed(6, 4), below("embedding")["tokens"]
    check(lambda params: layer.apply({"params": params}, tokens), "embedding")


def test_layer_norm_is_torchs():
    layer = layer_norm.LayerNorm()
    check(lambda params, x: layer.apply({"params": params}, x), "layer_norm", "input")


class Normalized(nn.Module):
    """Batch norm as the models make it; torch's momentum is one less flax's."""

    @nn.compact
    def __call__(self, x, train):
        norm = normalization.normalize
        return norm(nn.BatchNorm, x, train, momentum=0.9, epsilon=1e-5, name="norm")


def test_batch_norm_is_torchs():
    kept, layer = below("batch_norm"), Normalized()
    statistics = {"norm": {"mean": jnp.zeros(4), "var": jnp.ones(4)}}

    def trained(params, x):
        variables = {"params": {"norm": params}, "batch_stats": statistics}
        return layer.apply(variables, x, True, mutable="batch_stats")

    check(lambda params, x: trained(params, x)[0], "batch_norm", "input")
    _, after = trained(kept["params"], kept["input"])
    variables = {"params": {"norm": kept["params"]}} | after
    _, after = layer.apply(variables, kept["second"], True, mutable="batch_stats")
    found = after["batch_stats"]["norm"]
    np.testing.assert_allclose(found["mean"], kept["mean"], rtol=1e-5, atol=1e-6)
    # torch keeps the variance over n - 1, flax over n; both began at 1, which has faded to 0.9².
    unbiased = 0.81 + (found["var"] - 0.81) * 6 / 5
    np.testing.assert_allclose(unbiased, kept["unbiased_variance"], rtol=1e-5)
    theirs = {"norm": {"mean": kept["mean"], "var": kept["unbiased_variance"]}}
    variables = {"params": {"norm": kept["params"]}, "batch_stats": theirs}
    evaluated = layer.apply(variables, kept["input"], False)
    np.testing.assert_allclose(evaluated, kept["evaluated"], rtol=1e-5, atol=1e-6)
