"""Loads the state of a run back, of one of its own or of a member of a sweep."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax

from jaxdl import errors
from jaxdl.train import checkpoint, loop, program, record


class Loaded(NamedTuple):
    """A state, the step after which it was, and the hyperparameters that breeding had changed."""

    step: int
    state: Any
    values: Mapping[str, float] = {}


def best(folder: pathlib.Path, shape: program.Carry) -> Loaded:
    """The state of a run's best evaluation; the last one where nothing is monitored.

    folder: the run's. shape: `Program.shape` of the run alone.
    errors.InputError: it holds no run, or no checkpoint yet. errors.StorageError: none is good.
    """
    return next(each_best([folder], shape))


def each_best(folders: Sequence[pathlib.Path], shape: program.Carry) -> Iterator[Loaded]:
    """`best` of each folder; a checkpoint that neighbours share is read once."""
    shared: pathlib.Path | None = None
    found: checkpoint.Restored | None = None
    for folder in folders:
        kept = record.load(folder)
        if kept is None:
            raise errors.InputError(
                f"A run's folder must hold {record.FILE}, got {folder} without."
            )
        member = kept.get("member")
        if member is None:
            yield _alone(folder, shape)
            continue
        place = (folder / member["group"]).resolve()
        if place != shared:
            shared, found = place, _of_group(place, member["members"], shape)
        if found is None:
            raise _nothing(folder)
        yield _of_member(found, kept, member["index"])


def _alone(folder: pathlib.Path, shape: program.Carry) -> Loaded:
    with checkpoint.Checkpoints(folder / "checkpoints") as saved:
        found = saved.restore(shape, lambda line: None, saved.best())
    if found is None:
        raise _nothing(folder)
    return Loaded(found.step, found.tree.state)


def _of_group(
    folder: pathlib.Path, members: int, shape: program.Carry
) -> checkpoint.Restored | None:
    """The checkpoint that members share, on the host."""
    many = jax.tree.map(lambda x: jax.ShapeDtypeStruct((members, *x.shape), x.dtype), shape)
    with checkpoint.Checkpoints(folder / "checkpoints") as saved:
        found = saved.restore(loop.Kept(many, many.state), lambda line: None)
    return found and found._replace(tree=jax.device_get(found.tree))


def _of_member(found: checkpoint.Restored, kept: dict[str, Any], index: int) -> Loaded:
    """Its part, which holds the best state of each beside the last."""
    meta = found.meta["members"][index]
    best, values = meta["best"], meta.get("best_values" if meta["best"] else "values")
    chosen = found.tree.best if best else found.tree.carry.state
    step = best[0] if best else found.step
    return Loaded(step, jax.tree.map(lambda x: x[index], chosen), values or {})


def _nothing(folder: pathlib.Path) -> errors.InputError:
    return errors.InputError(f"The run in {folder} must have a checkpoint, got none yet.")
