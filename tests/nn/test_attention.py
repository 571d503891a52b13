"""Attention against a loop over batch, head and query in NumPy; both implementations agree."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.nn import attention

HEADS = 4


def inputs(time=6, keys=6, groups=HEADS, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(2, time, HEADS, 8), (2, keys, groups, 8), (2, keys, groups, 8)]
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def by_loops(query, key, value, seen):
    """The definition, in double precision; seen: (b, t, s)."""
    query, key, value = (x.astype(np.float64) for x in (query, key, value))
    out = np.zeros(query.shape)
    share = query.shape[2] // key.shape[2]
    for b, t, h in np.ndindex(query.shape[:3]):
        rows = np.flatnonzero(seen[b, t])
        score = key[b, rows, h // share] @ query[b, t, h] / np.sqrt(query.shape[-1])
        weight = np.exp(score - score.max())
        out[b, t, h] = weight / weight.sum() @ value[b, rows, h // share]
    return out


def numpy_mask(name, time, keys):
    if name == "causal":
        return np.tril(np.ones((2, time, keys), bool))
    if name == "random":
        mask = np.random.default_rng(1).random((2, time, keys)) < 0.5
        mask[..., 0] = True
        return mask
    return np.ones((2, time, keys), bool)


@pytest.mark.parametrize("implementation", ["matmul", "jax"])
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mask", ["none", "causal", "random"])
def test_equals_the_definition(implementation, groups, mask):
    query, key, value = inputs(groups=groups)
    seen = numpy_mask(mask, 6, 6)
    with jax.default_matmul_precision("highest"):
        out = attention.attend(
            *map(jnp.asarray, (query, key, value)),
            causal=mask == "causal",
            mask=jnp.asarray(seen) if mask == "random" else None,
            implementation=implementation,
        )
    np.testing.assert_allclose(out, by_loops(query, key, value, seen), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("implementation", ["matmul", "jax"])
def test_bias_scale_and_both_masks_are_of_the_softmax(implementation):
    query, key, value = inputs(groups=2)
    bias = np.random.default_rng(2).standard_normal((1, HEADS, 6, 6)).astype(np.float32)
    hidden = np.arange(6) < np.array([4, 6])[:, None]
    seen = numpy_mask("causal", 6, 6) & hidden[:, None]
    share = HEADS // key.shape[2]
    scores = np.einsum("bthd,bshd->bhts", query, np.repeat(key, share, 2)) + bias
    weights = np.where(seen[:, None], np.exp(scores), 0)
    weights /= weights.sum(-1, keepdims=True)
    expected = np.einsum("bhts,bshd->bthd", weights, np.repeat(value, share, 2))
    mask = jnp.asarray(hidden)[:, None]
    options = {"causal": True, "mask": mask, "bias": jnp.asarray(bias), "scale": 1.0}
    query, key, value = (jnp.asarray(x) for x in (query, key, value))
    with jax.default_matmul_precision("highest"):
        out = attention.attend(query, key, value, **options, implementation=implementation)
        found = attention.weights(query, key, **options)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-6)


def test_a_memory_is_read_once_and_remembered():
    layer = attention.MultiHead(2, head_width=3, use_bias=False)
    random = np.random.default_rng(0)
    x, memory = (jnp.asarray(random.normal(size=(2, n, 4)), jnp.float32) for n in (3, 5))
    params = layer.init(jax.random.key(0), x, memory=memory)
    assert jax.tree.map(jnp.shape, params["params"]["value"]) == {"kernel": (4, 6)}
    (out, cache), seen = layer.apply(params, x, memory=memory, mutable="intermediates")
    assert cache.key.shape == (2, 5, 2, 3) and out.shape == x.shape
    again, _ = layer.apply(params, x, memory=cache)
    np.testing.assert_array_equal(again, out)
    (weights,) = seen["intermediates"]["weights"]
    assert weights.shape == (2, 2, 3, 5)
    heads = jnp.einsum("bhts,bshd->bthd", weights, cache.value).reshape(2, 3, 6)
    expected = heads @ params["params"]["output"]["kernel"]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("keys", [7, 8, 12])  # odd, a power of two, neither
def test_queries_and_keys_may_differ_in_number(keys):
    query, key, value = inputs(time=3, keys=keys)
    out = attention.attend(*map(jnp.asarray, (query, key, value)))
    seen = numpy_mask("none", 3, keys)
    np.testing.assert_allclose(out, by_loops(query, key, value, seen), rtol=1e-5, atol=1e-6)


def test_gradients_equal_those_of_jax_attention():
    arrays = [jnp.asarray(x) for x in inputs(groups=2)]
    weight = jnp.asarray(inputs(seed=3)[0])

    def gradient(implementation):
        attend = functools.partial(attention.attend, causal=True, implementation=implementation)
        with jax.default_matmul_precision("highest"):
            return jax.grad(lambda *xs: (attend(*xs) * weight).sum(), (0, 1, 2))(*arrays)

    for ours, theirs in zip(gradient("matmul"), gradient("jax"), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_second_derivatives_forward_and_backward():
    arrays = [jnp.asarray(x) for x in inputs(time=3, keys=3)]
    function = lambda *xs: (attention.attend(*xs, causal=True) ** 2).sum()  # noqa: E731
    gradient = jax.grad(lambda xs: function(*xs))
    _, product = jax.jvp(gradient, (arrays,), (arrays,))
    step = 1e-2
    ahead = gradient([x * (1 + step) for x in arrays])
    behind = gradient([x * (1 - step) for x in arrays])
    for p, a, b in zip(product, ahead, behind, strict=True):
        np.testing.assert_allclose(p, (a - b) / (2 * step), rtol=2e-2, atol=2e-2)


def test_huge_scores_stay_finite_and_vmap_changes_nothing():
    query, key, value = (jnp.asarray(x) for x in inputs())
    attend = functools.partial(attention.attend, causal=True)
    out = attend(query * 1e4, key, value)
    assert np.isfinite(out).all()
    stacked = jax.vmap(attend)(*(jnp.stack([x, 2 * x]) for x in (query, key, value)))
    np.testing.assert_allclose(stacked[0], attend(query, key, value), rtol=1e-5, atol=1e-6)


def test_bfloat16_goes_in_and_comes_out():
    query, key, value = inputs()
    out = attention.attend(*(jnp.asarray(x, jnp.bfloat16) for x in (query, key, value)))
    assert out.dtype == jnp.bfloat16
    expected = by_loops(query, key, value, numpy_mask("none", 6, 6))
    np.testing.assert_allclose(out.astype(np.float32), expected, atol=0.05)


def test_bad_sizes_are_refused():
    query, key, value = (jnp.asarray(x) for x in inputs(time=3, groups=3))
    with pytest.raises(errors.InputError, match="multiple of its key heads, got 4 and 3"):
        attention.attend(query, key, value)
    query, key, value = (jnp.asarray(x) for x in inputs(time=3))
    with pytest.raises(errors.InputError, match="as many queries as keys, got 3 and 6"):
        attention.attend(query, key, value, causal=True)
    with pytest.raises(errors.InputError, match="implementation must be"):
        attention.attend(query, key, value, implementation="flash")
    with pytest.raises(errors.InputError, match="multiple of its groups, got 4 and 3"):
        attention.MultiHead(4, groups=3)


@pytest.mark.parametrize(
    "device, dtype, width, masked, chosen",
    [
        ("cpu", jnp.bfloat16, 64, False, "matmul"),
        ("NVIDIA H200", jnp.bfloat16, 64, False, "cudnn"),
        ("NVIDIA H200", jnp.float32, 64, False, "jax"),
        ("NVIDIA H200", jnp.bfloat16, 60, False, "jax"),
        ("NVIDIA H200", jnp.float16, 64, True, "jax"),
        ("Tesla V100", jnp.float16, 64, False, "jax"),
        ("TPU v5 lite", jnp.bfloat16, 64, False, "jax"),
    ],
)
def test_the_kernel_goes_by_device_and_shape(device, dtype, width, masked, chosen):
    query = jnp.zeros((1, 4, 2, width), dtype)
    mask = jnp.ones((1, 4, 4), bool) if masked else None
    assert attention._implementation(device, query, mask) == chosen
