"""Explanations against captum and shap on the same weights, and against closed forms."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import attribution, coalitions, inside, relevance
from jaxdl.models import cnn, mlp

KEPT = np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "explain.npz")
IMAGES = KEPT["input"]


def weights(names, prefix=""):
    kinds = ("kernel", "bias")
    return {"params": {n: {k: KEPT[f"{prefix}{n}/{k}"] for k in kinds} for n in names}}


@pytest.fixture(autouse=True)
def precise():
    with jax.default_matmul_precision("highest"):
        yield


def scores():
    model = cnn.CNN(features=(4, 6), classes=3, hidden=8)
    variables = weights(["conv_0", "conv_1", "hidden", "output"])
    predict = jax.jit(lambda state, batch: model.apply(state, batch["input"]))
    return attribution.scores(predict, variables, {"input": IMAGES})


METHODS = {
    "saliency": attribution.saliency,
    "integrated": lambda score, x: attribution.integrated_gradients(score, x, 0.25, steps=24),
    "grad_cam": inside.grad_cam,
    "occlusion": lambda score, x: coalitions.occlusion(score, x, (3, 3, 1), (2, 2, 1), 0.5),
    "epsilon": lambda score, x: relevance.relevance(score, x, epsilon=0.01),
    "gamma": lambda score, x: relevance.relevance(score, x, "gamma", gamma=0.5),
    "z+": lambda score, x: relevance.relevance(score, x, "z+"),
}


@pytest.mark.parametrize("name", METHODS)
def test_attributions_are_captums(name):
    found = jax.jit(functools.partial(METHODS[name], scores()))(IMAGES)
    wanted = KEPT[name]
    assert np.abs(wanted).max() > 1e-3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_classes_are_those_that_captum_explained():
    model = cnn.CNN(features=(4, 6), classes=3, hidden=8)
    variables = weights(["conv_0", "conv_1", "hidden", "output"])
    outputs = model.apply(variables, jnp.asarray(IMAGES))
    np.testing.assert_array_equal(outputs.argmax(-1), KEPT["target"])
    given = attribution.scores(
        lambda state, batch: model.apply(state, batch["input"]), variables, {"input": IMAGES}, 2
    )
    np.testing.assert_allclose(given(IMAGES), outputs[:, 2], rtol=1e-6)


def cubic(x):
    return (x**3).sum((1, 2))


def test_smooth_gradients_are_the_mean_under_noise():
    x = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (3, 4, 2)), jnp.float32)
    found = attribution.smooth_grad(cubic, x, jax.random.key(0), samples=6400, noise=0.2)
    width = 0.2 * (x.max((1, 2), keepdims=True) - x.min((1, 2), keepdims=True))
    expected = 3 * (x**2 + width**2)  # of 3 (x + noise)^2
    np.testing.assert_allclose(found, expected, atol=0.1)
    assert np.abs(expected - 3 * x**2).min() > 0.1  # the noise is what the test sees


def test_gradient_shap_is_the_mean_of_integrated_gradients():
    random = np.random.default_rng(1)
    x, background = (jnp.asarray(random.normal(size=(n, 4, 2)), jnp.float32) for n in (3, 5))
    found = attribution.gradient_shap(cubic, x, background, jax.random.key(0), samples=12_800)
    path = [attribution.integrated_gradients(cubic, x, b) for b in background]
    np.testing.assert_allclose(found, sum(path) / 5, atol=0.4)
    # x³ over the path from b: all of x³ - b³ falls to the value itself.
    expected = x**3 - (background**3).mean(0, keepdims=True)
    np.testing.assert_allclose(sum(path) / 5, expected, atol=1e-4)


def test_integrated_gradients_are_complete():
    score = scores()
    found = attribution.integrated_gradients(score, IMAGES)
    off, change = attribution.incompleteness(found, score, IMAGES)
    assert off.sum() / change.sum() <= 0.03
    off, _ = attribution.incompleteness(found * 2, score, IMAGES)
    assert off.sum() / change.sum() > 0.9


def test_bad_input_is_refused():
    x = jnp.ones((2, 3))
    with pytest.raises(errors.InputError, match="of a learner with `predict`"):
        attribution.scores(None, None, {"input": x})
    with pytest.raises(errors.InputError, match="a dict with an input, got target"):
        attribution.scores(lambda s, b: b, None, {"target": x})
    with pytest.raises(errors.InputError, match=r"must be \(b, k\).* got \[3, 2\] of 2"):
        attribution.scores(lambda s, b: b["input"].T, None, {"input": x})
    for target, said in ((3, "in 0..2, got 3"), (np.zeros(3, int), "integer or 2 of them")):
        with pytest.raises(errors.InputError, match=said):
            attribution.scores(lambda s, b: b["input"], None, {"input": x}, target)
    with pytest.raises(errors.InputError, match=r"must hold floats, got int32.*embedded"):
        attribution.saliency(lambda x: x.sum(1), jnp.ones((2, 3), jnp.int32))
    with pytest.raises(errors.InputError, match="must broadcast to the inputs"):
        attribution.integrated_gradients(lambda x: x.sum(1), x, jnp.ones(2))
    with pytest.raises(errors.InputError, match=r"must broadcast.*got \[1, 2, 3\]"):
        attribution.integrated_gradients(lambda x: x.sum(1), x, x[None])
    with pytest.raises(errors.InputError, match="background must be inputs"):
        attribution.gradient_shap(lambda x: x.sum(1), x, x[0], jax.random.key(0))
    for act, said in (("tanh", "got tanh"), ("gelu", "erf|tanh")):
        model = mlp.MLP(features=(2,), classes=2, act=act)
        variables = model.init(jax.random.key(0), x)
        score = attribution.scores(
            lambda s, b, model=model: model.apply(s, b["input"]), variables, {"input": x}
        )
        with pytest.raises(errors.InputError, match=f"dense layers, convolutions.*{said}"):
            relevance.relevance(score, x)
    with pytest.raises(errors.InputError, match="got none"):
        relevance.relevance(lambda x: x.sum(1), x)
    with pytest.raises(errors.InputError, match=r"epsilon, gamma or z\+, got 'alpha'"):
        relevance.relevance(lambda x: x.sum(1), x, "alpha")
