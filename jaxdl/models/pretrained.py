"""Pretrained models: folders in the form of Hugging Face's transformers, read and written.

Such a folder has a `config.json` and a `model.safetensors` (or several, named by a
`model.safetensors.index.json`). A file of this folder that knows one says so beside its model:
`PRETRAINED`, a tuple of `Format`s, tells what the settings mean and, in a table, which of the
file's tensors is which parameter. The table is read in both directions; what the file should hold
follows from the model's own parameters, so that a missing, a superfluous or a misshapen tensor is
found and refused by name.

A pickle (`pytorch_model.bin`) is not read: it may run any program.

Needs the extra `interop` (safetensors).
"""

import importlib
import pathlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl.models import tensor_files, tensor_layouts
from jaxdl.nn import transformer

Config = dict[str, Any]  # what config.json holds
ROWS = 12  # of each kind in the table of tensors that do not fit


class Tensor(NamedTuple):
    """A row of the table: the file's name for what is ours at `paths`, and how it is laid out.

    A word in braces stands for a number that is the same on both sides: "h.{n}.ln_1.weight" for
    "block_{n}/norm_1/scale"; where we count from 1 and the file from 0, the path says
    "block_{n+1}". One that only the file's name has counts our first axis: the tensors
    "experts.{e}.w1" are the slices of one stacked array. Paths are of the parameters; of another
    collection with its name in front: "batch_stats/norm/mean".
    """

    name: str
    paths: str | tuple[str, ...]
    layout: tensor_layouts.Layout = tensor_layouts.SAME


def affine(names: Mapping[str, str]) -> tuple[Tensor, ...]:
    """The rows of affine layers, the file's name of each and its path, without what they end in."""
    turned = tensor_layouts.TRANSPOSED
    kernels = [Tensor(f"{a}.weight", f"{b}/kernel", turned) for a, b in names.items()]
    return (*kernels, *(Tensor(f"{a}.bias", f"{b}/bias") for a, b in names.items()))


def normed(names: Mapping[str, str]) -> tuple[Tensor, ...]:
    """The rows of norms, as of `affine`."""
    scales = [Tensor(f"{a}.weight", f"{b}/scale") for a, b in names.items()]
    return (*scales, *(Tensor(f"{a}.bias", f"{b}/bias") for a, b in names.items()))


def embedded(names: Mapping[str, str]) -> tuple[Tensor, ...]:
    """The rows of embeddings, as of `affine`."""
    return tuple(Tensor(f"{a}.weight", f"{b}/embedding") for a, b in names.items())


def classes(config: Config) -> int:
    """How many classes a classifier's config names; transformers' default is two."""
    return len(config.get("id2label") or {}) or config.get("num_labels") or 2


def tokens(_: Any) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The input of a model that reads integer tokens."""
    return (jax.ShapeDtypeStruct((1, 2), jnp.int32),)


def pictures(_: Any) -> tuple[jax.ShapeDtypeStruct, ...]:
    """The input of a model that sees colour images of any size."""
    return (jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32),)


def exact_gelu(model: Any) -> None:
    """Refuse a model whose `act` is another: what "hidden_act": "gelu" means."""
    if model.act is not transformer.exact_gelu:
        raise errors.InputError(
            f"A {type(model).__name__} in the form of transformers must have the act "
            "transformer.exact_gelu, got another."
        )


def four_times(name: str, config: Config, of: str = "") -> None:
    """Refuse perceptrons of blocks that are not four times as wide as these; of: "decoder_"."""
    width, hidden = config[of + "hidden_size"], config[of + "intermediate_size"]
    if hidden != 4 * width:
        raise errors.InputError(
            f"A {name}'s {of}intermediate_size must be 4 times its {of}hidden_size, "
            f"got {hidden} and {width}."
        )


def labels(classes: int) -> Config:
    """What a config tells of so many classes that have no names."""
    names = {str(i): f"LABEL_{i}" for i in range(classes)}
    return {"id2label": names, "label2id": {name: int(i) for i, name in names.items()}}


class Format(NamedTuple):
    """What one of transformers' architectures is here.

    architectures: the classes whose files are read; the first is the one that is written.
    module: a config to our model, config: our model to a config; the second raises
        errors.InputError for a model that the architecture has no words for.
    supported: settings and the values they may have; the first is what a file that does not have
        the setting means, and what is written unless `config` tells.
    prefix: what the file's names begin with; files of the bare model lack it.
    ignored: regular expressions of names that are passed over, such as buffers.
    copies: a name that a file may have besides another whose tensor it repeats: of tied weights.
    older: the end of a name, and what files of long ago have in its place.
    inputs: what our model is initialised with, as shapes.
    """

    model: type[nn.Module]
    model_type: str
    architectures: tuple[str, ...]
    module: Callable[[Config], nn.Module]
    config: Callable[[Any], Config]
    tensors: tuple[Tensor, ...]
    supported: Mapping[str, tuple[Any, ...]] = {}
    prefix: str = ""
    ignored: tuple[str, ...] = ()
    copies: Mapping[str, str] = {}
    older: Mapping[str, str] = {}
    inputs: Callable[[Any], tuple[Any, ...]] = tokens


def load(folder: str | pathlib.Path, dtype: Any = jnp.float32) -> tuple[nn.Module, dict[str, Any]]:
    """The model a folder describes, and its variables: `model.apply(variables, ...)`.

    dtype: of the floating-point parameters; None leaves them as they are in the file.
    errors.InputError: the folder is no such folder, is of a model that is not here, or tells of
    something that the model here does not do; what does not fit is named in a table.
    """
    config = tensor_files.config(folder)
    form = _form(config)
    _check_settings(form, config)
    try:
        module = form.module(config)
    except KeyError as error:
        raise errors.InputError(
            f"{pathlib.Path(folder) / tensor_files.CONFIG} must have the setting {error}, got none."
        ) from error
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise errors.InputError(
            f"{pathlib.Path(folder) / tensor_files.CONFIG} must hold the settings of a "
            f"{form.architectures[0]}, got: {error}"
        ) from error
    with tensor_files.opened(folder) as file:
        variables = _imported(form, module, file, str(folder))
    return module, jax.tree.map(lambda x: _cast(x, dtype), variables)


def save(
    folder: str | pathlib.Path, module: nn.Module, variables: Mapping[str, Any], **settings: Any
) -> None:
    """Write a model as a folder that transformers and `load` read; the same bits come back.

    settings: what else the config is to tell, such as `eos_token_id`.
    """
    form = _form_of(module)
    tensors = exported(module, variables)
    kinds = sorted({str(x.dtype) for x in tensors.values() if jnp.issubdtype(x.dtype, jnp.inexact)})
    config = {
        "architectures": [form.architectures[0]],
        "model_type": form.model_type,
        "dtype": kinds[0] if len(kinds) == 1 else "float32",
        **{name: values[0] for name, values in form.supported.items()},
        **form.config(module),
        **settings,
    }
    tensor_files.write(folder, config, tensors)


def exported(module: nn.Module, variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Variables, or anything of their structure such as gradients, under the file's names."""
    leaves, tensors = _leaves(variables), {}
    for entry in _entries(_form_of(module), leaves):
        arrays = [np.asarray(leaves[path]) for path in entry.paths]
        slices = zip(*arrays, strict=True) if entry.stacked else [arrays]
        for name, each in zip(entry.names, slices, strict=True):
            tensors[name] = entry.layout.write(*each)
    return tensors


class _Entry(NamedTuple):
    """A row of the table with its numbers put in."""

    names: list[str]
    paths: list[str]
    layout: tensor_layouts.Layout
    stacked: bool  # the tensors are the slices of one array


def _entries(form: Format, leaves: Mapping[str, Any]) -> list[_Entry]:
    """The rows that the model's arrays are in, in the model's order."""
    made: dict[tuple[Tensor, str], _Entry] = {}
    for leaf, array in leaves.items():
        row, paths, numbers = _row(form, leaf)
        name = _filled(row.name, numbers)
        if (row, name) in made:
            continue
        free = re.findall(r"{(\w+)}", name)
        names = [_filled(name, {free[0]: str(i)}) for i in range(len(array))] if free else [name]
        made[row, name] = _Entry(names, paths, row.layout, bool(free))
    return list(made.values())


def _row(form: Format, leaf: str) -> tuple[Tensor, list[str], dict[str, str]]:
    """The first row that has a path for an array, all its paths, and the numbers in them."""
    for row in form.tensors:
        paths = (row.paths,) if isinstance(row.paths, str) else row.paths
        for path in paths:
            pattern = re.sub(r"\\{(\w+)(\\\+1)?\\}", r"(?P<\1>\\d+)", re.escape(path))
            if found := re.fullmatch(pattern, leaf):
                numbers = {
                    word: str(int(number) - (f"{{{word}+1}}" in path))
                    for word, number in found.groupdict().items()
                }
                return row, [_filled(path, numbers) for path in paths], numbers
    raise errors.InputError(
        f"A {form.model.__name__} in the form of {form.architectures[0]} must have no parameter "
        f"but those of the form, got {leaf}."
    )


def _filled(pattern: str, numbers: Mapping[str, str]) -> str:
    def number(found: re.Match[str]) -> str:
        word, more = found.groups()
        return str(int(numbers[word]) + (1 if more else 0)) if word in numbers else found[0]

    return re.sub(r"{(\w+)(\+1)?}", number, pattern)


def _leaves(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by path; the collection of the parameters is not named."""
    pairs = jax.tree.leaves_with_path(variables)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs]
    return {
        name.removeprefix("params/"): leaf for name, (_, leaf) in zip(names, pairs, strict=True)
    }


def _imported(
    form: Format, module: nn.Module, file: tensor_files.Opened, where: str
) -> dict[str, Any]:
    """The variables of a model that a file's tensors are."""
    wanted = jax.eval_shape(module.init, jax.random.key(0), *form.inputs(module))
    leaves = _leaves(wanted)
    entries = _entries(form, leaves)
    found = _names(form, entries, file)
    _check_fit(form, entries, leaves, file, found, where)
    _check_copies(form, file, found, where)
    arrays: dict[str, Any] = {}
    for entry in entries:
        parts = [entry.layout.read(file.read(found[name])) for name in entry.names]
        for path, each in zip(entry.paths, zip(*parts, strict=True), strict=True):
            arrays[path] = jnp.asarray(np.stack(each) if entry.stacked else each[0])
    return jax.tree.unflatten(jax.tree.structure(wanted), [arrays[path] for path in leaves])


def _names(form: Format, entries: Sequence[_Entry], file: tensor_files.Opened) -> dict[str, str]:
    """The table's names that the file has, and what it calls them: perhaps without the prefix, or
    as files of long ago did.
    """
    found = {}
    for name in (name for entry in entries for name in entry.names):
        older = name
        for end, before in form.older.items():
            older = older.removesuffix(end) + before if older.endswith(end) else older
        for called in (name, name.removeprefix(form.prefix), older):
            if called in file.shapes:
                found.setdefault(name, called)
    return found


def _check_fit(
    form: Format,
    entries: Sequence[_Entry],
    leaves: Mapping[str, Any],
    file: tensor_files.Opened,
    found: Mapping[str, str],
    where: str,
) -> None:
    wanted = {}
    for entry in entries:
        cut = 1 if entry.stacked else 0
        like = [np.broadcast_to(np.int8(0), leaves[path].shape[cut:]) for path in entry.paths]
        wanted |= dict.fromkeys(entry.names, entry.layout.write(*like).shape)
    known = {*found.values(), *(name for name, of in form.copies.items() if of in found)}
    ignored = re.compile("|".join(form.ignored) or "(?!)")
    kinds = {
        "differ": [n for n in found if file.shapes[found[n]] != wanted[n]],
        "are missing in the file": [n for n in wanted if n not in found],
        "are only in the file": [
            n for n in file.shapes if n not in known and not ignored.search(n)
        ],
    }
    if not any(kinds.values()):
        return
    rows = [("tensor", "file", "wanted")]
    for kind, group in kinds.items():
        for name in group[:ROWS]:
            there = file.shapes.get(found.get(name, name))
            rows.append((name, _shape(there), _shape(wanted.get(name))))
        if len(group) > ROWS:
            rows.append((f"and {len(group) - ROWS} more that {kind}", "", ""))
    counts = ", ".join(f"{len(group)} {kind}" for kind, group in kinds.items() if group)
    raise errors.InputError(
        f"The tensors of {where} must fit its config.json as {form.architectures[0]}, got tensors "
        f"that do not: {counts}.\n{_table(rows)}"
    )


def _check_copies(
    form: Format, file: tensor_files.Opened, found: Mapping[str, str], where: str
) -> None:
    for name, of in form.copies.items():
        if name in found or of not in found or name not in file.shapes:
            continue
        if not np.array_equal(file.read(name), file.read(found[of])):
            raise errors.InputError(
                f"{name} of {where} must be {of} again, as its config.json ties them, got another "
                "tensor. Set tie_word_embeddings to false."
            )


def _check_settings(form: Format, config: Config) -> None:
    """Refuse settings with a meaning that the model here does not have."""
    rows = [("setting", "file", "supported")]
    for name, values in form.supported.items():
        value = config.get(name, values[0])
        if value not in values:
            rows.append((name, repr(value), " or ".join(map(repr, values))))
    if len(rows) > 1:
        raise errors.InputError(
            f"The settings of a {form.architectures[0]} must be ones that {form.model.__name__} "
            f"has, got others:\n{_table(rows)}"
        )


def _form(config: Config) -> Format:
    """Of all models here the form a config asks for."""
    kind, wanted = config.get("model_type"), config.get("architectures") or []
    forms = list(_forms())
    fitting = [form for form in forms if form.model_type == kind]
    if not fitting:
        kinds = ", ".join(sorted({form.model_type for form in forms}))
        raise errors.InputError(f"The model_type must be one of {kinds}, got {kind!r}.")
    for form in fitting:
        if not wanted or set(wanted) & set(form.architectures):
            return form
    names = ", ".join(name for form in fitting for name in form.architectures)
    raise errors.InputError(
        f"The architecture of a {kind} must be one of {names}, got {', '.join(wanted)}."
    )


def _forms() -> Iterable[Format]:
    """Those of every file of this folder that has some; others are not imported."""
    package = importlib.import_module(__package__ or "jaxdl.models")
    for found in pkgutil.iter_modules(package.__path__):
        source = pathlib.Path(package.__path__[0], f"{found.name}.py").read_text(encoding="utf-8")
        if re.search(r"^PRETRAINED\b", source, re.MULTILINE):
            yield from importlib.import_module(f"{package.__name__}.{found.name}").PRETRAINED


def _form_of(module: nn.Module) -> Format:
    for form in _forms():
        if type(module) is form.model:
            return form
    names = ", ".join(sorted({form.model.__name__ for form in _forms()}))
    raise errors.InputError(
        f"A model in the form of transformers must be one of {names}, got a "
        f"{type(module).__name__}."
    )


def _cast(x: Any, dtype: Any) -> Any:
    return x.astype(dtype) if dtype and jnp.issubdtype(x.dtype, jnp.floating) else x


def _shape(shape: tuple[int, ...] | None) -> str:
    return "-" if shape is None else f"[{','.join(map(str, shape))}]"


def _table(rows: Sequence[tuple[str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)
