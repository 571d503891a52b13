"""Costs against counts by hand."""

import jax
import jax.numpy as jnp

from jaxdl.nn import convolution
from jaxdl.train import cost


def of(function, *arguments):
    return cost.of(jax.make_jaxpr(function)(*arguments))


def test_a_product():
    x, kernel = jnp.ones((8, 5)), jnp.ones((5, 3))
    assert of(jnp.matmul, x, kernel) == (2 * 8 * 5 * 3, 1, False)


def test_a_product_over_a_batch_contracting_two_axes():
    x, y = jnp.ones((2, 3, 4, 5)), jnp.ones((2, 3, 4, 7))
    counted = of(lambda x, y: jnp.einsum("bijk,bijl->bkl", x, y), x, y)
    assert counted.flops == 2 * 2 * (3 * 4) * 5 * 7


def test_a_dense_layer_forward_and_backward():
    x, kernel = jnp.ones((8, 5)), jnp.ones((5, 3))
    forward = 2 * 8 * 5 * 3
    both = of(jax.grad(lambda k, x: ((x @ k) ** 2).sum(), argnums=(0, 1)), kernel, x)
    assert both.flops == 3 * forward  # the gradients of the kernel and of the input


def test_a_convolution_and_a_grouped_one():
    def convolve(x, kernel, groups):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            "VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    images = jnp.ones((2, 6, 6, 4))
    outputs = 2 * 4 * 4 * 8
    full = of(lambda x, k: convolve(x, k, 1), images, jnp.ones((3, 3, 4, 8)))
    assert full == (2 * outputs * 3 * 3 * 4, 1, True)
    grouped = of(lambda x, k: convolve(x, k, 2), images, jnp.ones((3, 3, 2, 8)))
    assert grouped.flops == 2 * outputs * 3 * 3 * 2


def test_a_loop_counts_as_often_as_it_runs():
    def looped(x):
        def turn(carry, _):
            return jnp.tanh(carry @ carry), None

        return jax.lax.scan(turn, x, length=7)[0]

    counted = of(looped, jnp.ones((4, 4)))
    assert counted.flops == 7 * 2 * 4 * 4 * 4
    assert 7 * 2 <= counted.operations <= 7 * 2 + 2
    nested = of(jax.jit(lambda x: jax.vmap(looped)(x)), jnp.ones((3, 4, 4)))
    assert nested.flops == 3 * 7 * 2 * 4 * 4 * 4


def test_a_convolution_is_found_inside_calls():
    def inner(x):
        return jax.lax.conv(x, jnp.ones((1, 1, 2, 2)), (1, 1), "SAME")

    looped = of(
        lambda x: jax.lax.fori_loop(0, 3, lambda i, x: jax.jit(inner)(x), x),
        jnp.ones((1, 1, 4, 4)),
    )
    assert looped.convolves


def test_of_branches_that_data_choose_the_dearest_counts():
    def chosen(flag, x):
        return jax.lax.cond(flag, lambda x: jnp.tanh(x @ x) @ x, lambda x: x @ x, x)

    counted = of(chosen, True, jnp.ones((4, 4)))
    assert counted.flops == 2 * 2 * 4 * 4 * 4
    assert not counted.convolves


def test_a_convolution_by_patches_is_one_product_on_the_cpu():
    """Narrow: 3x3 over one channel, which the CPU multiplies; wide: over eight, which convolve."""
    outputs = 2 * 6 * 6 * 5
    narrow = of(convolution.convolve, jnp.ones((2, 6, 6, 1)), jnp.ones((3, 3, 1, 5)))
    assert (narrow.flops, narrow.convolves) == (2 * outputs * 9, False)
    wide = of(convolution.convolve, jnp.ones((2, 6, 6, 8)), jnp.ones((3, 3, 8, 5)))
    assert (wide.flops, wide.convolves) == (2 * outputs * 9 * 8, True)


def test_the_branch_of_another_backend(monkeypatch):
    x, kernel = jnp.ones((2, 6, 6, 1)), jnp.ones((3, 3, 1, 5))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert of(convolution.convolve, x, kernel).convolves

    def dependent(x):
        return jax.lax.platform_dependent(
            x, cpu=lambda x: x @ x @ x, cuda=lambda x: x @ x, default=lambda x: x
        )

    assert of(dependent, jnp.ones((4, 4))).flops == 2 * 4 * 4 * 4


def test_the_gradient_of_a_narrow_convolution_does_not_convolve_on_the_cpu():
    x, kernel = jnp.ones((2, 6, 6, 1)), jnp.ones((3, 3, 1, 5))
    counted = of(jax.grad(lambda k, x: convolution.convolve(x, k).sum()), kernel, x)
    assert not counted.convolves
    assert counted.flops == 2 * (2 * 2 * 6 * 6 * 5 * 9)
