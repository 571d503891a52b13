"""The command explains runs of images, texts, tables and series, and says what does not suit."""

import pathlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs

from jaxdl import errors, learner, run, trained
from jaxdl.analyse import __main__ as command
from jaxdl.analyse import explain
from jaxdl.analysis import attribution, rollout
from jaxdl.analysis import explain as methods_of
from jaxdl.data import batches
from jaxdl.learners import gradient
from jaxdl.losses import classification
from jaxdl.models import bert, cnn, mlp, rnn, vit


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    logdir = tmp_path_factory.mktemp("runs")
    return runs.of_experiment("digits_cnn", logdir, width=2, steps=4).folder


def of(taught, inputs, names=()):
    """A trained run in memory, as far as the command looks at it."""
    data = {"input": inputs, "target": np.arange(len(inputs), dtype=np.int32) % 3}
    state = taught.init(jax.random.key(0), jax.tree.map(jnp.asarray, data))
    what = run.Run(
        learner=taught,
        train=batches.shuffled(data, 4),
        tests={"test": batches.once(data, 4)},
        steps=1,
        names=names,
    )
    return trained.Trained(pathlib.Path("none"), runs.launched(), what, None, 0, state)


def off(made):
    """The percentages by which the methods' sums are off."""
    return {row[0]: float(row[1].rstrip("%")) for row in made.tables[0].rows if row[1]}


def taught(model):
    return gradient.supervised(model, classification.cross_entropy, optax.sgd(0.1))


def test_the_command_explains_images(images, capsys):
    suits = ("saliency", "integrated_gradients", "kernel_shap", "relevance", "grad_cam")
    words = [str(images), "explain", "--examples", "4", "--best-inputs", "--method", *suits]
    assert command.main(words) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in suits)
    events = runs.accumulated(images / "analysis" / "explain")
    tags = set(events.Tags()["images"])
    assert tags == {f"explain/{name}" for name in (*suits, "best_inputs")}


def test_what_does_not_suit_is_one_line(images, capsys, tmp_path):
    for words, told in (
        (["--method", "rollout"], "must have attention"),
        (["--method", "grad_cam", "--layer", "conv_9"], "The layers are conv_0"),
        (["--target", "10"], "must be in 0..9, got 10"),
        (["--examples", "0"], "--examples must be at least 1, got 0"),
        (["--background", "5000"], "of the test together, got 8 and 5000"),
        (["--baseline", "inf"], "--baseline must be an input with a finite score"),
        (["--names", str(tmp_path / "none")], "--names must be a readable file"),
    ):
        assert command.main([str(images), "explain", *words]) == 2
        assert told in " ".join(capsys.readouterr().err.split())
    found = trained.load(images)
    blind = found.run.learner._replace(predict=None)
    with pytest.raises(errors.InputError, match="with `predict`"):
        explain.analyse(found._replace(run=types.SimpleNamespace(learner=blind)), explain.Options())


def test_texts_are_explained_in_their_words(tmp_path):
    encoder = bert.BERT(vocabulary=6, length=5, width=8, depth=1, heads=2, types=0)
    tokens = np.random.default_rng(0).integers(1, 6, (8, 5)).astype(np.int32)
    found = of(taught(bert.Classifier(encoder, classes=3)), tokens)
    file = tmp_path / "words"
    file.write_text("pad\nunknown\nred\ngreen\nblue\n")
    methods = ("integrated_gradients", "kernel_shap", "occlusion", "rollout")
    options = explain.Options(methods, examples=3, names=file)
    made = explain.analyse(found, options)
    assert tuple(row[0] for row in made.tables[0].rows) == methods
    assert off(made)["kernel_shap"] < 1
    text = made.shown["explain/occlusion"].markdown
    assert len(text.split("\n\n")) == 4 and "green" in text and "5" in text
    assert made.shown["explain/rollout/picture"].pixels.shape[-1] == 3
    for wrong, told in (
        ({"background": 2}, "--background must be 0 for texts"),
        ({"baseline": 2.7}, "--baseline must be a whole number of at least 0.*got 2.7"),
        ({"baseline": 7.0}, "--baseline must be an input with a finite score.*got 7"),
        ({"best_inputs": True}, "--best-inputs must be of images, got a run of text"),
    ):
        with pytest.raises(errors.InputError, match=told):
            explain.analyse(found, explain.Options(examples=3, **wrong))
    score = attribution.scores(found.run.learner.predict, found.state, {"input": tokens})
    settings = methods_of.Settings(background=tokens[:2])
    with pytest.raises(errors.InputError, match="must be None for texts"):
        methods_of.explained("gradient_shap", score, tokens, jax.random.key(0), settings)


def test_series_and_tables_have_their_displays(images):
    series = np.random.default_rng(0).normal(size=(8, 6, 2)).astype(np.float32)
    found = of(taught(rnn.RNN(outputs=3, width=4, last=True)), series)
    options = explain.Options(("integrated_gradients", "kernel_shap"), examples=3)
    made = explain.analyse(found, options)
    assert made.shown["explain/kernel_shap"].pixels.ndim == 3
    assert made.tables[1].head[-1] == "largest (step) by integrated_gradients"
    assert all(off(made)[name] < 0.1 for name in options.method)
    table = series[:, 0]
    found = of(taught(mlp.MLP(features=(4,), classes=3)), table)
    made = explain.analyse(found, explain.Options(examples=3, background=4, samples=64))
    assert [row[0] for row in made.tables[0].rows][-1] == "relevance"
    assert "Not grad_cam: Grad-CAM must be of images, got a table" in made.tables[0].note
    features = made.tables[2]
    assert features.head[2:] == tuple(row[0] for row in made.tables[0].rows)
    sizes = [row[2] for row in features.rows]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == 2
    assert features.rows[0][1] == "█" * 8
    assert all(off(made)[name] < 0.1 for name in ("integrated_gradients", "kernel_shap"))


def test_texts_add_up_though_their_padding_is_hidden():
    encoder = bert.BERT(vocabulary=6, length=6, width=8, depth=2, heads=2, types=0, padding=0)
    tokens = np.random.default_rng(0).integers(1, 6, (8, 6)).astype(np.int32)
    tokens[:, 3:] = 0
    found = of(taught(bert.Classifier(encoder, classes=3)), tokens, names=["<padding>", "one"])
    methods = ("integrated_gradients", "kernel_shap")
    made = explain.analyse(found, explain.Options(methods, examples=3, steps=64))
    assert off(made)["integrated_gradients"] < 0.5 and off(made)["kernel_shap"] < 0.5
    for line in made.shown["explain/kernel_shap"].markdown.split("\n\n")[1:]:
        assert line.count("padding") == 1


def test_the_run_names_its_features():
    table = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    found = of(taught(mlp.MLP(features=(4,), classes=3)), table, names=("age", "income"))
    made = explain.analyse(found, explain.Options(("occlusion",), examples=3))
    assert {row[0] for row in made.tables[2].rows} == {"age", "income"}


def test_the_values_of_images_add_up_over_a_background_too():
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype(np.float32)
    found = of(taught(cnn.CNN(features=(2, 2), classes=3)), x)
    methods = ("integrated_gradients", "kernel_shap")
    made = explain.analyse(found, explain.Options(methods, examples=3, background=4, steps=128))
    assert off(made)["integrated_gradients"] < 5 and off(made)["kernel_shap"] < 0.1


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4, 2), np.float32), ((2, 4, 4, 1), np.float32), ((5, 2), np.uint8)]
)
def test_inputs_of_no_kind_are_one_line(shape, dtype):
    def predict(state, batch):
        return batch["input"].reshape(len(batch["input"]), -1) * 1.0

    deaf = learner.Learner(lambda key, batch: 0, None, None, predict)
    found = of(deaf, np.ones((8, *shape), dtype))
    with pytest.raises(errors.InputError, match="Inputs that are explained must be images"):
        explain.analyse(found, explain.Options(examples=3))


def test_best_inputs_have_the_range_of_the_examples():
    x = np.random.default_rng(0).uniform(50, 250, (8, 6, 6, 1)).astype(np.float32)

    def predict(state, batch):
        return jnp.stack([(x - 150).mean((1, 2, 3)) for x in (batch["input"], -batch["input"])], 1)

    batch = {"input": jnp.asarray(x)}
    shown = explain._best(predict, None, batch).pixels
    assert shown[0].min() > 0.9 and shown[1].max() < 0.1


def test_a_network_without_a_method_is_one_line(monkeypatch):
    found = of(taught(mlp.MLP(features=(4,), classes=3)), np.ones((8, 4), np.float32))
    monkeypatch.setattr(methods_of, "NAMES", ("rollout", "grad_cam"))
    with pytest.raises(errors.InputError, match=r"suit one of the methods, got none\. rollout:"):
        explain.analyse(found, explain.Options(examples=3))


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_rollout_lies_on_the_pixels_of_its_patches(pool):
    model = vit.ViT(classes=3, size=8, channels=1, patch=4, width=8, depth=2, heads=2, pool=pool)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 1))
    variables = model.init(jax.random.key(1), x)
    found = rollout.attributed(lambda x: model.apply(variables, x), x)
    flow = rollout.rollout(rollout.captured(model, variables, x))
    wanted = flow[:, 0, 1:] if pool == "token" else flow.mean(1)
    np.testing.assert_allclose(found[:, ::4, ::4, 0].reshape(2, 4), wanted, rtol=1e-6)
    corner = np.broadcast_to(found[:, :1, :1], (2, 4, 4, 1))
    np.testing.assert_array_equal(found[:, :4, :4], corner)
    with pytest.raises(errors.InputError, match="first, the last or the mean, got 'all'"):
        rollout.attributed(lambda x: model.apply(variables, x), x, "all")
