"""Experiment files: found by name, their signature read without importing them, then imported.

Importing an experiment imports JAX, which takes seconds. What `--help` and typing errors need is
only the signature of its function, so the few statements on which that signature depends are cut
out of the file and run alone; where they need more than light modules, the file is imported.
"""

import ast
import contextlib
import difflib
import functools
import os
import pathlib
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxdl import errors

FUNCTION = "experiment"

_LIGHT = frozenset(  # what a signature may need without making `--help` slow
    (
        *("__future__", "abc", "collections", "dataclasses", "datetime", "decimal", "enum"),
        *("fractions", "functools", "itertools", "math", "numbers", "operator", "os", "pathlib"),
        *("re", "string", "types", "typing", "typing_extensions"),
    )
)


class File:
    """An experiment's file: its text, its docstring, its function."""

    def __init__(self, path: pathlib.Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.stem
        self.text = _read(path)
        self.tree = _parse(path, self.text)

    @property
    def docstring(self) -> str:
        """The file's docstring, empty where there is none."""
        return ast.get_docstring(self.tree) or ""

    @property
    def defines_experiment(self) -> bool:
        """Whether the file binds the name `experiment`, by whatever statement."""
        return any(FUNCTION in _bound(statement) for statement in self.tree.body)

    def definition(self) -> ast.FunctionDef | None:
        """The `def experiment` in the file, None where the name comes from elsewhere."""
        found = [s for s in self.tree.body if isinstance(s, ast.FunctionDef) and s.name == FUNCTION]
        return found[-1] if found else None

    def signature(self) -> Callable[..., Any]:
        """A function with the experiment's signature, made without heavy imports if possible."""
        if not self.defines_experiment:
            raise errors.InputError(
                f"An experiment file must define a function `experiment`, got {shown(self.path)} "
                "without one."
            )
        module = types.ModuleType(f"_jaxdl_signature_{self.name}")
        with contextlib.suppress(Exception):  # whatever fails here is told by the real import
            code = compile(_reduced(self.tree, self.definition()), str(self.path), "exec")
            sys.modules[module.__name__] = module  # where annotations of its classes are resolved
            exec(code, module.__dict__)
            return module.__dict__[FUNCTION]
        return self.function

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The experiment itself; imports the file, once."""
        # The prefix keeps an experiment called `text` from hiding a package of that name; for the
        # same reason its folder comes last on the path.
        module = types.ModuleType(f"jaxdl_experiment_{self.name}", self.docstring)
        module.__file__ = str(self.path)
        folder = str(self.path.parent)
        if folder not in sys.path:
            sys.path.append(folder)
        sys.modules[module.__name__] = module
        with explained(self.name, self.path):
            exec(compile(self.text, str(self.path), "exec"), module.__dict__)
        function = module.__dict__.get(FUNCTION)
        if not callable(function):
            raise errors.InputError(
                f"`experiment` in {shown(self.path)} must be a function, "
                f"got {type(function).__name__}."
            )
        return function


def folders() -> list[pathlib.Path]:
    """Where experiments are looked for: here, in the checkout of jaxdl, in the installed jaxdl."""
    package = pathlib.Path(__file__).resolve().parent
    candidates = [pathlib.Path("experiments").absolute()]
    if (package.parent / "pyproject.toml").exists():  # a checkout, not site-packages
        candidates.append(package.parent / "experiments")
    candidates.append(package / "experiments")
    return list(dict.fromkeys(folder for folder in candidates if folder.is_dir()))


def listed() -> dict[str, pathlib.Path]:
    """Name -> path of every experiment; the first folder that has a name wins."""
    found: dict[str, pathlib.Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                found.setdefault(path.stem, path)
    return found


def find(name: str) -> File:
    """The experiment of a name, or at a path."""
    if name.endswith(".py") or os.sep in name:
        return File(pathlib.Path(name).absolute())
    found = listed()
    path = found.get(name) or found.get(name.replace("-", "_"))
    if path is not None:
        return File(path)
    message = f"No experiment is called {name!r}."
    close = nearest(name, found)
    if close is not None:
        raise errors.InputError(f"{message} Did you mean {close}?")
    raise errors.InputError(f"{message}\n`python -m jaxdl.launch` lists the experiments.")


def nearest(word: str, candidates: Any) -> str | None:
    """The candidate a user most likely meant, None where none is near."""
    plain = {candidate.lower().replace("-", "_"): candidate for candidate in candidates}
    word = word.lower().replace("-", "_")
    close = difflib.get_close_matches(word, plain, n=1, cutoff=0.6)
    if close:
        return plain[close[0]]
    for name, candidate in plain.items():  # `lr` for `learning_rate`
        if word == "".join(part[:1] for part in name.split("_")):
            return candidate
    return None


def build(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    name: str,
    path: pathlib.Path | None,
) -> Any:
    """The Run that an experiment returns; whatever it raises becomes an error of one to three
    lines.
    """
    with explained(name, path):
        run = function(**arguments)
    from jaxdl import run as runs

    if isinstance(run, runs.Run):
        return run
    place = "" if path is None else f" in {shown(path)}"
    remedy = " Does it `return`?" if run is None else ""
    raise errors.InputError(
        f"`experiment`{place} must return a jaxdl.run.Run, got {type(run).__name__}.{remedy}"
    )


@contextlib.contextmanager
def explained(name: str, path: pathlib.Path | None) -> Iterator[None]:
    """Turns what an experiment's own code raises into its message and its line in the file."""
    try:
        yield
    except Exception as error:
        lines = _message(error)
        if path is not None:
            frames = traceback.extract_tb(error.__traceback__)
            own = [frame for frame in frames if frame.filename == str(path)]
            if own:
                lines.append(f"  {shown(path)}, line {own[-1].lineno}: {own[-1].line}")
        if isinstance(error, ImportError):
            extra = errors.EXTRAS.get((error.name or "").split(".")[0])
            if extra is not None:
                lines.append(f'  Install it with: pip install "jaxdl[{extra}]"')
        lines[0] = f"{name} could not be built: {lines[0]}"
        kind = type(error) if isinstance(error, errors.UserError) else errors.InputError
        raise kind("\n".join(lines)) from error


def _message(error: Exception) -> list[str]:
    """What an exception says, in at most two lines; their type too, unless they are for users."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, errors.UserError):
        return lines[:2] or [type(error).__name__]
    return [": ".join([type(error).__name__, *lines[:1]])]


def shown(path: pathlib.Path) -> str:
    """A path as a user would type it here."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(pathlib.Path.cwd()))
    return str(path)


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        siblings = {p.name for p in path.parent.glob("*.py")} if path.parent.is_dir() else ()
        close = nearest(path.name, siblings)
        hint = f" Did you mean {shown(path.with_name(close))}?" if close else ""
        raise errors.InputError(
            f"An experiment file must exist, got {shown(path)}.{hint}"
        ) from None
    except OSError as error:
        raise errors.InputError(
            f"An experiment file must be readable, got {shown(path)}: {error.strerror}."
        ) from error


def _parse(path: pathlib.Path, text: bytes) -> ast.Module:
    if b"\0" in text:
        raise errors.InputError(f"{shown(path)} is not Python: it contains null bytes.")
    try:
        return ast.parse(text, filename=str(path))
    except SyntaxError as error:
        line = f", line {error.lineno}" if error.lineno else ""
        code = f"\n  {error.text.strip()}" if error.text else ""
        raise errors.InputError(f"{shown(path)}{line} is not Python: {error.msg}.{code}") from error


class _HeavyError(Exception):
    """The signature cannot be had without importing the file."""


def _reduced(tree: ast.Module, definition: ast.FunctionDef | None) -> ast.Module:
    """The statements on which the experiment's signature depends, and the bare experiment."""
    if definition is None:
        raise _HeavyError
    bare = ast.parse(f"def {FUNCTION}(): pass").body[0]
    assert isinstance(bare, ast.FunctionDef)
    bare.args = definition.args
    kept: set[int] = set()
    names = _used(bare)
    seen: set[str] = set()
    while names:
        name = names.pop()
        seen.add(name)
        for i, statement in enumerate(tree.body):
            if i not in kept and statement is not definition and name in _bound(statement):
                if not _imported(statement) <= _LIGHT:
                    raise _HeavyError
                kept.add(i)
                names |= _used(statement) - seen
    future = [s for s in tree.body if isinstance(s, ast.ImportFrom) and s.module == "__future__"]
    body = [s for i, s in enumerate(tree.body) if i in kept and s not in future]
    module = ast.Module(body=[*future, *body, bare], type_ignores=[])
    return ast.fix_missing_locations(module)


def _bound(statement: ast.stmt) -> set[str]:
    """The names a statement of a module may give a meaning to."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            names.add(node.name)
            if node is statement:
                return {node.name}  # what is inside belongs to it
    return names


def _used(statement: ast.stmt) -> set[str]:
    """The names a statement reads, those in quoted annotations too."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError, ValueError):
                inner = ast.parse(node.value, mode="eval")
                names |= {n.id for n in ast.walk(inner) if isinstance(n, ast.Name)}
    return names


def _imported(statement: ast.stmt) -> set[str]:
    """The top-level modules a statement imports, anywhere in it."""
    modules = set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add("." if node.level else (node.module or "").split(".")[0])
    return modules
