"""Folders of transformers: what does not fit is refused by name, and the same bits are written."""

import json
import pathlib

import hf
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from jaxdl import errors
from jaxdl.models import gpt, mlp, pretrained

NAMES = sorted(
    path.stem.removeprefix("transformers_") for path in hf.FIXTURES.glob("transformers_*.npz")
)


@pytest.fixture
def folder(tmp_path):
    return hf.folder("gpt", tmp_path)


def rewritten(folder, change, name="model.safetensors"):
    tensors = hf.tensors(folder)
    change(tensors)
    safetensors.numpy.save_file(tensors, folder / name, metadata={"format": "pt"})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_what_was_read(name, tmp_path):
    folder = hf.folder(name, tmp_path)
    model, variables = pretrained.load(folder)
    hf.equal_after_saving(model, variables, folder, tmp_path)


def test_parts_and_half_floats_are_read(folder):
    _, whole = pretrained.load(folder)
    tensors = hf.tensors(folder)
    (folder / "model.safetensors").unlink()
    names, parts = sorted(tensors), ("model-1.safetensors", "model-2.safetensors")
    for i, part in enumerate(parts):
        kept = {name: tensors[name].astype(ml_dtypes.bfloat16) for name in names[i::2]}
        safetensors.numpy.save_file(kept, folder / part)
    index = {"weight_map": {name: parts[i % 2] for i, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    _, cast = pretrained.load(folder)
    _, kept = pretrained.load(folder, dtype=None)
    for a, b, c in zip(*map(jax.tree.leaves, (whole, cast, kept)), strict=True):
        assert (b.dtype, c.dtype) == (jnp.float32, jnp.bfloat16)
        np.testing.assert_array_equal(b, a.astype(jnp.bfloat16).astype(jnp.float32))
        np.testing.assert_array_equal(b, c.astype(jnp.float32))
    (folder / parts[1]).unlink()
    with pytest.raises(errors.InputError, match=r"must hold every part .* got no model-2\.safe"):
        pretrained.load(folder)


def test_names_without_their_prefix_and_buffers_are_read(folder):
    _, wanted = pretrained.load(folder)
    tensors = {k.removeprefix("transformer."): v for k, v in hf.tensors(folder).items()}
    tensors["h.0.attn.bias"] = np.tril(np.ones((1, 1, 12, 12), np.float32))
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    _, found = pretrained.load(folder)
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def test_tensors_that_do_not_fit_are_named(folder):
    def change(tensors):
        tensors["transformer.h.2.ln_1.bias"] = tensors.pop("transformer.h.1.ln_1.bias")
        tensors["transformer.wpe.weight"] = tensors["transformer.wpe.weight"][:3]

    rewritten(folder, change)
    with pytest.raises(errors.InputError) as caught:
        pretrained.load(folder)
    first, *table = str(caught.value).splitlines()
    assert "1 differ, 1 are missing in the file, 1 are only in the file" in first
    assert [line.split() for line in table] == [
        ["tensor", "file", "wanted"],
        ["transformer.wpe.weight", "[3,16]", "[12,16]"],
        ["transformer.h.1.ln_1.bias", "-", "[16]"],
        ["transformer.h.2.ln_1.bias", "[16]", "-"],
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation_function": "relu"}, r"(?s)settings of a GPT2LMHeadModel.*'relu' +'gelu_new'"),
        ({"n_head": 3}, "multiple of its heads, got 16 and 3"),
        ({"n_embd": None}, "must have the setting 'n_embd', got none"),
        ({"n_embd": "16"}, r"config\.json must hold the settings of a GPT2LMHeadModel, got: "),
        (
            {"n_head": 0},
            r"config\.json must hold the settings of .*got: GPT's heads must be at least 1",
        ),
        ({"model_type": "gpt9"}, "model_type must be one of .*gpt2.*, got 'gpt9'"),
        ({"architectures": ["GPT2Other"]}, "must be one of GPT2LMHeadModel.*, got GPT2Other"),
    ],
)
def test_settings_that_are_not_here_are_refused(settings, message, tmp_path):
    with pytest.raises(errors.InputError, match=message):
        pretrained.load(hf.folder("gpt", tmp_path, **settings))


def test_files_that_are_not_there_or_damaged_are_refused(folder, tmp_path):
    with pytest.raises(errors.InputError, match=r"must exist, got .*nowhere"):
        pretrained.load(tmp_path / "nowhere")
    with pytest.raises(errors.InputError, match=r"must hold config.json, got none"):
        pretrained.load(tmp_path)
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.InputError, match="must be a whole safetensors file"):
        pretrained.load(folder)
    file.unlink()
    with pytest.raises(errors.InputError, match=r"must hold model.safetensors, got none"):
        pretrained.load(folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(errors.InputError, match=r"got pytorch_model.bin, a pickle"):
        pretrained.load(folder)
    (folder / "config.json").write_text("[")
    with pytest.raises(errors.InputError, match="must be readable JSON"):
        pretrained.load(folder)


def test_an_output_that_is_tied_is_the_embedding_again(folder):
    tensors = hf.tensors(folder)
    tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    pretrained.load(folder)
    tensors["lm_head.weight"] = tensors["lm_head.weight"] + 1
    safetensors.numpy.save_file(tensors, folder / "model.safetensors")
    with pytest.raises(errors.InputError, match=r"must be transformer.wte.weight again"):
        pretrained.load(folder)


def test_further_settings_are_kept_and_nothing_is_half_written(folder, tmp_path):
    model, variables = pretrained.load(folder)
    pretrained.save(tmp_path / "a", model, variables, eos_token_id=3)
    assert json.loads((tmp_path / "a/config.json").read_text())["eos_token_id"] == 3
    with pytest.raises(errors.InputError, match=r"config.json must hold plain settings"):
        pretrained.save(tmp_path / "b", model, variables, eos_token_id=jnp.ones(2))
    assert not (tmp_path / "b").exists()


def test_models_without_a_form_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match=r"must be one of .*GPT.*, got a MLP"):
        pretrained.save(tmp_path, mlp.MLP(features=(2,), classes=2), {})
    with pytest.raises(errors.InputError, match="learned positions and no groups, got 'rotary'"):
        model = gpt.GPT(vocabulary=5, length=4, width=4, depth=1, heads=2, positions="rotary")
        variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), variables)
        pretrained.save(tmp_path, model, zeros)
    assert not list(pathlib.Path(tmp_path).iterdir())


@pytest.mark.filterwarnings("default")  # of libraries that are not ours
@pytest.mark.parametrize("name", NAMES)
def test_transformers_loads_what_is_saved(name, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = hf.folder(name, tmp_path)
    model, variables = pretrained.load(folder)
    pretrained.save(tmp_path / "ours", model, variables)
    kind = json.loads((tmp_path / "ours" / "config.json").read_text())["architectures"][0]
    loaded, report = getattr(transformers, kind).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    for kind_of in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert all(map(hf.counter, report[kind_of])), kind_of
    theirs = getattr(transformers, kind).from_pretrained(folder).state_dict()
    for key, value in loaded.state_dict().items():
        if not hf.counter(key):
            np.testing.assert_array_equal(value.numpy(), theirs[key].numpy(), err_msg=key)
