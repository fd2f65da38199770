"""Jobs beside one another: whose line is whose in their terminal, whose GPU, and which did not come back."""

import contextlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig

from shoepair.errors import UserError
from shoepair.runs.folder import hold
from shoepair.terminal import labelled

LONGEST_LINE_LABEL = 30  # letters; a job's number, which tells it from all others, stands first
DRIVER_S = 30  # to be waited for the list of GPUs
# The overrides of jobs that did not come to say how they ended. The launcher notes them down, which returns None for
# them as for failed ones; a search goes on with them.
lost_jobs: list[list[str]] = []


def launcher_of(hydra: HydraConf) -> str:
    """Such as JoblibLauncher."""
    return str(hydra.launcher._target_).rpartition(".")[2]


def lines_of_its_own() -> contextlib.AbstractContextManager[None]:
    """joblib's jobs all write to one terminal: there, each line begins with its job's name."""
    hydra = HydraConfig.get()
    if launcher_of(hydra) != "JoblibLauncher":
        return contextlib.nullcontext()
    name = Path(hydra.runtime.output_dir).name
    return labelled(name if len(name) <= LONGEST_LINE_LABEL else f"{name[: LONGEST_LINE_LABEL - 1]}…")


def take_gpu(hydra: HydraConf) -> None:
    """With several GPUs on this machine: one for this process alone, until all have one; then one more on each.

    joblib and submitit leave a machine's GPUs to their jobs, and each job would take the first. By locks in the sweep's
    folder, not by the number of the job: joblib's processes take several jobs, and CUDA knows one device for as long
    as a process lives. SLURM and Ray give GPUs themselves; jobs one after the other have all of them.
    """
    gpus = visible_gpus() if launcher_of(hydra) in ("JoblibLauncher", "LocalLauncher") else []
    if len(gpus) < 2:
        return
    for place in itertools.count():
        with contextlib.suppress(UserError):  # another job has it
            hold(Path(hydra.sweep.dir), "has this GPU", f".gpu{place}.lock")
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]
            return


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may name; without it, all that the driver knows. Needs no torch."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        listed = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, timeout=DRIVER_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def jobs_at_once(accelerator: str) -> int:
    """For joblib: as many as there are GPUs, if there are several to train on; -1 is one for each core."""
    gpus = visible_gpus() if accelerator in ("auto", "cuda", "gpu") else []
    return len(gpus) if len(gpus) > 1 else -1
