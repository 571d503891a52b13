"""What a run would do, before it does anything: data, shapes, layout, arithmetic, memory, talk."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import rich.box
import rich.console
import rich.table
import rich.text

from jaxdl import run as runs
from jaxdl.data import batches, report
from jaxdl.train import card, collectives, mesh, progress, record
from jaxdl.train import program as programs

MOST_CLASSES = 20  # that are shown one by one
MARKS = {"good": ("✓", "green"), "note": ("·", "dim"), "look": ("!", "bold yellow")}
WIDTH = 120  # of tables that go into a file
# What makes each part of a device's memory smaller.
REMEDIES = {
    "state": "more devices on fsdp or tensor",
    "data": "jaxdl.data.streams",
    "work space": "rematerialisation, microbatches, a smaller batch on each device",
}
ON_CPU = (
    "Compiled for CPU, so work space and collectives are upper bounds: bfloat16 counts as float32, "
    "and gradients are summed whole by an all-reduce before they are cut, where GPU and TPU make a "
    "reduce-scatter of half the bytes."
)


def show(run: runs.Run, launched: record.Launched, hbm: float | int | None = None) -> None:
    """Compile one step and print what it costs; nothing is trained and nothing is written.

    hbm: bytes of memory on a device; then it says whether the step fits, and what would not.
    """
    feed = batches.opened(run.train, launched.seed)
    try:
        program = programs.Program(run, launched.seed, feed.first())
        compiled = program.compiled_step()
        console = rich.console.Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDTH
        console.print(f"[bold]{launched.experiment}[/bold], a dry run: nothing is written")
        for shown in _data(report.of(run.train, run.tests, launched.seed)):
            console.print(shown)
        console.print(_batch(program))
        console.print(_parameters(program))
        console.print(_cost(run, program, compiled))
        if program.mesh is not None:
            console.print(_collectives(program, compiled))
        console.print(_memory(program, compiled, hbm))
        if program.mesh is not None and jax.default_backend() == "cpu":
            console.print(ON_CPU, style="dim")
    finally:
        feed.close()


def memory(program: programs.Program, compiled: Any) -> dict[str, int]:
    """Bytes on each device while a step runs: of the state, the data and the work space."""
    state = sum(mesh.bytes_on_device(leaf) for leaf in jax.tree.leaves(program.shape))
    analysis = compiled.memory_analysis()
    if analysis is None:
        return {"state": state}
    data = max(0, analysis.argument_size_in_bytes - state)
    return {"state": state, "data": data, "work space": analysis.temp_size_in_bytes}


def verdict(parts: Mapping[str, int], hbm: float | int) -> str:
    """Whether the parts fit a device's memory, and the first that does not."""
    used = 0
    for part, count in parts.items():
        used += count
        if used > hbm:
            much = size(used - hbm)
            return f"no: the {part} is {much} too much. Less of it: {REMEDIES[part]}"
    return f"yes: {size(hbm - used)} to spare"


def _data(parts: list[report.Part]) -> Iterator[Any]:
    """What the data are like, how often each class is there, and what stands out."""
    columns = ("part", "examples", "entry", "shape", "dtype", "from", "to", "mean ± deviation")
    table = _table("The data", columns)
    for column in (1, 5, 6, 7):
        table.columns[column].justify = "right"
    for part in parts:
        head = part.name, _how_many(part)
        for label, entry in part.entries.items():
            low, high = (f"{x:.4g}" for x in (entry.low.min(), entry.high.max()))
            middle = f"{entry.mean:.3g} ± {entry.deviation:.3g}"
            if label == "target" and entry.classes:
                middle = f"{len(entry.classes):,} classes"
            table.add_row(*head, label, str(list(entry.shape)), entry.dtype, low, high, middle)
            head = "", ""
    if table.row_count:
        yield table
    classes = {part.name: part.entries["target"].classes for part in parts if _classed(part)}
    if classes:
        yield _classes(classes)
    for mark, words in report.remarks(parts):
        yield rich.text.Text.assemble("  ", MARKS[mark], " ", words)


def _how_many(part: report.Part) -> str:
    """Examples, and how many of them were looked at where that is not all."""
    if part.looked_at == part.size:
        return f"{part.looked_at:,}"
    return f"{part.looked_at:,} of {'a stream' if part.size is None else f'{part.size:,}'}"


def _classed(part: report.Part) -> bool:
    entry = part.entries.get("target")
    return entry is not None and entry.classes is not None and len(entry.classes) <= MOST_CLASSES


def _classes(counts: Mapping[str, Mapping[int, int] | None]) -> rich.table.Table:
    table = _table("Classes of the target", ("class", *counts))
    for column in table.columns:
        column.justify = "right"
    for value in sorted({value for each in counts.values() for value in each or ()}):
        cells = [
            f"{each[value]:,}  {each[value] / sum(each.values()):6.2%}" if value in each else "–"
            for each in counts.values()
            if each is not None
        ]
        table.add_row(str(value), *cells)
    return table


def _batch(program: programs.Program) -> rich.table.Table:
    table = _table("One batch", ("path", "shape", "dtype"))
    for path, leaf in jax.tree_util.tree_leaves_with_path(program.batch_shape()):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        table.add_row(name, str(list(leaf.shape)), str(leaf.dtype))
    if table.row_count == 0:
        table.add_row("none: the learner makes its own experience", "", "")
    return table


def _parameters(program: programs.Program) -> rich.table.Table:
    """Each parameter; on a mesh also the axis that each of its dimensions is cut over."""
    laid_out = program.mesh is not None
    more = ("layout", "bytes each") if laid_out else ()
    table = _table("Parameters", ("path", "shape", "dtype", "numbers", *more))
    table.columns[0].no_wrap = True
    for column in (3, 5) if laid_out else (3,):
        table.columns[column].justify = "right"
    total = 0
    for path, leaf in card.parameters(program.shape.state):
        row = [path, str(list(leaf.shape)), str(leaf.dtype), f"{math.prod(leaf.shape):,}"]
        if laid_out:
            share = mesh.bytes_on_device(leaf)
            total += share
            row += [mesh.described(leaf), f"{share:,}"]
        table.add_row(*row)
    table.add_section()
    all_of_it = ["all", "", "", f"{card.parameter_count(program.shape.state):,}"]
    table.add_row(*all_of_it, *(["", f"{total:,}"] if laid_out else []))
    return table


def _cost(run: runs.Run, program: programs.Program, compiled: Any) -> rich.table.Table:
    table = _table("The run", ("what", "how much"))
    table.add_row("steps", f"{run.steps:,}")
    if run.train is not None and run.train.size is not None:
        epochs = run.steps * run.train.batch_size / run.train.size
        table.add_row("epochs", f"{epochs:.4g} of {run.train.size:,} examples")
    table.add_row(
        "events", f"log every {run.log_every}, evaluate {run.eval_every}, save {run.save_every}"
    )
    strategy, chunk = program.layout
    table.add_row("dispatch", "single steps" if chunk == 1 else f"{strategy} chunks of {chunk}")
    table.add_row("arithmetic of a step", f"{progress.number(program.cost.flops)} FLOP")
    analysis: dict[str, Any] = compiled.cost_analysis() or {}
    if program.mesh is not None:
        axes = ", ".join(f"{axis}={count}" for axis, count in program.mesh.shape.items())
        table.add_row("mesh", f"{axes}: {program.mesh.size} devices")
        # XLA counts what is done on several devices again, but a loop's body once.
        flops = max(analysis.get("flops", 0), program.cost.flops / program.mesh.size)
        table.add_row("of it on a device", f"{progress.number(flops)} FLOP")
    if "bytes accessed" in analysis:
        table.add_row("bytes a step moves", size(analysis["bytes accessed"]))
    return table


def _collectives(program: programs.Program, compiled: Any) -> rich.table.Table:
    table = _table("What devices say to one another", ("kind", "in a step", "bytes each sends"))
    for column in table.columns[1:]:
        column.justify = "right"
    assert program.mesh is not None
    for kind, traffic in collectives.of(compiled, program.mesh.size).items():
        table.add_row(kind, f"{traffic.count:,}", size(traffic.sent))
    if table.row_count == 0:
        table.add_row("nothing", "", "")
    return table


def _memory(program: programs.Program, compiled: Any, hbm: float | int | None) -> rich.table.Table:
    table = _table("Memory of a device", ("what", "bytes"))
    parts = memory(program, compiled)
    for part, count in parts.items():
        table.add_row(part, size(count))
    table.add_section()
    table.add_row("all", size(sum(parts.values())))
    if hbm is not None:
        table.add_row(f"fits {size(hbm)}", verdict(parts, hbm))
    return table


def size(count: float | int) -> str:
    """Bytes in the unit a person would choose."""
    power = min(4, max(0, int(math.log(max(count, 1), 1024))))
    return f"{count / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _table(title: str, columns: tuple[str, ...]) -> rich.table.Table:
    table = rich.table.Table(*columns, title=title, box=rich.box.SIMPLE, header_style="dim")
    table.title_justify = "left"
    return table
