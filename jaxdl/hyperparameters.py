"""Hyperparameters: an experiment's signature as a command line, and its values as plain JSON.

What a single value may be: jaxdl/values.py.
"""

import contextlib
import dataclasses
import inspect
import io
import tokenize
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxdl import errors, experiment, values


class _Required:
    """In place of a default: there is none."""


REQUIRED = _Required()


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
        found += _flattened(name, kind, _default_of(parameter), notes.get(name, ""))
    return found


def parse(
    argv: Sequence[str], known: Iterable[Hyperparameter], refusal: str, command: str
) -> dict[str, Any]:
    """Name -> value of what a command line gives; it errs with the flag and a suggestion."""
    flags = {parameter.name: parameter for parameter in known}
    found: dict[str, Any] = {}
    for flag, words in groups(argv):
        name = flag.lstrip("-").replace("-", "_")
        parameter, negated = flags.get(name), False
        if parameter is None:
            parameter, negated = flags.get(_affirmed(name)), True
        if parameter is None or (negated and parameter.type is not bool):
            raise _unknown(flag, flags, refusal, command)
        if negated:
            if words:
                raise errors.InputError(f"{flag} must stand alone, got {' '.join(words)!r}.")
            found[parameter.name] = False
        else:
            found[parameter.name] = values.read(
                parameter.type, words, parameter.flag, parameter.form
            )
    return found


def groups(argv: Sequence[str]) -> list[tuple[str, list[str]]]:
    """A command line as flags, each with the words that follow it."""
    found: list[tuple[str, list[str]]] = []
    for word in argv:
        if word.startswith("-") and len(word) > 1 and not values.is_number(word):
            flag, equals, text = word.partition("=")
            found.append((flag, [text] if equals else []))
        elif found:
            found[-1][1].append(word)
        else:
            raise errors.InputError(
                f"What follows the experiment must be --hyperparameter value, got {word!r}."
            )
    return found


def assemble(function: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments to call an experiment with, its defaults included."""
    arguments = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = _resolved(function, name, parameter.annotation)
        arguments[name] = _assembled(name, kind, _default_of(parameter), given)
    return arguments


def plain(arguments: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Arguments as flat JSON: "optimizer.rate" -> 0.1, for the record, the card and the HPARAMS."""
    flat: dict[str, Any] = {}
    for name, argument in arguments.items():
        if dataclasses.is_dataclass(argument) and not isinstance(argument, type):
            fields = {f.name: getattr(argument, f.name) for f in dataclasses.fields(argument)}
            flat |= plain(fields, f"{prefix}{name}.")
        else:
            flat[prefix + name] = values.plain(argument)
    return flat


def revived(flat: Mapping[str, Any], known: Iterable[Hyperparameter], owner: str) -> dict[str, Any]:
    """Values from the JSON that `plain` made; what is at its default needs no reading."""
    flags = {parameter.name: parameter for parameter in known}
    found = {}
    for name, recorded in flat.items():
        if name not in flags:
            raise errors.InputError(f"The run has a hyperparameter {name}, {owner} has not.")
        parameter = flags[name]
        if parameter.default is REQUIRED or values.plain(parameter.default) != recorded:
            found[name] = values.read(parameter.type, values.tokens(recorded), parameter.flag)
    return found


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


def _default_of(parameter: inspect.Parameter) -> Any:
    return REQUIRED if parameter.default is inspect.Parameter.empty else parameter.default


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
            raise errors.InputError(f"{leaf.flag} must be given: {values.words(leaf.type)}.")
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
