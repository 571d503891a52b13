"""Loads the state of a run back, of one of its own or of a member of a sweep."""

import pathlib
from typing import Any, NamedTuple

import jax

from jaxdl import errors
from jaxdl.train import checkpoint, loop, program, record


class Loaded(NamedTuple):
    """A state, and the step after which it was."""

    step: int
    state: Any


def best(folder: pathlib.Path, shape: program.Carry) -> Loaded:
    """The state of a run's best evaluation; the last one where nothing is monitored.

    folder: the run's. shape: `Program.shape` of the run alone.
    errors.InputError: it holds no run, or no checkpoint yet. errors.StorageError: none is good.
    """
    kept = record.load(folder)
    if kept is None:
        raise errors.InputError(f"A run's folder must hold {record.FILE}, got {folder} without.")
    member = kept.get("member")
    if member is not None:
        return _of_member(folder, kept, member, shape)
    with checkpoint.Checkpoints(folder / "checkpoints") as saved:
        found = saved.restore(shape, lambda line: None, saved.best())
    if found is None:
        raise _nothing(folder)
    return Loaded(found.step, found.tree.state)


def _of_member(
    folder: pathlib.Path, kept: dict[str, Any], member: dict[str, Any], shape: program.Carry
) -> Loaded:
    """Out of the checkpoint that the members share, which holds the best state of each."""
    many = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct((member["members"], *x.shape), x.dtype), shape
    )
    with checkpoint.Checkpoints(folder / member["group"] / "checkpoints") as saved:
        found = saved.restore(loop.Kept(many, many.state), lambda line: None)
    if found is None:
        raise _nothing(folder)
    result = kept.get("result") or {}
    step = (result.get("best") or [found.step])[0]
    index = member["index"]
    chosen = found.tree.best if result.get("best") else found.tree.carry.state
    return Loaded(step, jax.tree.map(lambda x: x[index], chosen))


def _nothing(folder: pathlib.Path) -> errors.InputError:
    return errors.InputError(f"The run in {folder} must have a checkpoint, got none yet.")
