"""What the commands `python -m jaxdl.…` have in common: errors of a line, processes, a cache."""

import io
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import rich.console
import rich.text

from jaxdl import backend, cluster, errors

INTERRUPTED = 130  # the shell's code for a Ctrl-C


def main(function: Callable[[list[str]], int], argv: Sequence[str] | None = None) -> int:
    """Call a command with its words; returns its exit code: 0 done, 2 bad input, 3 not finite, 4
    storage, 75 stopped and saved. A fault of the program keeps its traceback.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of ASCII alone shows "?" for "·"
    try:
        return cluster.leave(function(argv))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as fault:
        error = cluster.explained(fault)
        if not isinstance(error, errors.UserError):
            raise
        console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(rich.text.Text.assemble(("error: ", "bold red"), str(error)))
        return cluster.leave(error.exit_code)


def cache_folder() -> pathlib.Path:
    """Where compiled programs are kept between launches."""
    default = os.path.join("~", ".cache", "jaxdl", "compilation")
    return pathlib.Path(os.environ.get("JAXDL_CACHE") or default).expanduser()


def set_up() -> None:
    """Join the other processes, if any; compiled programs outlive the process, unless the user has
    arranged that already.
    """
    backend.at_once()
    cluster.initialize()
    import jax

    if getattr(jax.config, "jax_compilation_cache_dir", None) is not None:
        return
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
    except OSError:
        return  # a launch without a cache only starts more slowly; the doctor tells
    jax.config.update("jax_compilation_cache_dir", str(cache_folder()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.01)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
