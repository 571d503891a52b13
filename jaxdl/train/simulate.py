"""A launch on simulated devices, in a process of its own: it plans a pod on a laptop.

Only the standard library is imported here: the child's JAX must start with its own settings.
"""

import os
import subprocess
import sys
from collections.abc import Sequence

from jaxdl import places

ALL_DEVICES = "JAXDL_ALL_DEVICES"  # what jaxdl/train/mesh.py takes as leave to use them all
# XLA's scheduler for CPU trades memory for concurrency, as no accelerator's does: a program's work
# space doubles. Machine code that never runs need not be good: half the time of compiling.
FLAGS = "--xla_cpu_enable_concurrency_optimized_scheduler=false --xla_backend_optimization_level=0"


def simulate(devices: int, argv: Sequence[str]) -> int:
    """Run `python -m jaxdl.launch <argv>` on so many simulated devices; returns its exit code.

    The devices are CPU devices of one process, all of which the run uses unless it has a mesh.
    """
    environment = places.alone(os.environ) | {
        "JAX_PLATFORMS": "cpu",
        "JAX_NUM_CPU_DEVICES": str(devices),
        "XLA_FLAGS": f"{FLAGS} {os.environ.get('XLA_FLAGS', '')}".strip(),
        ALL_DEVICES: "1",
    }
    command = [sys.executable, "-m", "jaxdl.launch", *argv]
    code = subprocess.run(command, env=environment, check=False).returncode
    return code if code >= 0 else 128 - code  # the shell's code for a signal
