"""How the loss of a test after K steps of training changes with hyperparameters, by reverse mode.

Maclaurin, Duvenaud and Adams, "Gradient-based Hyperparameter Optimization through Reversible
Learning" (2015). The states on the way are not kept but computed again from some √K of them (Chen
et al., "Training Deep Nets with Sublinear Memory Cost", 2016): about 2√K states in memory, and
three times the forward work.
"""

import contextlib
import dataclasses
import functools
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import errors, experiment, hyperparameters, metrics
from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.sweep import plan
from jaxdl.train import program as programs

Numbers = Mapping[str, Any]  # flat name -> float, or a tracer in its place


class Hypergradient(NamedTuple):
    """The loss of a test after training, and its derivative by each hyperparameter."""

    value: float
    gradient: dict[str, float]


def hypergradient(
    function: Callable[..., runs.Run] | str,
    at: Mapping[str, float],
    steps: int | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
    tag: str | None = None,
) -> Hypergradient:
    """The derivative of a test's loss after `steps` steps by the hyperparameters `at`.

    The arguments are those of `objective`. errors.NonFiniteError: training has diverged.
    errors.InputError: a step cannot be differentiated.
    """
    numbers = {name: float(x) for name, x in at.items()}
    given = {**(given or {}), **numbers}
    loss = objective(function, list(at), steps, given=given, seed=seed, tag=tag)
    try:
        value, gradient = jax.value_and_grad(loss)(numbers)
    except ValueError as error:
        if "Reverse-mode differentiation does not work" not in str(error):
            raise
        raise errors.InputError(
            "A step to differentiate must have no loop of unknown length on what depends on the "
            "hyperparameters (lax.while_loop), got one."
        ) from error
    found = {name: float(x) for name, x in gradient.items()}
    for name, number in found.items():
        if not math.isfinite(number):
            raise errors.NonFiniteError(
                f"A hypergradient must be finite, got {number} for {name}, the loss {value:.4g}. "
                "Take fewer steps, numbers at which training is stable, or a step without infinite "
                "derivatives, such as that of a power at 0."
            )
    return Hypergradient(float(value), found)


def objective(
    function: Callable[..., runs.Run] | str,
    names: Sequence[str],
    steps: int | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    seed: int = 0,
    tag: str | None = None,
) -> Callable[[Numbers], Float[Array, ""]]:
    """The loss of a test after the first `steps` steps of a run: {name: number} -> loss, which
    `jax.grad` differentiates.

    function: an experiment, or its name. names: of the hyperparameters it is a function of, floats
    that go into arithmetic alone, as in a vectorised sweep. given: the others' values.
    steps: None is the whole run. tag: a mean such as "test/loss", which is that of the first test.
    The batches and keys are those of the run of this seed. What a step draws or picks (a sampled
    action, a rounded number) counts as it was drawn; a square root counts as flat at 0, where
    Adam's moments of parameters without a gradient stay; where the derivative of the training loss
    jumps (ReLU), the jumps are not in it, and finite differences are.
    errors.InputError: a hyperparameter that is no value in the program, or no such metric.
    """
    if steps is not None and steps < 1:
        raise errors.InputError(f"The steps to differentiate must be at least 1, got {steps}.")
    make, at = _made(function, given or {}, names)
    run = make({})
    name, metric = _test_of(run, tag)
    count = steps or run.steps
    with contextlib.closing(batches.opened(run.train, seed)) as feed:
        feed.onto(None)
        program = programs.Program(run, seed, feed.first(), programs.Family(make, [seed], [at]))
        data = feed.take(0, count)
    _check_mean(program, name, metric)
    trained = jax.jit(functools.partial(_trained, program, count))
    examine = jax.jit(functools.partial(_examined, program, metric, count), static_argnums=0)

    def loss(numbers: Numbers) -> Float[Array, ""]:
        numbers = {one: jnp.asarray(numbers[one]) for one in names}
        state = trained(numbers, data)
        parts = [
            examine(select, state, numbers, of_test, np.uint32(i))
            for i, (select, of_test) in enumerate(run.tests[name].once())
        ]
        whole = functools.reduce(functools.partial(jax.tree.map, jnp.add), parts)
        mean = whole.total / whole.count
        return jnp.sqrt(mean) if isinstance(whole, metrics.RootMean) else mean

    return loss


def _made(
    function: Callable[..., runs.Run] | str, given: Mapping[str, Any], names: Iterable[str]
) -> tuple[plan.Make, dict[str, float]]:
    """The run of some hyperparameters, on one device; and what those of `names` are, checked."""
    if isinstance(function, str):
        function = experiment.find(function).function
    title = getattr(function, "__name__", experiment.FUNCTION)

    def make(numbers: Numbers) -> runs.Run:
        arguments = hyperparameters.assemble(function, {**given, **numbers})
        run = experiment.build(function, arguments, title, None)
        return dataclasses.replace(run, mesh={"data": 1})

    known = {one.name: one for one in hyperparameters.of(function)}
    at: dict[str, float] = {}
    for name in names:
        thing = "A hyperparameter to differentiate by must"
        if name not in known:
            raise errors.InputError(f"{thing} be one of {', '.join(known)}, got {name}.")
        number = given.get(name, known[name].default)
        if number is hyperparameters.REQUIRED:
            raise errors.InputError(f"{thing} have a value, got none for {name}. Give it one.")
        kind = known[name].type
        if type(number) is int and (kind is float or float in typing.get_args(kind)):
            number = float(number)  # `rate: float = 1` is no other than 1.0
        fits = type(number) is float and kind is not int
        if not fits or not plan.traces(make, {name: number}, [name]):
            raise errors.InputError(
                f"{thing} be a float that goes into arithmetic alone, got {name}."
            )
        at[name] = number
    return make, at


def _test_of(run: runs.Run, tag: str | None) -> tuple[str, str]:
    """The name of the test, and of its metric."""
    name, _, metric = (tag or f"{next(iter(run.tests), '')}/loss").partition("/")
    if name not in run.tests:
        raise errors.InputError(
            f"The metric to differentiate must be of a test ({', '.join(run.tests) or 'none'}), "
            f"got {tag!r}."
        )
    return name, metric


def _check_mean(program: programs.Program, name: str, metric: str) -> None:
    select, data = batches.first(program.run.tests[name])
    zero = np.uint32(0)
    state, examine = program.shape.state, program.examiner(select)
    measured = jax.eval_shape(examine, state, program.who, data, zero, zero)
    if not isinstance(measured.get(metric), metrics.Mean):
        means = ", ".join(n for n, m in measured.items() if isinstance(m, metrics.Mean))
        raise errors.InputError(
            f"The metric to differentiate must be a mean ({means or 'there is none'}), "
            f"got {metric!r}."
        )


def _trained(program: programs.Program, count: int, numbers: Numbers, data: batches.Data) -> Any:
    """The state after so many steps, of which the reverse pass keeps about √count."""
    who = programs.Who(program.who.key, numbers)

    def step(state: Any, i: Array) -> tuple[Any, None]:
        return _flat_at_zero(program.one_step, state, who, data, jnp.uint32(0), i)[0], None

    again = functools.partial(jax.checkpoint, prevent_cse=False)  # in a scan nothing is merged
    length = math.isqrt(count)
    places = jnp.arange(count, dtype=jnp.uint32)
    whole = count // length * length

    def segment(state: Any, places: Array) -> tuple[Any, None]:
        return jax.lax.scan(again(step), state, places)

    state = program.init(who, data)
    state, _ = jax.lax.scan(again(segment), state, places[:whole].reshape(-1, length))
    return jax.lax.scan(again(step), state, places[whole:])[0]


def _examined(
    program: programs.Program,
    metric: str,
    step: int,
    select: batches.Select,
    state: Any,
    numbers: Numbers,
    data: batches.Data,
    i: Any,
) -> metrics.Mean:
    """The metric of a batch of a test."""
    who = programs.Who(program.who.key, numbers)
    return program.examiner(select)(state, who, data, np.uint32(step), i)[metric]


def _flat_at_zero(function: Callable[..., Any], *arguments: Any) -> Any:
    """A function whose square roots have the derivative 0 at 0, in place of infinity; those with a
    derivative of their own (jax.custom_jvp) keep it.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
    found = _evaluated(closed.jaxpr, closed.consts, jax.tree.leaves(arguments))
    return jax.tree.unflatten(jax.tree.structure(shape), found)


def _evaluated(jaxpr: Any, constants: Sequence[Any], arguments: Sequence[Any]) -> list[Any]:
    """As `jax.core.eval_jaxpr`, but for the square roots."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, jax.extend.core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        inputs, name = [value(v) for v in equation.invars], equation.primitive.name
        if name == "sqrt":
            outputs = [_root(inputs[0])]
        elif name in ("jit", "pjit"):
            inner = equation.params["jaxpr"]
            outputs = _evaluated(inner.jaxpr, inner.consts, inputs)
        else:
            options = equation.params
            if not name.startswith("custom_"):
                options = {what: _rooted(option) for what, option in options.items()}
            options = equation.primitive.get_bind_params(options)
            outputs = equation.primitive.bind(*inputs, **options)
            outputs = outputs if equation.primitive.multiple_results else [outputs]
        known.update(zip(equation.outvars, outputs, strict=True))
    return [value(v) for v in jaxpr.outvars]


def _rooted(option: Any) -> Any:
    """An equation's option, where it is the program of a branch, a loop or a checkpoint with other
    square roots.
    """
    if isinstance(option, tuple):
        parts = [_rooted(part) for part in option]
        same = all(new is old for new, old in zip(parts, option, strict=True))
        return option if same else tuple(parts)  # else a named tuple loses its names
    if isinstance(option, jax.extend.core.Jaxpr):
        return _rooted(jax.extend.core.ClosedJaxpr(option, ())).jaxpr
    if not isinstance(option, jax.extend.core.ClosedJaxpr):
        return option
    evaluated = functools.partial(_evaluated, option.jaxpr, option.consts)
    return jax.make_jaxpr(lambda *arguments: evaluated(arguments))(*option.in_avals)


def _root(x: Array) -> Array:
    """The square root, twice `where`: neither branch may meet the infinite derivative."""
    positive = jnp.where(x == 0, jnp.ones_like(x), x)
    return jnp.where(x == 0, x, jnp.sqrt(positive))
