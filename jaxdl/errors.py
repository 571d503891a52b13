"""What a user can do something about: shown as its one to three lines, without a traceback.

Every other exception is a fault of the program and keeps its traceback.
"""

import importlib
from typing import Any

# Module -> the extra of this package that brings it.
EXTRAS = {"torch": "parity", "pytest": "test", "beartype": "test", "optuna": "search"}
EXTRAS |= {"cmaes": "search", "submitit": "slurm", "mctx": "rl", "pgx": "rl"}
EXTRAS |= {"statsmodels": "series", "pyarrow": "tables", "pandas": "tables", "rdkit": "molecules"}
EXTRAS |= {"safetensors": "interop", "tokenizers": "interop", "sacrebleu": "text"}
EXTRAS |= {"jax_cuda13_plugin": "cuda", "jax_cuda12_plugin": "cuda", "libtpu": "tpu"}
EXTRAS |= {
    "jiwer": "speech",
    "soundfile": "speech",
    "pycocotools": "detection",
    "flatbuffers": "interop",
}
EXTRAS |= {"xprof": "profile"}
EXTRAS |= {"matplotlib": "notebook", "nbclient": "notebook", "ipykernel": "notebook"}


class UserError(Exception):
    """The message is all a user needs: the thing, the rule, the value and the remedy."""

    exit_code = 2


class InputError(UserError, ValueError):
    """An argument, a file or an experiment breaks a rule; nothing has been written."""


class MissingError(InputError):
    """A library that the user installs, if it is wanted, is not there: see `needed`."""


class StorageError(UserError, OSError):
    """A folder cannot be written (permissions, a full disk); what was written before is safe."""

    exit_code = 4


class NonFiniteError(UserError, ArithmeticError):
    """Training produced a NaN or an infinity; the last good checkpoint stays."""

    exit_code = 3


class FaultError(UserError, RuntimeError):
    """A process elsewhere was lost, or met a fault of the program; its output tells more."""

    exit_code = 1


def in_a_line(error: Exception) -> str:
    """The first line of what an exception says; of a fault of the program, after its kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, UserError):
        return "".join(lines[:1])
    return ": ".join([type(error).__name__, *lines[:1]])


def needed(thing: str, name: str) -> Any:
    """A module of a library that not everybody has; MissingError says how to install it.

    thing: what needs it, "Tree search".
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        install = f"jaxdl[{EXTRAS[library]}]" if library in EXTRAS else library
        raise MissingError(
            f"{thing} must have {library}, which is not installed: {error}.\n"
            f'Install it with: pip install "{install}"'
        ) from error
