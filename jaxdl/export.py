"""`python -m jaxdl.export RUN|last`: a run as a folder that needs no code of its own to go on.

It holds `predict` and the whole training step as portable StableHLO, and the state of the best
evaluation; what is in it, and how it is read: jaxdl/exported.py.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import rich.box
import rich.console
import rich.table
import rich.text
import tyro

import jaxdl
from jaxdl import command, errors, exported, learner, manual, trained
from jaxdl.data import batches
from jaxdl.train import record, stepfolder

PLATFORMS = ("cpu", "cuda", "tpu")
NAMES = ("cpu", "cuda", "rocm", "tpu")  # as jax.export calls them
FOLDER = "export"  # in the run's

Arrays = exported.Arrays
Codes = dict[str, jax.export.Exported]  # by platform
load = exported.load


def write(
    run: str | pathlib.Path | trained.Trained,
    to: str | pathlib.Path | None = None,
    platforms: Sequence[str] = PLATFORMS,
    batch: learner.Batch = None,
) -> exported.Loaded:
    """Export a run's `predict` and its training step, with the state of its best evaluation.

    run: its folder, or what `trained.load` made of it. to: a folder, RUN/export by default; an
    export that is there is replaced, as a whole. platforms: any of NAMES. batch: an example of what
    `predict` takes, where that is not what the first test gives.
    errors.InputError: what `trained.load` raises, or neither function can be exported.
    """
    errors.needed(exported.THING, "safetensors.numpy")
    errors.needed(exported.THING, "flatbuffers")  # jax.export writes with it
    _check_platforms(platforms)
    found = run if isinstance(run, trained.Trained) else trained.load(run)
    folder = found.folder / FOLDER if to is None else pathlib.Path(to)
    _check_folder(folder)
    made = {
        "predict": _tried(lambda: _predict(found, platforms, batch)),
        "step": _tried(lambda: _step(found, platforms)),
    }
    if not any(one.files for one in made.values()):
        raise errors.InputError(
            f"An export must hold `predict` or the step, got neither of {found.folder}: "
            f"{made['step'].entry['missing']}"
        )
    _put(folder, found, made)
    return load(folder)


class _Made(NamedTuple):
    """What the manifest says of a function, and its files by name; none where there is none."""

    entry: dict[str, Any]
    files: dict[str, bytes]


def _tried(make: Callable[[], _Made]) -> _Made:
    """A function, or why there is none."""
    try:
        return make()
    except Exception as error:  # whatever a model's code, or a platform, does not allow
        return _Made({"missing": errors.in_a_line(error)}, {})


# --- functions of trees, as functions of their arrays


class _Tree:
    """How a tree is made of its arrays, by path."""

    def __init__(self, tree: Any) -> None:
        leaves, self.structure = jax.tree.flatten(tree)
        self.keys = [str(jax.random.key_impl(x)) if exported.is_key(x) else None for x in leaves]
        self.shapes = {path: _shape(x) for path, x in exported.flat(tree).items()}

    def made(self, arrays: Arrays, shapes: Arrays | None = None) -> Any:
        """The tree of these arrays, with zeros where there is none: nothing reads them."""
        leaves = []
        for (path, like), key in zip((shapes or self.shapes).items(), self.keys, strict=True):
            array = arrays[path] if path in arrays else jnp.zeros(like.shape, like.dtype)
            leaves.append(jax.random.wrap_key_data(array, impl=key) if key else array)
        return jax.tree.unflatten(self.structure, leaves)

    def of_any_size(self, read: Arrays) -> Arrays:
        """The shapes with a first dimension that is no number; read: those that count."""
        sizes = {x.shape[:1] for x in read.values()}
        if len(sizes) != 1 or sizes == {()}:
            raise errors.InputError("the arrays of a batch do not share their first dimension")
        (first,) = sizes
        free = jax.export.symbolic_shape(exported.ANY)
        return {
            path: jax.ShapeDtypeStruct((*free, *x.shape[1:]), x.dtype)
            if x.shape[:1] == first
            else x
            for path, x in self.shapes.items()
        }


def _predict(found: trained.Trained, platforms: Sequence[str], batch: learner.Batch) -> _Made:
    """`predict`, of batches of any size where its code allows it."""
    predict = found.run.learner.predict
    if predict is None:
        raise errors.InputError("its learner has none")
    given = batch is not None
    if not given and found.run.tests:
        select, data = batches.first(found.test())
        batch = jax.jit(select)(data, 0)
    state, examples = _Tree(found.state), _Tree(batch)

    def function(shapes: Arrays | None, arrays: Arrays, some: Arrays) -> Arrays:
        return exported.flat(predict(state.made(arrays), examples.made(some, shapes)))

    fixed = functools.partial(function, None)
    try:
        arrays, some = _read(fixed, state.shapes, examples.shapes)
    except Exception as error:
        if given:
            raise
        raise errors.InputError(
            f"it takes other batches than the tests have ({errors.in_a_line(error)}); "
            "jaxdl.export.write(run, batch=…) takes an example of one"
        ) from error
    notes: list[str] = []
    try:
        shapes = examples.of_any_size(some)
        free = {path: shapes[path] for path in some}
        codes = _portable(functools.partial(function, shapes), platforms, notes, arrays, free)
        some = free
    except Exception as error:  # of a size that is no number, whatever a model's code meets
        notes = [f"batches of this size alone: {errors.in_a_line(error)}"] if some else []
        codes = _portable(fixed, platforms, notes, arrays, some)
    outputs = _given(codes)
    return _described("predict", codes, notes, state=arrays, batch=some, outputs=outputs)


def _step(found: trained.Trained, platforms: Sequence[str]) -> _Made:
    """The training step, of batches of the run's own size."""
    source = found.run.train
    with contextlib.closing(batches.opened(source, found.launched.seed)) as feed:
        batch = None if source is None else jax.jit(source.select)(feed.first(), 0)
    state, examples = _Tree(found.state), _Tree(batch)
    key = _Tree(jax.random.key(found.launched.seed))

    def function(arrays: Arrays, some: Arrays, numbers: Arrays) -> tuple[Arrays, Arrays]:
        after, measured = found.run.learner.step(
            state.made(arrays), examples.made(some), key.made(numbers)
        )
        return exported.flat(after), exported.flat(measured)

    some = _read(function, state.shapes, examples.shapes, key.shapes)[1]
    notes: list[str] = []
    codes = _portable(function, platforms, notes, state.shapes, some, key.shapes)
    own = {"state": state.shapes, "batch": some, "key": key.shapes}
    return _described("step", codes, notes, **own, metrics=_given(codes)[1])


def _read(function: Callable[..., Any], *arguments: Arrays) -> list[Arrays]:
    """Of each argument the arrays that the function reads."""
    code = jax.export.export(jax.jit(function))(*arguments)
    places = [(i, path) for i, arrays in enumerate(arguments) for path in sorted(arrays)]
    read = {places[n] for n in code.module_kept_var_idx}
    return [
        {path: shape for path, shape in arrays.items() if (i, path) in read}
        for i, arrays in enumerate(arguments)
    ]


def _portable(
    function: Callable[..., Any], platforms: Sequence[str], notes: list[str], *arguments: Arrays
) -> Codes:
    """The function for each platform that has what it needs; of others a note says why.

    One program for all of them would ask at every operation that differs where it is: XLA would
    fuse it otherwise, and other last bits would come out.
    """
    jitted, codes, failed = jax.jit(function), {}, {}
    for name in platforms:
        try:
            codes[name] = jax.export.export(jitted, platforms=[name])(*arguments)
        except Exception as error:
            failed[name] = error
    if not codes:
        raise failed[platforms[0]]
    notes += [f"not for {name}: {errors.in_a_line(error)}" for name, error in failed.items()]
    return codes


def _given(codes: Codes) -> Any:
    """The shapes of what a function gives."""
    code = next(iter(codes.values()))
    return jax.tree.unflatten(code.out_tree, code.out_avals)


# --- what is written


def _described(name: str, codes: Codes, notes: Sequence[str], **arrays: Arrays) -> _Made:
    files = {platform: f"{name}.{platform}.jax" for platform in codes}
    entry: dict[str, Any] = {"files": files, "notes": list(notes)}
    for what, shapes in arrays.items():
        entry[what] = {
            path: {"dtype": str(x.dtype), "shape": [_size(n) for n in x.shape]}
            for path, x in shapes.items()
        }
    return _Made(entry, {files[at]: bytes(code.serialize()) for at, code in codes.items()})


def _size(dimension: Any) -> int | str:
    return dimension if isinstance(dimension, int) else str(dimension)


def _shape(array: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(np.shape(array), jax.dtypes.result_type(array))


def _put(folder: pathlib.Path, found: trained.Trained, made: Mapping[str, _Made]) -> None:
    """All of it beside the folder first, and then in its place: after a kill at any point `load`
    reads what was there, and the next export clears up.
    """
    library = errors.needed(exported.THING, "safetensors.numpy")
    state = exported.flat(found.state)
    arrays = {path: np.array(x, order="C") for path, x in jax.device_get(state).items()}
    own = {path for path in arrays if path.startswith("params/")} or set(arrays)
    content = {file: code for one in made.values() for file, code in one.files.items()}
    for file, paths in ((exported.PARAMETERS, own), (exported.REST, arrays.keys() - own)):
        content[file] = library.save({path: arrays[path] for path in sorted(paths)})
    launched = found.launched
    manifest = {
        "format": exported.FORMAT,
        "experiment": launched.experiment,
        "hyperparameters": dict(launched.hyperparameters),
        "after_steps": found.step,
        "seed": launched.seed,
        "random": str(jax.random.key_impl(jax.random.key(0))),
        "versions": {"jaxdl": jaxdl.__version__, "jax": jax.__version__},
        "program": found.program.digest(),
        **{name: one.entry for name, one in made.items()},
        "sha256": {file: hashlib.sha256(kept).hexdigest() for file, kept in content.items()},
    }
    folder = folder.resolve()
    new, old = (exported.beside(folder, what) for what in ("new", "old"))
    with record.writing(folder):
        shutil.rmtree(new, ignore_errors=True)  # what a kill left
        new.mkdir(parents=True)
        for file, kept in content.items():
            with (new / file).open("wb") as opened:
                opened.write(kept)
                opened.flush()
                os.fsync(opened.fileno())
        record.put(new / exported.MANIFEST, manifest)
        stepfolder.sync(new)
        if folder.exists():
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
        new.rename(folder)
        stepfolder.sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)


def _check_platforms(platforms: Sequence[str]) -> None:
    unknown = [name for name in platforms if name not in NAMES]
    if unknown or not platforms:
        raise errors.InputError(
            f"The platforms of an export must be of {', '.join(NAMES)}, "
            f"got {', '.join(unknown) or 'none'}."
        )


def _check_folder(folder: pathlib.Path) -> None:
    """It is to be replaced as a whole, so that nothing else may be in it."""
    if folder.is_dir():
        others = [path for path in folder.iterdir() if not exported.is_own(path.name)]
        free = not others and (exported.is_one(folder) or not any(folder.iterdir()))
    else:
        free = not folder.exists()
    if not free:
        raise errors.InputError(
            f"The folder of an export must be empty or hold an export alone, got {folder}. "
            "Choose another one with --to."
        )


# --- the command


@dataclasses.dataclass(frozen=True)
class Options:
    """Exports a run: `predict` and the training step as portable StableHLO, with its best state."""

    run: tyro.conf.Positional[str]
    """A run's folder, or `last`."""
    to: pathlib.Path | None = None
    """The folder of the export; RUN/export by default."""
    platforms: tuple[str, ...] = PLATFORMS
    """What it is to run on: cpu, cuda, rocm, tpu."""
    logdir: pathlib.Path = pathlib.Path("runs")
    """Where `last` is looked for."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, as of `command.main`."""
    return command.main(_command, argv)


def _command(words: list[str]) -> int:
    console = manual.terminal()
    options = tyro.cli(Options, args=words, prog="python -m jaxdl.export")
    _check_platforms(options.platforms)
    folder = trained.find(options.run, options.logdir)
    command.set_up()
    made = write(trained.load(folder), options.to, options.platforms)
    console.print(f"{made.manifest['experiment']} after {made.manifest['after_steps']:,} steps")
    console.print(_table(made))
    for name in ("predict", "step"):
        entry = made.manifest[name]
        missing = [f"not exported: {entry['missing']}"] if "missing" in entry else []
        for line in missing or entry["notes"]:
            console.print(rich.text.Text(f"  {name}: {line}", "yellow"), soft_wrap=True)
    console.print(f"  folder  {made.folder}", soft_wrap=True)
    console.print(f'  python  jaxdl.export.load("{made.folder}")', soft_wrap=True)
    return 0


def _table(made: exported.Loaded) -> rich.table.Table:
    """What each function takes and gives, and the arrays of the state."""
    table = rich.table.Table(*("what", "takes", "gives", "runs on"), box=rich.box.SIMPLE)
    for name, gives in (("predict", "outputs"), ("step", "metrics")):
        entry = made.manifest[name]
        if "missing" not in entry:
            row = [_listed(entry["batch"]) or "no batch", _listed(entry[gives])]
            cells = [name, *row, "\n".join(entry["files"])]
            table.add_row(*map(rich.text.Text, cells))
    return table


def _listed(arrays: Mapping[str, Any]) -> str:
    lines = [
        f"{path} {exported.text(x['dtype'], x['shape'])}".strip() for path, x in arrays.items()
    ]
    return "\n".join(lines if len(lines) < 6 else [*lines[:4], f"and {len(lines) - 4} more"])


if __name__ == "__main__":
    sys.exit(main())
