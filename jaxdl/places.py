"""Where a process stands in its job, read from the environment that a launcher has set.

SLURM's srun, Open MPI and `--processes N` are read here; on Kubernetes and Cloud TPU JAX asks the
surroundings. Only the standard library is imported.
"""

import glob
import importlib.util
import re
from collections.abc import Mapping
from typing import NamedTuple

from jaxdl import errors

ADDRESS, COUNT, INDEX = "JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"
BIND_ADDRESS = "JAX_COORDINATOR_BIND_ADDRESS"
PARENT = "JAXDL_PARENT"  # the process that started this one by --processes


class Place(NamedTuple):
    """Where the environment places this process in its job."""

    index: int
    count: int
    devices: list[int] | None  # of this host's, those for this process; []: all, None: JAX chooses


def of(environ: Mapping[str, str]) -> Place | None:
    """This process among those that a launcher started together; None where it is alone."""
    if COUNT in environ:
        index, number = environ.get(INDEX, ""), environ[COUNT]
        if not (number.isdecimal() and index.isdecimal() and int(index) < int(number)):
            raise errors.InputError(
                f"{INDEX} must be from 0 to {COUNT} - 1, got {index!r} and {number!r}."
            )
        return Place(int(index), int(number), [])
    # Open MPI first: inside a SLURM job it starts its processes through a step of SLURM's.
    if int(environ.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        here = int(environ["OMPI_COMM_WORLD_LOCAL_RANK"])
        near = int(environ.get("OMPI_COMM_WORLD_LOCAL_SIZE", 1))
        index, number = environ["OMPI_COMM_WORLD_RANK"], environ["OMPI_COMM_WORLD_SIZE"]
        return Place(int(index), int(number), _devices(environ, here, near))
    # Of the step, not of the job: the shell of an allocation is one task, whatever was allocated.
    step = "SLURM_STEP_NODELIST" in environ and "SLURM_PROCID" in environ
    if step and int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:
        here, near = int(environ["SLURM_LOCALID"]), _tasks_here(environ)
        index, number = environ["SLURM_PROCID"], environ["SLURM_STEP_NUM_TASKS"]
        return Place(int(index), int(number), _devices(environ, here, near))
    return None


def _tasks_here(environ: Mapping[str, str]) -> int:
    """The step's tasks on this node; SLURM writes 2,2,2,1 as `2(x3),1`."""
    text = environ.get("SLURM_STEP_TASKS_PER_NODE") or "1"
    runs = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    tasks = [int(tasks) for tasks, nodes in runs for _ in range(int(nodes or 1))]
    node = int(environ.get("SLURM_NODEID", 0))
    return tasks[node] if node < len(tasks) else tasks[-1]


def _devices(environ: Mapping[str, str], here: int, near: int) -> list[int] | None:
    """The GPUs of this host that are for the process `here` of the `near` ones on it."""
    bound = any(name in environ for name in ("SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK"))
    if near == 1 or bound:
        return []
    visible = environ.get("CUDA_VISIBLE_DEVICES") or environ.get("ROCR_VISIBLE_DEVICES")
    if not visible:
        return None
    share = len(visible.split(",")) // near
    return list(range(here * share, (here + 1) * share))  # [] where each already sees only its own


def in_pods(environ: Mapping[str, str]) -> bool:
    """On Kubernetes or a Cloud TPU, where JAX asks the surroundings for the other hosts."""
    indexed = "KUBERNETES_SERVICE_HOST" in environ and "JOB_COMPLETION_INDEX" in environ
    if indexed and importlib.util.find_spec("kubernetes"):  # of jax[k8s]; without it pods are alone
        return True
    chips = glob.glob("/dev/accel*") or glob.glob("/dev/vfio/[0-9]*")
    tpu = environ.get("JAX_PLATFORMS", "tpu").startswith("tpu")
    return bool(tpu and chips and importlib.util.find_spec("libtpu"))


def alone(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment for a process of its own, that joins nobody."""
    words = {ADDRESS, COUNT, INDEX, PARENT, "JAX_COORDINATOR_BIND_ADDRESS", "JOB_COMPLETION_INDEX"}
    words |= {"SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "OMPI_COMM_WORLD_SIZE"}
    return {name: value for name, value in environ.items() if name not in words}


def gpus(environ: Mapping[str, str]) -> list[str]:
    """This machine's NVIDIA GPUs: those the user has left visible, or all the driver shows."""
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu]
    found = (re.fullmatch(r"/dev/nvidia(\d+)", path) for path in glob.glob("/dev/nvidia*"))
    return sorted((match[1] for match in found if match), key=int)
