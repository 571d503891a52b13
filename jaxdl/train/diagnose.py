"""Where a number stopped being one: the run is replayed from its last checkpoint, step by step.

As a run is a pure function of its key, the replay meets the same NaN at the same step. That step's
equations are then evaluated one by one, to name the first that made a NaN of numbers; loops turn
by turn.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, metrics
from jaxdl.data import batches
from jaxdl.train import checkpoint
from jaxdl.train import program as programs

# Primitives that do nothing but call what they hold; the replay looks inside.
CALLS = ("jit", "pjit", "closed_call", "checkpoint", "custom_jvp_call", "custom_vjp_call")


# What an operation may have done, the likeliest cause first.
CAUSES = (
    "The first NaN came out of {}.",
    "The first NaN came out of {}, of constants alone.",
    "The first infinity came out of {}.",
    "The first infinity came out of {}, which was given one as a constant.",
)
NAMED = 3  # parameters with NaN that are named


class Value(NamedTuple):
    """What a variable holds, and whether it is a constant of the program or made of such alone."""

    array: Any
    fixed: bool


def explain(
    program: programs.Program,
    saved: checkpoint.Checkpoints,
    until: int,
    say: Callable[[str], None] = lambda line: None,
) -> errors.NonFiniteError:
    """The error that says at which step, and where, a run that was well before `until` failed."""
    saved.wait()
    restored = saved.restore(program.shape, lambda line: None)
    feed = batches.opened(program.run.train, program.seed)
    feed.onto(program.mesh)
    if restored is None:
        state, start = program.begin().state, 0
        kept = "there is no checkpoint yet"
    else:
        state, start = restored.tree.state, restored.step
        feed.restore(restored.meta["feed"])
        kept = f"the checkpoint of step {start} stays"
    del restored  # at most two states are held: before a step and after it
    say(f"Replaying from step {start} to find the first number that is not finite.")
    try:
        for step in range(start, until):
            data = feed.take(step, 1)
            before = jax.tree.map(jnp.copy, state)
            after = program.advance(programs.Carry(state, program.zeros()), data, step, 1)
            faults = _faults(after)
            state = after.state
            del after
            if faults:
                del state
                return errors.NonFiniteError(
                    f"Step {step + 1} made what is no finite number: {faults}.\n"
                    f"{_origin(program, before, data, step)}\n"
                    f"Lower the learning rate, clip gradients or look at that operation; {kept}."
                )
            del before
    finally:
        feed.close()
    return errors.NonFiniteError(
        f"A metric became non-finite by step {until}, but not when the steps from {start} on were "
        f"replayed; {kept}."
    )


def _faults(carry: programs.Carry) -> str:
    """The first metric, and the parameters or else the leaf of the state, that are not finite."""
    found = []
    sums = jax.device_get(carry.totals)
    for name, metric in sums.items():
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(metric)):
            value = metrics.values({name: metric})
            found.append(f"metric {name} is {next(iter(value.values()))}")
            break
    broken, parameters = [], 0
    for keys, leaf in jax.tree_util.tree_leaves_with_path(carry.state):
        path = jax.tree_util.keystr(keys, simple=True, separator="/")
        parameters += path.startswith("params/")
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and bool(jnp.isnan(leaf).any()):
            broken.append(path)
    if broken:
        found.append(_broken(broken, parameters))
    return ", ".join(found)


def _broken(paths: list[str], parameters: int) -> str:
    """Which leaves of the state have NaN, in words; parameters go before all else."""
    ours = [path for path in paths if path.startswith("params/")]
    if len(ours) == parameters > 1:
        return f"all {parameters} parameters have NaN"
    if len(ours) > NAMED:
        more = f" and {len(ours) - NAMED} more"
        return f"state {', '.join(ours[:NAMED])}{more} of {parameters} parameters have NaN"
    shown = ours or paths[:1]
    return f"state {', '.join(shown)} {'has' if len(shown) == 1 else 'have'} NaN"


def _origin(program: programs.Program, state: Any, data: Any, step: int) -> str:
    """The first equation of the step that makes a NaN, or else an infinity, of finite numbers."""
    arguments = (state, program.who, data, jnp.uint32(step), jnp.uint32(0))
    seen: dict[int, str] = {}
    try:
        _run(program.jaxpr, [Value(x, False) for x in jax.tree.leaves(arguments)], seen, "")
    except Exception as error:  # whatever it is, the user's news is the number, not this
        if not seen:
            return f"Which operation made it was not found out ({type(error).__name__})."
    if seen:
        cause = min(seen)
        return CAUSES[cause].format(seen[cause])
    return "No single operation of the step makes one from finite numbers."


def _run(called: Any, arguments: list[Value], seen: dict[int, str], where: str) -> list[Value]:
    """Evaluate a jaxpr equation by equation until one makes a NaN; then there are no outputs."""
    jaxpr, consts = getattr(called, "jaxpr", called), getattr(called, "consts", ())
    given = [*(Value(const, True) for const in consts), *arguments]
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], given, strict=True))
    last = {v: i for i, e in enumerate(jaxpr.eqns) for v in e.invars if not hasattr(v, "val")}
    last |= dict.fromkeys((v for v in jaxpr.outvars if not hasattr(v, "val")), len(jaxpr.eqns))

    def read(atom: Any) -> Value:
        return Value(atom.val, True) if hasattr(atom, "val") else values[atom]

    for i, equation in enumerate(jaxpr.eqns):
        inputs = [read(atom) for atom in equation.invars]
        stack = "/".join(part for part in (where, str(equation.source_info.name_stack)) if part)
        outputs = _evaluate(equation, inputs, seen, stack)
        if 0 in seen:
            return []
        values |= zip(equation.outvars, outputs, strict=True)
        for variable in [*equation.invars, *equation.outvars]:
            if not hasattr(variable, "val") and last.get(variable, i) <= i:
                values.pop(variable, None)  # so much memory less
    return [read(atom) for atom in jaxpr.outvars]


def _evaluate(equation: Any, inputs: list[Value], seen: dict[int, str], stack: str) -> list[Value]:
    """The outputs of an equation, whose first NaN and infinity are noted."""
    primitive, parameters = equation.primitive, equation.params
    if primitive.name in CALLS:
        inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
        return _run(inner, inputs, seen, stack)
    if primitive.name == "cond":
        branches = parameters["branches"]
        chosen = min(max(int(inputs[0].array), 0), len(branches) - 1)
        return _run(branches[chosen], inputs[1:], seen, stack)
    arrays = [value.array for value in inputs]
    made = primitive.bind(*arrays, **primitive.get_bind_params(parameters))
    fixed = all(value.fixed for value in inputs)
    outputs = [Value(x, fixed) for x in (made if primitive.multiple_results else [made])]
    if primitive.name in ("scan", "while") and _causes(inputs, outputs) - seen.keys():
        turns = _scan if primitive.name == "scan" else _while
        before = len(seen)
        for body, arguments, results in turns(equation, inputs):
            if _causes(arguments, results):
                _run(body, arguments, seen, stack)
                if len(seen) > before:
                    return outputs
    for cause in _causes(inputs, outputs):
        seen.setdefault(cause, f"`{primitive.name}` in {stack}" if stack else f"`{primitive.name}`")
    return outputs


def _scan(equation: Any, inputs: list[Value]) -> Iterator[tuple[Any, list[Value], list[Value]]]:
    """The body of a scan with the arguments and the results of each turn."""
    body, length = equation.params["jaxpr"], equation.params["length"]
    inner = getattr(body, "jaxpr", body)
    # Sliced inputs come last, and have one axis less inside; so do the stacked outputs.
    pairs = zip(equation.invars, inner.invars, strict=True)
    sliced = sum(len(outer.aval.shape) != len(part.aval.shape) for outer, part in pairs)
    pairs = zip(equation.outvars, inner.outvars, strict=True)
    carried = sum(len(outer.aval.shape) == len(part.aval.shape) for outer, part in pairs)
    split = len(inputs) - sliced
    consts, carry = inputs[: split - carried], inputs[split - carried : split]
    turn = jax.jit(jax.extend.core.jaxpr_as_fun(body))
    for i in reversed(range(length)) if equation.params["reverse"] else range(length):
        parts = [Value(value.array[i], value.fixed) for value in inputs[split:]]
        arguments = [*consts, *carry, *parts]
        results = _called(turn, arguments)
        yield body, arguments, results
        carry = results[:carried]


def _while(equation: Any, inputs: list[Value]) -> Iterator[tuple[Any, list[Value], list[Value]]]:
    """The body of a while loop with the arguments and the results of each turn."""
    first, second = equation.params["cond_nconsts"], equation.params["body_nconsts"]
    body = equation.params["body_jaxpr"]
    test = jax.jit(jax.extend.core.jaxpr_as_fun(equation.params["cond_jaxpr"]))
    turn = jax.jit(jax.extend.core.jaxpr_as_fun(body))
    consts, carry = inputs[first : first + second], inputs[first + second :]
    # A batched test is one boolean for each loop; it goes on while any does.
    while bool(jnp.any(_called(test, [*inputs[:first], *carry])[0].array)):
        arguments = [*consts, *carry]
        carry = _called(turn, arguments)
        yield body, arguments, carry


def _called(function: Callable[..., Any], arguments: list[Value]) -> list[Value]:
    fixed = all(value.fixed for value in arguments)
    return [Value(x, fixed) for x in function(*(value.array for value in arguments))]


def _causes(inputs: list[Value], outputs: list[Value]) -> set[int]:
    """Which of CAUSES an operation is: a fault in its outputs that no variable brought in."""
    found = set()
    variable = [value for value in inputs if not value.fixed]
    constant = [value for value in inputs if value.fixed]
    for first, test in ((0, jnp.isnan), (2, jnp.isinf)):
        if not _any(test, outputs) or _any(test, variable):
            continue
        given = _any(test, constant)
        if variable or not given:  # constants of constants only hand the fault on
            # Infinite constants are common (masks), NaN is not.
            found.add(first + (not variable if first == 0 else given))
    return found


def _any(test: Any, values: list[Value]) -> bool:
    arrays = [value.array for value in values]
    return any(
        jnp.issubdtype(jnp.result_type(x), jnp.inexact) and bool(test(x).any())
        for x in arrays
        if not jnp.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key)
    )
