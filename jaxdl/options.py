"""The launcher's own options: what they are called, how they are read, and the rules they keep.

Only the standard library and light modules are imported here.
"""

import datetime
import json
import os
import pathlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxdl import errors, experiment, hyperparameters, manual

LARGEST_SEED = 2**32 - 1  # JAX's keys would silently cut a larger one
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}

_option = hyperparameters.Hyperparameter
ALL = [
    _option("seed", int, 0, "of the initial state and the order of data"),
    _option("logdir", pathlib.Path, pathlib.Path("runs"), "where the folders of runs lie"),
    _option("name", str, None, "of the run's folder; else the time"),
    _option("resume", str, None, "a run's or a sweep's folder, or the newest", form="DIR|last"),
    _option("mesh", str, None, "devices along each axis, -1: the rest", form="data=4,fsdp=2,…"),
    _option("processes", int, None, "start so many local processes of this run"),
    _option("slurm", str, None, "submit to SLURM", form="nodes=2,gpus_per_node=8,time=4:00:00,…"),
    _option(
        "sweep", tuple[str, ...], None, "run all of these, or `def sweep()`", form="width=64,128 …"
    ),
    _option("samples", int, None, "draw so many from ranges such as log(1e-5,1e-1)"),
    _option("seeds", int, None, "run each setting with so many seeds"),
    _option("search", str, None, "let Optuna propose --samples settings", form="tpe|cmaes|…"),
    _option(
        "population", str, None, "members of a sweep learn from one another", form="pbt|halving"
    ),
    _option("ensemble", bool, False, "judge the averaged predictions of a sweep's best states"),
    _option("jobs", int, None, "run so many groups of a sweep side by side"),
    _option("verify", bool, False, "prove the run exact, at reduced length"),
    _option("histograms", bool, False, "show weights, gradients and activations"),
    _option("profile", str, None, "trace these steps", form="FROM:TO"),
    _option("dry_run", bool, False, "show shapes, layout and costs, write nothing"),
    _option("devices", int, None, "of a dry run: plan for so many, simulated"),
    _option("hbm", str, None, "of a dry run: what a device holds", form="80GiB"),
    _option("doctor", bool, False, "check this machine and its JAX"),
    _option("help", bool, False, "show this"),
]


class Options(NamedTuple):
    """What the command line says beside the hyperparameters."""

    seed: int | None = None  # None: 0, or a resumed run's
    logdir: pathlib.Path = pathlib.Path("runs")
    name: str | None = None
    resume: str | None = None
    mesh: Mapping[str, int] | None = None
    processes: int | None = None
    slurm: str | None = None
    sweep: tuple[str, ...] | None = None
    samples: int | None = None
    seeds: int | None = None
    search: str | None = None
    population: str | None = None
    ensemble: bool = False
    jobs: int | None = None
    verify: bool = False
    histograms: bool = False
    profile: tuple[int, int] | None = None
    dry_run: bool = False
    devices: int | None = None
    hbm: float | None = None

    @property
    def sweeps(self) -> bool:
        """Whether many runs are asked for."""
        return self.sweep is not None or bool(self.seeds or self.samples or self.search)


def read(given: Mapping[str, Any]) -> Options:
    """The options from what was parsed; every rule is checked."""
    found = {name: value for name, value in given.items() if name not in ("doctor", "help")}
    for name, reader in (("profile", _profile), ("mesh", mesh), ("hbm", _bytes)):
        if found.get(name) is not None:
            found[name] = reader(found[name])
    return checked(Options(**found))


def checked(options: Options) -> Options:
    """The options, where each of them keeps its rule."""
    if options.seed is not None and not 0 <= options.seed <= LARGEST_SEED:
        raise errors.InputError(f"--seed must be from 0 to {LARGEST_SEED}, got {options.seed}.")
    for name in ("processes", "samples", "seeds", "jobs", "devices"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise errors.InputError(f"--{name} must be at least 1, got {value}.")
    _check_name(options)
    _check_company(options)
    existing = options.logdir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise errors.InputError(f"--logdir must be a folder, got the file {existing}.")
    writes = not options.dry_run and not options.verify
    if writes and not os.access(existing, os.W_OK):
        raise errors.StorageError(f"--logdir must be writable, got {options.logdir}.")
    return options


def without(argv: Sequence[str], *names: str) -> list[str]:
    """A command line without these options and their words."""
    first = 0 if argv[0].startswith("-") else 1  # the experiment
    kept = list(argv[:first])
    for flag, words in hyperparameters.groups(list(argv[first:])):
        if flag.lstrip("-").replace("-", "_") not in names:
            kept += [flag, *words]
    return kept


def new_name() -> str:
    """Of the folder of a run that was given none: the time, and a few random digits."""
    return f"{datetime.datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_folder(
    given: str, logdir: pathlib.Path, name: str | None, thing: str = "--resume"
) -> pathlib.Path:
    """The folder of a run that a user names, or of the newest with "last".

    name: of the experiment, None for any. thing: which asks for it.
    """
    if given != "last":
        folder = pathlib.Path(given)
        if not (folder / "run.json").exists():
            reason = "which holds no run.json" if folder.is_dir() else "which is no folder"
            raise errors.InputError(
                f"{thing} must be a run's folder or `last`, got {given}, {reason}."
            )
        return folder
    pattern = "*/run.json" if name is not None else "*/*/run.json"
    records = list((logdir / (name or "")).glob(pattern))
    if not records:
        kind = f"of {name} " if name else ""
        raise errors.InputError(f"{thing} last must find a run {kind}in {logdir}, got none.")
    return max(records, key=lambda path: path.stat().st_mtime).parent


def file_to_resume(words: Sequence[str]) -> experiment.File:
    """The experiment that --resume names, where the command line does not."""
    given = dict(hyperparameters.groups(words)).get("--resume", [])
    if len(given) != 1:
        command = f"{manual.COMMAND} --help"
        hyperparameters.parse(words, ALL, "The launcher has no option", command)
        raise errors.InputError(
            f"An experiment must come first, got {words[0]}.\n"
            f"`{manual.COMMAND}` lists the experiments."
        )
    logdir = dict(hyperparameters.groups(words)).get("--logdir", ["runs"])
    folder = run_folder(given[0], pathlib.Path(*logdir), None)
    try:
        name = json.loads((folder / "run.json").read_text())["experiment"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.InputError(
            f"{folder / 'run.json'} must be a run's record: {error}."
        ) from error
    path = experiment.listed().get(name, folder.absolute() / "experiment.py")
    return experiment.File(path, name)


def mesh(text: str) -> dict[str, int]:
    """Axis -> size of `data=4,fsdp=2`; whether it fits the devices is told by train/mesh.py."""
    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, equals, size = part.partition("=")
        if not (name and equals and re.fullmatch(r"-?\d+", size)):
            raise errors.InputError(
                f"--mesh must be axes and sizes such as data=4,fsdp=2, got {text!r}."
            )
        if name in sizes:
            raise errors.InputError(f"--mesh must name each axis once, got {name} twice.")
        sizes[name] = int(size)
    return sizes


def _check_name(options: Options) -> None:
    name = options.name
    if name is not None and (name in ("", ".", "..") or any(c in name for c in "/\\\0")):
        raise errors.InputError(f"--name must be the name of one folder, got {name!r}.")
    if name is not None and options.resume is not None:
        raise errors.InputError("--resume must come without --name: the run has its folder.")


def _check_company(options: Options) -> None:
    """Options that need one another, or exclude one another."""
    if (options.devices or options.hbm) and not options.dry_run:
        given = "--devices" if options.devices else "--hbm"
        raise errors.InputError(f"{given} must come with --dry-run.")
    modes = {
        "--dry-run": options.dry_run,
        "--verify": options.verify,
        "--sweep, --seeds, --samples or --search": options.sweeps,
    }
    chosen = [name for name, given in modes.items() if given]
    if len(chosen) > 1:
        raise errors.InputError(f"{chosen[0]} must come without {chosen[1]}.")
    if options.processes and options.slurm:
        raise errors.InputError("--processes must come without --slurm, which starts its own.")
    if options.profile and options.sweeps:
        raise errors.InputError("--profile must come without a sweep; it traces one run.")
    if options.processes and options.sweeps:
        raise errors.InputError(
            "--processes must come without a sweep; --jobs N runs its groups side by side."
        )
    for name in ("ensemble", "jobs"):
        if getattr(options, name) and not (options.sweeps or options.resume):
            raise errors.InputError(f"--{name} must come with a sweep: --sweep or --seeds.")
    if options.population and not options.sweeps:
        raise errors.InputError("--population must come with a sweep: --sweep or --seeds.")
    for name in ("search", "jobs", "slurm"):
        if options.population and getattr(options, name):
            raise errors.InputError(f"--population must come without --{name}; it is one program.")
    if options.search and not options.samples:
        raise errors.InputError("--search must come with --samples N, how many settings to try.")


def _bytes(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text)
    if match is None or match[2] not in UNITS:
        close = experiment.nearest(match[2], UNITS) if match else None
        hint = f" Did you mean {match[1]}{close}?" if match and close else ""
        raise errors.InputError(f"--hbm must be a size such as 80GiB, got {text!r}.{hint}")
    return float(match[1]) * UNITS[match[2]]


def _profile(text: str) -> tuple[int, int]:
    start, colon, end = text.partition(":")
    if not (colon and start.isdecimal() and end.isdecimal() and int(start) < int(end)):
        raise errors.InputError(
            f"--profile must be two steps FROM:TO, the first one smaller, got {text!r}."
        )
    return int(start), int(end)
