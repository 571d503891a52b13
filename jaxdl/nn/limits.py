"""Rules for the fields of layers and models, checked where they are made.

Only plain numbers are looked at: a sweep may pass a traced one, whose value is not known yet.
"""

from collections.abc import Iterable
from typing import Any

from jaxdl import errors


def at_least(least: int, thing: str, value: Any) -> None:
    """Raise where a number, or one of a tuple of them, is less than `least`; None is let pass."""
    many = isinstance(value, tuple | list)
    for number in value if many else (value,):
        if isinstance(number, int | float) and number < least:
            each = "each " if many else ""
            raise errors.InputError(f"{thing} must {each}be at least {least}, got {value}.")


def positive(thing: str, value: Any) -> None:
    """Raise where a number is not positive; None is let pass."""
    if isinstance(value, int | float) and not value > 0:
        raise errors.InputError(f"{thing} must be positive, got {value}.")


def one_of(thing: str, value: Any, known: Iterable[str]) -> None:
    """Raise where a name is none of those that are known."""
    if value not in (names := tuple(known)):
        raise errors.InputError(f"{thing} must be one of {', '.join(names)}, got {value}.")


def share(thing: str, value: Any) -> None:
    """Raise where a number lies outside [0, 1]; None is let pass."""
    if isinstance(value, int | float) and not 0 <= value <= 1:
        raise errors.InputError(f"{thing} must lie in [0, 1], got {value}.")


def rate(thing: str, value: Any) -> None:
    """Raise where a rate, such as a dropout's, lies outside [0, 1)."""
    if isinstance(value, int | float) and not 0 <= value < 1:
        raise errors.InputError(f"{thing} must lie in [0, 1), got {value}.")
