"""Lightning's Trainer: built here only, for training and for finding the device of an evaluation."""

import logging
import os
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, WeightAveraging
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.profilers import AdvancedProfiler, SimpleProfiler
from lightning.pytorch.utilities.exceptions import SIGTERMException

from shoepair.config.schema import TrainSettings
from shoepair.config.trainer import DeviceSettings
from shoepair.config.typed import as_typed
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.errors import UserError, one_line, refused_by_machine
from shoepair.models.module import PairModule
from shoepair.runs.checkpoint import read_checkpoint
from shoepair.runs.folder import TERMINATED, last_checkpoint
from shoepair.training import parts
from shoepair.training.callbacks import EarlyStop, FreshStatistics, SeedEveryEpoch, StopOnDivergence, moving_average
from shoepair.training.checkpoint import CheckpointFiles, kept_checkpoint, last_epoch_checkpoint

log = logging.getLogger(__name__)

PROFILERS: dict[str, Any] = {"simple": SimpleProfiler, "advanced": AdvancedProfiler}


def build_trainer(settings: TrainSettings, run_dir: Path, callbacks: list[Callback]) -> Trainer:
    """The Trainer of a run, with the settings of `trainer`, writing into `run_dir` only."""
    callbacks = [SeedEveryEpoch(settings.seed), FreshStatistics(), *callbacks, *parts.callbacks(settings)]
    callbacks.append(StopOnDivergence())
    if settings.ema_decay is not None:
        callbacks.append(moving_average(settings.ema_decay))
    averaged = any(isinstance(callback, WeightAveraging) for callback in callbacks)  # only whole checkpoints hold them
    callbacks += [kept_checkpoint(run_dir, settings.keep, weights_only=not averaged), last_epoch_checkpoint(run_dir)]
    if settings.early_stopping.patience is not None:
        callbacks.append(EarlyStop(settings.early_stopping.patience))
    return _trainer(
        settings.trainer,
        default_root_dir=run_dir,
        logger=parts.loggers(settings, run_dir),
        callbacks=callbacks,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
        checkpoint_io=CheckpointFiles(),
    )


def evaluation_trainer(settings: DeviceSettings, run_dir: Path) -> Trainer:
    """A Trainer that only knows the device."""
    return _trainer(settings, default_root_dir=run_dir, logger=False, enable_checkpointing=False)


def _trainer(settings: DeviceSettings, checkpoint_io: CheckpointIO | None = None, **ours: Any) -> Trainer:
    plugins: list[Any] = [plugin for plugin in (checkpoint_io, cluster_environment()) if plugin is not None]
    given = settings.plain()
    if "profiler" in given:  # of itself it would print its table where quiet_lightning() silences it
        given["profiler"] = PROFILERS[given["profiler"]](dirpath=ours["default_root_dir"], filename="profile")
    try:
        return Trainer(
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            plugins=plugins,
            **ours,
            **given,
        )
    except (
        ImportError,
        MisconfigurationException,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:  # such as an accelerator not there
        raise UserError(f"trainer: {one_line(str(error))}") from error


def cluster_environment() -> ClusterEnvironment | None:
    """Who starts the processes of a training with several devices; None: Lightning finds out (torchrun, for one).

    Under SLURM, Lightning takes the number of tasks that were asked for as its own, also where srun started one of
    them, and saves and requeues by itself, into the current folder. Here, what SLURM started counts; requeueing is the
    business of submitit and of resume=.
    """
    if not SLURMEnvironment.detect():
        return None
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return SLURMEnvironment(auto_requeue=False)
    return LightningEnvironment()


def fit(trainer: Trainer, module: PairModule, data: ShoePairDataModule, resume: str | None, run_dir: Path) -> None:
    """Train, from the start or from the last whole epoch of an interrupted run.

    Args:
        resume: the folder of that run.
    Raises:
        UserError: for what Lightning finds out only when it begins.
        KeyboardInterrupt: after Ctrl-C, of which Lightning makes a SystemExit.
        SystemExit: after SIGTERM, with what a shell says of a process that it ended.
    """
    ckpt_path = None if resume is None else str(last_checkpoint(resume))
    if ckpt_path is not None:
        data.first_epoch = read_checkpoint(ckpt_path, key="resume").epoch
    first_epoch = FirstEpoch()
    trainer.callbacks.append(first_epoch)  # type: ignore[attr-defined]
    try:
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    except MisconfigurationException as error:
        raise UserError(f"trainer: {one_line(str(error))}") from error
    except SIGTERMException:
        log.info("Terminated. Go on with: shoepair train %s", as_typed("resume", run_dir))
        raise SystemExit(TERMINATED) from None
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            log.info("Interrupted. Go on with: shoepair train %s", as_typed("resume", run_dir))
            raise KeyboardInterrupt from None
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        is_said = isinstance(error, UserError) or refused_by_machine(error) is not None
        if ckpt_path is None or first_epoch.ended or is_said:
            raise
        raise UserError(  # what a checkpoint says of optimizer, schedule and callbacks counts only now
            f"resume={resume}: {ckpt_path} cannot be gone on with ({type(error).__name__}: "
            f"{one_line(str(error))[:150]}); take a copy of it, or start a new run."
        ) from error


class FirstEpoch(Callback):
    """Knows whether an epoch has ended since the start of this process."""

    ended = False

    def on_train_epoch_end(self, *args: Any) -> None:
        self.ended = True
