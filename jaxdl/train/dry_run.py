"""What a run would do, before it does anything: shapes, parameters, arithmetic, memory."""

import math
from typing import Any

import jax
import rich.box
import rich.console
import rich.table

from jaxdl import run as runs
from jaxdl.data import batches
from jaxdl.train import card, progress, record
from jaxdl.train import program as programs


def show(run: runs.Run, launched: record.Launched) -> None:
    """Compile one step and print what it costs; nothing is trained and nothing is written."""
    feed = batches.opened(run.train, launched.seed)
    try:
        program = programs.Program(run, launched.seed, feed.first())
        console = rich.console.Console(highlight=False)
        console.print(f"[bold]{launched.experiment}[/bold], a dry run: nothing is written")
        console.print(_batch(program))
        console.print(_parameters(program))
        console.print(_cost(run, program))
    finally:
        feed.close()


def _batch(program: programs.Program) -> rich.table.Table:
    table = _table("One batch", ("path", "shape", "dtype"))
    for path, leaf in jax.tree_util.tree_leaves_with_path(program.batch_shape()):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        table.add_row(name, str(list(leaf.shape)), str(leaf.dtype))
    if table.row_count == 0:
        table.add_row("none: the learner makes its own experience", "", "")
    return table


def _parameters(program: programs.Program) -> rich.table.Table:
    table = _table("Parameters", ("path", "shape", "dtype", "numbers"))
    table.columns[-1].justify = "right"
    for path, leaf in card.parameters(program.shape.state):
        table.add_row(path, str(list(leaf.shape)), str(leaf.dtype), f"{math.prod(leaf.shape):,}")
    table.add_section()
    table.add_row("all", "", "", f"{card.parameter_count(program.shape.state):,}")
    return table


def _cost(run: runs.Run, program: programs.Program) -> rich.table.Table:
    compiled = program.compiled_step()
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
    if "bytes accessed" in analysis:
        table.add_row("bytes a step moves", size(analysis["bytes accessed"]))
    memory = compiled.memory_analysis()
    if memory is not None:
        table.add_row("state and data on the device", size(memory.argument_size_in_bytes))
        table.add_row("work space of a step", size(memory.temp_size_in_bytes))
    return table


def size(count: float) -> str:
    """Bytes in the unit a person would choose."""
    power = min(3, max(0, int(math.log(max(count, 1), 1024))))
    return f"{count / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB')[power]}"


def _table(title: str, columns: tuple[str, ...]) -> rich.table.Table:
    table = rich.table.Table(*columns, title=title, box=rich.box.SIMPLE, header_style="dim")
    table.title_justify = "left"
    return table
