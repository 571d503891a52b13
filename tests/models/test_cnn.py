"""The small convolutional networks: sizes, fields, determinism, and what they learn of digits."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import datasets, model_selection

from jaxdl import errors
from jaxdl.models import cnn


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_lenet5_has_the_known_number_of_parameters():
    for size in (28, 32):
        shapes = jax.eval_shape(cnn.LeNet5().init, jax.random.key(0), jnp.zeros((1, size, size, 1)))
        assert count(shapes) == 61_706


def test_squash_maps_one_to_one():
    np.testing.assert_allclose(cnn.squash(jnp.asarray([[-1.0, 1.0]])), [[-1, 1]], atol=1e-4)
    out = cnn.lenet5_1998(classes=3).init_with_output(jax.random.key(0), jnp.ones((2, 28, 28, 1)))[
        0
    ]
    assert out.shape == (2, 3)


@pytest.mark.parametrize(
    "norm", [nn.BatchNorm, functools.partial(nn.GroupNorm, num_groups=2), nn.LayerNorm]
)
def test_norm_takes_the_place_of_the_bias(norm):
    model = cnn.CNN(features=(4,), hidden=0, norm=norm, dropout=0.1, dtype=jnp.bfloat16)
    x = jnp.ones((2, 5, 4, 3))
    logits, variables = model.init_with_output(jax.random.key(0), x)
    assert logits.dtype == jnp.bfloat16
    assert set(variables["params"]["conv_0"]) == {"kernel"}
    assert set(variables["params"]["norm_0"]) == {"scale", "bias"}
    assert variables["params"]["output"]["kernel"].shape == (2 * 2 * 4, 10)


@pytest.mark.parametrize("model", [cnn.CNN(), cnn.LeNet5()])
def test_refuses_images_that_do_not_fit(model):
    with pytest.raises(errors.InputError, match=r"must be .*got 3 x 8"):
        model.init(jax.random.key(0), jnp.zeros((1, 3, 8, 1)))


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (lambda: cnn.CNN(features=(0,)), r"CNN's features must each be at least 1, got \(0,\)."),
        (lambda: cnn.CNN(hidden=-1), "CNN's hidden must be at least 0, got -1."),
        (lambda: cnn.CNN(dropout=-0.1), r"CNN's dropout must lie in \[0, 1\), got -0.1."),
        (lambda: cnn.CNN(kernel_size=(3, 0)), "CNN's kernel_size must each be at least 1"),
        (lambda: cnn.lenet5_1998(classes=0), "LeNet5's classes must be at least 1, got 0."),
    ],
    ids=["features", "hidden", "dropout", "kernel", "lenet"],
)
def test_refuses_fields_out_of_range(made, rule):
    with pytest.raises(errors.InputError, match=rule):
        made()


def test_members_of_a_vmap_learn_as_alone():
    model = cnn.CNN(features=(2, 3), hidden=4)
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    params = jax.vmap(lambda key: model.init(key, x))(jax.random.split(jax.random.key(0), 3))
    gradient = jax.grad(lambda params: (model.apply(params, x) ** 2).sum())
    together = jax.jit(jax.vmap(gradient))(params)
    alone = jax.jit(gradient)(jax.tree.map(lambda leaf: leaf[1], params))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-4), together, alone
    )


def test_reads_digits_and_gives_the_same_bits_twice():
    """150 steps of a network of a quarter of the width: 0.95; experiments/digits_cnn.py: 0.985."""
    images, labels = datasets.load_digits(return_X_y=True)
    images = (images / 16).reshape(-1, 8, 8, 1).astype(np.float32)
    parts = model_selection.train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    train_x, test_x, train_y, test_y = (jnp.asarray(part) for part in parts)
    model, optimizer = cnn.CNN(features=(8, 16)), optax.adam(3e-3)

    @jax.jit
    def step(params, moments, key):
        rows = jax.random.randint(key, (64,), 0, len(train_x))

        def loss(params):
            logits = model.apply(params, train_x[rows], train=True)
            picked = optax.softmax_cross_entropy_with_integer_labels(logits, train_y[rows])
            return picked.mean()

        updates, moments = optimizer.update(jax.grad(loss)(params), moments)
        return optax.apply_updates(params, updates), moments

    def learn(steps):
        params = jax.jit(model.init)(jax.random.key(0), train_x[:1])
        moments = optimizer.init(params)
        for key in jax.random.split(jax.random.key(1), steps):
            params, moments = step(params, moments, key)
        return params

    params = learn(150)
    right = model.apply(params, test_x).argmax(-1) == test_y
    assert float(right.mean()) >= 0.93
    jax.tree.map(np.testing.assert_array_equal, learn(30), learn(30))
