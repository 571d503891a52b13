"""Exports: read without any model's code they predict and train on as the run itself does."""

import contextlib
import json
import pathlib
import subprocess
import sys
import textwrap

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, export, exported, learner, metrics, trained
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import cnn, gpt
from jaxdl.train import program

pytest.importorskip("flatbuffers", reason="the extra interop")

EXPERIMENT = """
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import mlp
from jaxdl.run import Run
import numpy as np
import optax

def experiment(width: int = 4, steps: int = 4) -> Run:
    values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    data = {"input": values, "target": values[:, :3].argmax(1).astype(np.int32)}
    taught = gradient.supervised(
        mlp.MLP((width,), classes=3), classification.cross_entropy, optax.adam(1e-2)
    )
    tests = {"test": batches.once(data, 8)}
    return Run(learner=taught, train=batches.shuffled(data, 8), tests=tests, steps=steps)
"""

# Only what reads an export may be imported; then two functions are called and their results kept.
STRANGER = """
import sys

ALLOWED = {"jaxdl", "jaxdl.backend", "jaxdl.errors", "jaxdl.exported"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("flax", "optax", "experiment", "tensorboard"):
            raise ImportError(name)
        if name.split(".")[0] == "jaxdl" and name not in ALLOWED:
            raise ImportError(name)

sys.meta_path.insert(0, Blocker())

import numpy as np
from jaxdl import exported

given = np.load("given.npz")
found = exported.load("made")
some = {name: given[name] for name in given}
outputs = found.predict(found.state, some)
fewer = found.predict(found.state, {name: x[:3] for name, x in some.items()})
np.savez("came.npz", outputs=outputs, fewer=fewer)
"""


def images():
    random = np.random.default_rng(0)
    values = random.random((24, 8, 8, 1), np.float32)
    return {"input": values, "target": np.arange(24, dtype=np.int32) % 3}


def supervised(model, data, **options):
    taught = gradient.supervised(model, classification.cross_entropy, optax.adam(1e-2), **options)
    return {"taught": taught, "train": data}


def convolutional(**changes):
    model = cnn.CNN(features=(4,), classes=3, hidden=8, dropout=0.3)
    own = supervised(model, batches.shuffled(images(), 8))
    return runs.plain(**own, tests={"test": batches.once(images(), 8)}, **changes)


def writer(**changes):
    corpus = np.random.default_rng(0).integers(0, 11, 24 * 6 + 1).astype(np.uint8)
    model = gpt.GPT(vocabulary=11, length=6, width=8, heads=2, depth=1, dropout=0.3)
    own = supervised(model, batches.windows(corpus, 6, 8))
    return runs.plain(**own, tests={"test": batches.windows_once(corpus, 6, 8)}, **changes)


def keyed(**changes):
    """No data, no `predict`, and a random key in its state."""

    def init(key, batch):
        at = jnp.zeros(3, jnp.uint32)
        return {"at": at, "key": jax.random.clone(key), "many": jax.random.split(key)}

    def step(state, batch, key):
        own, many = jax.random.split(state["key"])[0], jax.random.fold_in(state["many"][1], 1)
        at = state["at"] + sum(jax.random.bits(source, (3,)) for source in (own, many, key))
        return {**state, "at": at, "key": own}, {"loss": metrics.Mean.of(at)}

    def evaluate(state, batch, key):
        return {"loss": metrics.Mean.of(state["at"])}

    tests = {"test": batches.once({"input": np.zeros((2, 1), np.float32)}, 2)}
    taught = learner.Learner(init, step, evaluate)
    return runs.plain(taught, train=None, tests=tests, **changes)


KINDS = {
    "dense": runs.full,
    "convolutional": convolutional,
    "gpt": writer,
    "keyed": keyed,
    "without predict": runs.linear,
}


def after(what, steps, folder, seed=3):
    """What would be found in the folder of a run after so many steps."""
    with contextlib.closing(batches.opened(what.train, seed)) as feed:
        made = program.Program(what, seed, feed.first())
        carry = made.begin()
        for step in range(steps):
            carry = made.advance(carry, feed.take(step, 1), step, 1)
    return trained.Trained(folder, runs.launched(seed), what, made, steps, carry.state)


@pytest.mark.parametrize("kind", KINDS)
def test_trains_on_to_the_same_bits_as_the_loop(kind, tmp_path):
    changes = {"steps": 6, "log_every": 6, "eval_every": 6, "save_every": 6}
    what = KINDS[kind](**changes)
    whole = runs.train(what, tmp_path / "run", seed=3)
    made = export.write(after(what, 3, tmp_path), tmp_path / "made")
    assert list(made.manifest["step"]["files"]) == ["cpu", "cuda", "tpu"]
    found, state, sums = exported.load(tmp_path / "made"), made.state, []
    with contextlib.closing(batches.opened(what.train, 3)) as feed:
        for step in range(3, 6):
            data = feed.take(step, 1)
            batch = None if what.train is None else jax.jit(what.train.select)(data, 0)
            state, measured = found.step(state, batch, found.key(step))
            sums.append(measured)
    assert runs.bits(state) == runs.bits(exported.flat(whole.state))
    assert all(np.isfinite(x["loss/total"]) for x in sums)


@pytest.mark.parametrize("kind", ["dense", "convolutional", "gpt"])
def test_predicts_the_same_where_there_is_no_code_of_the_model(kind, tmp_path):
    what = KINDS[kind](steps=6)
    found = after(what, 2, tmp_path)
    made = export.write(found, tmp_path / "made")
    assert list(made.manifest["predict"]["files"]) == ["cpu", "cuda", "tpu"]
    assert made.manifest["predict"]["batch"]["input"]["shape"][0] == "b"
    assert made.manifest["predict"]["notes"] == []
    batch = trained.examples(found.test(), 7)
    np.savez(tmp_path / "given.npz", input=batch["input"])  # without a target
    (tmp_path / "stranger.py").write_text(STRANGER)
    done = subprocess.run(
        [sys.executable, "stranger.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    came = np.load(tmp_path / "came.npz")
    wanted = np.asarray(jax.jit(found.predictor("A test"))(found.state, batch))
    np.testing.assert_array_equal(came["outputs"], wanted)
    np.testing.assert_allclose(came["fewer"], wanted[:3], rtol=1e-5, atol=1e-6)


def test_a_learner_without_predict_is_exported_as_its_step_alone(tmp_path):
    made = export.write(after(runs.linear(), 1, tmp_path), tmp_path / "made")
    assert made.manifest["predict"]["missing"] == "its learner has none"
    assert not (tmp_path / "made" / "predict.cpu.jax").exists()
    with pytest.raises(errors.InputError, match="must hold `predict`, got none"):
        made.predict(made.state, {"input": np.zeros((1, 4), np.float32)})


def predicting(predict, **changes):
    """Least squares with this `predict`."""
    what = runs.linear(**changes)
    return runs.plain(what.learner._replace(predict=predict), steps=6)


def test_what_needs_a_number_of_examples_is_exported_for_that_number(tmp_path):
    what = predicting(lambda state, batch: batch["input"] + np.zeros(len(batch["input"]))[0])
    made = export.write(after(what, 1, tmp_path), tmp_path / "made")
    (note,) = made.manifest["predict"]["notes"]
    assert note.startswith("batches of this size alone: ")
    outputs = made.predict(made.state, {"input": np.ones((16, 4), np.float32)})
    np.testing.assert_array_equal(outputs, np.ones((16, 4)))
    with pytest.raises(errors.InputError, match=r"input of float32\[16,4\], got float32\[3,4\]"):
        made.predict(made.state, {"input": np.ones((3, 4), np.float32)})


def test_a_platform_that_lacks_an_operation_is_left_out(tmp_path):
    def predict(state, batch):  # TPUs have no eigenvalues of general matrices
        return {"values": jnp.linalg.eigvals(jax.vmap(jnp.diag)(batch["input"]))}

    made = export.write(after(predicting(predict), 1, tmp_path), tmp_path / "made")
    assert "tpu" not in made.manifest["predict"]["files"]
    assert any(note.startswith("not for tpu: ") for note in made.manifest["predict"]["notes"])
    outputs = made.predict(made.state, {"input": np.full((2, 4), 3, np.float32)})
    np.testing.assert_allclose(outputs["values"], np.full((2, 4), 3), rtol=1e-6)


def test_predict_of_other_arrays_than_the_tests_takes_an_example(tmp_path):
    what = predicting(lambda state, batch: batch["observation"] @ state["weights"])
    found = after(what, 1, tmp_path)
    made = export.write(found, tmp_path / "made")
    assert "observation" in made.manifest["predict"]["missing"]
    assert "batch=" in made.manifest["predict"]["missing"]
    example = {"observation": jnp.ones((2, 4))}
    made = export.write(found, tmp_path / "made", batch=example)
    outputs = made.predict(made.state, {"observation": np.eye(4, dtype=np.float32)})
    np.testing.assert_allclose(outputs, found.state["weights"], rtol=1e-6)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("finished")
    source = folder / "small.py"
    source.write_text(textwrap.dedent(EXPERIMENT))
    from jaxdl.launch import launch

    return launch(str(source), logdir=folder / "runs", name="one", quiet=True).folder


def test_the_command_writes_the_best_state(finished, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert export.main([str(finished), "--to", str(tmp_path / "made")]) == 0
    said = capsys.readouterr().out
    assert "input float32[b,5]" in said and "loss/total" in said
    assert str(tmp_path / "made") in said
    found, kept = trained.load(finished), exported.load(tmp_path / "made")
    assert kept.manifest["after_steps"] == found.step
    assert kept.manifest["hyperparameters"] == {"width": 4, "steps": 4}
    assert runs.bits(kept.state) == runs.bits(exported.flat(found.state))
    from safetensors import numpy as tensors

    parameters = tensors.load_file(tmp_path / "made" / "parameters.safetensors")
    assert parameters.keys() == {p for p in kept.state if p.startswith("params/")}
    assert not {p for p in parameters if p.startswith("optimizer/")}
    assert export.main([str(finished)]) == 0  # beside the checkpoints, and again in its place
    assert export.main([str(finished), "--platforms", "cpu"]) == 0
    kept = export.load(finished / "export")
    assert kept.manifest["step"]["files"] == {"cpu": "step.cpu.jax"}
    assert {path.name for path in kept.folder.glob("*.jax")} == {"step.cpu.jax", "predict.cpu.jax"}


def test_bad_input_is_a_line(finished, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "bare").mkdir()
    record = json.loads((finished / "run.json").read_text())
    (tmp_path / "bare" / "run.json").write_text(json.dumps(record | {"result": None}))
    (tmp_path / "bare" / "experiment.py").write_bytes((finished / "experiment.py").read_bytes())
    (tmp_path / "sweep").mkdir()
    asked = record["hyperparameters"] | {"--sweep": ["width=4,8"]}
    (tmp_path / "sweep" / "run.json").write_text(json.dumps(record | {"hyperparameters": asked}))
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "a site"}')
    refused = {
        (str(finished), "--to", str(tmp_path / "site")): "must be empty or hold an export alone",
        (str(tmp_path / "sweep"),): "one of a sweep's, got the folder of a whole sweep",
        (str(tmp_path / "none"),): "which is no folder",
        (str(tmp_path / "full"),): "which holds no run.json",
        (str(tmp_path / "bare"),): "must have a checkpoint, got none yet",
        (str(finished), "--to", str(tmp_path / "full")): "must be empty or hold an export",
        (str(finished), "--platforms", "cpu", "gpu"): "of cpu, cuda, rocm, tpu, got gpu",
        ("last", "--logdir", str(tmp_path / "nowhere")): "last must find a run",
    }
    for words, line in refused.items():
        assert export.main(list(words)) == 2
        assert line in capsys.readouterr().err.replace("\n", " ")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"
    assert (tmp_path / "site" / "manifest.json").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", ["record.put", "stepfolder.sync", "pathlib.Path.rename"])
def test_a_kill_leaves_the_old_export_and_no_trap(finished, tmp_path, monkeypatch, at):
    to = tmp_path / "made"
    made = export.write(finished, to, ["cpu"])
    (to / "notes.txt").write_text("mine")
    with pytest.raises(errors.InputError, match="hold an export alone"):
        export.write(finished, to, ["cpu"])
    (to / "notes.txt").unlink()

    def killed(*arguments):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(f"jaxdl.export.{at}", killed)
        export.write(finished, to, ["cpu"])
    assert runs.bits(exported.load(to).state) == runs.bits(made.state)
    export.write(finished, to, ["cpu"])
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_kill_between_the_renames_leaves_the_old_export(finished, tmp_path, monkeypatch):
    to = tmp_path / "made"
    made = export.write(finished, to, ["cpu"])
    rename, left = pathlib.Path.rename, [1]  # so many still go

    def killed(path, target):
        if not left.pop():
            raise Killed
        left.append(0)
        return rename(path, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(pathlib.Path, "rename", killed)
        export.write(finished, to, ["cpu"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".made.new", ".made.old"]
    assert runs.bits(exported.load(to).state) == runs.bits(made.state)
    export.write(finished, to, ["cpu"])
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_damaged_file_is_a_line(finished, tmp_path):
    export.write(finished, tmp_path / "made", ["cpu"])
    files = ["predict.cpu.jax", "step.cpu.jax", "parameters.safetensors", "rest.safetensors"]
    for file in files:
        path = tmp_path / "made" / file
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        for damaged in (flipped, content[:-5], b""):
            path.write_bytes(damaged)
            with pytest.raises(errors.InputError, match=f"got a damaged {file}") as caught:
                exported.load(tmp_path / "made")
            assert "\n" not in str(caught.value)
        path.unlink()
        with pytest.raises(errors.InputError, match=f"must hold {file}"):
            exported.load(tmp_path / "made")
        path.write_bytes(content)
    exported.load(tmp_path / "made")


def test_what_does_not_fit_is_named(finished, tmp_path):
    made = export.write(finished, tmp_path / "made")
    good = {"input": np.zeros((2, 5), np.float32)}
    with pytest.raises(errors.InputError, match="batch must have input, got nothing"):
        made.predict(made.state, {})
    with pytest.raises(errors.InputError, match=r"float32\[b,5\], got int32\[2,5\]"):
        made.predict(made.state, {"input": np.zeros((2, 5), np.int32)})
    with pytest.raises(errors.InputError, match="state must have params/"):
        made.predict({}, good)
    with pytest.raises(errors.InputError, match=r"target of int32\[8\], got int32\[2\]"):
        made.step(
            made.state,
            {"input": np.zeros((8, 5), np.float32), "target": np.zeros(2, np.int32)},
            made.key(0),
        )
    made.manifest["predict"]["files"] = {"tpu": "predict.tpu.jax"}
    with pytest.raises(errors.InputError, match="must run on one of tpu, got cpu"):
        made.predict(made.state, good)
    with pytest.raises(errors.InputError, match=r"must hold manifest\.json"):
        exported.load(tmp_path)
    (tmp_path / "made" / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(errors.InputError, match="format 99"):
        exported.load(tmp_path / "made")
    (tmp_path / "made" / "manifest.json").write_text("{")
    with pytest.raises(errors.InputError, match="must be readable"):
        exported.load(tmp_path / "made")


def test_paths_must_be_each_ones_own():
    with pytest.raises(errors.InputError, match="two alike"):
        exported.flat({"a/b": np.zeros(1), "a": {"b": np.zeros(1)}})
    assert exported.flat(nn.FrozenDict({"a": {"b": 1}})) == {"a/b": 1}
