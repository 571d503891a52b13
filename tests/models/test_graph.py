"""Graph networks against PyTorch Geometric's layers, and what renumbering must not change."""

import pathlib

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import errors
from jaxdl.models import graph as models
from jaxdl.nn import graph

FIXTURE = pathlib.Path(__file__).parents[1] / "fixtures" / "graph.npz"
# Ours, of PyTorch Geometric's names.
PLACES = {
    "gcn": {"kernel/kernel": "lin.weight", "bias": "bias"},
    "gin": {
        "eps": "eps", "hidden/kernel": "nn.0.weight", "hidden/bias": "nn.0.bias",
        "output/kernel": "nn.2.weight", "output/bias": "nn.2.bias",
    },
    "gat": {
        "kernel/kernel": "lin.weight", "sender": "att_src", "receiver": "att_dst", "bias": "bias",
    },
}  # fmt: skip
PLACES["gine"] = PLACES["gin"] | {"edge/kernel": "lin.weight", "edge/bias": "lin.bias"}
LAYERS = {
    "gcn": models.Convolution(6),
    "gin": models.Isomorphism(6),
    "gine": models.Isomorphism(6),
    "gat": models.Attention(6, heads=3),
}


def drawn(key=0, size=7, edges=10, features=3):
    """Two graphs, the second one smaller."""
    keys = jax.random.split(jax.random.key(key), 3)
    ends = jax.random.randint(keys[0], (2, 2, edges), 0, size - 2)
    mask = jnp.ones((2, size)).at[1, -2:].set(0)
    return graph.Graph(
        jax.random.normal(keys[1], (2, size, 4)) * mask[..., None],
        jax.random.normal(keys[2], (2, edges, features)),
        *ends,
        mask,
        jnp.ones((2, edges)).at[1, -3:].set(0),
    )


def begun(model, g):
    """Variables of which none is zero, as the last kernel is at first."""
    variables = jax.jit(model.init)(jax.random.key(1), g)
    return jax.tree.map(
        lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), variables
    )


def stored(arrays, name, kind):
    """Weights, or their gradients, in our names and layout."""
    out = {}
    for ours, theirs in PLACES[name].items():
        value = arrays[f"{name}/{kind}/{theirs}"]
        value = value.T if "kernel" in ours else value
        shape = {"eps": (), "sender": (3, 2), "receiver": (3, 2)}.get(ours, value.shape)
        out[tuple(ours.split("/"))] = value.reshape(shape)
    return flax.traverse_util.unflatten_dict(out)


@pytest.mark.parametrize("name", LAYERS)
def test_torch_geometric(name):
    with np.load(FIXTURE) as arrays:
        edges = arrays["edges"] if name == "gine" else arrays["edges"][..., :0]
        masks = arrays["node_mask"], arrays["edge_mask"]
        g = graph.Graph(*map(jnp.asarray, (arrays["nodes"], edges, *arrays["ends"], *masks)))

        def total(params, x):
            y = LAYERS[name].apply({"params": params}, x, g)
            return (y * arrays["weight"]).sum(), y

        params = stored(arrays, name, "parameters")
        with jax.default_matmul_precision("highest"):
            program = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
            (_, y), (slopes, gradient) = program(params, g.nodes)
        shown = y * g.node_mask[..., None]
        np.testing.assert_allclose(shown, arrays[f"{name}/outputs"], rtol=1e-5, atol=1e-6)
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(gradient, arrays[f"{name}/gradients"], **close)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, **close),
            slopes,
            stored(arrays, name, "slopes"),
        )


def renumbered(g):
    """The same graphs, nodes and edges in another order."""
    size, edges = g.node_mask.shape[1], g.edge_mask.shape[1]
    order, other = np.random.default_rng(0).permutation(size), jnp.arange(edges)[::-1]
    place = jnp.asarray(np.argsort(order), g.senders.dtype)
    return graph.Graph(
        g.nodes[:, order],
        g.edges[:, other],
        place[g.senders[:, other]],
        place[g.receivers[:, other]],
        g.node_mask[:, order],
        g.edge_mask[:, other],
    ), order


@pytest.mark.parametrize("layer", ["gin", "gcn", "gat"])
def test_renumbering_and_filling_up_change_nothing(layer):
    g = drawn()
    model = models.GraphNetwork(2, 8, 2, layer, heads=2)
    variables = begun(model, g)
    call = jax.jit(model.apply)
    outputs = call(variables, g)
    assert outputs.shape == (2, 2) and outputs.dtype == jnp.float32 and np.all(outputs)
    scale = np.abs(outputs).max()
    found = call(variables, renumbered(g)[0])
    np.testing.assert_allclose(found, outputs, atol=1e-6 * scale)
    # What stands in the padding, and more of it.
    wide = graph.Graph(
        jnp.pad(g.nodes, ((0, 0), (0, 3), (0, 0)), constant_values=5.0),
        jnp.pad(g.edges, ((0, 0), (0, 2), (0, 0)), constant_values=5.0),
        *(jnp.pad(ends, ((0, 0), (0, 2))) for ends in (g.senders, g.receivers)),
        jnp.pad(g.node_mask, ((0, 0), (0, 3))),
        jnp.pad(g.edge_mask, ((0, 0), (0, 2))),
    )
    np.testing.assert_allclose(call(variables, wide), outputs, atol=1e-6 * scale)


def test_each_node_has_an_output_or_the_graph_its_mean():
    g = drawn()
    inner = {"outputs": 3, "width": 8, "depth": 1}
    model = models.GraphNetwork(readout="nodes", **inner)
    variables = begun(model, g)
    call = jax.jit(model.apply)
    nodes = call(variables, g)
    assert nodes.shape == (2, 7, 3)
    again, order = renumbered(g)
    np.testing.assert_allclose(call(variables, again), nodes[:, order], atol=1e-5)
    mean = jax.jit(models.GraphNetwork(readout="mean", **inner).apply)(variables, g)
    np.testing.assert_allclose(mean[0], nodes[0].mean(0), atol=1e-5)
    np.testing.assert_allclose(mean[1], nodes[1, :5].mean(0), atol=1e-5)


def test_two_triangles_are_a_hexagon_without_edge_features():
    """Message passing cannot tell them apart (Xu et al. 2019), and it must not."""
    ring = np.arange(6)
    hexagon = np.r_[ring, (ring + 1) % 6], np.r_[(ring + 1) % 6, ring]
    step = ring // 3 * 3 + (ring + 1) % 3
    triangles = np.r_[ring, step], np.r_[step, ring]
    ends = jnp.asarray(np.stack([np.stack(hexagon), np.stack(triangles)], 1))
    g = graph.Graph(
        jnp.ones((2, 6, 1)), jnp.zeros((2, 12, 0)), *ends, jnp.ones((2, 6)), jnp.ones((2, 12))
    )
    model = models.GraphNetwork(1, 8, 1)
    variables = begun(model, g)
    call = jax.jit(model.apply)
    outputs = call(variables, g)
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5)
    shorter = g._replace(edge_mask=g.edge_mask.at[0, 0].set(0))
    outputs = call(variables, shorter)
    assert abs(outputs[0] - outputs[1]) > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.GraphNetwork(0), "outputs must be at least 1, got 0"),
        (lambda: models.GraphNetwork(1, depth=0), "depth must be at least 1, got 0"),
        (lambda: models.GraphNetwork(1, dropout=1.0), "dropout must lie in"),
        (lambda: models.Attention(6, 4), "must divide its width 6, got 4"),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(errors.InputError, match=message):
        make()
