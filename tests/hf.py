"""Small models of transformers that the fixtures hold: `folder(name, tmp_path)` writes one out.

    model, variables = pretrained.load(hf.folder("gpt", tmp_path))
    kept = hf.arrays("gpt")                    # the script's inputs and outputs by name
    hf.close(model.apply(variables, kept["input"]), kept["logits"])

`name` is that of tests/fixtures/make_transformers_<name>.py. `equal_after_saving` is the round
trip; `gradients_close` compares gradients under the file's names. Precision: wrap what computes in
`jax.default_matmul_precision("highest")`.
"""

import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from jaxdl.losses import classification
from jaxdl.models import pretrained

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
FILES = ("config.json", "model.safetensors")


def folder(name, tmp_path, **settings):
    """A folder as transformers saved it; `settings` change its config.json, None takes one away."""
    path = tmp_path / name
    path.mkdir()
    with np.load(FIXTURES / f"transformers_{name}.npz") as kept:
        config = json.loads(str(kept["config.json"])) | settings
        (path / "model.safetensors").write_bytes(kept["model.safetensors"].tobytes())
    config = {
        key: value for key, value in config.items() if value is not None or key not in settings
    }
    (path / "config.json").write_text(json.dumps(config))
    return path


def arrays(name):
    """The fixture's other arrays, as JAX's."""
    with np.load(FIXTURES / f"transformers_{name}.npz") as kept:
        return {key: jnp.asarray(kept[key]) for key in kept.files if key not in FILES}


def tensors(path):
    """The tensors of a folder, as they are in its file."""
    return safetensors.numpy.load_file(path / "model.safetensors")


def close(found, wanted, tolerance=1e-5):
    """Equal within `tolerance` of the largest number."""
    scale = max(1e-12, float(np.abs(wanted).max()))
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance * scale)


def gradients_close(model, gradient, kept, tolerance=1e-5):
    """Gradients with respect to all variables equal the fixture's `gradient/...`."""
    wanted = {k.removeprefix("gradient/"): v for k, v in kept.items() if k.startswith("gradient/")}
    found = pretrained.exported(model, gradient)
    assert found.keys() == wanted.keys()
    largest = max(float(np.abs(value).max()) for value in wanted.values())
    for name, value in wanted.items():
        np.testing.assert_allclose(
            found[name], value, rtol=tolerance, atol=tolerance * largest, err_msg=name
        )


def equal_after_saving(model, variables, path, tmp_path):
    """What `save` writes has the tensors of `path`, bit for bit, and loads as the same."""
    pretrained.save(tmp_path / "again", model, variables)
    before, after = tensors(path), tensors(tmp_path / "again")
    before = {name: value for name, value in before.items() if not counter(name)}
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name, strict=True)
    loaded, same = pretrained.load(tmp_path / "again")
    assert loaded == model
    jax.tree.map(np.testing.assert_array_equal, same, variables)


def counter(name):
    """Whether a tensor only counts batches, which nothing that is read here depends on."""
    return name.endswith("num_batches_tracked")


def language_model_equals(name, tmp_path, logits_of=lambda outputs: outputs):
    """A language model's logits, loss and gradients equal the fixture's; returns it, its variables
    and the fixture's arrays. `logits_of` picks the logits out of what the model returns.
    """
    model, variables = pretrained.load(folder(name, tmp_path))
    kept = arrays(name)

    def loss(variables):
        logits = logits_of(model.apply(variables, kept["tokens"]))
        batch = {"target": kept["tokens"][:, 1:]}
        mean = classification.in_bits(logits[:, :-1], batch)["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    close(logits, kept["logits"])
    close(value, kept["loss"])
    gradients_close(model, gradient, kept)
    return model, variables, kept


def classifier_equals(name, tmp_path):
    """A classifier's logits, loss and gradients equal the fixture's; returns it and its variables.

    What moves no loss, such as running statistics, is not compared by gradient.
    """
    path = folder(name, tmp_path)
    model, variables = pretrained.load(path)
    kept = arrays(name)

    def loss(variables):
        logits = model.apply(variables, kept["x"])
        mean = classification.cross_entropy(logits, kept)["loss"]
        return mean.total / mean.count, logits

    with jax.default_matmul_precision("highest"):
        (value, logits), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables)
    close(logits, kept["logits"])
    close(value, kept["loss"])
    found = pretrained.exported(model, gradient)
    wanted = {k.removeprefix("gradient/"): v for k, v in kept.items() if k.startswith("gradient/")}
    wanted = {k: v for k, v in wanted.items() if k.split(".")[-1] in ("weight", "bias") or v.any()}
    assert wanted.keys() <= found.keys()
    largest = max(float(np.abs(value).max()) for value in wanted.values())
    for key, value in wanted.items():
        if "running" not in key and "tracked" not in key:
            np.testing.assert_allclose(
                found[key], value, rtol=1e-4, atol=1e-5 * largest, err_msg=key
            )
    return model, variables, path


def parts_equal_the_whole(model, variables, tokens, wanted, first=5):
    """`advance` over parts of the tokens, the first of them long, gives the logits of the whole."""

    @jax.jit
    def advance(tokens, cache):
        return model.apply(variables, tokens, cache, method="advance")[:2]

    with jax.default_matmul_precision("highest"):
        logits, cache = advance(tokens[:, :first], model.empty_cache(len(tokens)))
        parts = [logits]
        for n in range(first, tokens.shape[1]):
            logits, cache = advance(tokens[:, n : n + 1], cache)
            parts.append(logits)
    assert int(cache.length) == tokens.shape[1]
    close(jnp.concatenate(parts, 1), wanted)


def parameters(variant):
    """How many parameters a language model has, from its models of one block and of two: blocks
    are alike, and to trace all of a large model takes seconds.
    """
    tokens = jax.ShapeDtypeStruct((1, 2), jnp.int32)
    one, two = (
        sum(
            leaf.size
            for leaf in jax.tree.leaves(
                jax.eval_shape(variant(depth=depth).init, jax.random.key(0), tokens)
            )
        )
        for depth in (1, 2)
    )
    return one + (variant().depth - 1) * (two - one)


def axes(rules, variables):
    """The mesh axes that rules give each array, by path; each rule names as many as there are."""
    found = {}
    for path, leaf in jax.tree.leaves_with_path(variables):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found[name] = next((axes for pattern, axes in rules if re.search(pattern, name)), None)
        assert found[name] is None or len(found[name]) == leaf.ndim, name
    return found
