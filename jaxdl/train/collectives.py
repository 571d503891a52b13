"""What the devices of a mesh say to one another, read from a program as XLA compiled it."""

import math
import re
from typing import Any, NamedTuple

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

# The lines of HLO's text: the head of a computation, and an operation `%name = type kind(...)`.
_HEAD = re.compile(r"^(ENTRY )?%?([\w.-]+) \(.*\{$")
_OPERATION = re.compile(r"= (?P<type>\(.*?\)|\S+) (?P<kind>[\w-]+)\(")
_CALLED = re.compile(r"\b(?:body|calls|to_apply|branch_computations|\w+_computation)=\{?([^=]*)")
_NAME = re.compile(r"%([\w.-]+)")
_SHAPE = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_TURNS = re.compile(r"known_trip_count\D*(\d+)")
# {{0,1},{2,3}}, [2,2]<=[4], or axes of a mesh, mesh['a'=2,'b'=4] {'a','b':(2)2}.
_GROUPS = re.compile(
    r"replica_groups=(?:\{\{([\d,]*)\}|\[\d+,(\d+)\]|mesh\[([^\]]*)\][^{]*\{([^}]*)\})"
)
_AXIS = re.compile(r"'(\w+)'(?:=(\d+)|:\(\d+\)(\d+))?")


class Traffic(NamedTuple):
    """count: operations in a run of the program. sent: bytes that each device sends in them."""

    count: int
    sent: float


def of(compiled: Any, devices: int) -> dict[str, Traffic]:
    """Kind -> its traffic in one run of a program that was compiled for so many devices.

    The bytes are those of a ring (Patarasuk and Yuan 2009): of n devices in a group each sends
    (n - 1) / n of the whole array, twice to reduce it. Loops count as often as they turn, where XLA
    knows; of branches all count.
    """
    computations, entry = _computations(compiled.as_text())
    total = dict.fromkeys(KINDS, Traffic(0, 0.0))
    counts = {entry: 1}
    for name in _callers_first(computations, entry):
        for line in computations[name]:
            found = _OPERATION.search(line)
            if found is None:
                continue
            kind = found["kind"].removesuffix("-start")
            times = counts[name]
            if kind in KINDS:
                count, sent = total[kind]
                one = _sent(kind, found, line, devices)
                total[kind] = Traffic(count + times, sent + times * one)
            turns = _TURNS.search(line) if kind == "while" else None
            for called in _called(line, computations):
                more = times * (int(turns[1]) if turns else 1)
                counts[called] = counts.get(called, 0) + more
    return {kind: traffic for kind, traffic in total.items() if traffic.count}


def _computations(text: str) -> tuple[dict[str, list[str]], str]:
    """Name -> lines of each computation, and which of them is run."""
    computations: dict[str, list[str]] = {}
    entry, lines = "", []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            lines = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        else:
            lines.append(line)
    return computations, entry


def _callers_first(computations: dict[str, list[str]], entry: str) -> list[str]:
    """The computations that the entry reaches, each after all that call it."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name not in order:
            for line in computations[name]:
                for called in _called(line, computations):
                    visit(called)
            order.append(name)

    visit(entry)
    return order[::-1]


def _called(line: str, computations: dict[str, list[str]]) -> list[str]:
    if "=%" not in line and "={%" not in line:
        return []
    names = [name for part in _CALLED.findall(line) for name in _NAME.findall(part)]
    return [name for name in names if name in computations]


def _sent(kind: str, found: re.Match, line: str, devices: int) -> float:
    """Bytes that a device sends in one collective operation."""
    shapes = _SHAPE.findall(found["type"])
    if found["kind"].endswith("-start"):  # operands come before results
        half = {"all-gather": len(shapes) // 2, "collective-permute": 1}.get(kind, 0)
        shapes = shapes[half : 2 * half or None]
    size = sum(
        _bytes(dtype) * math.prod(map(int, filter(None, dims.split(",")))) for dtype, dims in shapes
    )
    members = _members(line, devices)
    if kind == "collective-permute":
        return size
    if kind == "reduce-scatter":  # the result is a share
        return size * (members - 1)
    return size * (members - 1) / members * (2 if kind == "all-reduce" else 1)


def _members(line: str, devices: int) -> int:
    """How many devices take part in an operation together."""
    groups = _GROUPS.search(line)
    if groups is None:
        return devices
    listed, counted, axes, chosen = groups.groups()
    if axes is not None:
        sizes = {name: int(size) for name, size, _ in _AXIS.findall(axes)}
        return math.prod(int(part or sizes[name]) for name, _, part in _AXIS.findall(chosen))
    return int(counted) if counted else len(listed.split(",")) if listed else devices


def _bytes(dtype: str) -> float:
    """Of one number: f32, bf16, f8e4m3fn, s4, pred, …"""
    return 1.0 if dtype == "pred" else int(re.findall(r"\d+", dtype)[0]) / 8
