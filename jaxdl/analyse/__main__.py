"""`python -m jaxdl.analyse RUN|last PART`: looks into a trained run, by its best checkpoint.

Each part is a file beside this one: its `Options` are the command line, its `analyse` does it.
"""

import importlib
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from jaxdl import command, errors, experiment, manual

PARTS = {
    "explain": "why it said so: what of the input counts",
    "attack": "whether it holds: small changes made to deceive it, and corruptions",
    "fairness": "whether groups are treated alike",
    "calibration": "how far its confidence can be trusted",
    "embed": "what its layers make of the examples",
    "curvature": "the loss around it: noise of the gradients, Hessian, influence",
}
USAGE = "python -m jaxdl.analyse RUN|last PART [--logdir DIR] [options]"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, as of `command.main`."""
    return command.main(_command, argv)


def _command(words: list[str]) -> int:
    console = manual.terminal()
    if not words or words[0] in ("-h", "--help"):
        console.print(f"{USAGE}\n")
        for name, line in PARTS.items():
            console.print(f"  [bold cyan]{name:<12}[/] {line}")
        console.print("\n  --logdir DIR  where the last run is looked for; else in runs")
        console.print("\nThe options of a part: python -m jaxdl.analyse PART --help")
        return 0
    given, part, rest = _read(words)
    module = importlib.import_module(f"jaxdl.analyse.{part}")
    options, logdir = _options(module.Options, part, rest)
    from jaxdl import trained
    from jaxdl.analyse import report

    folder = trained.find(given, logdir)
    command.set_up()
    found = trained.load(folder)
    console.print(f"{part} of {found.launched.experiment} at step {found.step:,} · {folder}")
    made = module.analyse(found, options)
    report.show(made, console)
    kept = report.write(made, folder, part, found.step)
    console.print(
        f"  kept    {kept}\n  shown   tensorboard --logdir {folder.parent}", soft_wrap=True
    )
    return 0


def _read(words: list[str]) -> tuple[str, str, list[str]]:
    """The run, the part, and what follows; of `PART --help`, no run."""
    if words[0] in PARTS and len(words) > 1 and words[1] in ("-h", "--help"):
        return "", words[0], words[1:]
    part = words[1] if len(words) > 1 else None
    if part not in PARTS:
        close = experiment.nearest(part, PARTS) if part else None
        hint = f" Did you mean {close}?" if close else ""
        raise errors.InputError(
            f"After the run must come one of {', '.join(PARTS)}, got {part or 'nothing'}.{hint}\n"
            f"{USAGE}"
        )
    return words[0], part, words[2:]


def _options(kind: type, part: str, words: list[str]) -> tuple[Any, pathlib.Path]:
    """A part's options, and the folder in which "last" is looked for."""
    import tyro

    logdir, flag = "runs", "--logdir"
    words = [w for word in words for w in word.split("=", word.startswith(f"{flag}="))]
    if flag in words:
        place = words.index(flag)
        if place + 1 == len(words):
            raise errors.InputError("--logdir must be followed by a folder, got nothing.")
        logdir, words = words[place + 1], words[:place] + words[place + 2 :]
    prog = f"python -m jaxdl.analyse RUN {part} [--logdir DIR]"
    return tyro.cli(kind, args=words, prog=prog), pathlib.Path(logdir)


if __name__ == "__main__":
    sys.exit(main())
