"""Spiking neurons against snnTorch's and a plain loop, and networks of them."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors, metrics
from jaxdl.models import spiking as models
from jaxdl.nn import spiking

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "spiking.npz"
DECAY = 0.85
SLOPES = {"fast_sigmoid": 25.0, "arctan": 2.0, "sigmoid": 5.0}
CASES = [f"{name}/{reset}" for name in SLOPES for reset in ("subtract", "zero")]


def against(arrays, name, neuron, kernel):
    """Compare spikes, membranes and gradients with what snnTorch found; the kernel's is returned.

    Gradients run through fifty steps of products, whose rounding depends on their order.
    """

    def total(currents, kernel):
        states, _ = spiking.run(neuron, currents, kernel)
        weighted = states.spikes * arrays["weight"][0] + states.membrane * arrays["weight"][1]
        return weighted.sum(), states

    program = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
    with jax.default_matmul_precision("highest"):
        (_, states), gradients = program(arrays["currents"], kernel)
    np.testing.assert_array_equal(states.spikes, arrays[f"{name}/spikes"])
    np.testing.assert_allclose(states.membrane, arrays[f"{name}/membrane"], atol=1e-6)
    wanted = arrays[f"{name}/gradient"]
    np.testing.assert_allclose(gradients[0], wanted, atol=1e-5 * np.abs(wanted).max())
    return gradients[1]


@pytest.mark.parametrize("name", CASES)
def test_snntorch(name):
    surrogate, reset = name.split("/")
    neuron = spiking.Neuron(DECAY, 1.0, reset, surrogate, slope=SLOPES[surrogate])
    with np.load(FIXTURE) as arrays:
        assert 0.05 < arrays[f"{name}/spikes"].mean() < 0.5
        against(arrays, name, neuron, None)


def test_snntorch_recurrent():
    with np.load(FIXTURE) as arrays:
        gradient = against(
            arrays, "recurrent", spiking.Neuron(decay=DECAY), arrays["recurrent/kernel"]
        )
        wanted = arrays["recurrent/gradient/kernel"]
    np.testing.assert_allclose(gradient, wanted, atol=1e-5 * np.abs(wanted).max())


def test_adaptive_neurons_against_a_plain_loop():
    """Bellec et al.'s equations, in float64, by hand."""
    currents = np.random.default_rng(0).normal(0.3, 1, (40, 2, 5))
    neuron = spiking.Neuron(DECAY, adaptation=0.4, adaptation_decay=0.9, surrogate="triangle")
    states, last = spiking.run(neuron, jnp.asarray(currents, jnp.float32))
    membrane, spikes, fatigue = np.zeros((3, 2, 5))
    fired = []
    for current in currents:
        fatigue = 0.9 * fatigue + spikes
        membrane = DECAY * membrane + current - spikes
        spikes = (membrane > 1 + 0.4 * fatigue).astype(float)
        fired.append(spikes)
    np.testing.assert_array_equal(states.spikes, fired)
    np.testing.assert_allclose(last.membrane, membrane, atol=1e-5)
    np.testing.assert_allclose(last.fatigue, fatigue, atol=1e-5)
    plain, _ = spiking.run(spiking.Neuron(DECAY), jnp.asarray(currents, jnp.float32))
    assert 0 < states.spikes.mean() < 0.8 * plain.spikes.mean()


INTEGRALS = {
    "fast_sigmoid": lambda x: x / (1 + 25 * abs(x)),
    "arctan": lambda x: np.arctan(np.pi * x) / np.pi,
    "sigmoid": lambda x: 1 / (1 + np.exp(-25 * x)),
    "triangle": lambda x: 0.3 * np.sign(x) * (0.5 - 0.5 * np.maximum(0, 1 - abs(x)) ** 2),
}


@pytest.mark.parametrize("name", spiking.SURROGATES)
def test_surrogates_are_the_derivatives_of_their_curves(name):
    surrogate, slope = spiking.SURROGATES[name]
    x = np.linspace(-1.5, 1.5, 24)
    curve = INTEGRALS[name]
    wanted = (curve(x + 1e-6) - curve(x - 1e-6)) / 2e-6
    value, found = jax.jvp(
        lambda x: spiking.spike(x, slope, surrogate), (jnp.float32(x),), (jnp.ones(24),)
    )
    np.testing.assert_array_equal(value, x > 0)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_streaming_equals_the_whole():
    neuron = spiking.Neuron(threshold=0.2, adaptation=0.1)
    model = models.adaptive(classes=3, features=(6, 5), neuron=neuron)
    x = jax.random.normal(jax.random.key(0), (2, 8, 2, 2)) * 2
    variables = model.init(jax.random.key(1), x)
    whole = model.apply(variables, x)
    parts, states = [], None
    for piece in (x[:, :3], x[:, 3:4], x[:, 4:]):
        output, states = model.apply(variables, piece, states, method="advance")
        parts.append(output.rates * piece.shape[1])
    np.testing.assert_allclose(sum(parts) / 8, whole.rates, atol=1e-6)
    assert whole.rates.min() > 0 and whole.rates.max() < 1
    measured = models.cross_entropy(whole, {"target": jnp.array([0, 2])})
    found = metrics.values(jax.device_get(measured))
    assert found["firing_rate/layer_1"] == pytest.approx(float(whole.rates[:, 1].mean()), abs=1e-6)


def test_every_parameter_learns_and_is_float32():
    model = models.Spiking(3, (6, 5), recurrent=True, dtype=jnp.bfloat16)
    x = jax.random.normal(jax.random.key(0), (4, 10, 7)) * 3
    variables = model.init(jax.random.key(1), x)
    batch = {"target": jnp.arange(4) % 3}
    gradient = jax.grad(
        lambda v: models.cross_entropy(model.apply(v, x), batch)["loss"].total
    )(variables)  # fmt: skip
    shapes = jax.tree.map(jnp.shape, gradient["params"])
    assert shapes == {
        "layer_0": {"input": {"kernel": (7, 6), "bias": (6,)}, "recurrent_kernel": (6, 6)},
        "layer_1": {"input": {"kernel": (6, 5), "bias": (5,)}, "recurrent_kernel": (5, 5)},
        "output": {"kernel": (5, 3), "bias": (3,)},
    }
    for leaf in jax.tree.leaves(gradient):
        assert leaf.dtype == jnp.float32 and np.any(leaf != 0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: spiking.Neuron(decay=1.5), r"decay must lie in \[0, 1\], got 1.5"),
        (lambda: spiking.Neuron(threshold=0), "threshold must be positive, got 0"),
        (lambda: spiking.Neuron(slope=-1.0), "slope must be positive, got -1.0"),
        (lambda: spiking.Neuron(adaptation=-1), "adaptation must be at least 0, got -1"),
        (lambda: spiking.Neuron(reset="none"), "reset must be subtract or zero, got 'none'"),
        (lambda: spiking.Neuron(surrogate="step"), "must be one of fast_sigmoid, .* got 'step'"),
        (lambda: models.Spiking(0), "classes must be at least 1, got 0"),
        (lambda: models.Spiking(2, (3, 0)), "features must each be at least 1"),
        (lambda: models.Spiking(2, ()), r"features must name a layer, got \(\)"),
        (lambda: spiking.Spiking(0), "width must be at least 1, got 0"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
