"""The files of a pretrained folder: `config.json` and safetensors (Hugging Face, 2022), whole or in
parts. Only they are read: a pickle may run any program.
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdl import errors

CONFIG = "config.json"
WHOLE = "model.safetensors"
PARTS = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth")


class Opened(NamedTuple):
    """Tensors on disk: their shapes by name, and how one is read."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], np.ndarray]


def config(folder: str | pathlib.Path) -> dict[str, Any]:
    """What config.json holds."""
    path = pathlib.Path(folder).expanduser()
    if not path.is_dir():
        raise errors.InputError(f"The pretrained folder must exist, got {folder}.")
    if not (path / CONFIG).is_file():
        raise errors.InputError(f"The pretrained folder {folder} must hold {CONFIG}, got none.")
    return _json(path / CONFIG)


@contextlib.contextmanager
def opened(folder: str | pathlib.Path) -> Iterator[Opened]:
    """The folder's tensors, of one file or of many; a tensor is read when it is asked for."""
    library = _library()
    where: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    with contextlib.ExitStack() as stack:
        for path in _files(pathlib.Path(folder).expanduser()):
            try:
                file = stack.enter_context(library.safe_open(path, "np"))
                for name in file.keys():  # noqa: SIM118 - no dict
                    shapes[name] = tuple(file.get_slice(name).get_shape())
                    where[name] = file
            except (library.SafetensorError, OSError) as error:
                raise errors.InputError(
                    f"{path} must be a whole safetensors file, got: {error}. Fetch it again."
                ) from error
        yield Opened(shapes, lambda name: where[name].get_tensor(name))


def write(
    folder: str | pathlib.Path, config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> None:
    """A folder of one config and one file of tensors; files of these names are replaced."""
    import_save = _library().numpy.save_file
    path = pathlib.Path(folder).expanduser()
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    try:
        settings = json.dumps(config, indent=2) + "\n"
    except TypeError as error:
        raise errors.InputError(f"{CONFIG} must hold plain settings, got: {error}.") from error
    try:
        path.mkdir(parents=True, exist_ok=True)
        unfinished = path / f"{WHOLE}.tmp"  # a kill leaves no half file under a good name
        import_save(arrays, unfinished, metadata={"format": "pt"})  # transformers insists on it
        unfinished.rename(path / WHOLE)
        (path / CONFIG).write_text(settings, encoding="utf-8")
    except OSError as error:
        raise errors.StorageError(f"{folder} must be writable, got: {error}.") from error


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if (folder / PARTS).is_file():
        names = sorted(set(_json(folder / PARTS).get("weight_map", {}).values()))
        for name in names:
            if pathlib.Path(name).name != name or not (folder / name).is_file():
                raise errors.InputError(
                    f"{folder} must hold every part that its {PARTS} names, got no {name}."
                )
        return [folder / name for name in names]
    pickles = [name for name in PICKLES if (folder / name).is_file()]
    if pickles:
        raise errors.InputError(
            f"The pretrained folder {folder} must hold {WHOLE}, got {pickles[0]}, a pickle, which "
            "may run any program. Save it again as safetensors with transformers."
        )
    raise errors.InputError(f"The pretrained folder {folder} must hold {WHOLE}, got none.")


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise errors.InputError(f"{path} must be readable JSON, got: {error}.") from error
    if not isinstance(found, dict):
        raise errors.InputError(f"{path} must hold a JSON object, got a {type(found).__name__}.")
    return found


def _library() -> Any:
    errors.needed("Pretrained models", "safetensors.numpy")
    return errors.needed("Pretrained models", "safetensors")
