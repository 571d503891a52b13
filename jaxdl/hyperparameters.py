"""Hyperparameters: an experiment's signature as a command line, and its values as plain JSON.

Values are parsed by tyro (Brent Yi, 2021); what surrounds them is read here, so that an error is
one line that names the flag.
"""

import contextlib
import dataclasses
import enum
import inspect
import io
import math
import pathlib
import tokenize
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxdl import errors, experiment

REQUIRED = inspect.Parameter.empty
_WORDS = {int: "an integer", float: "a number", str: "text", pathlib.Path: "a path"}
_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT", pathlib.Path: "PATH", bool: "{True,False}"}
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclasses.dataclass(frozen=True)
class Hyperparameter:
    """One flag: `width` is --width, the field `rate` of `optimizer` is --optimizer.rate."""

    name: str
    type: Any
    default: Any = REQUIRED
    note: str = ""
    form: str = ""  # what a value looks like, where its type does not say it

    @property
    def flag(self) -> str:
        """As it is typed."""
        return "--" + self.name.replace("_", "-")


def of(function: Callable[..., Any], file: experiment.File | None = None) -> list[Hyperparameter]:
    """The hyperparameters of an experiment; comments beside them in its file are their notes."""
    notes = {} if file is None else _notes(file)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise errors.InputError(
                f"The parameters of an experiment must have names of their own, got {parameter}."
            )
        kind = _resolved(function, name, parameter.annotation)
        found += _flattened(name, kind, parameter.default, notes.get(name, ""))
    return found


def parse(
    argv: Sequence[str], known: Iterable[Hyperparameter], refusal: str, command: str
) -> dict[str, Any]:
    """Name -> value of what a command line gives; it errs with the flag and a suggestion."""
    flags = {parameter.name: parameter for parameter in known}
    values: dict[str, Any] = {}
    for flag, tokens in groups(argv):
        name = flag.lstrip("-").replace("-", "_")
        parameter, negated = flags.get(name), False
        if parameter is None:
            parameter, negated = flags.get(_affirmed(name)), True
        if parameter is None or (negated and parameter.type is not bool):
            raise _unknown(flag, flags, refusal, command)
        if negated:
            if tokens:
                raise errors.InputError(f"{flag} must stand alone, got {' '.join(tokens)!r}.")
            values[parameter.name] = False
        else:
            values[parameter.name] = value(parameter, tokens)
    return values


def groups(argv: Sequence[str]) -> list[tuple[str, list[str]]]:
    """A command line as flags, each with the words that follow it."""
    found: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("-") and len(word) > 1 and not _is_number(word):
            flag, equals, text = word.partition("=")
            found.append((flag, [text] if equals else []))
        elif found:
            found[-1][1].append(word)
        else:
            raise errors.InputError(
                f"What follows the experiment must be --hyperparameter value, got {word!r}."
            )
    return found


def value(parameter: Hyperparameter, tokens: Sequence[str]) -> Any:
    """The words behind a flag as a value of its type."""
    kind, text = parameter.type, " ".join(tokens)
    if not _parsable(kind):
        raise errors.InputError(
            f"{parameter.flag} must be set from Python, with jaxdl.launch.launch: "
            f"a command line cannot write {_named(kind)}."
        )
    if kind is bool and not tokens:
        return True
    if kind is bool and text.lower() in _TRUTH:
        return _TRUTH[text.lower()]
    if kind in (str, pathlib.Path) and len(tokens) == 1:
        return kind(text)  # tyro would take a leading dash for a flag
    result = _parsed_by_tyro(kind, tokens)
    if result is not REQUIRED and not _has_nan(result):
        return result
    if not tokens:
        raise errors.InputError(
            f"{parameter.flag} must be followed by {parameter.form or words(kind)}."
        )
    hint = _meant(kind, tokens)
    raise errors.InputError(
        f"{parameter.flag} must be {words(kind)}, got {text!r}."
        + (f" Did you mean {hint}?" if hint else "")
    )


def assemble(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to call an experiment with, its defaults included."""
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = _resolved(function, name, parameter.annotation)
        arguments[name] = _assembled(name, kind, parameter.default, given)
    return arguments


def plain(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Arguments as flat JSON: "optimizer.rate" -> 0.1, for the record, the card and the HPARAMS."""
    flat: dict[str, Any] = {}
    for name, argument in arguments.items():
        if dataclasses.is_dataclass(argument) and not isinstance(argument, type):
            fields = {f.name: getattr(argument, f.name) for f in dataclasses.fields(argument)}
            flat |= plain(fields, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _plain(argument)
    return flat


def revived(flat: Mapping[str, Any], known: Iterable[Hyperparameter], owner: str) -> dict[str, Any]:
    """Values from the JSON that `plain` made; what is at its default needs no reading."""
    flags = {parameter.name: parameter for parameter in known}
    values = {}
    for name, recorded in flat.items():
        if name not in flags:
            raise errors.InputError(f"The run has a hyperparameter {name}, {owner} has not.")
        parameter = flags[name]
        if parameter.default is REQUIRED or _plain(parameter.default) != recorded:
            values[name] = value(parameter, _tokens(recorded))
    return values


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
        return " or ".join("None" if k is types.NoneType else words(k) for k in _arguments(kind))
    return f"of the form {metavar(kind)}"


def metavar(kind: Any) -> str:
    """The place of a value in a usage line: "INT", "{relu,gelu}"."""
    if kind in _METAVARS:
        return _METAVARS[kind]
    choices = _choices(kind)
    if choices:
        return "{" + ",".join(choices) + "}"
    inner = [k for k in _arguments(kind) if k is not Ellipsis]
    parts = ["None" if k is types.NoneType else metavar(k) for k in inner]
    if _is_union(kind):
        return "|".join(parts)
    if parts and typing.get_origin(kind) is tuple and Ellipsis not in _arguments(kind):
        return " ".join(parts)
    return f"[{' '.join(parts)} ...]" if parts else _named(kind)


def written(default: Any) -> str:
    """A default as it would be typed."""
    return " ".join(_tokens(_plain(default)))


def _resolved(function: Callable[..., Any], name: str, annotation: Any) -> Any:
    written = annotation
    try:
        while isinstance(annotation, str):  # quoted, `from __future__ import annotations`, or both
            annotation = eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}))
    except Exception as error:
        raise errors.InputError(
            f"The annotation of {name} must be a type, got {written}: {error}."
        ) from error
    return annotation


def _flattened(name: str, kind: Any, default: Any, note: str) -> list[Hyperparameter]:
    nested = _nested(kind, default)
    if nested is None:
        return [Hyperparameter(name, _leaf(kind, default), default, note)]
    found = []
    for field in nested:
        found += _flattened(f"{name}.{field.name}", field.type, field.default, "")
    return found


class _Field(typing.NamedTuple):
    name: str
    type: Any
    default: Any


def _nested(kind: Any, default: Any) -> list[_Field] | None:
    """The fields of a dataclass, with the defaults that an instance of it sets."""
    given = default is not REQUIRED
    owner = type(default) if given else kind  # where `kind` is a union, the default's class
    if not (dataclasses.is_dataclass(owner) and isinstance(owner, type)):
        return None
    hints = typing.get_type_hints(owner)
    return [
        _Field(f.name, hints[f.name], getattr(default, f.name) if given else _default(f))
        for f in dataclasses.fields(owner)
        if f.init
    ]


def _default(field: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED


def _leaf(kind: Any, default: Any) -> Any:
    """The annotated type, or else that of the default."""
    if kind is not inspect.Parameter.empty:
        return typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    if default is REQUIRED or default is None:
        return str
    if isinstance(default, tuple) and default:
        return tuple[type(default[0]), ...] if len(set(map(type, default))) == 1 else tuple
    return type(default)


def _assembled(name: str, kind: Any, default: Any, given: Mapping[str, Any]) -> Any:
    nested = _nested(kind, default)
    if nested is None or name in given:
        result = given.get(name, default)
        if result is REQUIRED:
            leaf = Hyperparameter(name, _leaf(kind, default))
            raise errors.InputError(f"{leaf.flag} must be given: {words(leaf.type)}.")
        return result
    fields = {f.name: _assembled(f"{name}.{f.name}", f.type, f.default, given) for f in nested}
    try:
        if default is not REQUIRED:
            return dataclasses.replace(default, **fields)
        return kind(**fields)
    except (TypeError, ValueError) as error:
        raise errors.InputError(f"--{name.replace('_', '-')}: {error}") from error


def _unknown(
    flag: str, flags: Mapping[str, Hyperparameter], refusal: str, command: str
) -> errors.InputError:
    candidates = {parameter.flag[2:] for parameter in flags.values()}
    close = experiment.nearest(flag.lstrip("-"), candidates | {"help"})
    lists = f"\n`{command}` lists what there is."
    remedy = lists if close is None else f" Did you mean --{close}?"
    return errors.InputError(f"{refusal} {flag}.{remedy}")


def _affirmed(name: str) -> str:
    """The name behind no_name or group.no_name."""
    *path, last = name.split(".")
    if name.startswith("no_"):
        return name[3:]
    return ".".join([*path, last.removeprefix("no_")]) if last.startswith("no_") else ""


def _is_number(word: str) -> bool:
    with contextlib.suppress(ValueError):
        float(word)
        return True
    return False


def _parsed_by_tyro(kind: Any, tokens: Sequence[str]) -> Any:
    """What tyro makes of the words, REQUIRED where it refuses them."""
    import tyro

    if any(word in ("-h", "--help") for word in tokens):
        return REQUIRED
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            return tyro.cli(kind, args=list(tokens), console_outputs=False)
    except SystemExit:
        return REQUIRED


def _has_nan(result: Any) -> bool:
    if isinstance(result, tuple | list):
        return any(map(_has_nan, result))
    return isinstance(result, float) and math.isnan(result)


def _meant(kind: Any, tokens: Sequence[str]) -> str | None:
    """The value a user most likely meant."""
    choices = _choices(kind)
    if choices:
        return experiment.nearest(" ".join(tokens), choices)
    number = float(tokens[0]) if len(tokens) == 1 and _is_number(tokens[0]) else math.nan
    if kind is int and math.isfinite(number) and number == int(number):
        return str(int(number))
    return None


def _arguments(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind)


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (typing.Union, types.UnionType)


def _choices(kind: Any) -> list[str]:
    """The words of a Literal or an Enum."""
    if typing.get_origin(kind) is typing.Literal:
        return [str(choice) for choice in _arguments(kind)]
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
    return bool(_arguments(kind)) and all(map(_parsable, _arguments(kind)))


def _named(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _plain(argument: Any) -> Any:
    if argument is None or isinstance(argument, bool | int | float | str):
        return argument.name if isinstance(argument, enum.Enum) else argument
    if isinstance(argument, enum.Enum):
        return argument.name
    if isinstance(argument, tuple | list | set | frozenset):
        return [_plain(item) for item in argument]
    if isinstance(argument, Mapping):
        return {str(key): _plain(item) for key, item in argument.items()}
    if getattr(argument, "ndim", None) == 0:  # a number of NumPy's or JAX's
        return argument.item()
    return getattr(argument, "__qualname__", None) or str(argument)


def _tokens(recorded: Any) -> list[str]:
    """The words that give a plain value on the command line."""
    if isinstance(recorded, list):
        return [word for item in recorded for word in _tokens(item)]
    if isinstance(recorded, dict):
        return [word for key, item in recorded.items() for word in (key, *_tokens(item))]
    return [str(recorded)]


def _notes(file: experiment.File) -> dict[str, str]:
    """Name -> the comment that stands on the line of a parameter."""
    definition = file.definition()
    if definition is None:
        return {}
    lines = {}
    for argument in [*definition.args.args, *definition.args.kwonlyargs]:
        lines.setdefault(argument.lineno, []).append(argument.arg)
    notes = {}
    with contextlib.suppress(tokenize.TokenError, SyntaxError):
        for token in tokenize.tokenize(io.BytesIO(file.text).readline):
            here = lines.get(token.start[0], [])
            if token.type == tokenize.COMMENT and len(here) == 1:
                notes[here[0]] = token.string.lstrip("# ").strip()
    return notes
