"""`python -m jaxdl.launch`: lists experiments, shows their help, runs them. And `launch`, the same
from Python.

Everything heavy (JAX, Flax, TensorBoard) is imported after the command line has been read.
"""

import dataclasses
import gc
import inspect
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxdl import cluster, command, errors, experiment, hyperparameters, manual
from jaxdl import options as opt
from jaxdl.train import stop

if TYPE_CHECKING:
    from jaxdl import run as runs
    from jaxdl.sweep import campaign
    from jaxdl.train import loop, record


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done, 2 bad input, 3 not finite (of a sweep: no run
    was), 4 storage, 75 stopped and saved. A fault of the program keeps its traceback.
    """
    return command.main(_command, argv)


def launch(
    run: str | os.PathLike[str] | Callable[..., Any],
    /,
    *,
    seed: int | None = None,
    logdir: str | os.PathLike[str] = "runs",
    name: str | None = None,
    resume: str | os.PathLike[str] | None = None,
    mesh: Mapping[str, int] | None = None,
    histograms: bool = False,
    quiet: bool = False,
    **values: Any,
) -> "loop.Result":
    """Run an experiment, given by name, by path or as the function itself; returns its Result.

    values: the experiment's hyperparameters. seed: 0 unless given. logdir, name: the run's folder
    is LOGDIR/<experiment>/<name, or time and a random number>; one that holds the beginning of this
    run is resumed. resume: a run's folder, or "last": its hyperparameters and its seed.
    mesh: axis -> devices along it, in place of `Run.mesh`. histograms: of weights, gradients and
    activations, shown at each evaluation.
    Raises errors.InputError where the command would show an error.
    """
    folder = None if resume is None else str(resume)
    options = opt.checked(
        opt.Options(seed, pathlib.Path(logdir), name, folder, mesh, histograms=histograms)
    )
    command.set_up()
    if callable(run):
        launching = _from_function(run)
    else:
        file = experiment.find(str(run))
        launching = _Launching(file.name, file.path, file.function)
    _check_known(launching, values)
    given = [repr(launching.name), *(f"{key}={value!r}" for key, value in values.items())]
    arranged = _arranged(launching, values, options, f"launch({', '.join(given)})", quiet)
    if arranged.asked is not None:
        raise errors.InputError(
            f"launch() must resume a run, got the folder of a sweep, {arranged.folder}.\n"
            f"`{manual.COMMAND} --resume` goes on with it."
        )
    return _train(arranged, options, quiet)


class _Launching(NamedTuple):
    """An experiment about to be run."""

    name: str
    path: pathlib.Path | None
    function: Callable[..., Any]


def _command(argv: Sequence[str]) -> int:
    console = manual.terminal()
    if not argv:
        manual.show_list(console)
        return 0
    if "--doctor" in argv:
        from jaxdl import doctor

        return doctor.main(console, command.cache_folder())
    words = list(argv)
    asks_help = "--help" in words or "-h" in words
    if words[0].startswith("-") and asks_help:
        manual.show_usage(console, opt.ALL)
        return 0
    file = opt.file_to_resume(words) if words[0].startswith("-") else experiment.find(words.pop(0))
    known = hyperparameters.of(file.signature(), file)
    _check_collisions(file, known)
    if asks_help:
        manual.show_help(console, file, known, opt.ALL)
        return 0
    values, options = _parse(words, file, known)
    if options.resume is None:
        values = _completed(values, options, known)
        hyperparameters.assemble(file.signature(), values)  # what is required has been given
    else:
        opt.run_folder(options.resume, options.logdir, file.name)
    started = _elsewhere(argv, options, file.name)
    if started is not None:
        return started
    if options.jobs is not None and options.slurm is None:
        # The jobs, which inherit it, share this machine's GPUs with this process and one another.
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    command.set_up()
    # The signature was read without the file; Enums and dataclasses are to be the file's own.
    known = hyperparameters.of(file.function)
    values = _completed(_parse(words, file, known)[0], options, known)
    launching = _Launching(file.name, file.path, file.function)
    line = shlex.join(["python", "-m", "jaxdl.launch", *argv])
    return _run(_arranged(launching, values, options, line, quiet=False), options)


def _parse(
    words: Sequence[str], file: experiment.File, known: list[hyperparameters.Hyperparameter]
) -> tuple[dict[str, Any], opt.Options]:
    """The hyperparameters and the options that a command line gives."""
    refusal, help_command = f"{file.name} has no hyperparameter", f"{manual.COMMAND} {file.name}"
    values = hyperparameters.parse(words, [*known, *opt.ALL], refusal, f"{help_command} --help")
    given = {o.name: values.pop(o.name) for o in opt.ALL if o.name in values}
    return values, opt.read(given)


def _completed(
    values: dict[str, Any], options: opt.Options, known: list[hyperparameters.Hyperparameter]
) -> dict[str, Any]:
    """The values, with those that must be given and that the sweep gives."""
    if not options.sweep:
        return values
    from jaxdl.sweep import reading

    return reading.completed(options.sweep, known, values)


def _elsewhere(argv: Sequence[str], options: opt.Options, name: str) -> int | None:
    """The exit code of what runs in other processes; None: it runs in this one."""
    if options.slurm is not None and not _sweeps(options, name):
        from jaxdl import submit

        return submit.slurm(opt.without(argv, "slurm"), options.slurm)
    if options.processes is not None:
        from jaxdl import spawn

        return spawn.run(opt.without(argv, "processes"), options.processes)
    if options.devices is not None:
        from jaxdl.train import simulate

        return simulate.simulate(options.devices, opt.without(argv, "devices"))
    return None


def _sweeps(options: opt.Options, name: str) -> bool:
    """Whether many runs are asked for, or were in the folder to resume; name: the experiment's."""
    if options.sweeps or options.resume is None:
        return options.sweeps
    from jaxdl.sweep import campaign

    folder = opt.run_folder(options.resume, options.logdir, name)
    return campaign.resumed(folder) is not None


class _Arranged(NamedTuple):
    """A launch whose every choice has been made, but for the run itself.

    asked: the sweep that the folder to be resumed holds, None where it holds none.
    """

    launching: _Launching
    values: Mapping[str, Any]  # hyperparameters that are not at their defaults
    launched: "record.Launched"
    folder: pathlib.Path
    asked: "campaign.Asked | None"

    def build(self, mesh: Mapping[str, int] | None) -> "runs.Run":
        """The run, anew."""
        launching = self.launching
        arguments = hyperparameters.assemble(launching.function, self.values)
        run = experiment.build(launching.function, arguments, launching.name, launching.path)
        return run if mesh is None else dataclasses.replace(run, mesh=mesh)


def _arranged(
    launching: _Launching,
    values: Mapping[str, Any],
    options: opt.Options,
    line: str,
    quiet: bool,
) -> _Arranged:
    """Find the folder, and what was launched in it before."""
    from jaxdl.train import record

    seed, folder, asked = options.seed or 0, None, None
    if options.resume is not None:
        from jaxdl.sweep import campaign

        folder = opt.run_folder(options.resume, options.logdir, launching.name)
        recorded, asked = record.read(folder), campaign.resumed(folder)
        launching = _same_experiment(launching, recorded, folder, quiet)
        known = hyperparameters.of(launching.function)
        plain = {n: v for n, v in recorded.hyperparameters.items() if not n.startswith("--")}
        before = hyperparameters.revived(plain, known, launching.name)
        values = {**before, **values}
        seed = recorded.seed if options.seed is None else options.seed
    arguments = hyperparameters.assemble(launching.function, values)
    plain = hyperparameters.plain(arguments)
    launched = record.Launched(launching.name, launching.path, plain, seed, line)
    name = options.name or cluster.broadcast(opt.new_name())
    folder = folder or options.logdir / launching.name / name
    return _Arranged(launching, values, launched, folder, asked)


def _run(arranged: _Arranged, options: opt.Options) -> int:
    """Do what the command line asks for; the exit code."""
    asked = _asked(arranged, options)
    if asked is not None:
        return _sweep(arranged, options, asked)
    if options.dry_run:
        from jaxdl.train import dry_run

        dry_run.show(arranged.build(options.mesh), arranged.launched, options.hbm)
        return 0
    if options.verify:
        from jaxdl.train import verify

        return verify.show(lambda: arranged.build(options.mesh), arranged.launched)
    result = _train(arranged, options, quiet=False)
    return stop.EXIT_CODE if result.status == "stopped" else 0


def _train(arranged: _Arranged, options: opt.Options, quiet: bool) -> "loop.Result":
    from jaxdl.train import loop, watch

    if "member" in (options.mesh or {}):
        raise errors.InputError("--mesh member=N must come with a sweep, whose runs it shares out.")

    run = arranged.build(options.mesh)
    if options.histograms:
        run = watch.added(run, watch.suited(run, arranged.launched.seed, quiet))
    if options.profile is not None and options.profile[0] >= run.steps:
        raise errors.InputError(
            f"--profile must begin before the last step, {run.steps}, got {options.profile[0]}."
        )
    return loop.train(run, arranged.folder, arranged.launched, profile=options.profile, quiet=quiet)


def _asked(arranged: _Arranged, options: opt.Options) -> "campaign.Asked | None":
    """The sweep that is asked for, now or when its folder was made."""
    if options.sweeps:
        from jaxdl.sweep import campaign

        return campaign.Asked(
            options.sweep, options.samples, options.seeds, options.search, options.population
        )
    if arranged.asked is None:
        names, kinds = ("ensemble", "jobs"), ("sweep", "run")
    else:
        names, kinds = ("profile", "dry_run", "verify"), ("run", "sweep")
    for name in names:
        if getattr(options, name):
            raise errors.InputError(
                f"--{name.replace('_', '-')} must come with a {kinds[0]}, "
                f"got the folder of a {kinds[1]}, {arranged.folder}."
            )
    return arranged.asked


def _sweep(arranged: _Arranged, options: opt.Options, asked: "campaign.Asked") -> int:
    from jaxdl.sweep import campaign, execute, reading
    from jaxdl.train import watch

    function, elsewhere = arranged.launching.function, None
    if options.jobs is not None or options.slurm is not None:
        kind = "local" if options.slurm is None else "slurm"
        elsewhere = campaign.Elsewhere(kind, options.jobs or 64, options.slurm or "")
    made = execute.Experiment(function, arranged.values, arranged.launched, options.mesh)
    if options.mesh is None:
        execute.share_cores()
    if options.histograms:
        made = made._replace(histograms=watch.suited(made.make({}), arranged.launched.seed))
    space = campaign.asked_space(asked, function)
    if not asked.sweep:  # the experiment's own
        reading.check_given_once(space, arranged.values)
    outcome = campaign.run_all(
        campaign.Campaign(made, space, asked, arranged.folder, False, elsewhere, options.ensemble)
    )
    if outcome.status == "stopped":
        return stop.EXIT_CODE
    failed = [member.status == "failed" for member in outcome.members]
    return errors.NonFiniteError.exit_code if failed and all(failed) else 0


def _from_function(function: Callable[..., Any]) -> _Launching:
    """An experiment given as a function: from a file it has the file's name."""
    name = getattr(function, "__name__", experiment.FUNCTION)
    try:
        path = pathlib.Path(inspect.getsourcefile(inspect.unwrap(function)) or "").absolute()
    except TypeError:  # a partial function, a callable object
        return _Launching(name, None, function)
    if not path.is_file():  # a notebook's cell
        return _Launching(name, None, function)
    return _Launching(path.stem if name == experiment.FUNCTION else name, path, function)


def _check_known(launching: _Launching, values: Mapping[str, Any]) -> None:
    known = {parameter.name.split(".")[0] for parameter in hyperparameters.of(launching.function)}
    for value in values.keys() - known:
        close = experiment.nearest(value, known)
        hint = f"Did you mean {close}?" if close else f"It has {', '.join(sorted(known))}."
        raise errors.InputError(f"{launching.name} has no hyperparameter {value}. {hint}")


def _check_collisions(
    file: experiment.File, known: Sequence[hyperparameters.Hyperparameter]
) -> None:
    taken = {option.name for option in opt.ALL}
    for parameter in known:
        if parameter.name in taken:
            raise errors.InputError(
                f"A hyperparameter must not be called {parameter.name}, an option of the launcher; "
                f"rename it in {experiment.shown(file.path)}."
            )


def _same_experiment(
    launching: _Launching, recorded: "record.Launched", folder: pathlib.Path, quiet: bool
) -> _Launching:
    """Checks that the folder is of this experiment; says where its file has changed since."""
    copy = folder.absolute() / "experiment.py"
    if launching.path == copy:  # the copy as it was launched
        return launching._replace(name=recorded.experiment)
    if launching.name != recorded.experiment:
        raise errors.InputError(
            f"--resume must be a run of {launching.name}, got {folder}, "
            f"a run of {recorded.experiment}."
        )
    if launching.path is not None and copy.exists() and not quiet:
        now, then = launching.path.read_bytes(), copy.read_bytes()
        if now != then:
            print(
                f"note: {experiment.shown(launching.path)} has changed since this run was "
                f"launched with {experiment.shown(copy)}",
                file=sys.stderr,
            )
    return launching


if __name__ == "__main__":
    # Imports and tracing make many objects that stay: looking at them all for garbage, at every 700
    # new ones and once more at exit, took a third of a short launch.
    gc.set_threshold(50_000, 20, 20)
    code = main()
    gc.freeze()
    sys.exit(code)
