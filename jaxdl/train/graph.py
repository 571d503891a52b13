"""The graph of an evaluation for TensorBoard's tab Graphs: the equations that JAX has traced.

A node is an equation of the jaxpr, named by the modules in which it stands (Flax's named scopes)
and by its primitive; an edge is an array, with its shape. Nothing is added and nothing is guessed:
what no metric depends on is left out, calls (jit, remat, custom derivatives) are replaced by what
they call, the body of a scan stands in a box of its own, once, and a loop or a branch is one node.
"""

# pyright: reportAttributeAccessIssue=false
# (generated protocol buffers define their classes at run time)

import collections
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from tensorboard.compat.proto import (
    attr_value_pb2,
    graph_pb2,
    node_def_pb2,
    tensor_shape_pb2,
    types_pb2,
    versions_pb2,
)

_MOST = 5000  # nodes; TensorBoard lays out no more than that without being asked
_CALLS = {"jit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint", "scan"}
_BEFORE, _BEHIND = "data", "metrics"  # boxes for what is in no module


class _Node(NamedTuple):
    """An equation or an argument: the modules around it, its name, inputs, first output."""

    scope: tuple[str, ...]
    name: str
    inputs: list[int]  # places of the nodes
    aval: Any
    note: str = ""


class Traced(NamedTuple):
    """A function as JAX has traced it: its closed jaxpr, its arguments by name in their order, and
    its results.
    """

    jaxpr: Any
    arguments: Mapping[str, Any]
    results: Any


def traced(function: Callable[..., Any], **arguments: Any) -> Traced:
    """Trace a function; its arguments come in its own order, and may be shapes and dtypes."""
    jaxpr, results = jax.make_jaxpr(function, return_shape=True)(*arguments.values())
    return Traced(jaxpr, arguments, results)


def definition(traced: Traced) -> graph_pb2.GraphDef | None:
    """The graph; None where it has more nodes than TensorBoard can show."""
    jaxpr, results = traced.jaxpr, _paths(traced.results)
    given = [{name: tree} for name, tree in traced.arguments.items()]
    arguments = [path for one in given for path in _paths(one)]
    found = _Reader()
    known: dict[Any, int | None] = {
        var: found.add(_Node((), name, [], var.aval, "argument"))
        for var, name in zip(jaxpr.jaxpr.invars, arguments, strict=True)
    }
    inner = jaxpr.jaxpr
    known |= {
        var: found.add(_Node((), "constant", [], var.aval, "constant")) for var in inner.constvars
    }
    outputs = found.read(inner, known, ())
    for place, var, name in zip(outputs, inner.outvars, results, strict=True):
        inputs = [] if place is None else [place]
        found.add(_Node((_BEHIND,), name, inputs, var.aval, "result"))
    nodes = _needed(found.nodes)
    return None if len(nodes) > _MOST else _written(found.nodes, nodes)


def _paths(tree: Any) -> list[str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]


class _Reader:
    """Collects the nodes of a jaxpr and of those inside it."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []

    def add(self, node: _Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def read(
        self, jaxpr: Any, known: dict[Any, int | None], scope: tuple[str, ...]
    ) -> list[int | None]:
        """The places of what a jaxpr returns; known: those of what it is given."""
        for equation in jaxpr.eqns:
            inputs = [_place(known, var) for var in equation.invars]
            inside = (*scope, *_modules(str(equation.source_info.name_stack)))
            for var, place in zip(
                equation.outvars, self._equation(equation, inputs, inside), strict=True
            ):
                known[var] = place
        return [_place(known, var) for var in jaxpr.outvars]

    def _equation(
        self, equation: Any, inputs: list[int | None], scope: tuple[str, ...]
    ) -> list[int | None]:
        name = equation.primitive.name
        inner = _called(equation)
        if inner is not None:
            if name == "scan":
                scope = (*scope, f"scan_of_{equation.params['length']}")
            given: dict[Any, int | None] = dict.fromkeys(inner.constvars)
            given |= dict(zip(inner.invars, inputs, strict=True))
            return self.read(inner, given, scope)
        aval = equation.outvars[0].aval if equation.outvars else None
        real = [place for place in inputs if place is not None]
        place = self.add(_Node(scope, name, real, aval))
        return [place] * len(equation.outvars)


def _place(known: dict[Any, int | None], var: Any) -> int | None:
    return None if isinstance(var, jax.extend.core.Literal) else known[var]


def _called(equation: Any) -> Any:
    """The jaxpr that takes the equation's place, if there is one."""
    if equation.primitive.name not in _CALLS:
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = equation.params.get(name)
        if inner is not None:
            return getattr(inner, "jaxpr", inner)
    return None


def _modules(stack: str) -> list[str]:
    """Of a name stack the modules: without methods ("GPT.advance"), which only repeat them."""
    parts = re.sub(r"\w+\((.*?)\)", r"\1", stack).split("/")
    return [re.sub(r"[^\w-]+", "_", part) for part in parts if part and "." not in part]


def _needed(nodes: Sequence[_Node]) -> list[int]:
    """The places of the nodes on which a result depends, in order."""
    wanted = {i for i, node in enumerate(nodes) if node.note == "result"}
    for i in reversed(range(len(nodes))):  # an input stands before what it goes into
        if i in wanted:
            wanted |= set(nodes[i].inputs)
    return sorted(wanted)


def _written(nodes: Sequence[_Node], places: Sequence[int]) -> graph_pb2.GraphDef:
    names = _names(nodes, places)
    return graph_pb2.GraphDef(
        node=[
            node_def_pb2.NodeDef(
                name=names[i],
                op=nodes[i].note or nodes[i].name,
                input=list(dict.fromkeys(names[j] for j in nodes[i].inputs)),
                attr={"_output_shapes": _shapes(nodes[i].aval), "dtype": _type(nodes[i].aval)},
            )
            for i in places
        ],
        versions=versions_pb2.VersionDef(producer=22),
    )


def _names(nodes: Sequence[_Node], places: Sequence[int]) -> dict[int, str]:
    """Unique names. An argument stands in the module that alone uses it; what is in no module,
    before the modules if they need it, else behind.
    """
    before: set[int] = set()
    users: dict[int, list[tuple[str, ...]]] = collections.defaultdict(list)
    for i in reversed(places):
        node = nodes[i]
        if i in before or _module(node):
            before |= set(node.inputs)
        for j in node.inputs:
            users[j].append(node.scope)
    names, counts = {}, collections.Counter()
    for i in places:
        node = nodes[i]
        scope = node.scope or ((_BEFORE,) if i in before else (_BEHIND,))
        leaf = node.name
        if node.note == "argument":
            scope = _shared(users[i])
            leaf = node.name.split("/")[-1] if scope else node.name
        name = "/".join((*scope, re.sub(r"[^\w./-]+", "_", leaf)))
        counts[name] += 1
        names[i] = name if counts[name] == 1 else f"{name}_{counts[name]}"
    return names


def _module(node: _Node) -> bool:
    return bool(node.scope) and node.note != "result"


def _shared(scopes: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The innermost modules that all of them have."""
    shared = scopes[0] if scopes else ()
    for scope in scopes:
        same = [a == b for a, b in zip(shared, scope, strict=False)]
        shared = shared[: same.index(False) if False in same else len(same)]
    return shared


def _shapes(aval: Any) -> attr_value_pb2.AttrValue:
    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=n) for n in getattr(aval, "shape", ())]
    shape = tensor_shape_pb2.TensorShapeProto(dim=dims)
    return attr_value_pb2.AttrValue(list=attr_value_pb2.AttrValue.ListValue(shape=[shape]))


def _type(aval: Any) -> attr_value_pb2.AttrValue:
    """TensorFlow's name of the dtype; those that it does not know (random keys) have none."""
    dtype = getattr(aval, "dtype", None)
    name = "bool" if dtype == np.bool_ else str(dtype)
    short = {"float32": "FLOAT", "float64": "DOUBLE", "float16": "HALF"}.get(name, name.upper())
    return attr_value_pb2.AttrValue(type=getattr(types_pb2, f"DT_{short}", types_pb2.DT_INVALID))
