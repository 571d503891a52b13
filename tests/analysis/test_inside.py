"""Looks into networks through `predict` find what the layers by themselves compute."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdl import errors
from jaxdl.analysis import attribution, inside, relevance, rollout
from jaxdl.learners import ensemble, gradient
from jaxdl.losses import classification, likelihood
from jaxdl.models import bert, gpt, mlp

TOKENS = jnp.asarray([[2, 3, 4, 0], [2, 5, 6, 3]], jnp.int32)


def reader():
    encoder = bert.BERT(vocabulary=7, length=4, width=8, depth=2, heads=2, types=0)
    model = bert.Classifier(encoder, classes=3)
    variables = model.init(jax.random.key(0), TOKENS)
    # The initial ones are near zero, and so would the gradients be.
    variables = jax.tree.map(lambda x: 10 * x, variables)
    return model, variables, lambda state, batch: model.apply(state, batch["input"])


def perceptron(**options):
    model = mlp.MLP(features=(5,), classes=3, **options)
    x = jax.random.normal(jax.random.key(1), (4, 6))
    variables = model.init(jax.random.key(0), x)
    score = attribution.scores(lambda s, b: model.apply(s, b["input"]), variables, {"input": x})
    return variables["params"], x, score


def test_a_split_network_is_the_network():
    params, x, score = perceptron()
    hidden, above = inside.split(score, x, "hidden_0")
    by_hand = x @ params["hidden_0"]["kernel"] + params["hidden_0"]["bias"][None]
    np.testing.assert_allclose(hidden, by_hand, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(above(hidden), score(x), rtol=1e-6)
    # What the hidden layer's output is worth, through relu and the last kernel.
    slope = jnp.where(by_hand > 0, 1.0, 0.0)
    chosen = (
        (jnp.maximum(by_hand, 0) @ params["output"]["kernel"]) + params["output"]["bias"][None]
    ).argmax(-1)
    expected = slope * params["output"]["kernel"].T[chosen]
    np.testing.assert_allclose(attribution.gradient(above, hidden), expected, atol=1e-6)
    given, above = inside.split(score, x, "output", before=True)
    np.testing.assert_allclose(given, jnp.maximum(by_hand, 0), rtol=1e-5, atol=1e-6)


def test_tokens_are_explained_by_the_vectors_they_become():
    _, variables, predict = reader()
    score = attribution.scores(predict, variables, {"input": TOKENS})
    vectors, above = inside.embedded(score, TOKENS)
    encoder = variables["params"]["encoder"]
    table, places = (encoder[name]["embedding"] for name in ("tokens", "positions"))
    np.testing.assert_allclose(vectors, table[TOKENS] + places[None], rtol=1e-5, atol=1e-6)
    nothing, _ = inside.embedded(score, jnp.zeros_like(TOKENS))
    found = attribution.integrated_gradients(above, vectors, nothing, steps=64)
    off, change = attribution.incompleteness(found, above, vectors, nothing)
    assert change.sum() > 0.1 and off.sum() / change.sum() < 0.03
    np.testing.assert_allclose(found[0, 3], 0, atol=1e-6)  # padding is not read


def test_attention_is_what_the_model_sows():
    model, variables, predict = reader()
    found = inside.attention_weights(lambda x: predict(variables, {"input": x}), TOKENS)
    assert [path for path, _ in found] == [f"encoder/block_{i}/attention" for i in range(2)]
    sown = rollout.captured(model, variables, TOKENS)
    for (_, ours), theirs in zip(found, sown, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_units_score_is_its_mean():
    params, x, score = perceptron()
    unit = inside.unit(score, "hidden_0", 2)
    kernel, bias = (params["hidden_0"][name] for name in ("kernel", "bias"))
    np.testing.assert_allclose(unit(x), x @ kernel[:, 2] + bias[2], rtol=1e-5, atol=1e-6)


def test_a_residual_network_conserves_relevance():
    class Residual(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Dense(6, use_bias=False, name="first")(x))
            x = x + nn.relu(nn.Dense(6, use_bias=False, name="second")(x))
            return nn.Dense(2, use_bias=False, name="output")(x)

    x = jax.random.normal(jax.random.key(0), (3, 4))
    variables = Residual().init(jax.random.key(1), x)

    def score(x):
        return Residual().apply(variables, x)[:, 0]

    for rule in ("epsilon", "gamma"):
        found = relevance.relevance(score, x, rule)
        np.testing.assert_allclose(found.sum(1), score(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda h: nn.relu(h) ** 2, "integer_pow|square"),
        (lambda h: nn.relu(h) * h, "mul of two activations"),
        (lambda h: h / (1 + jnp.abs(h)), "div"),
        (jnp.cbrt, "cbrt"),
        (jnp.arctan, "atan"),
        (lambda h: jnp.einsum("bi,bi->b", h, h)[:, None] * jnp.ones((1, 5)), "dot_general of two"),
    ],
)
def test_relevance_refuses_what_is_not_linear_in_pieces(act, said):
    class Curved(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="output")(act(nn.Dense(5, name="hidden")(x)))

    x = jax.random.normal(jax.random.key(0), (3, 4))
    variables = Curved().init(jax.random.key(1), x)
    with pytest.raises(errors.InputError, match=said):
        relevance.relevance(lambda x: Curved().apply(variables, x)[:, 0], x)


def test_relevance_knows_constants_and_pieces():
    class Pieces(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.leaky_relu(nn.Dense(6, use_bias=False, name="hidden")(x))
            h = h * jnp.tanh(self.param("scale", nn.initializers.ones, (1, 6)))
            pooled = nn.max_pool(h[..., None], (2,), (2,))[..., 0]
            h = jnp.where(h > 0, 1.0, 0.5) * pooled.repeat(2, 1)
            return nn.Dense(2, use_bias=False, name="output")(h)

    x = jax.random.normal(jax.random.key(0), (3, 4))
    variables = Pieces().init(jax.random.key(1), x)

    def score(x):
        return Pieces().apply(variables, x)[:, 0]

    found = relevance.relevance(score, x)
    np.testing.assert_allclose(found.sum(1), score(x), rtol=1e-4, atol=1e-4)


def test_what_a_model_does_not_have_is_told():
    _, x, score = perceptron()
    with pytest.raises(errors.InputError, match="must be of a model with convolutions"):
        inside.grad_cam(score, x)
    with pytest.raises(errors.InputError, match="must have attention"):
        inside.attention_weights(score, x)
    with pytest.raises(errors.InputError, match="layers are hidden_0, dropout_0, output"):
        inside.split(score, x, "hidden_9")
    with pytest.raises(errors.InputError, match="maps like the inputs"):
        inside.grad_cam(score, x, "hidden_0")
    with pytest.raises(errors.InputError, match="must have a layer that reads vectors"):
        inside.embedded(lambda x: x.sum(1) * 1.0, TOKENS)


def test_several_networks_at_once_are_refused():
    one = gradient.supervised(
        mlp.MLP(features=(5,), classes=3), classification.cross_entropy, optax.sgd(0.1)
    )
    mixture = likelihood.Likelihood(
        classification.cross_entropy, lambda outputs: outputs.mean(0), classification.confusion
    )
    taught = ensemble.of(one, mixture, members=2)
    x = jax.random.normal(jax.random.key(1), (4, 6))
    batch = {"input": x, "target": jnp.zeros(4, jnp.int32)}
    state = taught.init(jax.random.key(0), batch)
    score = attribution.scores(taught.predict, state, batch)
    assert attribution.saliency(score, x).shape == x.shape
    with pytest.raises(errors.InputError, match="must be of one network"):
        inside.split(score, x, "hidden_0")


def test_a_rematerialised_model_is_told_the_remedy():
    model = gpt.GPT(vocabulary=7, length=4, width=8, depth=1, heads=2, remat="block")
    variables = model.init(jax.random.key(0), TOKENS)
    with pytest.raises(errors.InputError, match=r'with remat.*remat="none"'):
        inside.attention_weights(lambda x: model.apply(variables, x), TOKENS)
