"""Learning by the gradient of a loss (back-propagation: Rumelhart, Hinton and Williams, 1986)."""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdl import errors, learner, metrics
from jaxdl.nn import layout, limits

Loss = Callable[[Any, Any], learner.Metrics]  # (outputs, batch) -> metrics with a Mean "loss"
Scalar = float | int | jax.Array  # traced in a sweep
Freeze = Sequence[str] | Callable[[str], bool]  # of the parameters' paths, such as "conv1/kernel"
Variables = dict[str, Any]  # a model's collections: "params", and others such as batch statistics


class Average(NamedTuple):
    """An exponential moving average of the parameters, and of how many steps it is."""

    params: Any
    steps: jax.Array


class State(NamedTuple):
    """What a gradient learner carries from step to step."""

    params: Any
    statistics: Variables  # the model's other collections, such as batch statistics
    optimizer: Any
    average: Average | None


# (variables, batch, key) -> the metrics of a batch, with a Mean "loss", and the statistics after it
Objective = Callable[[Variables, Any, Any], tuple[learner.Metrics, Variables]]


def supervised(
    model: Any,
    loss: Loss,
    optimizer: optax.GradientTransformation,
    *,
    scores: Loss | None = None,
    **options: Any,
) -> learner.Learner:
    """A learner that maps `batch["input"]` to outputs and follows the gradient of `loss`.

    model: a Linen module called as `model(input, train=...)`, or anything with its init and apply.
    loss: (outputs, batch) -> metrics; the mean of its "loss" is minimised.
    scores: further metrics of an evaluation, with the signature of a loss.
    options: clip, microbatches, average and freeze, see `minimise`.
    """

    def begin(key: learner.Key, batch: learner.Batch) -> Variables:
        return initial(model, key, batch["input"], train=False)

    def objective(
        variables: Variables, batch: learner.Batch, key: learner.Key
    ) -> tuple[learner.Metrics, Variables]:
        outputs, statistics = applied(model, variables, key, batch["input"], train=True)
        return loss(outputs, batch), statistics

    def evaluate(variables: Variables, batch: learner.Batch, key: learner.Key) -> learner.Metrics:
        outputs = predict(variables, batch)
        return loss(outputs, batch) | (scores(outputs, batch) if scores else {})

    def predict(variables: Variables, batch: learner.Batch) -> Any:
        return model.apply(variables, batch["input"], train=False)

    return minimise(begin, objective, optimizer, evaluate=evaluate, predict=predict, **options)


def minimise(
    begin: Callable[[Any, Any], Variables],
    objective: Objective,
    optimizer: optax.GradientTransformation,
    *,
    evaluate: Callable[[Variables, Any, Any], learner.Metrics],
    predict: Callable[[Variables, Any], Any] | None = None,
    clip: Scalar | None = None,
    microbatches: int = 1,
    average: Scalar | None = None,
    freeze: Freeze = (),
) -> learner.Learner:
    """A learner that follows the gradient of any objective; all that do are made of it.

    begin: (key, batch) -> the variables: "params", and whatever other collections there are.
    objective: (variables, batch, key) -> metrics and the collections after the batch; the mean of
        the metrics' "loss" is minimised.
    evaluate, predict: of variables in place of the state.
    clip: the largest global norm of a gradient; larger ones are scaled down (Pascanu et al. 2013).
    microbatches: the batch is cut into so many parts, run one after another, and their gradients
        added: the same step for a fraction of the memory. Batch statistics see each part in turn.
    average: decay of a moving average of the parameters, in [0, 1), used by evaluation and predict;
        step n uses min(average, (1 + n) / (10 + n)), so that the initial parameters are soon
        forgotten (TensorFlow's ExponentialMovingAverage). Beside the averaged parameters stand the
        batch statistics of the last ones: there is no average of statistics.
    freeze: regular expressions, or a function of the path; parameters whose path ("conv1/kernel")
        one of them finds stay as they were initialised, get no gradient and no optimizer state.
    """
    _check(microbatches, average, clip)
    optimizer = _transformed(optimizer, clip, freeze)
    total_loss = functools.partial(_total_loss, objective, freeze)

    def init(key: learner.Key, batch: learner.Batch) -> State:
        statistics = dict(begin(key, batch))
        params = statistics.pop("params")
        moments = optimizer.init(params)
        return State(params, statistics, moments, None if average is None else _unmoved(params))

    def step(state: State, batch: learner.Batch, key: learner.Key) -> tuple[State, learner.Metrics]:
        gradient = jax.grad(total_loss, has_aux=True)
        total, (statistics, measured) = _accumulated(gradient, state, batch, key, microbatches)
        count = measured["loss"].count
        count = jnp.where(count > 0, count, 1)  # of nothing that counts the gradient is 0, not NaN
        mean = jax.tree.map(lambda g: (g / count).astype(g.dtype), total)
        updates, moments = optimizer.update(mean, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        moving = _averaged(state.average, params, average)
        observed = _observed(mean, moments, clip is not None)
        return State(params, statistics, moments, moving), measured | observed

    return learner.Learner(
        init,
        step,
        lambda state, batch, key: evaluate(variables(state), batch, key),
        None if predict is None else lambda state, batch: predict(variables(state), batch),
    )


def variables(state: State) -> Variables:
    """What a model is applied with outside training: the averaged parameters where there are any,
    and the other collections.
    """
    params = state.params if state.average is None else state.average.params
    return {"params": params, **state.statistics}


def initial(model: Any, key: learner.Key, *inputs: Any, **options: Any) -> Variables:
    """A model's first variables."""
    param_key, dropout_key = jax.random.split(key)
    return dict(model.init({"params": param_key, "dropout": dropout_key}, *inputs, **options))


def applied(
    model: Any, variables: Variables, key: learner.Key, *inputs: Any, **options: Any
) -> tuple[Any, Variables]:
    """A model's outputs in training, with `key` for dropout, and the collections after it."""
    collections = [name for name in variables if name != "params"]
    outputs, after = model.apply(
        variables, *inputs, rngs={"dropout": key}, mutable=collections, **options
    )
    return outputs, dict(after)


def only_params(variables: Variables) -> Any:
    """The parameters of a model that has nothing else.

    errors.InputError: it has other collections, such as batch statistics.
    """
    others = sorted(variables.keys() - {"params"})
    if others:
        raise errors.InputError(
            f"The model must have parameters alone, got {', '.join(others)} as well. "
            "Use nn.LayerNorm or nn.GroupNorm in the place of batch norm."
        )
    return variables["params"]


def _check(microbatches: int, average: Scalar | None, clip: Scalar | None) -> None:
    """Refuse what cannot be meant; a traced number cannot be looked at."""
    if microbatches < 1:
        raise errors.InputError(f"microbatches must be at least 1, got {microbatches}.")
    if isinstance(average, float | int) and not 0 <= average < 1:
        raise errors.InputError(f"average must be a decay in [0, 1), got {average}.")
    limits.positive("clip", clip)


def _transformed(
    optimizer: optax.GradientTransformation, clip: Scalar | None, freeze: Freeze
) -> optax.GradientTransformation:
    """The optimizer behind the clipping, for the parameters that are not frozen."""
    if clip is not None:
        optimizer = optax.chain(optax.clip_by_global_norm(clip), optimizer)
    if freeze:
        optimizer = optax.multi_transform(
            {"learn": optimizer, "stay": optax.set_to_zero()},
            lambda params: _labels(params, freeze),
        )
    return optimizer


def _total_loss(
    objective: Objective,
    freeze: Freeze,
    params: Any,
    statistics: Variables,
    batch: learner.Batch,
    key: learner.Key,
) -> tuple[jax.Array, tuple[Variables, learner.Metrics]]:
    """The total loss of a batch, the collections after it, and its metrics."""
    measured, after = objective({"params": _held(params, freeze), **statistics}, batch, key)
    return measured["loss"].total, (after, measured)


def _accumulated(
    gradient: Callable[..., Any], state: State, batch: Any, key: Any, parts: int
) -> tuple[Any, tuple[Variables, learner.Metrics]]:
    """The gradient of the batch's total loss, its parts run one after another and added up."""
    if parts == 1:
        return gradient(state.params, state.statistics, batch, key)

    def one(carry: Any, part: Any) -> tuple[Any, None]:
        i, piece = part
        total, (statistics, measured) = gradient(
            state.params, carry[1], piece, jax.random.fold_in(key, i)
        )
        return (
            jax.tree.map(jnp.add, carry[0], total),
            statistics,
            metrics.merge(carry[2], measured),
        ), None

    pieces = layout.parts(batch, parts, "microbatches")
    piece = jax.tree.map(lambda x: x[0], pieces)
    shapes = jax.eval_shape(gradient, state.params, state.statistics, piece, key)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (shapes[0], shapes[1][1]))
    start = (zeros[0], state.statistics, zeros[1])
    (total, statistics, measured), _ = jax.lax.scan(one, start, (jnp.arange(parts), pieces))
    return total, (statistics, measured)


def _unmoved(params: Any) -> Average:
    """The average of no step. A copy: a state that holds a buffer twice cannot be donated."""
    return Average(jax.tree.map(jnp.copy, params), jnp.int32(0))


def _averaged(average: Average | None, params: Any, decay: Scalar | None) -> Average | None:
    """The moving average with new parameters; those that do not move are it to the last bit."""
    if average is None or decay is None:
        return None
    steps = average.steps + 1
    gain = 1 - jnp.minimum(decay, (1 + steps) / (10 + steps))
    moved = jax.tree.map(lambda a, p: a + (gain * (p - a)).astype(a.dtype), average.params, params)
    return Average(moved, steps)


def _observed(gradient: Any, moments: Any, with_norm: bool) -> learner.Metrics:
    """What a user watches beside the loss: the gradient's norm before clipping, the learning rate
    where the optimizer carries it (`optax.inject_hyperparams`).
    """
    observed = {}
    if with_norm:
        observed["gradient_norm"] = metrics.Mean.of(optax.tree.norm(gradient))
    found = optax.tree_utils.tree_get_all_with_path(moments, "learning_rate")
    rates = [rate for _, rate in found if isinstance(rate, jax.Array)]  # a schedule's state is none
    if len(rates) == 1:
        observed["learning_rate"] = metrics.Mean.of(rates[0])
    return observed


def _path(keys: Any) -> str:
    return jax.tree_util.keystr(keys, simple=True, separator="/")


def _labels(params: Any, freeze: Freeze) -> Any:
    """ "stay" for the parameters that are to be frozen, "learn" for the others."""
    frozen = freeze if callable(freeze) else _finder(params, freeze)
    return jax.tree_util.tree_map_with_path(
        lambda keys, _: "stay" if frozen(_path(keys)) else "learn", params
    )


def _finder(params: Any, freeze: Sequence[str]) -> Callable[[str], bool]:
    """Whether one of the patterns finds a path; each must find one."""
    paths = [_path(keys) for keys, _ in jax.tree_util.tree_leaves_with_path(params)]
    for pattern in freeze:
        if not any(re.search(pattern, path) for path in paths):
            raise errors.InputError(
                f"A pattern of freeze must find a parameter, got {pattern!r}; "
                f"the parameters are {', '.join(paths)}."
            )
    return lambda path: any(re.search(pattern, path) for pattern in freeze)


def _held(params: Any, freeze: Freeze) -> Any:
    """The parameters with those that stay cut off from differentiation."""
    if not freeze:
        return params
    cut = jax.lax.stop_gradient
    labels = _labels(params, freeze)
    return jax.tree.map(lambda x, label: cut(x) if label == "stay" else x, params, labels)
