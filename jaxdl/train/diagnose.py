"""Where a number stopped being one: the run is replayed from its last checkpoint, step by step.

As a run is a pure function of its key, the replay meets the same NaN at the same step. That step's
equations are then evaluated one by one, to name the first that made a NaN of numbers.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors, metrics
from jaxdl.data import batches
from jaxdl.train import checkpoint
from jaxdl.train import program as programs

# Primitives that do nothing but call what they hold; the replay looks inside.
CALLS = ("jit", "pjit", "closed_call", "checkpoint", "custom_jvp_call", "custom_vjp_call")


def explain(
    program: programs.Program, saved: checkpoint.Checkpoints, until: int
) -> errors.NonFiniteError:
    """The error that says at which step, and where, a run that was well before `until` failed."""
    saved.wait()
    restored = saved.restore(program.shape, lambda line: None)
    carry, start = program.begin(), 0
    source = program.run.train
    feed = batches.Nothing() if source is None else source.open(program.seed)
    if restored is not None:
        carry, start = restored.tree, restored.step
        feed.restore(restored.meta["feed"])
    kept = f"the checkpoint of step {start} stays" if restored else "there is no checkpoint yet"
    try:
        for step in range(start, until):
            data = feed.take(step, 1)
            before = jax.tree.map(jnp.copy, carry.state)
            carry = program.advance(programs.Carry(carry.state, program.zeros()), data, step, 1)
            faults = _faults(carry)
            if faults:
                origin = _origin(program, before, data, step)
                return errors.NonFiniteError(
                    f"Step {step + 1} made what is no finite number: {faults}.\n"
                    f"{origin}\n"
                    f"Lower the learning rate, clip gradients or look at that operation; {kept}."
                )
    finally:
        feed.close()
    return errors.NonFiniteError(
        f"A metric became non-finite by step {until}, but not when the steps from {start} on were "
        f"replayed; {kept}."
    )


def _faults(carry: programs.Carry) -> str:
    """The first metric and the first leaf of the state that are not finite, in words."""
    found = []
    sums = jax.device_get(carry.totals)
    for name, metric in sums.items():
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(metric)):
            value = metrics.values({name: metric})
            found.append(f"metric {name} is {next(iter(value.values()))}")
            break
    for path, leaf in jax.tree_util.tree_leaves_with_path(carry.state):
        if jnp.issubdtype(leaf.dtype, jnp.inexact) and bool(jnp.isnan(leaf).any()):
            found.append(f"state {jax.tree_util.keystr(path, simple=True, separator='/')} has NaN")
            break
    return ", ".join(found)


def _origin(program: programs.Program, state: Any, data: Any, step: int) -> str:
    """The first equation of the step that makes a NaN, or else an infinity, of finite numbers."""
    arguments = (state, program.key, data, jnp.uint32(step), jnp.uint32(0))
    seen: dict[str, str] = {}
    _run(program.jaxpr, jax.tree.leaves(arguments), seen, "")
    for kind in ("NaN", "infinity"):
        if kind in seen:
            return f"The first {kind} came out of {seen[kind]}."
    return "No single operation of the step makes one from finite numbers."


def _run(called: Any, arguments: list[Any], seen: dict[str, str], where: str) -> list[Any]:
    """Evaluate a jaxpr equation by equation, noting the first NaN and the first infinity."""
    jaxpr, consts = getattr(called, "jaxpr", called), getattr(called, "consts", ())
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        primitive, parameters = equation.primitive, equation.params
        inputs = [read(atom) for atom in equation.invars]
        stack = "/".join(part for part in (where, str(equation.source_info.name_stack)) if part)
        if primitive.name in CALLS:
            inner = parameters.get("jaxpr", parameters.get("call_jaxpr"))
            outputs = _run(inner, inputs, seen, stack)
        else:
            outputs = primitive.bind(*inputs, **primitive.get_bind_params(parameters))
            outputs = outputs if primitive.multiple_results else [outputs]
            _note(primitive.name, stack, inputs, outputs, seen)
        values |= zip(equation.outvars, outputs, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _note(name: str, stack: str, inputs: list[Any], outputs: list[Any], seen: dict) -> None:
    for kind, test in (("NaN", jnp.isnan), ("infinity", jnp.isinf)):
        if kind not in seen and _any(test, outputs) and not _any(test, inputs):
            seen[kind] = f"`{name}` in {stack}" if stack else f"`{name}`"


def _any(test: Any, values: list[Any]) -> bool:
    return any(
        jnp.issubdtype(jnp.result_type(x), jnp.inexact) and bool(test(x).any())
        for x in values
        if not jnp.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key)
    )
