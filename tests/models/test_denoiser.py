"""The denoiser against its equations in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxdl import errors
from jaxdl.models import denoiser

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (4, 3, 1))
TIME = jnp.float32([0.0, 0.25, 0.5, 0.999])
LABEL = jnp.int32([2, 0, -1, 1])


def moved(model, **options):
    """Its variables, moved away from their zeros."""
    variables = jax.jit(model.init)(KEY, X, TIME, **options)
    leaves, tree = jax.tree.flatten(variables)
    keys = jax.random.split(KEY, len(leaves))
    return tree.unflatten(
        [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    )


def silu(x):
    return x * special.expit(x)


def dense(params, x):
    return x @ np.float64(params["kernel"]) + np.float64(params.get("bias", 0))


def normed(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-6)


def test_it_says_what_its_equations_say():
    model = denoiser.Denoiser(width=8, depth=2, classes=3, waves=2)
    variables = moved(model, label=LABEL)
    params = variables["params"]
    rates = 10_000.0 ** (-np.arange(32) / 31)
    angles = 1000 * np.float64(TIME)[:, None] * rates
    told = dense(params["time"], np.concatenate([np.sin(angles), np.cos(angles)], 1))
    table = np.concatenate([np.float64(params["label"]["kernel"]), np.zeros((1, 64))])
    told = silu(told + table[np.asarray(LABEL)])
    x = np.float64(X).reshape(4, 3)
    waves = [f(2 * np.pi * x / period) for f in (np.sin, np.cos) for period in (8, 4)]
    h = dense(params["input"], np.concatenate([x, *waves], 1))
    for name in ("block_0", "block_1"):
        scale, shift = np.split(dense(params[name]["modulation"], told), 2, axis=1)
        inner = silu(normed(h) * (1 + scale) + shift)
        h = h + dense(params[name]["output"], silu(dense(params[name]["hidden"], inner)))
    h = silu(normed(h) * np.float64(params["norm"]["scale"]) + np.float64(params["norm"]["bias"]))
    expected = dense(params["output"], h).reshape(X.shape)
    found = jax.jit(model.apply)(variables, X, TIME, LABEL)
    np.testing.assert_allclose(found, expected, atol=2e-4)  # sines of angles up to 1000


def test_at_first_it_says_nothing():
    model = denoiser.Denoiser(width=8)
    variables = model.init(KEY, X, TIME)
    np.testing.assert_array_equal(model.apply(variables, X, TIME), np.zeros_like(X))


def test_no_label_is_minus_one_for_all():
    model = denoiser.Denoiser(width=8, depth=1, classes=3)
    variables = moved(model)
    without = model.apply(variables, X, TIME)
    np.testing.assert_array_equal(model.apply(variables, X, TIME, jnp.full(4, -1)), without)
    changed = np.abs(model.apply(variables, X, TIME, LABEL) - without).max((1, 2)) > 1e-3
    np.testing.assert_array_equal(changed, LABEL >= 0)


def test_a_label_without_classes_is_refused():
    with pytest.raises(errors.InputError, match=r"^Denoiser must have `classes` to take a label"):
        denoiser.Denoiser(width=8).init(KEY, X, TIME, LABEL)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 1}, "Denoiser's width must be at least 2, got 1."),
        ({"depth": 0}, "Denoiser's depth must be at least 1, got 0."),
        ({"classes": 0}, "Denoiser's classes must be at least 1, got 0."),
        ({"waves": -1}, "Denoiser's waves must be at least 0, got -1."),
    ],
    ids=str,
)
def test_bad_fields_are_refused(fields, message):
    with pytest.raises(errors.InputError) as caught:
        denoiser.Denoiser(**fields)
    assert str(caught.value) == message
