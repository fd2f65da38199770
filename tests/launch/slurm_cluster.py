"""A SLURM cluster of one node on this machine, for as long as a command runs. Needs Debian's slurm-wlm and munge.

python tests/launch/slurm_cluster.py shoepair train -m launcher=slurm optimizer.lr=1e-3,1e-2

Everything of it stands in one folder, listens on the loopback interface and is this user's. No accounting, no cgroups.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
CPUS = 4  # as many jobs at once, whatever the machine has
CONF = """
ClusterName=shoepair
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def is_installed() -> bool:
    return all(shutil.which(program, path=_path()) for program in PROGRAMS)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[dict[str, str]]:
    """A cluster that runs jobs.

    Args:
        folder: an empty one, for all that it writes.
    Yields:
        The environment of programs that are to find it.
    """
    host = socket.gethostname().partition(".")[0]
    for name in ("munge", "state", "spool"):
        (folder / name).mkdir(mode=0o700)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    (folder / "slurm.conf").write_text(
        CONF.format(host=host, user=getpass.getuser(), folder=folder, cpus=CPUS, controller_port=_free_port(),
                    node_port=_free_port())
    )  # fmt: skip
    environment = {**os.environ, "PATH": _path(), "SLURM_CONF": str(folder / "slurm.conf")}
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    options = [f"--{option}={folder}/munge/{name}" for option, name in files.items()]
    daemons = []
    try:
        for command in (
            ["munged", "--foreground", "--force", *options],
            ["slurmctld", "-D"],
            ["slurmd", "-D", "-N", host],
        ):
            with (folder / f"{command[0]}.out").open("wb") as out:
                daemons.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
        _wait_until_idle(environment, daemons)
        yield environment
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            daemon.kill()


def _wait_until_idle(environment: dict[str, str], daemons: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(120):
        ended = [str(daemon.args) for daemon in daemons if daemon.poll() is not None]
        assert not ended, ended
        asked = subprocess.run(["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True)
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    raise AssertionError(f"the node is not ready: {asked.stdout}{asked.stderr}")


def _path() -> str:
    return os.environ.get("PATH", os.defpath) + ":/usr/sbin"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, cluster(Path(temporary)) as found:
        raise SystemExit(subprocess.run(sys.argv[1:], env=found).returncode)
