"""Attention rollout against the paper's formula in NumPy, on weights as transformers gives them."""

import hf
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.analysis import rollout
from jaxdl.models import bert, gpt, masked_autoencoder, mlp, pretrained


def literal(attentions):
    """Abnar and Zuidema 2020, section 3 and equation 1, for one image: a loop over the layers."""
    joint = None
    for heads in attentions:
        raw = np.zeros(heads.shape[1:])
        for head in heads:
            raw += head / len(heads)
        residual = 0.5 * raw + 0.5 * np.eye(len(raw))
        residual = residual / residual.sum(axis=1)[:, None]
        joint = residual if joint is None else np.matmul(residual, joint)
    return joint


def test_rollout_of_captured_weights_equals_the_formula(tmp_path):
    model, variables = pretrained.load(hf.folder("vit", tmp_path))
    kept = hf.arrays("vit")
    with jax.default_matmul_precision("highest"):
        weights = rollout.captured(model, variables, kept["images"])
        flow = rollout.rollout(weights)
    assert len(weights) == 2
    for ours, theirs in zip(weights, kept["attention"], strict=True):
        hf.close(ours, theirs)
    expected = [literal(np.asarray(kept["attention"][:, i], np.float64)) for i in range(3)]
    np.testing.assert_allclose(flow, np.stack(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(flow.sum(-1), 1, rtol=1e-5)


def test_blocks_are_in_order_and_within_other_modules():
    encoder = bert.BERT(vocabulary=7, length=4, width=4, depth=11, heads=1)
    tokens = jnp.asarray([[1, 2, 3]], jnp.int32)
    model = bert.Classifier(encoder, classes=2)
    variables = model.init(jax.random.key(0), tokens)
    stretched = variables["params"]["encoder"]["block_10"]["attention"]["query"]
    stretched["kernel"] = stretched["kernel"] * 1e4  # only the last block looks at one token
    weights = rollout.captured(model, variables, tokens)
    assert len(weights) == 11
    sharp = [float(jnp.abs(w - 1 / 3).max()) for w in weights]
    assert int(np.argmax(sharp)) == 10


@pytest.mark.parametrize("causal", [False, True])
def test_of_a_causal_model_the_last_token_reads(causal):
    tokens = jnp.asarray([[1, 2, 3, 4]], jnp.int32)
    sizes = {"vocabulary": 7, "length": 4, "width": 4, "depth": 2, "heads": 1}
    model = gpt.GPT(**sizes) if causal else bert.Classifier(bert.BERT(**sizes), classes=2)
    variables = model.init(jax.random.key(0), tokens)
    found = rollout.attributed(lambda x: model.apply(variables, x), tokens)
    flow = rollout.rollout(rollout.captured(model, variables, tokens))
    np.testing.assert_allclose(found, flow[:, -1 if causal else 0], rtol=1e-6)


def test_of_an_encoder_and_a_decoder_one_is_chosen():
    model = masked_autoencoder.MaskedAutoencoder(width=8, heads=2, depth=2, decoder_width=8)
    inputs = jnp.ones((2, 4, 4, 1)), jnp.asarray([[0, 3], [1, 2]])
    variables = model.init(jax.random.key(0), *inputs)
    with pytest.raises(errors.InputError, match="one of decoder, encoder, got None"):
        rollout.captured(model, variables, *inputs)
    for blocks, depth, tokens in (("encoder", 2, 2), ("decoder", 1, 4)):
        weights = rollout.captured(model, variables, *inputs, blocks=blocks)
        assert [w.shape for w in weights] == [(2, 2, tokens, tokens)] * depth


def test_bad_input_is_refused():
    model = mlp.MLP(features=(2,), classes=2)
    variables = model.init(jax.random.key(0), jnp.zeros((1, 3)))
    with pytest.raises(errors.InputError, match="must have blocks with attention"):
        rollout.captured(model, variables, jnp.zeros((1, 3)))
    with pytest.raises(errors.InputError, match="at least one block, got none"):
        rollout.rollout([])
