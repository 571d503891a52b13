"""Batches of graphs of different sizes, and sums over what arrives at each node.

Gilmer, Schoenholz, Riley, Vinyals and Dahl, "Neural message passing for quantum chemistry" (2017).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Graph(NamedTuple):
    """A batch of graphs, each filled up to the same number n of nodes and e of edges.

    An edge goes from senders[e] to receivers[e], nodes of its own graph; an undirected one is two.
    node_mask, edge_mask: 1 where there is one, 0 where the graph was filled up.
    """

    nodes: Float[Array, "b n d"]
    edges: Float[Array, "b e f"]
    senders: Int[Array, "b e"]
    receivers: Int[Array, "b e"]
    node_mask: Float[Array, "b n"]
    edge_mask: Float[Array, "b e"]


def pick(x: Float[Array, "b n d"], index: Int[Array, "b e"]) -> Float[Array, "b e d"]:
    """The nodes that edges begin or end at; of an index outside the nearest node."""
    return jnp.take_along_axis(x, index[..., None], axis=1, mode="clip")


def gather(messages: Float[Array, "b e d"], graph: Graph) -> Float[Array, "b n d"]:
    """The sum of the messages that arrive at each node."""
    size = graph.node_mask.shape[1]
    shown = messages * graph.edge_mask[..., None].astype(messages.dtype)
    # One segment sum for each graph: over all nodes at once XLA:CPU takes five times as long.
    return jax.vmap(lambda m, at: jax.ops.segment_sum(m, at, size))(shown, graph.receivers)


def softmax(scores: Float[Array, "b e d"], graph: Graph) -> Float[Array, "b e d"]:
    """Shares of the edges that arrive at the same node; they add up to 1."""
    size = graph.node_mask.shape[1]
    scores = jnp.where(graph.edge_mask[..., None] > 0, scores, -jnp.inf)
    most = jax.vmap(lambda s, at: jax.ops.segment_max(s, at, size))(scores, graph.receivers)
    most = jax.lax.stop_gradient(jnp.where(jnp.isfinite(most), most, 0))
    weights = jnp.exp(scores - pick(most, graph.receivers))
    total = gather(weights, graph)
    return weights / jnp.maximum(pick(total, graph.receivers), 1e-30)  # of none: 0, not NaN
