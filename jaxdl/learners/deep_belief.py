"""A deep belief network learns layer by layer, each a Boltzmann machine on the one below; then it
is unrolled into a classifier and fine-tuned by gradient.

G. Hinton, S. Osindero and Y.-W. Teh, "A fast learning algorithm for deep belief nets" (2006). The
step counter in the state says which part learns: layer i in steps i * n to (i + 1) * n - 1, and
after the last layer the classifier, which begins as a copy of the layers. A layer whose shape is
the transpose of the one below begins as its transpose: so it leaves the bound on log p(v) where it
was, and what it learns can only raise it.

Metrics:
- loss, of a step: of the part that learns; a layer's is that of jaxdl/learners/
  contrastive_divergence.py, the classifier's its own. Of an evaluation: the classifier's.
- learning: which part learns, 0 for the first layer.
- layer_0/reconstruction_error, layer_0/free_energy and so on: of each layer, on what the layers
  below make of the batch.
- accuracy, or what else the classifier's loss measures; by chance until fine-tuning begins.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxdl import learner, metrics
from jaxdl.learners import contrastive_divergence, gradient
from jaxdl.models import dbn, rbm
from jaxdl.nn import layout, limits


class State(NamedTuple):
    """Each layer's machine, the classifier, and how many steps there were."""

    layers: tuple[gradient.State, ...]
    classifier: gradient.State
    steps: Int[Array, ""]


def stacked(
    model: dbn.DBN,
    loss: gradient.Loss,
    *,
    pretraining: optax.GradientTransformation,
    fine_tuning: optax.GradientTransformation,
    layer_steps: int,
    **options: Any,
) -> learner.Learner:
    """A learner of `batch["input"]`, values in [0, 1], and of its labels by `loss` at the end.

    pretraining, fine_tuning: optimizers; every layer has its own, counting its own steps.
    layer_steps: how many each layer learns for; 0 leaves fine-tuning alone, as a control.
    options: of `contrastive_divergence.machine`: sweeps and chains.
    predict: the classifier's outputs.
    """
    limits.at_least(0, "A deep belief network's layer_steps", layer_steps)
    machines = tuple(model.machines())
    layers = tuple(contrastive_divergence.machine(m, pretraining, **options) for m in machines)
    classifier = gradient.supervised(model, loss, fine_tuning)
    stack = _Stack(model, machines, layers, classifier, loss, layer_steps)
    return learner.Learner(stack.init, stack.step, stack.evaluate, stack.predict)


@dataclasses.dataclass(frozen=True)
class _Stack:
    """What `stacked` is asked for: machines, and the learners of each and of the classifier."""

    model: dbn.DBN
    machines: tuple[rbm.RBM, ...]
    layers: tuple[learner.Learner, ...]
    classifier: learner.Learner
    loss: gradient.Loss
    layer_steps: int

    def init(self, key: learner.Key, batch: learner.Batch) -> State:
        """Each layer begins on what those below make of the batch."""
        x, states = layout.rows(batch["input"]), []
        for i, layer in enumerate(self.layers):
            states.append(layer.init(jax.random.fold_in(key, i), {"input": x}))
            x = rbm.call(self.machines[i], states[-1].params, "__call__", x)
        return State(tuple(states), self.classifier.init(key, batch), jnp.int32(0))

    def step(
        self, state: State, batch: learner.Batch, key: learner.Key
    ) -> tuple[State, learner.Metrics]:
        """A step of the part whose turn it is."""
        part = jnp.sum(state.steps >= self.layer_steps * (1 + jnp.arange(len(self.layers))))
        parts = [functools.partial(self.learn_layer, i) for i in range(len(self.layers))]
        after, found = jax.lax.switch(part, [*parts, self.fine_tune], state, batch, key)
        measured = self.examined(after, batch) | {"loss": found, "learning": metrics.Mean.of(part)}
        return after._replace(steps=state.steps + 1), measured

    def learn_layer(
        self, i: int, state: State, batch: learner.Batch, key: learner.Key
    ) -> tuple[State, metrics.Mean]:
        """A step of one layer, on samples of the layers below."""
        up, own = jax.random.split(key)
        x = _samples(self.model, state, layout.rows(batch["input"]), i, up)
        now = state.layers[i]
        if i > 0 and _turns(self.model, i):
            below, first = transposed(state.layers[i - 1].params), self.layer_steps * i
            now = now._replace(params=_where(state.steps == first, below, now.params))
        now, measured = self.layers[i].step(now, {"input": x}, own)
        states = (*state.layers[:i], now, *state.layers[i + 1 :])
        return state._replace(layers=states), measured["loss"]

    def fine_tune(
        self, state: State, batch: learner.Batch, key: learner.Key
    ) -> tuple[State, metrics.Mean]:
        """A step of the classifier, which begins as a copy of the layers."""
        now = state.classifier
        if self.layer_steps > 0:
            learnt = {f"layer_{i}": layer.params for i, layer in enumerate(state.layers)}
            first = state.steps == self.layer_steps * len(self.layers)
            now = now._replace(params=_where(first, now.params | learnt, now.params))
        now, measured = self.classifier.step(now, batch, key)
        return state._replace(classifier=now), measured["loss"]

    def examined(self, state: State, batch: learner.Batch) -> learner.Metrics:
        """What is known of all parts without a step."""
        x, measured = layout.rows(batch["input"]), {}
        for i, (machine, layer) in enumerate(zip(self.machines, state.layers, strict=True)):
            again = rbm.call(machine, layer.params, "reconstruction", x)
            measured[f"layer_{i}/reconstruction_error"] = metrics.Mean.of(jnp.square(again - x))
            free = contrastive_divergence.energy(machine, layer.params, x)
            measured[f"layer_{i}/free_energy"] = metrics.Mean.of(free)
            x = rbm.call(machine, layer.params, "__call__", x)
        return measured | self.loss(self.predict(state, batch), batch)

    def evaluate(self, state: State, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        """The same, with the key that a learner is given."""
        return self.examined(state, batch)

    def predict(self, state: State, batch: learner.Batch) -> Any:
        """The classifier's outputs."""
        return self.model.apply({"params": state.classifier.params}, batch["input"])


def transposed(params: Any) -> Any:
    """The machine turned over: what was visible is hidden. The hidden units' distribution in the
    one is the visible units' in the other.
    """
    return {
        "kernel": params["kernel"].T,
        "visible_bias": params["hidden_bias"],
        "hidden_bias": params["visible_bias"],
    }


def _turns(model: dbn.DBN, i: int) -> bool:
    """Whether layer i has the transposed shape of the one below."""
    widths = (model.visible, *model.hidden)
    return widths[i + 1] == widths[i - 1]


def _samples(model: dbn.DBN, state: State, x: Any, count: int, key: Any) -> Any:
    """Hidden units of the layer below layer `count`, drawn from the bottom up."""
    for i, machine in enumerate(model.machines()[:count]):
        params, own = state.layers[i].params, jax.random.fold_in(key, i)
        x = rbm.call(machine, params, "hidden_sample", x, own)
    return x


def _where(condition: Any, one: Any, other: Any) -> Any:
    """One of two trees."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), one, other)
