"""Federated averaging: clients learn on data they keep, a server averages what they have learnt.

FedAvg: McMahan et al., "Communication-efficient learning of deep networks from decentralized data"
(2017). FedProx: Li et al., "Federated optimization in heterogeneous networks" (2020). FedAdam and
its like: Reddi et al., "Adaptive federated optimization" (2021). Private: McMahan et al., "Learning
differentially private recurrent language models" (2018).

A step is a round. Its batch is the data of the clients that were asked, one after another along the
leading axis: `input` (clients, examples, ...), `target`, and `count` (clients,), how many of each
client's examples are there; the others are never looked at. Clients learn together under vmap, so
that a mesh cuts them over its devices. `jaxdl.data.clients` deals data out to clients.

Logged in training (of a private run these numbers are for its owner, not for publication):

loss, accuracy: of the minibatches that clients learn from, as they learn.
clients/loss, clients/accuracy: of the server's model on each client's data, before the client
    learns; the mean over the clients of a round, every client counting the same.
clients/loss_deviation, clients/accuracy_deviation: the standard deviation of that over them: how
    unequally the one model serves them.
update_norm: the mean norm of a client's update.
drift: the mean norm of its difference from the mean update: how far clients pull apart. In a
    private run the mean has its noise.
participants: how many clients' updates a round has.
clipped: the share of updates larger than the clipping norm, where there is privacy.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxdl import errors, learner, metrics
from jaxdl.learners import gradient, private
from jaxdl.nn import limits


class State(NamedTuple):
    """The server's: parameters, its optimizer's moments, and how many rounds it has made."""

    params: Any
    optimizer: Any
    steps: jax.Array


def averaging(
    model: Any,
    loss: gradient.Loss,
    optimizer: optax.GradientTransformation,
    *,
    server: optax.GradientTransformation | None = None,
    epochs: int = 1,
    batch_size: int | None = None,
    proximal: gradient.Scalar = 0.0,
    participation: gradient.Scalar = 1.0,
    privacy: private.Privacy | None = None,
    scores: gradient.Loss | None = None,
) -> learner.Learner:
    """Rounds of clients that learn by themselves and a server that follows their mean update.

    optimizer: a client's, which begins anew in each round. epochs, batch_size: over a client's own
    data, and the size of its minibatches; None is all of its data.
    server: takes minus the mean update for a gradient; None is optax.sgd(1.0), plain averaging.
    proximal: mu of FedProx, which adds mu/2 |parameters - the server's|^2 to the loss of a client.
    participation: the chance of each client of a batch to answer; the others have dropped out. A
        round that nobody answers leaves the server as it was.
    privacy: clips and noises the sum of updates; clients then count the same, whatever their data.
        The accountant's bound is for batches of all clients, each once, of which each answers by
        the chance of `participation`.
    """
    limits.at_least(1, "The epochs of a client", epochs)
    limits.at_least(1, "The batch size of a client", batch_size)
    private.check(privacy, participation)
    if isinstance(proximal, float | int) and proximal < 0:
        raise errors.InputError(f"proximal must not be negative, got {proximal}.")
    server = optax.sgd(1.0) if server is None else server
    client = _Client(model, loss, optimizer, epochs, batch_size, proximal)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        inputs = batch["input"][0]
        params = gradient.only_params(gradient.initial(model, key, inputs, train=False))
        return State(params, server.init(params), jnp.int32(0))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        answer_key, noise_key, client_key = jax.random.split(key, 3)
        answers = jax.random.bernoulli(answer_key, participation, batch["count"].shape)
        keys = jax.random.split(client_key, len(answers))
        learn = jax.vmap(client.learn, in_axes=(None, 0, 0))
        updates, measured = learn(state.params, batch, keys)
        before = jax.vmap(client.judge, in_axes=(None, 0))(state.params, batch)
        mean, norms = _mean(updates, batch["count"], answers, participation, privacy, noise_key)
        descent = jax.tree.map(jnp.negative, mean)
        change, moments = server.update(descent, state.optimizer, state.params)
        params = optax.apply_updates(state.params, change)
        after = State(params, moments, state.steps)
        if privacy is None:  # else it must not be told whether somebody was there
            after = _where((answers & (batch["count"] > 0)).any(), after, state)
        measured = _total(measured, answers) | _spread(before, batch["count"])
        measured["drift"] = metrics.Mean.of(_distances(updates, mean), answers)
        measured |= private.observed(norms, answers, privacy, "update_norm")
        return after._replace(steps=state.steps + 1), measured

    return learner.Learner(init, step, *private.judged(model, loss, scores))


class _Client(NamedTuple):
    """What a client does with the server's parameters and its own data."""

    model: Any
    loss: gradient.Loss
    optimizer: optax.GradientTransformation
    epochs: int
    batch_size: int | None
    proximal: gradient.Scalar

    def learn(
        self, params: Any, data: learner.Batch, key: learner.Key
    ) -> tuple[Any, learner.Metrics]:
        """The client's update, and the metrics of its minibatches."""
        examples = {name: leaf for name, leaf in data.items() if name != "count"}

        def one(carry: Any, now: Any) -> tuple[Any, learner.Metrics]:
            own, moments = carry
            indices, real, key = now
            minibatch = jax.tree.map(lambda x: x[indices], examples)
            gradient_of = jax.grad(self._objective, has_aux=True)
            slope, measured = gradient_of(own, params, minibatch, real, key)
            change, after = self.optimizer.update(slope, moments, own)
            moved = optax.apply_updates(own, change), after
            # A minibatch of no example is no step, whatever the optimizer makes of a zero.
            return _where(real.any(), moved, carry), measured

        start = params, self.optimizer.init(params)
        (own, _), measured = jax.lax.scan(one, start, self._plan(data, key))
        update = jax.tree.map(jnp.subtract, own, params)
        return update, jax.tree.map(lambda x: x.sum(0), measured)

    def judge(self, params: Any, data: learner.Batch) -> learner.Metrics:
        """The metrics of the server's parameters on all of the client's data."""
        outputs = self.model.apply({"params": params}, data["input"], train=False)
        real = jnp.arange(len(data["input"])) < data["count"]
        examples = {name: leaf for name, leaf in data.items() if name != "count"}
        return _of_real(self.loss, outputs, examples, real)

    def _objective(
        self, own: Any, params: Any, batch: Any, real: Any, key: Any
    ) -> tuple[jax.Array, learner.Metrics]:
        outputs, _ = gradient.applied(self.model, {"params": own}, key, batch["input"], train=True)
        measured = _of_real(self.loss, outputs, batch, real)
        mean = measured["loss"].total / jnp.maximum(measured["loss"].count, 1)
        apart = optax.tree.norm(jax.tree.map(jnp.subtract, own, params), squared=True)
        return mean + self.proximal / 2 * apart, measured

    def _plan(self, data: learner.Batch, key: learner.Key) -> tuple[Array, Array, Array]:
        """Of each minibatch: the examples (b), which of them are real (b), and a key.

        Every epoch has every real example once, in a new order, the others at its end.
        """
        most = len(data["input"])
        size = min(self.batch_size or most, most)
        slots = -(-most // size) * size
        order_key, step_key = jax.random.split(key)
        chance = jax.random.uniform(order_key, (self.epochs, most))
        absent = jnp.arange(most) >= data["count"]
        order = jnp.argsort(chance + absent[None, :], axis=1)
        order = jnp.pad(order, ((0, 0), (0, slots - most))).reshape(-1, size)
        real = jnp.tile(jnp.arange(slots) < data["count"], self.epochs).reshape(-1, size)
        return order, real, jax.random.split(step_key, len(order))


def _where(condition: Any, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), new, old)


def _of_real(loss: gradient.Loss, outputs: Any, batch: Any, real: Any) -> learner.Metrics:
    """The metrics of those examples alone that are real."""

    def one(output: Any, example: Any) -> learner.Metrics:
        return loss(output[None], jax.tree.map(lambda x: x[None], example))

    return _total(jax.vmap(one)(outputs, batch), real)


def _total(measured: learner.Metrics, chosen: Any) -> learner.Metrics:
    """The sum of metrics along their leading axis, of those alone that are chosen."""

    def one(x: jax.Array) -> jax.Array:
        return jnp.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, 0).sum(0).astype(x.dtype)

    return jax.tree.map(one, measured)


def _mean(
    updates: Any, counts: Any, answers: Any, participation: Any, privacy: Any, key: Any
) -> tuple[Any, Float[Array, "clients"]]:
    """The mean update of those who answer, by how much data they have; and the updates' norms."""
    if privacy is not None:
        return private.noised_mean(updates, answers, participation * len(answers), privacy, key)
    weights = counts * answers / jnp.maximum((counts * answers).sum(), 1)
    mean = jax.tree.map(lambda x: jnp.tensordot(weights, x, 1), updates)
    return mean, jax.vmap(optax.tree.norm)(updates)


def _distances(updates: Any, mean: Any) -> Float[Array, "clients"]:
    apart = jax.tree.map(lambda x, m: x - m[None], updates, mean)
    return jax.vmap(optax.tree.norm)(apart)


def _spread(before: learner.Metrics, counts: Any) -> learner.Metrics:
    """Of every mean of clients that have examples: its mean over them, and standard deviation."""
    there = counts > 0
    found = {}
    for name, metric in before.items():
        if isinstance(metric, metrics.Mean):
            each = metric.total / jnp.maximum(metric.count, 1)
            found[f"clients/{name}"] = metrics.Mean.of(each, there)
            middle = (each * there).sum() / there.sum()
            square = (jnp.where(there, each - middle, 0) ** 2).sum() / there.sum()
            found[f"clients/{name}_deviation"] = metrics.Mean.of(jnp.sqrt(square))
    return found
