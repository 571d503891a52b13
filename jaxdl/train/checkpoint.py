"""Checkpoints of any pytree: the last and the best, checked when read, never half there.

Checksums find what the disk spoiled: then an older checkpoint is taken, and said so. What does not
fit is refused in a short table. A step is written as `<step>.tmp` and renamed when it is whole; a
step that is saved again becomes `<step>.1` before the old one goes. So a kill leaves complete
checkpoints, and `.tmp` and `.old` folders, which do not count and which the next process that saves
here deletes. What is in a step's folder: jaxdl/train/stepfolder.py.

The processes of one run share the folder. Each writes the pieces of arrays that its devices hold
(jaxdl/train/pieces.py), the first does the rest; a checkpoint goes on to any other mesh.
"""

import concurrent.futures
import contextlib
import functools
import itertools
import json
import math
import pathlib
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdl import errors
from jaxdl.train import peers, pieces, stepfolder

ROWS = 12  # of each kind in the table of leaves that do not fit
COMPLETE = re.compile(r"\d+(\.\d+)?")
LEFTOVER = re.compile(r"\d+(\.\d+)?\.(tmp|old)")


class Restored(NamedTuple):
    """What a checkpoint held."""

    step: int
    tree: Any
    meta: dict


class Checkpoints:
    """The checkpoints in one folder: the last `keep` and the best, one writer at a time.

    Whatever only restores deletes nothing. Use as a context manager, or call `close`. All processes
    of a run make it, and call `save` and `restore` in the same order: they succeed or fail as one.
    """

    def __init__(self, folder: pathlib.Path, keep: int = 2):
        if keep < 1:
            raise ValueError(f"Checkpoints to keep must be at least 1, got {keep}.")
        self.folder = pathlib.Path(folder).absolute()
        self.keep = keep
        kinds = (errors.InputError, errors.StorageError, errors.NonFiniteError, stepfolder.Damaged)
        self._peers = peers.Peers(f"checkpoints{self.folder}", kinds)
        self._swept = False
        self._skipped: set[str] = set()  # names that `restore` found damaged
        self._scores: dict[str, float | None] = {}
        self._running: concurrent.futures.Future | None = None
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        with stepfolder.reported(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(self, step: int, tree: Any, meta: dict, score: float | int | None = None) -> None:
        """Copies the tree to the host and returns; a thread writes it. No save is ever skipped.

        step: the folder's name; a step that is there already is replaced.
        tree: its buffers may be donated as soon as this returns.
        meta: JSON; of several processes the first one's counts.
        score: higher is better; None or not finite: not known.
        errors.NonFiniteError names the first leaf that has a NaN; nothing is saved then.
        What went wrong in the thread is raised by the next `save`, `wait` or `close`.
        """
        self.wait()
        with self._peers.together():
            leaves, held = _held(step, tree, self._peers.index)
            known = None if score is None or not math.isfinite(score) else float(score)
            head = {"step": step, "score": known, "meta": meta}
            head = json.loads(json.dumps(head))  # a copy; what JSON cannot hold is raised here
        self._running = self._writer.submit(self._write, head, leaves, held)

    def wait(self) -> None:
        """Returns when what was saved is on disk, or raises what kept it from getting there."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def close(self) -> None:
        """Waits, and ends the thread. Without it the last save may be lost when Python ends."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def steps(self) -> list[int]:
        """Steps with a complete checkpoint, ascending."""
        return sorted({step for step, _ in self._complete()})

    def best(self) -> int | None:
        """The step with the highest score, the earliest of equals; None where none has a score."""
        self.wait()
        found = self._best(self._complete())
        return None if found is None else found[0]

    def restore(
        self, template: Any, say: Callable[[str], None], step: int | None = None
    ) -> Restored | None:
        """The newest good checkpoint, or that of `step`; None where there is none at all.

        template: arrays or `jax.ShapeDtypeStruct`, whose shardings the restored leaves get.
        say: is told in one line each which checkpoints were skipped, and why.
        errors.InputError: it does not fit the template (a table of leaves); older ones are not
        tried, as all are alike. errors.StorageError: there are checkpoints, but none is good.
        """
        self.wait()
        found = self._agreed(step)
        if not found and step is None:
            return None
        for at, path in reversed(found):
            try:
                with self._peers.together():
                    head, saved = stepfolder.read_manifest(path)
                    _check_fit(at, path, saved, template)
                    tree = _placed(path, head["files"], saved, template)
            except stepfolder.Damaged as error:
                say(f"Skipped the checkpoint of step {at}: {error}.")
                self._skipped.add(path.name)
            else:
                return Restored(at, tree, head["meta"])
        if self._agreed(step) != found:  # the run that writes here has moved on
            return self.restore(template, say, step)
        wanted = "a good checkpoint" if step is None else f"a good checkpoint of step {step}"
        raise errors.StorageError(
            f"{self.folder} must hold {wanted}, got {len(found)} damaged. "
            "Bring one back from a backup, or start anew under another --name."
        )

    def _agreed(self, step: int | None) -> list[tuple[int, pathlib.Path]]:
        """What `_complete` gives in the first process."""
        names = self._peers.told([path.name for _, path in self._complete(step)])
        return [(_order(path)[0], path) for path in (self.folder / name for name in names)]

    def _complete(self, step: int | None = None) -> list[tuple[int, pathlib.Path]]:
        """(step, folder) of all or of one step, oldest first; of one step the newest last."""
        if not self.folder.is_dir():
            return []
        found = [path for path in self.folder.iterdir() if COMPLETE.fullmatch(path.name)]
        pairs = [(_order(path)[0], path) for path in sorted(found, key=_order)]
        return [pair for pair in pairs if step in (None, pair[0])]

    def _best(self, found: list[tuple[int, pathlib.Path]]) -> tuple[int, pathlib.Path] | None:
        for _, path in found:
            if path.name not in self._scores:
                try:
                    self._scores[path.name] = stepfolder.read_manifest(path)[0]["score"]
                except stepfolder.Damaged:
                    self._scores[path.name] = None
        scored = [(self._scores[path.name], -step, path) for step, path in found]
        scored = [entry for entry in scored if entry[0] is not None]
        return (-max(scored)[1], max(scored)[2]) if scored else None

    def _write(self, head: dict, leaves: list[stepfolder.Leaf], held: list[list]) -> None:
        unfinished = self.folder / f"{head['step']}.tmp"
        me, first = self._peers.index, self._peers.first
        try:
            with self._all_reported():
                if first:
                    self.folder.mkdir(parents=True, exist_ok=True)
                    self._sweep()
                    unfinished.mkdir()
            with self._all_reported():
                needed = sum(array.nbytes for leaf in held for _, array in leaf)
                stepfolder.check_space(self.folder, needed)
                part = stepfolder.write_part(unfinished, me, held)
                if not first:
                    stepfolder.hand_over(unfinished, me, part)
            with self._all_reported():
                if first:
                    others = range(1, self._peers.count)
                    parts = [part, *(stepfolder.take_over(unfinished, i) for i in others)]
                    stepfolder.write_manifest(unfinished, head, leaves, parts)
                    self._finish(head, unfinished)
        except Exception:
            if first:
                shutil.rmtree(unfinished, ignore_errors=True)  # nothing stays half written
            raise
        if not first:
            self._scores.clear()  # a name may come again

    @contextlib.contextmanager
    def _all_reported(self) -> Iterator[None]:
        with self._peers.together(), stepfolder.reported(self.folder):
            yield

    def _finish(self, head: dict, unfinished: pathlib.Path) -> None:
        """Gives a whole checkpoint its name, and lets go of those that are not to be kept."""
        earlier = self._complete(head["step"])
        again = f".{_order(earlier[-1][1])[1] + 1}" if earlier else ""
        newest = unfinished.with_name(f"{head['step']}{again}")
        unfinished.rename(newest)
        stepfolder.sync(self.folder)
        self._scores[newest.name] = head["score"]
        self._prune(newest)

    def _sweep(self) -> None:
        """Deletes what killed saves left; once, and only in a process that saves."""
        if not self._swept:
            for path in self.folder.iterdir():
                if LEFTOVER.fullmatch(path.name):
                    shutil.rmtree(path)
        self._swept = True

    def _prune(self, newest: pathlib.Path) -> None:
        """Keeps the last, the best and the one just saved; damaged ones are of no more use."""
        latest = dict(self._complete())  # of a step that was saved again, the last one
        good = [(step, path) for step, path in latest.items() if path.name not in self._skipped]
        kept = {newest, *(path for _, path in good[-self.keep :])}
        best = self._best(good)
        if best is not None:
            kept.add(best[1])
        for _, path in self._complete():
            if path not in kept:
                # A kill while its files go must not leave half a checkpoint under a good name.
                old = path.with_name(f"{path.name}.old")
                path.rename(old)
                shutil.rmtree(old)
                self._scores.pop(path.name, None)
                self._skipped.discard(path.name)


def _order(path: pathlib.Path) -> tuple[int, int]:
    """Step, and how often it had been saved before."""
    step, _, again = path.name.partition(".")
    return int(step), int(again or 0)


def _flatten(tree: Any) -> tuple[list[str], list, Any]:
    """Paths like state/params/output/kernel, leaves, structure."""
    pairs, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in pairs]
    clear = all(
        name.count("/") == len(path) - 1 for name, (path, _) in zip(names, pairs, strict=True)
    )
    if not clear or len(set(names)) < len(names):  # a slash in a key, or both 0 and "0"
        names = [jax.tree_util.keystr(path) for path, _ in pairs]
    return [name or "root" for name in names], [leaf for _, leaf in pairs], structure


def _held(step: int, tree: Any, process: int) -> tuple[list[stepfolder.Leaf], list[list]]:
    """All leaves, and for each the pieces that this process is to write, copied to the host."""
    paths, leaves, _ = _flatten(tree)
    held = [pieces.held(leaf, process) for leaf in leaves]
    for _, piece in itertools.chain.from_iterable(held):
        # All transfers at once; on CPU jax 0.11 would no longer donate such a buffer.
        if isinstance(piece, jax.Array) and jax.default_backend() != "cpu":
            piece.copy_to_host_async()
    copies = [
        [(box, pieces.host_copy(path, piece)) for box, piece in leaf]
        for path, leaf in zip(paths, held, strict=True)
    ]
    for path, leaf in zip(paths, copies, strict=True):
        if any(jnp.issubdtype(x.dtype, jnp.inexact) and np.isnan(x).any() for _, x in leaf):
            raise errors.NonFiniteError(
                f"The state at step {step} must be free of NaN to be saved, got NaN in {path}. "
                "The checkpoints before it stay."
            )
    pairs = zip(paths, leaves, strict=True)
    return [stepfolder.Leaf(path, *_kind(leaf), _key(leaf), []) for path, leaf in pairs], copies


def _key(leaf: Any) -> str | None:
    return str(jax.random.key_impl(leaf)) if pieces.is_key(leaf) else None


def _kind(leaf: Any) -> tuple[list[int], str]:
    """Shape and dtype, of whatever has them and of Python's numbers."""
    leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
    return list(leaf.shape), str(leaf.dtype)


def _placed(
    folder: pathlib.Path, sizes: dict[str, int], saved: list[stepfolder.Leaf], template: Any
) -> Any:
    """The template's tree with the checkpoint's numbers; each leaf is read, checked and placed."""
    paths, wanted, structure = _flatten(template)
    found = {leaf.path: leaf for leaf in saved}
    leaves = [
        pieces.placed(
            like, found[path].key, functools.partial(stepfolder.read, folder, sizes, found[path])
        )
        for path, like in zip(paths, wanted, strict=True)
    ]
    return jax.tree_util.tree_unflatten(structure, leaves)


def _check_fit(
    step: int, folder: pathlib.Path, saved: list[stepfolder.Leaf], template: Any
) -> None:
    paths, leaves, _ = _flatten(template)
    wanted = {path: _text(*_kind(leaf)) for path, leaf in zip(paths, leaves, strict=True)}
    found = {leaf.path: _text(leaf.shape, leaf.dtype) for leaf in saved}
    if found == wanted:
        return
    differing = {
        "differ": [path for path in wanted if path in found and found[path] != wanted[path]],
        "are missing in the checkpoint": [path for path in wanted if path not in found],
        "are only in the checkpoint": [path for path in found if path not in wanted],
    }
    rows = [("leaf", "saved", "wanted")]
    for kind, group in differing.items():
        rows += [(path, found.get(path, "-"), wanted.get(path, "-")) for path in group[:ROWS]]
        if len(group) > ROWS:
            rows.append((f"and {len(group) - ROWS} more that {kind}", "", ""))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    table = "\n".join(f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}".rstrip() for a, b, c in rows)
    counts = ", ".join(f"{len(group)} {kind}" for kind, group in differing.items() if group)
    raise errors.InputError(
        f"The checkpoint of step {step} must fit this run's state, got leaves that do not: "
        f"{counts}.\n{table}\nResume {folder.parent} with the program and the hyperparameters "
        "that wrote it, or start anew under another --name."
    )


def _text(shape: list[int], dtype: str) -> str:
    return f"{dtype}[{','.join(map(str, shape))}]"
