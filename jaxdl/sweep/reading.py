"""Reads what a sweep varies from the words of a command line, or from an experiment's `sweep()`.

A space is written as jaxdl/sweep/space.py says. Nothing here imports JAX.
"""

import dataclasses
import enum
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from jaxdl import errors, experiment, hyperparameters, values
from jaxdl.sweep import space

FLAG = "--sweep"
FUNCTION = "sweep"

_RANGES = {
    "log": space.log,
    "uniform": space.uniform,
    "int": space.integers,
    "integers": space.integers,
}
_DRAWS = (*_RANGES, "choice")
_MISFIT = object()  # in place of a value: it is none of the type


def read(words: Sequence[str], known: Sequence[hyperparameters.Hyperparameter]) -> space.Space:
    """The words behind --sweep, NAME=VALUES, as a space over the known hyperparameters."""
    if not words:
        raise errors.InputError(
            f"{FLAG} must be followed by NAME=VALUES, as in learning_rate=1e-4,1e-3."
        )
    axes: dict[str, space.Axis] = {}
    for word in words:
        typed, equals, text = word.partition("=")
        if not equals:
            raise errors.InputError(
                f"{FLAG} must be followed by NAME=VALUES, got {word!r}. "
                "Values are separated by commas alone; quote a word that has spaces."
            )
        parameter = _parameter(typed.strip().replace("-", "_"), known, FLAG)
        if parameter.name in axes:
            raise errors.InputError(
                f"{FLAG} must name a hyperparameter once, got {parameter.name} twice. "
                f"List all its values: {parameter.name}=A,B."
            )
        axes[parameter.name] = _read_axis(parameter, text.strip())
    return space.Space(axes)


def completed(
    words: Sequence[str],
    known: Sequence[hyperparameters.Hyperparameter],
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The values given on a command line, and of each swept hyperparameter that has no default the
    first value, for what is built before the sweep begins.

    errors.InputError: as of `read`, and where one is both given and swept.
    """
    found = read(words, known)
    check_given_once(found, given)
    required = {p.name for p in known if p.default is hyperparameters.REQUIRED}
    first = {name: space.first(axis) for name, axis in found.axes.items() if name in required}
    return {**first, **given}


def check_given_once(swept: space.Space, given: Mapping[str, Any]) -> None:
    """errors.InputError: a hyperparameter is both given and swept."""
    if twice := sorted(swept.axes.keys() & given.keys()):
        raise errors.InputError(
            f"A hyperparameter must be given or swept, got both for {', '.join(twice)}."
        )


def of(given: Any, known: Sequence[hyperparameters.Hyperparameter]) -> space.Space:
    """What an experiment's `sweep()` returned as a space over the known hyperparameters.

    given: a mapping, name -> a list, tuple or array of values, or log, uniform, integers, choice.
    """
    origin = f"{FUNCTION}()"
    if not isinstance(given, Mapping) or not given:
        raise errors.InputError(
            f"{origin} must return the values of each hyperparameter by its name, got {given!r}."
        )
    axes: dict[str, space.Axis] = {}
    for name, axis in given.items():
        parameter = _parameter(name, known, origin)
        flag = f"{origin} of {name}"
        axis = axis.tolist() if hasattr(axis, "tolist") else axis  # an array of NumPy's
        if isinstance(axis, space.Range):
            axes[name] = _fitted(axis, parameter, flag)
        elif isinstance(axis, space.Choice):
            axes[name] = space.Choice(_checked(axis.values, parameter, flag))
        elif isinstance(axis, Sequence) and not isinstance(axis, str):
            axes[name] = _checked(axis, parameter, flag)
        else:
            raise errors.InputError(f"{flag} must be a list of values or a range, got {axis!r}.")
    return space.Space(axes)


def _parameter(
    name: str, known: Sequence[hyperparameters.Hyperparameter], origin: str
) -> hyperparameters.Hyperparameter:
    flags = {parameter.name: parameter for parameter in known}
    if name in flags:
        return flags[name]
    if name == "seed":
        raise errors.InputError(f"{origin} must leave the seed alone. Give --seeds 8 instead.")
    close = experiment.nearest(name, flags)
    hint = f"Did you mean {close}?" if close else f"It has {', '.join(sorted(flags)) or 'none'}."
    raise errors.InputError(
        f"{origin} must name hyperparameters of the experiment, got {name!r}. {hint}"
    )


def _read_axis(parameter: hyperparameters.Hyperparameter, text: str) -> space.Axis:
    flag = f"{FLAG} {parameter.name}"
    parts = _split(text, flag)
    call = re.fullmatch(r"([A-Za-z_]\w*)\s*\((.*)\)", parts[0])
    if call is None:
        return _read_values(parameter, parts, flag)
    if len(parts) > 1:
        raise errors.InputError(f"{flag} must be one range or a list of values, got {text!r}.")
    name, inner = call.groups()
    if name not in _DRAWS:
        close = experiment.nearest(name, _DRAWS)
        hint = f"Did you mean {close}?" if close else "There are log, uniform, int and choice."
        raise errors.InputError(f"{flag} must be values or a range, got {text!r}. {hint}")
    arguments = _split(inner, flag)
    if name == "choice":
        return space.Choice(_read_values(parameter, arguments, flag))
    if len(arguments) != 2 or not all(map(values.is_number, arguments)):
        raise errors.InputError(f"{flag} must have two numbers as its ends, got {text!r}.")
    try:
        return _fitted(_RANGES[name](*map(_number, arguments)), parameter, flag)
    except errors.InputError as error:
        message = str(error)
        prefix = "" if message.startswith(FLAG) else f"{flag}: "
        raise errors.InputError(f"{prefix}{message}") from None


def _split(text: str, flag: str) -> list[str]:
    """The parts between the commas that stand in no parentheses."""
    if not text:
        raise errors.InputError(f"{flag} must have at least one value, got none.")
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise errors.InputError(f"{flag} must close the parentheses it opens, got {text!r}.")
    parts = [part.strip() for part in parts]
    if not all(parts):
        raise errors.InputError(f"{flag} must have a value on each side of a comma, got {text!r}.")
    return parts


def _read_values(
    parameter: hyperparameters.Hyperparameter, parts: Sequence[str], flag: str
) -> tuple[Any, ...]:
    bracketed = [part.startswith("(") and part.endswith(")") for part in parts]
    holds_many = typing.get_origin(parameter.type) in (tuple, list, set, frozenset, dict)
    if holds_many and not all(bracketed):
        text = ",".join(parts)
        raise errors.InputError(
            f"{flag} must have each value in parentheses, got {text!r}. "
            f"Write '{parameter.name}=({text})'."
        )
    words = [
        re.findall(r"[^\s,()]+", part) if inside else [part]
        for part, inside in zip(parts, bracketed, strict=True)
    ]
    return tuple(values.read(parameter.type, word, flag, parameter.form) for word in words)


def _number(text: str) -> space.Number:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _fitted(
    found: space.Range, parameter: hyperparameters.Hyperparameter, flag: str
) -> space.Range:
    """The range as numbers of the hyperparameter's own type."""
    kinds = _kinds(parameter.type)
    ends = f"({found.low},{found.high})"
    if float in kinds or Any in kinds:
        if found.scale == "int" and not {int, Any} & kinds:
            raise errors.InputError(f"{flag} must be a number, got {found}. Use uniform{ends}.")
        return found
    if int not in kinds:
        raise errors.InputError(
            f"{flag} must list its values, got {found}. A value is {values.words(parameter.type)}."
        )
    if found.scale == "uniform":
        raise errors.InputError(f"{flag} must be an integer, got {found}. Use int{ends}.")
    return dataclasses.replace(found, whole=True)


def _checked(
    given: Sequence[Any], parameter: hyperparameters.Hyperparameter, flag: str
) -> tuple[Any, ...]:
    """Values from Python, where they are of the hyperparameter's type."""
    found = tuple(_fit(parameter.type, value) for value in given)
    for value, fits in zip(given, found, strict=True):
        if fits is _MISFIT:
            raise errors.InputError(
                f"{flag} must be {values.words(parameter.type)}, got {value!r}."
            )
    if not found:
        raise errors.InputError(f"{flag} must have at least one value, got none.")
    return found


def _fit(kind: Any, value: Any) -> Any:
    """A value as one of a type, _MISFIT where it is none; only plain types are checked."""
    if getattr(value, "ndim", None) == 0:  # a number of NumPy's
        value = value.item()
    kinds = _kinds(kind)
    if len(kinds) > 1:
        return next((fit for k in kinds if (fit := _fit(k, value)) is not _MISFIT), _MISFIT)
    arguments = typing.get_args(kind)
    if kind is float and type(value) in (int, float):
        return _MISFIT if math.isnan(value) else float(value)
    if kind in (bool, int, float, str, types.NoneType):
        return value if type(value) is kind else _MISFIT
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value if isinstance(value, kind) else _MISFIT
    if typing.get_origin(kind) is Literal:
        same = [a for a in arguments if a == value and type(a) is type(value)]
        return same[0] if same else _MISFIT
    if typing.get_origin(kind) is tuple:
        return _fit_tuple(arguments, value)
    return value


def _fit_tuple(arguments: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, tuple | list):
        return _MISFIT
    kinds = arguments[:1] * len(value) if Ellipsis in arguments else arguments
    if len(kinds) != len(value):
        return _MISFIT
    found = tuple(map(_fit, kinds, value))
    return _MISFIT if _MISFIT in found else found


def _kinds(kind: Any) -> set[Any]:
    """The types that a value may have: those of a union, else the one."""
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return set(typing.get_args(kind)) if union else {kind}
