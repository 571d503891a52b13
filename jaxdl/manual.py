"""What the launcher shows before anything heavy is imported: the list and an experiment's help."""

import pathlib
from collections.abc import Iterable

import rich.console
import rich.padding
import rich.table
import rich.text

from jaxdl import errors, experiment, hyperparameters, values

COMMAND = "python -m jaxdl.launch"
WIDTH = 100  # wider lines are hard to read


def terminal() -> rich.console.Console:
    """Where a command prints, no wider than what is read with ease."""
    console = rich.console.Console(highlight=False)
    console.width = min(console.width, WIDTH)
    return console


def show_list(console: rich.console.Console) -> None:
    """Every experiment with the first line of its docstring, folder by folder."""
    by_folder: dict[pathlib.Path, list[pathlib.Path]] = {}
    for path in experiment.listed().values():
        by_folder.setdefault(path.parent, []).append(path)
    if not by_folder:
        console.print("No experiments here. Write one into ./experiments, or name a file:\n")
    for folder, paths in by_folder.items():
        console.print(_heading("Experiments", str(folder)))
        table = _table()
        for path in paths:
            table.add_row(rich.text.Text(path.stem, "bold cyan"), _first_line(path))
        console.print(table)
        console.print()
    console.print(_heading("Run one, see its hyperparameters, see the launcher's options"))
    console.print(
        _block(f"{COMMAND} NAME [--hyperparameter value ...]"),
        _block(f"{COMMAND} NAME --help"),
        _block(f"{COMMAND} --help"),
        sep="",
    )


def show_usage(
    console: rich.console.Console, options: Iterable[hyperparameters.Hyperparameter]
) -> None:
    """The launcher's own help."""
    console.print(_heading("Usage"))
    console.print(
        _block(COMMAND),
        _block(f"{COMMAND} NAME|FILE.py [--hyperparameter value ...] [options]"),
        _block(f"{COMMAND} NAME|FILE.py --help"),
        sep="",
    )
    console.print("\nWithout a name, it lists the experiments.\n")
    console.print(_heading("Options"))
    console.print(_parameters(options))


def show_help(
    console: rich.console.Console,
    file: experiment.File,
    parameters: Iterable[hyperparameters.Hyperparameter],
    options: Iterable[hyperparameters.Hyperparameter],
) -> None:
    """An experiment's docstring, its hyperparameters with their defaults, and the options."""
    console.print(_heading(file.name, experiment.shown(file.path)))
    console.print()
    for number, paragraph in enumerate(file.docstring.split("\n\n")):
        if paragraph.startswith(" "):
            console.print(rich.text.Text(paragraph.rstrip(), "cyan"), soft_wrap=True)
        else:  # filled anew, whatever the width it was written for
            filled = " ".join(paragraph.split())
            console.print(rich.text.Text(filled, "bold" if number == 0 else ""))
        console.print()
    parameters = list(parameters)
    if parameters:
        console.print(_heading("Hyperparameters"))
        console.print(_parameters(parameters))
        console.print()
    console.print(_heading("Options"))
    console.print(_parameters(options))


def _first_line(path: pathlib.Path) -> rich.text.Text:
    try:
        file = experiment.File(path)
    except errors.UserError as error:
        return rich.text.Text(str(error).splitlines()[0], "red")
    if not file.defines_experiment:
        return rich.text.Text("defines no function `experiment`", "red")
    return rich.text.Text(file.docstring.split("\n")[0])


def _parameters(parameters: Iterable[hyperparameters.Hyperparameter]) -> rich.table.Table:
    table = _table()
    for parameter in parameters:
        flag = rich.text.Text(parameter.flag, "bold cyan")
        if parameter.type is bool and parameter.default is not False:
            flag = rich.text.Text(f"--[no-]{parameter.flag[2:]}", "bold cyan")
        elif parameter.type is not bool:
            form = parameter.form or values.metavar(parameter.type)
            flag.append(f" {form}", "not bold")
        table.add_row(flag, _default(parameter), rich.text.Text(parameter.note, "dim"))
    return table


def _default(parameter: hyperparameters.Hyperparameter) -> rich.text.Text:
    if parameter.default is hyperparameters.REQUIRED:
        return rich.text.Text("required", "bold red")
    if parameter.type is bool:
        return rich.text.Text("on" if parameter.default else "")
    if parameter.default is None:
        return rich.text.Text("")
    return rich.text.Text(values.written(parameter.default) or "none")


def _table() -> rich.table.Table:
    return rich.table.Table(box=None, show_header=False, padding=(0, 2, 0, 2), pad_edge=True)


def _heading(title: str, aside: str = "") -> rich.text.Text:
    heading = rich.text.Text(title, "bold")
    return heading.append(f"   {aside}", "not bold dim") if aside else heading


def _block(line: str) -> rich.padding.Padding:
    return rich.padding.Padding(rich.text.Text(line, "cyan"), (0, 0, 0, 2))
