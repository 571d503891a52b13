"""The record of a run, run.json: what was launched, with what, on what, and how it ended.

A folder belongs to one run: launching another program, other hyperparameters or another seed into
it is refused with what differs.
"""

import datetime
import functools
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from jaxdl import errors

FILE = "run.json"
SOURCE = "experiment.py"
KEYS = ("experiment", "hyperparameters", "seed", "program", "command", "versions")
SUCCEEDED = ("completed", "stopped early")  # what a run's status may be where it is done
GIVEN_UP = "given up"  # likewise of a member that halving did not keep
ENDED = (*SUCCEEDED, GIVEN_UP, "failed")  # likewise where it will not be run again
PARTIAL = f".{FILE}."  # a record not yet whole; what a kill left of one does not count
PACKAGES = ("jaxdl", "jax", "jaxlib", "flax", "optax", "grain", "numpy")


class Launched(NamedTuple):
    """What a user launched: the experiment's name, file and parameters, the seed, the command."""

    experiment: str
    source: pathlib.Path | None
    hyperparameters: Mapping[str, Any]
    seed: int
    command: str


def read(folder: pathlib.Path) -> Launched:
    """What was launched in a folder."""
    record = load(folder)
    if record is None:
        raise errors.InputError(f"A run's folder must hold {FILE}, got {folder} without one.")
    return Launched(
        record["experiment"],
        folder / SOURCE,
        record["hyperparameters"],
        record["seed"],
        record["command"],
    )


def load(folder: pathlib.Path) -> dict[str, Any] | None:
    """The record in a folder, None where there is none."""
    path = folder / FILE
    try:
        record = json.loads(path.read_text())
        missing = [key for key in KEYS if key not in record]
        if missing:
            raise ValueError(f"no {missing[0]}")
        return record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise errors.InputError(
            f"The record {path} must be readable JSON, got {reason}. "
            "Put back a copy; the checkpoints beside it are whole."
        ) from error


def claim(
    folder: pathlib.Path,
    launched: Launched,
    program: Mapping[str, Any],
    member: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the record of a new run, or check that the folder's is of this very run; return it.

    member: where the state of a run lies that runs together with others.
    """
    wanted = _identity(launched, program) | ({} if member is None else {"member": dict(member)})
    record = load(folder)
    if record is not None:
        _check_same(folder, record, wanted)
        _keep_source(folder, launched)
        return record
    if folder.is_dir() and any(not path.name.startswith(PARTIAL) for path in folder.iterdir()):
        raise errors.InputError(
            f"The run folder {folder} must be empty or hold a run, got other files. "
            "Choose another --name."
        )
    record = wanted | _surroundings()
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write(folder, record)
    _keep_source(folder, launched)
    return record


def write(folder: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Put the record into the folder, whole or not at all."""
    put(folder / FILE, record)


def put(path: pathlib.Path, content: Any) -> None:
    """Write JSON, whole or not at all; NaN and infinities, which it does not have, are null."""
    with writing(path.parent):
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        text = json.dumps(_finite(content), indent=2, allow_nan=False)
        with partial.open("w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)


def put_new(path: pathlib.Path, content: Any) -> None:
    """Likewise, into a folder that may yet have to be made."""
    with writing(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    put(path, content)


def _keep_source(folder: pathlib.Path, launched: Launched) -> None:
    """Copy the experiment: after the record, so that a kill in between leaves a run's folder."""
    kept = folder / SOURCE
    if launched.source is not None and launched.source.exists() and not kept.exists():
        with writing(folder):
            shutil.copyfile(launched.source, kept)


class writing:
    """Turns a system's refusal to write into one line."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, OSError) and not isinstance(error, errors.StorageError):
            raise errors.StorageError(
                f"The run folder {self.folder} must be writable, got {error.strerror or error}. "
                "Free some space or choose another --logdir."
            ) from error


def is_done(record: Mapping[str, Any]) -> bool:
    """Whether the record says that the run has ended by itself."""
    return (record.get("result") or {}).get("status") in SUCCEEDED


def bred(record: Mapping[str, Any]) -> dict[str, float]:
    """The hyperparameters, of those that breeding changes, with which the best state was trained;
    empty where they are as launched.
    """
    return ((record.get("result") or {}).get("hyperparameters") or {}).get("best") or {}


def _plain(values: Mapping[str, Any]) -> Any:
    """As JSON gives it back: tuples are lists, what it does not know is its text."""
    return json.loads(json.dumps(dict(values), default=str))


def _finite(value: Any) -> Any:
    """Without NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _identity(launched: Launched, program: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "experiment": launched.experiment,
        "hyperparameters": _plain(launched.hyperparameters),
        "seed": launched.seed,
        "program": dict(program),
        "command": launched.command,
    }


def _check_same(folder: pathlib.Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    differing = []
    for name in ("experiment", "seed"):
        if old.get(name) != new[name]:
            differing.append(f"{name} was {old.get(name)!r}, now {new[name]!r}")
    before, now = old.get("hyperparameters", {}), new["hyperparameters"]
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            differing.append(f"{name} was {before.get(name)!r}, now {now.get(name)!r}")
    if not differing and old.get("versions", {}).get("jax") == _versions()["jax"]:
        # Another version of JAX may write the same step as other equations.
        was, is_now = old.get("program", {}).get("digest"), new["program"]["digest"]
        if was != is_now:
            differing.append(f"the program's digest was {was!r}, now {is_now!r}")
    if differing:
        raise errors.InputError(
            f"The run folder {folder} holds another run: {'; '.join(differing)}. "
            "Choose another --name, or launch what it holds."
        )


def _surroundings() -> dict[str, Any]:
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "git": _revision(),
        "host": platform.node(),
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.local_devices()],
        "result": None,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def _revision() -> str | None:
    """The git revision of the working folder, marked where files differ from it."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
