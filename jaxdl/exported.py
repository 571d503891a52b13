"""What `python -m jaxdl.export` writes, loaded again: no model, no experiment, no Flax is needed.

manifest.json            what there is: arrays by their path, shapes, platforms, whose run it was,
                         and the SHA-256 of the other files
predict.cpu.jax, …       portable StableHLO, as jax.export writes it (OpenXLA, 2023): of predict
                         and of the training step for each platform
parameters.safetensors   the state's parameters; rest.safetensors: what else it is made of

Every tree of arrays (a state, a batch, outputs, metrics) is a dict here, path -> array, and a
random key is its numbers.
"""

import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from jaxdl import errors

FORMAT = 1  # of the manifest
MANIFEST = "manifest.json"
PARAMETERS, REST = "parameters.safetensors", "rest.safetensors"
ANY = "b"  # in a shape: as many examples as there are
THING = "An export"

Arrays = dict[str, Any]  # path -> array


class Loaded:
    """An exported run: `predict` and `step`, as its learner had them, and the `state` they take.

    state: path -> array. manifest: as in the file; its "predict" and "step" name each array that
    they take and give.
    """

    def __init__(self, folder: pathlib.Path, manifest: dict[str, Any], state: Arrays) -> None:
        self.folder, self.manifest, self.state = folder, manifest, state
        self._called = functools.cache(self._read)

    def predict(self, state: Any, batch: Any) -> Any:
        """The outputs; batch: a dict with the arrays that the manifest names.

        Several outputs are a dict as well. errors.InputError: arrays are missing or do not fit, or
        there is no `predict`.
        """
        return _bare(self._call("predict", state=state, batch=batch))

    def step(self, state: Any, batch: Any, key: Any) -> tuple[Arrays, Arrays]:
        """The state after a batch, and the sums of its metrics, such as "loss/total" and
        "loss/count".

        key: typed, or its numbers; `key` gives the run's own.
        """
        return self._call("step", state=state, batch=batch, key=key)

    def key(self, step: int) -> Any:
        """The random key with which the run does its step of this number, the first being 0."""
        key = jax.random.key(self.manifest["seed"], impl=self.manifest["random"])
        return jax.random.fold_in(jax.random.fold_in(key, 2), step)  # train/program.py

    def _call(self, name: str, **given: Any) -> Any:
        entry = self.manifest[name]
        if "missing" in entry:
            raise errors.InputError(
                f"The export in {self.folder} must hold `{name}`, got none: {entry['missing']}."
            )
        here = jax.export.default_export_platform()
        if here not in entry["files"]:
            platforms = ", ".join(entry["files"])
            raise errors.InputError(f"`{name}` must run on one of {platforms}, got {here}.")
        arguments = [
            _fitting(f"{name}'s {thing}", entry[thing], flat(tree)) for thing, tree in given.items()
        ]
        return self._called(entry["files"][here])(*arguments)

    def _read(self, file: str) -> Callable[..., Any]:
        content = bytearray((self.folder / file).read_bytes())
        return jax.jit(jax.export.deserialize(content).call)


def load(folder: str | pathlib.Path) -> Loaded:
    """An export as `write` made it.

    errors.InputError: the folder holds none, a damaged one, or one of a later jaxdl.
    """
    folder = _there(pathlib.Path(folder))
    library = errors.needed(THING, "safetensors.numpy")
    errors.needed(THING, "flatbuffers")  # jax.export reads with it
    try:
        manifest = _manifest(folder)
        for file, digest in manifest["sha256"].items():
            _check_whole(folder / file, digest)
        arrays = library.load_file(folder / PARAMETERS) | library.load_file(folder / REST)
    except FileNotFoundError as error:
        name = pathlib.Path(error.filename or MANIFEST).name
        raise errors.InputError(
            f"An export's folder must hold {name}, got {folder} without.\n"
            "`python -m jaxdl.export RUN` makes one, in RUN/export."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise errors.InputError(f"The export in {folder} must be readable, got {error}.") from error
    return Loaded(folder, manifest, jax.device_put(arrays))


def beside(folder: pathlib.Path, what: str) -> pathlib.Path:
    """Where an export is written before it takes its place ("new"), and what was there ("old")."""
    folder = folder.resolve()
    return folder.with_name(f".{folder.name}.{what}")


def _there(folder: pathlib.Path) -> pathlib.Path:
    """The folder; where a kill came between taking the old one away and putting the new one in its
    place, the old one.
    """
    old, new = beside(folder, "old"), beside(folder, "new")
    return old if not folder.exists() and new.exists() and is_one(old) else folder


def is_one(folder: pathlib.Path) -> bool:
    """Whether a folder has the manifest of an export."""
    try:
        return bool(_manifest(folder))
    except (OSError, ValueError):
        return False


def is_own(file: str) -> bool:
    """Whether a file of this name is one of an export's."""
    return file in (MANIFEST, PARAMETERS, REST) or file.endswith(".jax")


def _manifest(folder: pathlib.Path) -> dict[str, Any]:
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise ValueError(f"a {MANIFEST} of something else")
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, where this jaxdl reads {FORMAT}")
    missing = [name for name in ("predict", "step", "sha256") if name not in manifest]
    if missing:
        raise ValueError(f"no {missing[0]} in {MANIFEST}")
    return manifest


def _check_whole(path: pathlib.Path, digest: str) -> None:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise ValueError(f"a damaged {path.name}. Write it again, or put back a copy")


def flat(tree: Any) -> Arrays:
    """Path -> array of a tree, such as "params/output/kernel"; a random key is its numbers."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}
    if len(named) < len(leaves):
        raise errors.InputError("The arrays of a tree must have paths of their own, got two alike.")
    return {path: jax.random.key_data(x) if is_key(x) else x for path, x in named.items()}


def _bare(arrays: Arrays) -> Any:
    """The array itself where a tree is no more than that."""
    return arrays[""] if arrays.keys() == {""} else arrays


def _fitting(thing: str, wanted: Mapping[str, Any], given: Arrays) -> Arrays:
    """Those of the arrays that are wanted; errors.InputError where one is not there or is other."""
    missing = [path for path in wanted if path not in given]
    if missing:
        raise errors.InputError(
            f"{thing} must have {', '.join(wanted)}, got {', '.join(given) or 'nothing'}."
        )
    found = {path: jnp.asarray(given[path]) for path in wanted}
    for path, array in found.items():
        shape, dtype = wanted[path]["shape"], wanted[path]["dtype"]
        fits = len(shape) == array.ndim and all(
            m in (ANY, n) for m, n in zip(shape, array.shape, strict=True)
        )
        if not fits or str(array.dtype) != dtype:
            raise errors.InputError(
                f"{thing} must have {path or 'an array'} of {text(dtype, shape)}, "
                f"got {text(array.dtype, array.shape)}."
            )
    return found


def text(dtype: Any, shape: Sequence[Any]) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"


def is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", np.int32), jax.dtypes.prng_key)
