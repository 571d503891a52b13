"""Networks on graphs: convolutional, isomorphism and attention networks, by message passing.

Kipf and Welling, "Semi-supervised classification with graph convolutional networks" (2017). Xu, Hu,
Leskovec and Jegelka, "How powerful are graph neural networks?" (2019), whose GIN reads edges as in
Hu et al., "Strategies for pre-training graph neural networks" (2020). Veličković et al., "Graph
attention networks" (2018). Renumbering the nodes changes nothing.
"""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl import errors
from jaxdl.nn import dense, dropout, graph, layer_norm, limits


class Convolution(nn.Module):
    """GCN: D^-1/2 (A + I) D^-1/2 x W + b, with D the row sums of A + I; edges have no features.

    Parameters: `kernel/kernel` (d, width), `bias`.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], g: graph.Graph) -> Float[Array, "b n width"]:
        x = dense.Dense(self.width, use_bias=False, dtype=self.dtype, name="kernel")(x)
        bias = self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        degree = 1 + graph.gather(jnp.ones_like(g.edge_mask)[..., None], g)
        scaled = x / jnp.sqrt(degree)
        return (graph.gather(graph.pick(scaled, g.senders), g) + scaled) / jnp.sqrt(degree) + bias[
            None, None
        ]


class Isomorphism(nn.Module):
    """GIN: an MLP of (1 + eps) x + sum of relu(neighbour + edge W), with eps learnt.

    Where edges have no features (f = 0), of the neighbours themselves.
    Parameters: `eps`, `edge`, `hidden` and `output`, affine.
    """

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], g: graph.Graph) -> Float[Array, "b n width"]:
        messages = graph.pick(x, g.senders)
        if g.edges.shape[-1]:
            kind = dense.Dense(x.shape[-1], dtype=self.dtype, name="edge")(g.edges)
            messages = nn.relu(messages + kind)
        eps = self.param("eps", nn.initializers.zeros, ()).astype(self.dtype)
        x = (1 + eps) * x + graph.gather(messages, g)
        x = nn.relu(dense.Dense(self.width, dtype=self.dtype, name="hidden")(x))
        return dense.Dense(self.width, dtype=self.dtype, name="output")(x)


class Attention(nn.Module):
    """GAT: shares of the neighbours and the node itself, by leaky_relu(a [W x_j, W x_i]).

    `width` is that of all heads together. Edges have no features.
    Parameters: `kernel/kernel` (d, width), `sender`, `receiver` (heads, width / heads), `bias`.
    """

    width: int
    heads: int = 4
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        limits.at_least(1, "Attention's heads", self.heads)
        if self.width % self.heads:
            raise errors.InputError(
                f"Attention's heads must divide its width {self.width}, got {self.heads}."
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"], g: graph.Graph) -> Float[Array, "b n width"]:
        x = dense.Dense(self.width, use_bias=False, dtype=self.dtype, name="kernel")(x)
        bias = self.param("bias", nn.initializers.zeros, (self.width,)).astype(self.dtype)
        size = self.width // self.heads
        by_head = x.reshape(*x.shape[:2], self.heads, size)
        sent, received = (
            jnp.einsum(
                "bnhd,hd->bnh",
                by_head,
                self.param(
                    name, nn.initializers.lecun_normal(in_axis=1, out_axis=0), (self.heads, size)
                ).astype(self.dtype),
            )
            for name in ("sender", "receiver")
        )
        looped = _with_loops(g)
        scores = graph.pick(sent, looped.senders) + graph.pick(received, looped.receivers)
        shares = graph.softmax(nn.leaky_relu(scores, 0.2).astype(jnp.float32), looped)
        shares = jnp.repeat(shares.astype(self.dtype), size, axis=-1)
        return graph.gather(shares * graph.pick(x, looped.senders), looped) + bias[None, None]


class GraphNetwork(nn.Module):
    """Layers of message passing with residual connections, and what is read from the nodes.

    layer: "gin", "gcn" or "gat"; only the first reads the edges' features.
    readout: "sum" or "mean" of the nodes gives outputs (b, outputs); "nodes" those of each,
        (b, n, outputs). A sum is what a quantity takes that grows with the graph.
    heads: of "gat".

    Parameters: `input`, `norm_0`, `layer_0`, ..., `norm_output`, `hidden`, `output`.
    """

    outputs: int
    width: int = 128
    depth: int = 4
    layer: Literal["gin", "gcn", "gat"] = "gin"
    heads: int = 4
    readout: Literal["sum", "mean", "nodes"] = "sum"
    dropout: float | Array = 0.0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        for name in ("outputs", "width", "depth", "heads"):
            limits.at_least(1, f"GraphNetwork's {name}", getattr(self, name))
        limits.rate("GraphNetwork's dropout", self.dropout)
        super().__post_init__()

    @nn.compact
    def __call__(self, g: graph.Graph, train: bool = False) -> Float[Array, "..."]:
        x = dense.Dense(self.width, dtype=self.dtype, name="input")(g.nodes)
        for i in range(self.depth):
            y = layer_norm.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(x)
            y = self._layer(f"layer_{i}")(y, g)
            x = x + dropout.Dropout(self.dropout, name=f"dropout_{i}")(y, train)
        x = layer_norm.LayerNorm(dtype=self.dtype, name="norm_output")(x)
        x = nn.relu(dense.Dense(self.width, dtype=self.dtype, name="hidden")(x))
        x = dropout.Dropout(self.dropout, name="dropout_output")(x, train)
        if self.readout != "nodes":
            x = (x * g.node_mask[..., None].astype(x.dtype)).sum(axis=1)
        if self.readout == "mean":
            x = x / jnp.maximum(g.node_mask.sum(axis=1), 1)[:, None].astype(x.dtype)
        # After the sum, so that its bias stands once for a graph, not for every node.
        x = dense.Dense(
            self.outputs, dtype=self.dtype, kernel_init=nn.initializers.zeros, name="output"
        )(x)
        return x.astype(jnp.float32)

    def _layer(self, name: str) -> Any:
        if self.layer == "gat":
            return Attention(self.width, self.heads, self.dtype, name=name)
        kind = {"gin": Isomorphism, "gcn": Convolution}[self.layer]
        return kind(self.width, self.dtype, name=name)


def _with_loops(g: graph.Graph) -> graph.Graph:
    """With an edge from every node to itself."""
    batch, size = g.node_mask.shape
    itself = jnp.broadcast_to(jnp.arange(size, dtype=g.senders.dtype)[None], (batch, size))
    return g._replace(
        senders=jnp.concatenate([g.senders, itself], axis=1),
        receivers=jnp.concatenate([g.receivers, itself], axis=1),
        edge_mask=jnp.concatenate([g.edge_mask, g.node_mask], axis=1),
    )
