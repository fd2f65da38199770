"""launcher=submitit and launcher=slurm: Hydra's, which say how each job ended, and outlive those that are lost.

Needs the extra `slurm`: imported only where one of them was chosen, and in their jobs.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from types import FrameType, SimpleNamespace
from typing import Any

import submitit
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from omegaconf import OmegaConf, open_dict
from submitit.core.core import InfoWatcher, Job
from submitit.core.utils import UncompletedJobError
from submitit.slurm.slurm import SlurmJob

from shoepair.errors import UserError, one_line
from shoepair.launch.beside import lost_jobs
from shoepair.launch.sweep import Sweep
from shoepair.runs.folder import COMPLETED, UNKNOWN, read_status, relative_to_here

log = logging.getLogger(__name__)

POLL_S = 1.0
QUEUE_S = 30  # at most between two looks at SLURM's queue


class Told(BaseSubmititLauncher):
    """What both launchers have in common."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        with _waiting_here():
            return super().launch(job_overrides, initial_job_idx)

    def __call__(self, *arguments: Any) -> JobReturn:
        """In the job's process."""
        _end_as_interrupted()
        return super().__call__(*arguments)

    def returns(self, jobs: Sequence[Job[JobReturn]], started: Sequence[Sequence[Any]]) -> list[JobReturn]:
        """Wait for all jobs, and say of each how it ended. A lost one returns None, as a failed one does.

        Args:
            started: the arguments of each job.
        """
        log.info("%s; each writes into its folder, and here is a line as it ends", self.said_first(jobs))
        left, returned = dict(zip(jobs, started, strict=True)), dict[Job[JobReturn], JobReturn]()
        try:
            while left:
                for job in [job for job in left if job.done()]:
                    overrides, _, number, *_ = left.pop(job)
                    returned[job], ending = self._ending(job, overrides, number)
                    log.info("%s; %s left", ending, len(left) or "none")
                time.sleep(POLL_S if left else 0)
        except KeyboardInterrupt:
            self.leave(list(left))
            raise
        return [returned[job] for job in jobs]

    def _ending(self, job: Job[JobReturn], overrides: Sequence[str], number: int) -> tuple[JobReturn, str]:
        try:
            (result,) = job.results()
        except UncompletedJobError:
            lost_jobs.append(list(overrides))
            folder = self._folder(job, overrides, number)
            if Sweep.current is not None and read_status(folder).name == UNKNOWN:
                Sweep.current.lost.append(f"{folder.name} ({self.state(job)})")
            lines = relative_to_here(job.paths.stderr)
            return JobReturn(status=JobStatus.COMPLETED), f"{folder.name}: lost ({self.state(job)}), see {lines}"
        assert result.hydra_cfg is not None
        folder = Path(result.hydra_cfg.hydra.runtime.output_dir)
        status = read_status(folder)
        how = f"validation accuracy {100 * result.return_value:.1f} %" if status.name == COMPLETED else status.reason
        return result, f"{folder.name}: {status.name}{', ' + how if how else ''}"

    def _folder(self, job: Job[JobReturn], overrides: Sequence[str], number: int) -> Path:
        """Where a job writes that did not come to say so."""
        assert self.config is not None and self.hydra_context is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config.hydra.job):
            config.hydra.job.num, config.hydra.job.id = number, job.job_id
        return Path(config.hydra.sweep.dir, str(OmegaConf.select(config, "hydra.sweep.subdir")))

    def said_first(self, jobs: Sequence[Job[JobReturn]]) -> str:
        return f"{len(jobs)} jobs at once"

    def state(self, job: Job[JobReturn]) -> str:
        """What is known of a lost job."""
        raise NotImplementedError

    def leave(self, jobs: Sequence[Job[JobReturn]]) -> None:
        """After Ctrl-C, while these had not ended."""


class LocalLauncher(Told):
    _EXECUTOR = "local"

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        self.visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return super().launch(job_overrides, initial_job_idx)

    def __call__(self, *arguments: Any) -> JobReturn:
        # submitit hides all GPUs, or gives all jobs the first; which one is a job's, take_gpu() says.
        if self.params.get("gpus_per_node") is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
            if self.visible is not None:
                os.environ["CUDA_VISIBLE_DEVICES"] = self.visible
        return super().__call__(*arguments)

    def state(self, job: Job[JobReturn]) -> str:
        return "its process is gone"


class SlurmLauncher(Told):
    _EXECUTOR = "slurm"

    def said_first(self, jobs: Sequence[Job[JobReturn]]) -> str:
        several = f"{len(jobs)} jobs, {jobs[0].job_id} to {jobs[-1].job_id}"
        return f"SLURM has {several if len(jobs) > 1 else f'one job, {jobs[0].job_id}'}"

    def state(self, job: Job[JobReturn]) -> str:
        return f"SLURM: {job.state}"

    def leave(self, jobs: Sequence[Job[JobReturn]]) -> None:
        log.info("SLURM goes on with its jobs; scancel %s ends them", " ".join(job.job_id for job in jobs))


class Queue(InfoWatcher):
    """What SLURM knows of jobs, by squeue.

    submitit asks sacct, which knows nothing without accounting: there it would wait for a lost job for ever.
    """

    # What a job does not come back from; UNLISTED is ours, of one that the queue knows no longer.
    ENDED = (
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "TIMEOUT",
        "UNLISTED",
    )

    def _make_command(self) -> list[str] | None:
        if not self._registered - self._finished:
            return None
        return ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i %T"]

    def read_info(self, string: bytes | str) -> dict[str, dict[str, str]]:
        text = string.decode() if isinstance(string, bytes) else string
        listed = dict(line.split() for line in text.splitlines())
        return {job: {"State": listed.get(job, "UNLISTED")} for job in self._registered - self._finished}

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        return self.get_info(job_id, mode).get("State", "UNKNOWN")

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        return self.get_state(job_id, mode) in self.ENDED


SlurmJob.watcher = Queue(QUEUE_S)  # type: ignore[assignment]


class Executor(submitit.AutoExecutor):
    """Submits a launcher's jobs, and has the launcher wait for them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        with _as_user_error():
            super().__init__(*arguments, **options)

    def map_array(self, launcher: Told, *arguments: Any) -> list[SimpleNamespace]:  # type: ignore[override]
        started = list(zip(*arguments, strict=True))
        with _as_user_error():
            jobs = super().map_array(launcher, *arguments)
        ended = launcher.returns(jobs, started)
        return [SimpleNamespace(results=lambda job=job: [job]) for job in ended]  # as Hydra's launcher asks for them


@contextlib.contextmanager
def _as_user_error() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError, CalledProcessError) as error:
        raise UserError(f"launcher: the jobs cannot be submitted ({one_line(str(error))}).") from error


@contextlib.contextmanager
def _waiting_here() -> Iterator[None]:
    """Hydra's launcher waits for its jobs one after the other, without a word, and raises the first failure."""
    theirs = submitit.AutoExecutor
    setattr(submitit, "AutoExecutor", Executor)  # noqa: B010
    try:
        yield
    finally:
        setattr(submitit, "AutoExecutor", theirs)  # noqa: B010


def _end_as_interrupted() -> None:
    """A job whose time is over is interrupted, and can be gone on with; submitit would have it fail."""
    number = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
    theirs = signal.getsignal(number)
    assert callable(theirs)

    def on_signal(number: int, frame: FrameType | None) -> None:
        try:
            theirs(number, frame)  # leaves by SystemExit where SLURM is to start the job again
        except UncompletedJobError as error:
            raise SystemExit("its time was over") from error

    signal.signal(number, on_signal)
