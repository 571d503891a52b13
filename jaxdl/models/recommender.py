"""Recommenders: how a user rates an item, from factors of both, or from what is known of them.

Koren, Bell and Volinsky, "Matrix factorization techniques for recommender systems" (2009); two
towers: Huang et al., "Learning deep structured semantic models for web search" (2013).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl import errors, metrics
from jaxdl.losses import classification, regression
from jaxdl.models import mlp
from jaxdl.nn import limits

# Where parameters lie on a mesh, for Run.rules: tables by row, as there are many users.
RULES = (
    (r"(user|item)\w*/embedding$", ("fsdp", None)),
    (r"mean$", ()),
)


class Rated(NamedTuple):
    """Ratings, and the squares that are kept small: of the factors and biases that gave each."""

    rating: Float[Array, "b"]
    squares: Float[Array, "b"]


class Factorisation(nn.Module):
    """mean + bias of the user + bias of the item + user · item (Koren et al.'s equation 4).

    pairs: a user and an item in each row, integers. The mean of all ratings, where it is known, is
    best given as `mean`; it is learnt from there.
    Parameters: `mean`, `user` and `item` (count, rank), `user_bias` and `item_bias` (count, 1).
    """

    users: int
    items: int
    rank: int = 8
    mean: float | Array = 0.0

    def __post_init__(self) -> None:
        for name in ("users", "items", "rank"):
            limits.at_least(1, f"Factorisation's {name}", getattr(self, name))
        super().__post_init__()

    @nn.compact
    def __call__(self, pairs: Int[Array, "b 2"], train: bool = False) -> Rated:
        mean = self.param("mean", lambda key: jnp.asarray(self.mean, jnp.float32))
        small = nn.initializers.normal(0.1)  # all alike, factors would get no gradient
        tables = {"user": self.users, "item": self.items}
        squares = jnp.zeros(pairs.shape[0])
        factors, biases = [], []
        for column, (name, count) in enumerate(tables.items()):
            index = pairs[:, column]
            table = nn.Embed(count, self.rank, embedding_init=small, name=name)
            bias = nn.Embed(count, 1, embedding_init=nn.initializers.zeros, name=f"{name}_bias")
            factors.append(table(index))
            biases.append(bias(index)[:, 0])
            squares += (factors[-1] ** 2).sum(-1) + biases[-1] ** 2
        rating = mean + sum(biases) + (factors[0] * factors[1]).sum(-1)
        return Rated(rating, squares)


def squared_error(decay: Any = 0.0) -> Any:
    """The loss of a factorisation: squared errors, plus `decay` times the squares of what each
    rating uses, so that rare users and items are held back by as many ratings as they have.

    Its metrics: "loss", and "squared_error" of the ratings alone.
    """

    def loss(outputs: Rated, batch: dict[str, Any]) -> dict[str, Any]:
        wrong = regression.squared_error(outputs.rating, batch)["loss"]
        kept = metrics.Mean.of(outputs.squares)
        total = metrics.Mean(wrong.total + decay * kept.total, wrong.count)
        return {"loss": total, "squared_error": wrong}

    return loss


class TwoTowers(nn.Module):
    """Users and items each through a perceptron of its own, onto unit vectors: how well each user
    of a batch fits each item of it, (b, b), as a cosine over `temperature`.

    x: "user" (b, d) and "item" (b, f), what is known of them; the pairs of a batch belong together.
    """

    width: int = 32
    features: tuple[int, ...] = (64,)
    temperature: float | Array = 0.1

    def __post_init__(self) -> None:
        limits.at_least(1, "TwoTowers' width", self.width)
        limits.at_least(1, "TwoTowers' features", self.features)
        limits.positive("TwoTowers' temperature", self.temperature)
        super().__post_init__()

    @nn.compact
    def __call__(
        self, x: dict[str, Float[Array, "b _"]], train: bool = False
    ) -> Float[Array, "b b"]:
        if x.keys() != {"user", "item"}:
            raise errors.InputError(
                f"TwoTowers' input must have user and item, got {', '.join(sorted(x))}."
            )
        user, item = (self._tower(x[name], name, train) for name in ("user", "item"))
        return user @ item.T / self.temperature

    def _tower(self, x: Array, name: str, train: bool) -> Float[Array, "b width"]:
        out = mlp.MLP(self.features, outputs=self.width, name=name)(x, train)
        return out / jnp.sqrt((out**2).sum(-1, keepdims=True) + 1e-12)


def in_batch(outputs: Float[Array, "b b"], batch: dict[str, Any]) -> dict[str, Any]:
    """Cross-entropy of each user's own item among all of the batch; "accuracy" is recall at 1.

    Both depend on how many the batch holds: tests are best of equal batches. Frequent items are
    others' alternatives more often, and nothing corrects for that; an item that comes twice in a
    batch is one of its own.
    """
    return classification.cross_entropy(outputs, {"target": jnp.arange(outputs.shape[0])})
