"""Values of hyperparameters: words on a command line, and plain JSON in a record.

The words are read by tyro (Brent Yi, 2021).
"""

import contextlib
import enum
import io
import math
import pathlib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdl import errors, experiment

_WORDS = {int: "an integer", float: "a number", str: "text", pathlib.Path: "a path"}
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", pathlib.Path: "PATH", bool: "{True,False}"}
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}
_REFUSED = object()  # in place of a value: the words are none of this type


def read(kind: Any, tokens: Sequence[str], flag: str, form: str = "") -> Any:
    """The words behind a flag as a value of a type; it errs with what they must be."""
    text = " ".join(tokens)
    if not _parsable(kind):
        raise errors.InputError(
            f"{flag} must be set from Python, with jaxdl.launch.launch: "
            f"a command line cannot write {_named(kind)}."
        )
    if kind is bool and not tokens:
        return True
    if kind is bool and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kind in (str, pathlib.Path) and len(tokens) == 1:
        return kind(text)  # tyro would take a leading dash for a flag
    result = _parsed_by_tyro(kind, tokens)
    if result is not _REFUSED and not _has_nan(result):
        return result
    if not tokens:
        raise errors.InputError(f"{flag} must be followed by {form or words(kind)}.")
    hint = _meant(kind, tokens)
    raise errors.InputError(
        f"{flag} must be {words(kind)}, got {text!r}." + (f" Did you mean {hint}?" if hint else "")
    )


def words(kind: Any) -> str:
    """What a value of a type is, in words: "an integer", "relu or gelu"."""
    if kind in _WORDS:
        return _WORDS[kind]
    if kind is bool:
        return "true or false"
    choices = _choices(kind)
    if choices:
        return " or ".join(part for part in (", ".join(choices[:-1]), choices[-1]) if part)
    if _is_union(kind):
        return " or ".join(
            "None" if k is types.NoneType else words(k) for k in typing.get_args(kind)
        )
    return f"of the form {metavar(kind)}"


def metavar(kind: Any) -> str:
    """The place of a value in a usage line: "INT", "{relu,gelu}"."""
    if kind in _METAVARS:
        return _METAVARS[kind]
    choices = _choices(kind)
    if choices:
        return "{" + ",".join(choices) + "}"
    inner = [k for k in typing.get_args(kind) if k is not Ellipsis]
    parts = ["None" if k is types.NoneType else metavar(k) for k in inner]
    if _is_union(kind):
        return "|".join(parts)
    if parts and typing.get_origin(kind) is tuple and Ellipsis not in typing.get_args(kind):
        return " ".join(parts)
    return f"[{' '.join(parts)} ...]" if parts else _named(kind)


def written(default: Any) -> str:
    """A default as it would be typed."""
    return " ".join(tokens(plain(default)))


def is_number(word: str) -> bool:
    with contextlib.suppress(ValueError):
        float(word)
        return True
    return False


def _parsed_by_tyro(kind: Any, tokens: Sequence[str]) -> Any:
    """What tyro makes of the words, _REFUSED where it refuses them."""
    import tyro

    if any(word in ("-h", "--help") for word in tokens):
        return _REFUSED
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            return tyro.cli(kind, args=list(tokens), console_outputs=False)
    except SystemExit:
        return _REFUSED


def _has_nan(result: Any) -> bool:
    if isinstance(result, tuple | list):
        return any(map(_has_nan, result))
    return isinstance(result, float) and math.isnan(result)


def _meant(kind: Any, tokens: Sequence[str]) -> str | None:
    """The value a user most likely meant."""
    choices = _choices(kind)
    if choices:
        return experiment.nearest(" ".join(tokens), choices)
    number = float(tokens[0]) if len(tokens) == 1 and is_number(tokens[0]) else math.nan
    if kind is int and math.isfinite(number) and number == int(number):
        return str(int(number))
    return None


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _choices(kind: Any) -> list[str]:
    """The words of a Literal or an Enum."""
    if typing.get_origin(kind) is typing.Literal:
        return [str(choice) for choice in typing.get_args(kind)]
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return list(kind.__members__)
    return []


def _parsable(kind: Any) -> bool:
    """Whether a command line can write values of a type."""
    if kind in _METAVARS or kind is types.NoneType or kind is Ellipsis or _choices(kind):
        return True
    containers = (tuple, list, dict, set, frozenset)
    if not (_is_union(kind) or typing.get_origin(kind) in (*containers, Sequence, Mapping)):
        return False
    return bool(typing.get_args(kind)) and all(map(_parsable, typing.get_args(kind)))


def _named(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def plain(argument: Any) -> Any:
    if argument is None or isinstance(argument, bool | int | float | str):
        return argument.name if isinstance(argument, enum.Enum) else argument
    if isinstance(argument, enum.Enum):
        return argument.name
    if isinstance(argument, tuple | list | set | frozenset):
        return [plain(item) for item in argument]
    if isinstance(argument, Mapping):
        return {str(key): plain(item) for key, item in argument.items()}
    if getattr(argument, "ndim", None) == 0:  # a number of NumPy's or JAX's
        return argument.item()
    return getattr(argument, "__qualname__", None) or str(argument)


def tokens(recorded: Any) -> list[str]:
    """The words that give a plain value on the command line."""
    if isinstance(recorded, list):
        return [word for item in recorded for word in tokens(item)]
    if isinstance(recorded, dict):
        return [word for key, item in recorded.items() for word in (key, *tokens(item))]
    return [str(recorded)]
