"""What layers put out, against Flax's own capture; histograms and embeddings made of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import runs
from sklearn import datasets, linear_model, manifold, model_selection, neighbors, preprocessing

from jaxdl import errors, learner
from jaxdl.analysis import embedding, histograms, layers, probing, scatter
from jaxdl.learners import ensemble, gradient
from jaxdl.losses import classification, likelihood
from jaxdl.models import cnn, mlp

IMAGES = {
    "input": np.random.default_rng(0).random((6, 8, 8, 1), np.float32),
    "target": np.arange(6, dtype=np.int32) % 3,
}


class Twice(nn.Module):
    """A module that is called twice, one in a scan, and an output."""

    @nn.compact
    def __call__(self, x, train=False):
        shared = nn.Dense(4, name="shared")
        x = shared(shared(x))
        cell = nn.RNN(nn.SimpleCell(4, name="cell"), name="loop")
        x = cell(x[:, None])[:, -1]
        return nn.Dense(2, name="output")(x)


def taught(model, **options):
    return gradient.supervised(model, classification.cross_entropy, optax.sgd(0.1), **options)


@pytest.fixture(scope="module")
def network():
    model = cnn.CNN(features=(3, 4), classes=3, dropout=0.5)
    learns = taught(model, average=0.9)
    state = jax.jit(learns.init)(jax.random.key(0), jax.tree.map(jnp.asarray, IMAGES))
    return model, learns, state


def test_outputs_are_those_that_flax_captures(network):
    model, learns, state = network
    batch = jax.tree.map(jnp.asarray, IMAGES)
    found = jax.jit(lambda state, batch: layers.outputs(learns, state, batch))(state, batch)
    _, kept = model.apply(
        gradient.variables(state), batch["input"], train=False, capture_intermediates=True
    )
    flat = jax.tree_util.tree_leaves_with_path(kept["intermediates"])
    expected = {
        "/".join(key.key for key in path[:-2]): leaf
        for path, leaf in flat
        if path[-2].key == "__call__" and len(path) > 2
    }
    assert set(found) == set(expected) and {"conv_0", "hidden", "output"} <= set(found)
    for path, leaf in expected.items():
        np.testing.assert_allclose(found[path], leaf, rtol=1e-5, atol=1e-6)


def test_module_called_again_and_inside_a_loop():
    model = Twice()
    x = jnp.ones((3, 4))
    variables = jax.jit(model.init)(jax.random.key(0), x)
    learns = learner.Learner(
        lambda key, batch: variables,
        lambda state, batch, key: (state, {}),
        lambda state, batch, key: {},
        lambda state, batch: model.apply(state, batch),
    )
    found = layers.outputs(learns, variables, x)
    assert list(found) == ["shared", "shared/call_2", "loop", "output"]
    once = x @ variables["params"]["shared"]["kernel"]
    np.testing.assert_allclose(found["shared"], once, rtol=1e-5)
    twice = once @ variables["params"]["shared"]["kernel"]
    np.testing.assert_allclose(found["shared/call_2"], twice, rtol=1e-5)
    np.testing.assert_array_equal(found["output"], model.apply(variables, x))


def test_learners_without_layers():
    learns = runs.linear().learner
    with pytest.raises(errors.InputError, match="`predict`"):
        layers.outputs(learns, None, None)
    with pytest.raises(errors.InputError, match="Linen modules"):
        layers.outputs(learns._replace(predict=lambda state, batch: batch), 0, jnp.ones(3))
    members = ensemble.of(
        taught(mlp.MLP(features=(6,), classes=3)), likelihood.categorical(), members=2
    )
    batch = jax.tree.map(jnp.asarray, runs.examples(8))
    state = jax.jit(members.init)(jax.random.key(0), batch)
    with pytest.raises(errors.InputError, match="Linen modules"):  # each member has its own
        jax.eval_shape(lambda s, b: layers.outputs(members, s, b), state, batch)
    with pytest.raises(errors.InputError, match="one of a, b, got c"):
        layers.chosen(["a", "b"], "c")
    assert layers.chosen(["a", "b", "c"], None) == "b" and layers.chosen(["a"], None) == "a"


# --- histograms


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(50, 7)).astype(np.float32),
        np.array([3, 1, np.inf, 2, np.nan, -np.inf], np.float32),
        np.array([2.0], np.float32),
        np.array([5, 5, 5], np.int32),
        np.array([np.nan], np.float32),
    ],
    ids=["normal", "non-finite", "one", "constant", "none"],
)
def test_buckets_are_numpys_histogram(values):
    edges, counts = jax.jit(histograms.buckets)(values)
    finite = np.asarray(values, np.float64)[np.isfinite(values)]
    assert counts.sum() == finite.size and edges.shape == (31,)
    if np.ptp(finite) > 0 if finite.size else False:
        expected, where = np.histogram(finite, 30)
        np.testing.assert_allclose(edges, where, rtol=1e-5, atol=1e-6)
        assert np.abs(counts.astype(int) - expected).max() <= 1  # at an edge, by rounding
    elif finite.size:
        assert counts[-1] == finite.size and (edges == finite[0]).all()


def test_gradients_are_those_of_the_loss(network):
    model, learns, state = network
    batch = jax.tree.map(jnp.asarray, IMAGES)
    shown = histograms.of(learns, batch)
    assert list(shown) == ["weights", "gradients", "activations"]
    found = {name: show(state, jax.random.key(0)) for name, show in shown.items()}

    def loss(params):
        logits = model.apply({"params": params}, batch["input"], train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["target"]).mean()

    slopes = jax.jit(jax.grad(loss))(state.params)
    assert set(found["gradients"]) == set(found["weights"])
    assert "conv_0/kernel" in found["gradients"] and "conv_0" in found["activations"]
    for name in ("conv_0/kernel", "output/bias"):
        module, leaf = name.split("/")
        edges = found["gradients"][name].edges
        slope = np.asarray(slopes[module][leaf])
        np.testing.assert_allclose(edges[[0, -1]], [slope.min(), slope.max()], rtol=1e-4, atol=1e-6)
        assert found["gradients"][name].counts.sum() == slope.size
    with pytest.raises(errors.InputError, match="`params`"):
        histograms.gradients(runs.linear().learner, batch)({"weights": 1.0}, jax.random.key(0))


# --- embeddings


def test_vectors_in_batches(network, monkeypatch):
    _, learns, state = network
    whole = embedding.reader(learns)(state, IMAGES)
    monkeypatch.setattr(embedding, "_BATCH", 4)
    parts = embedding.reader(learns)(state, IMAGES)
    assert (
        list(whole)
        == list(parts)
        == list(layers.outputs(learns, state, jax.tree.map(jnp.asarray, IMAGES)))
    )
    assert whole["conv_1"].shape == (6, 4)
    for name, found in whole.items():
        np.testing.assert_allclose(found, parts[name], rtol=1e-4, atol=1e-6)
    shown = embedding.projected(learns, IMAGES, "conv_1", ("x", "y", "z"))(state, None)
    np.testing.assert_allclose(shown.vectors, parts["conv_1"], rtol=1e-4, atol=1e-6)
    assert shown.columns["label"] == ["x", "y", "z", "x", "y", "z"] and shown.pictures is not None
    logits = np.asarray(learns.predict(state, jax.tree.map(jnp.asarray, IMAGES)))
    assert shown.columns["predicted"] == ["xyz"[i] for i in logits.argmax(1)]
    others = embedding.projected(learns, IMAGES, "conv_1", ("x", "y", "z", "t"))(state, None)
    assert list(others.columns) == ["label"]  # four classes, three outputs


def test_scores_are_scikit_learns():
    data = datasets.load_iris()
    x, y = data.data, data.target
    near = probing.nearest(x, y, 5)
    linear = probing.probe(x, y)
    folds = list(model_selection.StratifiedKFold(5, shuffle=True, random_state=0).split(x, y))
    models = {
        near: neighbors.KNeighborsClassifier(5),
        linear: linear_model.LogisticRegression(max_iter=1000),
    }
    for found, model in models.items():
        scores = []
        for learnt, left in folds:
            scaler = preprocessing.StandardScaler().fit(x[learnt])
            model.fit(scaler.transform(x[learnt]), y[learnt])
            scores.append(model.score(scaler.transform(x[left]), y[left]))
        assert found == pytest.approx(np.mean(scores), abs=1e-9)
    noise = np.random.default_rng(0).normal(size=(150, 4))
    assert probing.probe(noise, y) < 0.5 and probing.nearest(noise, y) < 0.5
    with pytest.raises(errors.InputError, match="5 examples of each class"):
        probing.probe(x[:60], np.r_[np.zeros(57, int), 1, 1, 1])
    with pytest.raises(errors.InputError, match="neighbours"):
        probing.nearest(x, y, 0)
    with pytest.raises(errors.InputError, match="two classes"):
        probing.probe(x, np.zeros(150, int))


def test_labels_beyond_the_classes_are_numbers():
    several = {"target": np.array([1, -1, 2]), "input": (np.ones((3, 2)), np.ones((3, 4)))}
    shown = embedding.points(np.ones((3, 2)), several, ("x", "y"))
    assert shown.columns == {"label": ["y", "-1", "2"]} and shown.pictures is None


def test_layers_without_a_row_for_each_example():
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x):
            return nn.Dense(2, name="shared")(x.sum(0))[None] + x

    taught = learner.Learner(
        lambda key, batch: None,
        lambda state, batch, key: (state, {}),
        lambda state, batch, key: {},
        lambda state, batch: Model().apply(state, batch["input"]),
    )
    x = jnp.ones((3, 2))
    state = Model().init(jax.random.key(0), x)
    with pytest.raises(errors.InputError, match="a row for each example"):
        embedding.reader(taught)(state, {"input": x})


def test_plane_keeps_what_it_is_to_keep():
    x = datasets.load_iris().data
    flat = probing.pca(x)
    centred = x - x.mean(0)
    _, _, rows = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(flat), np.abs(centred @ rows[:2].T), atol=1e-8)
    flat = probing.tsne(x[::2], perplexity=10.0)
    assert flat.shape == (75, 2)
    assert manifold.trustworthiness(x[::2], flat) > 0.95
    with pytest.raises(errors.InputError, match="perplexity"):
        probing.tsne(x[:20], perplexity=20.0)


def test_scatter_shows_each_point_in_its_colour():
    points = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [np.nan, 0]])
    pixels = scatter.picture(points, np.array([0, 1, 2, 1, 0]))
    colours = scatter.palette(3)
    corners = {(465, 14): 0, (465, 465): 1, (14, 14): 2, (14, 465): 1}
    for (row, column), kind in corners.items():
        np.testing.assert_allclose(pixels[row, column].astype(int), colours[kind], atol=8)
    assert pixels.shape[1] > 480 and scatter.picture(points).shape == (480, 480, 3)
    assert len(set(scatter.palette(40))) == 40
    with pytest.raises(errors.InputError, match="finite"):
        scatter.picture(points[4:])
