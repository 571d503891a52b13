"""A SLURM of this machine's own, for the tests: daemons in a temporary folder, ended after use."""

import contextlib
import getpass
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

NEEDED = ("munged", "slurmctld", "slurmd", "srun", "sbatch", "sinfo", "scancel")
SECONDS = 20  # for the daemons to come up, or to go


def missing():
    """Why there can be no SLURM here, None where there can."""
    gone = [name for name in NEEDED if _which(name) is None]
    if gone:
        return f"SLURM is not installed: no {', '.join(gone)} (Debian: slurm-wlm and munge)"
    names = {socket.gethostname(), "localhost"}
    try:
        addresses = {socket.gethostbyname(name) for name in names}
    except OSError:
        return "this machine's own name has no address"
    if len(names) < 2 or any(not address.startswith("127.") for address in addresses):
        return "two names of this machine are needed, both with an address of its own"
    return None


def _which(name):
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def running(folder: pathlib.Path):
    """Two nodes, which are this machine twice; yields the environment for srun and sbatch."""
    with contextlib.ExitStack() as stack:
        munge = _munge(stack, folder)
        configuration = folder / "slurm.conf"
        nodes = [socket.gethostname(), "localhost"]
        configuration.write_text(_configuration(folder, munge, nodes))
        environment = {
            k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH"))
        }
        environment["SLURM_CONF"] = str(configuration)
        _start(stack, environment, "slurmctld", "-c", "-D", log=folder / "slurmctld.out")
        for node in nodes:
            _start(stack, environment, "slurmd", "-D", "-N", node, log=folder / f"{node}.out")
        stack.callback(_sweep, environment)
        _wait(lambda: _idle(environment) == len(nodes), "two idle nodes")
        yield environment


def _start(stack, environment, name, *arguments, log):
    """Start a daemon in the foreground of a session of its own, ended when the stack is."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [_which(name), *arguments],
            env=environment,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end():
        process.terminate()
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    stack.callback(end)


def _sweep(environment):
    """Nothing that a job has started may live on."""
    subprocess.run(["scancel", "--user", getpass.getuser()], env=environment, check=False)
    with contextlib.suppress(TimeoutError):
        _wait(lambda: not said(environment, "squeue", "-h"), "an empty queue")


def _munge(stack, folder):
    """A munge daemon; returns the path of its socket, which must be short."""
    place = folder / "m"
    place.mkdir(mode=0o700)
    (place / "key").write_bytes(os.urandom(128))
    (place / "key").chmod(0o600)
    folder.chmod(0o755)
    place.chmod(0o755)
    files = [f"--{name}-file={place / name}" for name in ("key", "pid", "log", "seed")]
    arguments = ["--foreground", "--force", f"--socket={place / 's'}", *files]
    _start(stack, os.environ, "munged", *arguments, log=folder / "munge.out")
    _wait((place / "s").exists, "munge's socket")
    return place / "s"


def _configuration(folder, munge, nodes):
    ports = _free_ports(len(nodes) + 1)
    user = getpass.getuser()
    for name in ("state", *nodes):
        (folder / name).mkdir()
    lines = [
        "ClusterName=test",
        f"SlurmctldHost={nodes[0]}(127.0.0.1)",
        f"SlurmctldPort={ports[0]}",
        f"SlurmUser={user}",
        f"SlurmdUser={user}",
        # A requeued job waits until its old credential has expired, by default 2 minutes.
        f"AuthInfo=socket={munge},cred_expire=5",
        "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_CPU",
        "SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0",
        "JobAcctGatherType=jobacct_gather/none",
        "AccountingStorageType=accounting_storage/none",
        "MpiDefault=none",
        "ReturnToService=2",
        "SlurmdParameters=config_overrides",  # 4 CPUs a node, whatever this machine has
        "KillWait=5",
        "CompleteWait=0",
        "MessageTimeout=5",
        f"StateSaveLocation={folder}/state",
        f"SlurmdSpoolDir={folder}/%n",
        f"SlurmctldPidFile={folder}/slurmctld.pid",
        f"SlurmdPidFile={folder}/%n.pid",
        f"SlurmctldLogFile={folder}/slurmctld.log",
        f"SlurmdLogFile={folder}/%n.log",
    ]
    for node, port in zip(nodes, ports[1:], strict=True):
        lines.append(f"NodeName={node} NodeAddr=127.0.0.1 Port={port} CPUs=4 State=UNKNOWN")
    lines.append("PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP")
    return "\n".join(lines) + "\n"


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _idle(environment):
    return said(environment, "sinfo", "-h", "-N", "-o", "%t").split().count("idle")


def said(environment, *command):
    """What a command of SLURM prints."""
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.stdout


def _wait(ready, what):
    until = time.monotonic() + SECONDS
    while not ready():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} must come within {SECONDS} s")
        time.sleep(0.1)
