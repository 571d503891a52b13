"""Capsules against the paper's equations in NumPy, and its published size."""

import flax.traverse_util
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import capsule

RANDOM = np.random.default_rng(0)


def squashed(s):
    """Equation 1."""
    norm = np.linalg.norm(s)
    return norm**2 / (1 + norm**2) * s / norm


def procedure_1(u_hat, r):
    """One example's routing, line by line; u_hat[i][j] is the vote of capsule i for class j."""
    lower, upper, _ = u_hat.shape
    b = np.zeros((lower, upper))
    for _ in range(r):
        c = np.stack([np.exp(b[i]) / np.exp(b[i]).sum() for i in range(lower)])
        s = [sum(c[i, j] * u_hat[i, j] for i in range(lower)) for j in range(upper)]
        v = [squashed(s_j) for s_j in s]
        for i in range(lower):
            for j in range(upper):
                b[i, j] = b[i, j] + u_hat[i, j] @ v[j]
    return np.stack(v)


@pytest.mark.parametrize("iterations", [1, 3])
def test_routing_is_the_papers_procedure(iterations):
    votes = RANDOM.normal(size=(2, 7, 4, 3))
    found = jax.jit(capsule.routed, static_argnums=1)(jnp.asarray(votes, jnp.float32), iterations)
    for ours, one in zip(found, votes, strict=True):
        np.testing.assert_allclose(ours, procedure_1(one, iterations), atol=1e-5)


def test_agreement_wins():
    """Votes that agree are heard, those that scatter are not: the more so with each iteration."""
    agreed = np.tile([2.0, 0.0, 0.0], (6, 1))
    scattered = RANDOM.normal(size=(6, 3)) * 2
    votes = jnp.asarray(np.stack([agreed, scattered], axis=1)[None], jnp.float32)
    lengths = [capsule.length(capsule.routed(votes, n))[0] for n in (1, 3)]
    assert lengths[1][0] > lengths[0][0] and lengths[0][0] > lengths[0][1]


def test_lengths_of_nothing_have_a_gradient():
    zeros = jnp.zeros((2, 3))
    for function in (capsule.length, lambda s: capsule.squash(s).sum()):
        assert np.isfinite(jax.grad(lambda s, f=function: f(s).sum())(zeros)).all()
    one = jnp.asarray(RANDOM.normal(size=3), jnp.float32)
    np.testing.assert_allclose(capsule.squash(one), squashed(np.asarray(one)), rtol=1e-5)


def test_margin_loss_is_equation_4():
    lengths, target = RANDOM.random((5, 3)), RANDOM.integers(0, 3, 5)
    wanted = [
        sum(
            max(0, 0.9 - v) ** 2 if k == label else 0.5 * max(0, v - 0.1) ** 2
            for k, v in enumerate(row)
        )
        for row, label in zip(lengths, target, strict=True)
    ]
    found = capsule.margin_loss(jnp.asarray(lengths, jnp.float32), jnp.asarray(target))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert np.isnan(capsule.margin_loss(jnp.ones((1, 3)), jnp.asarray([7]))).all()


def test_draws_from_the_label_or_else_from_the_longest():
    model = capsule.CapsNet(3, features=4, kernel=3, primary=2, width=4, decoder=(5,))
    x = jnp.asarray(RANDOM.random((4, 8, 8, 1)), jnp.float32)
    variables = jax.jit(model.init)(jax.random.key(0), x)
    lengths, drawn = jax.jit(model.apply)(variables, x)
    longest = jnp.argmax(lengths, -1)
    assert lengths.shape == (4, 3) and drawn.shape == x.shape
    assert float(lengths.max()) < 1 and 0 < float(drawn.min()) <= float(drawn.max()) < 1
    told = jax.jit(lambda label: model.apply(variables, x, label)[1])
    np.testing.assert_allclose(told(longest), drawn, atol=1e-6)
    assert not np.allclose(told((longest + 1) % 3), drawn)


def test_without_a_decoder_nothing_is_drawn():
    model = capsule.CapsNet(3, features=4, kernel=3, decoder=())
    (lengths, drawn), variables = jax.eval_shape(
        model.init_with_output, jax.random.key(0), jnp.zeros((4, 8, 8, 1))
    )
    assert lengths.shape == (4, 3) and drawn is None
    assert set(variables["params"]) == {"conv_1", "conv_primary", "votes"}


def test_number_of_parameters():
    shapes = jax.eval_shape(capsule.CapsNet().init, jax.random.key(0), jnp.zeros((1, 28, 28, 1)))
    sizes = {
        path: leaf.size
        for path, leaf in flax.traverse_util.flatten_dict(shapes["params"], sep="/").items()
    }
    decoder = sum(n for path, n in sizes.items() if path.startswith(("hidden", "drawing")))
    assert sum(sizes.values()) == 8_215_568 and decoder == 1_411_344  # the paper's 8.2M
    assert sizes["votes"] == 1152 * 8 * 10 * 16  # section 4


def test_refusals():
    with pytest.raises(errors.InputError, match="CapsNet's iterations must be at least 1, got 0"):
        capsule.CapsNet(iterations=0)
    with pytest.raises(errors.InputError, match="at least 17 pixels high and wide for its kernel"):
        jax.eval_shape(capsule.CapsNet().init, jax.random.key(0), jnp.zeros((1, 16, 20, 1)))
