"""Jobs on this machine: submitit's local processes, each in a session of its own.

A Ctrl-C in the terminal reaches them once, from the launcher; and they stop and save where the
launcher has been killed.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from typing import Any

import submitit
from submitit.local import local

LAUNCHER = "JAXDL_LAUNCHER"  # the process whose job this is


class SessionExecutor(submitit.LocalExecutor):
    """As its base, which starts its processes in the terminal's own session."""

    def _submit_command(self, command: str) -> local.LocalJob[Any]:
        shown = ",".join(map(str, self.parameters.get("visible_gpus", ())))
        told = {
            "COMMAND": command,
            "NTASKS": "1",
            "TIMEOUT_S": str(60 * self.parameters["timeout_min"]),
            "SIGNAL_DELAY_S": "30",
            "NODEID": "0",
            "JOB_NUM_NODES": "1",
            "WITH_SHELL": "",
        }
        environment = os.environ | {f"SUBMITIT_LOCAL_{name}": told[name] for name in told}
        environment |= {"SUBMITIT_EXECUTOR": "local", "SUBMITIT_STDERR_TO_STDOUT": ""}
        environment |= {"CUDA_VISIBLE_DEVICES": shown, LAUNCHER: str(os.getpid())}
        process = subprocess.Popen(
            [sys.executable, "-m", "submitit.local._local", str(self.folder)],
            env=environment,
            start_new_session=True,
        )
        return local.LocalJob(self.folder, str(process.pid), [0], process)


def end_with_launcher() -> None:
    """Ask this process to stop once the launcher whose local job it is has ended."""
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or not hasattr(os, "pidfd_open"):  # Linux alone has it
        return

    def watch() -> None:
        try:
            ended = os.pidfd_open(int(launcher))
        except ProcessLookupError:  # it went before that
            pass
        else:
            select.select([ended], [], [])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
