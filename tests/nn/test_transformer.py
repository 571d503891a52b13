"""The transformer's block: what rematerialisation changes, and what it does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import gpt
from jaxdl.nn import transformer
from jaxdl.train import cost

TOKENS = jnp.arange(32, dtype=jnp.int32).reshape(2, 16)


def loss_of(**fields):
    """A model's parameters, and a loss as a function of them."""
    model = gpt.GPT(vocabulary=32, length=16, width=16, depth=2, heads=4, **fields)
    params = model.init(jax.random.key(0), TOKENS)

    def loss(params):
        keys = {"dropout": jax.random.key(1)}
        return jnp.square(model.apply(params, TOKENS, train=True, rngs=keys)).sum()

    return params, jax.jit(jax.grad(loss))


@pytest.mark.parametrize("remat", ["block", "dots"])
def test_gradients_are_those_without_rematerialisation(remat):
    params, plain = loss_of(dropout=0.5)
    same, again = loss_of(dropout=0.5, remat=remat)
    jax.tree.map(np.testing.assert_array_equal, params, same)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        again(params),
        plain(params),
    )


def test_what_is_not_saved_is_computed_again():
    flops = {}
    for remat in ("none", "dots", "block"):
        params, gradient = loss_of(remat=remat)
        flops[remat] = cost.of(gradient.trace(params).jaxpr).flops
    # Of 32 tokens, in 2 blocks: products with all kernels but the last, whose result is not needed;
    # in attention scores, outputs and, for 32 rows of each of 4 heads, sums of 16 weights.
    kernels = 2 * 2 * 32 * 8 * 16**2
    attention = 2 * (2 * 2 * 32 * 16 * 16 + 2 * 4 * 32 * 16)
    assert flops["block"] - flops["none"] == kernels + attention
    assert 0 < flops["dots"] - flops["none"] <= attention


def test_bfloat16_computes_on_float32_parameters():
    params, exact = loss_of()
    same, rough = loss_of(dtype="bfloat16", remat="block")
    assert {leaf.dtype for leaf in jax.tree.leaves(same)} == {jnp.dtype("float32")}
    one, other = exact(params), rough(params)
    assert {leaf.dtype for leaf in jax.tree.leaves(other)} == {jnp.dtype("float32")}
    flat = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)]) for tree in (one, other)]
    cosine = flat[0] @ flat[1] / np.linalg.norm(flat[0]) / np.linalg.norm(flat[1])
    assert 0.99 < cosine < 1


def test_an_unknown_policy_is_refused():
    with pytest.raises(errors.InputError, match="remat must be none, block or dots, got 'all'"):
        gpt.GPT(remat="all")
    assert transformer.rematerialised("none") is transformer.Block
