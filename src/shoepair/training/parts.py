"""Loggers and callbacks that the settings name by their classes: built here, and told what every run has to say."""

import contextlib
import importlib
import inspect
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, WandbLogger

from shoepair.config.schema import TrainSettings
from shoepair.errors import Pruned, UserError, one_line, refused_by_machine
from shoepair.models.module import refusing
from shoepair.runs.read import flat_settings
from shoepair.training.tensorboard import EpochLogger


def loggers(settings: TrainSettings, run_dir: Path) -> list[Logger]:
    """The loggers of a run. What has a place or a name for runs gets the run's folder and its name."""
    ours = {"folder": run_dir, "save_dir": run_dir, "run_name": run_dir.name}
    of_wandb = {"name": run_dir.name, "group": run_dir.parent.name}
    return [
        _built(Logger, f"logger.{name}", part, ours | (of_wandb if part["_target_"].endswith("WandbLogger") else {}))
        for name, part in settings.logger.items()
    ]


def callbacks(settings: TrainSettings) -> list[Callback]:
    """The callbacks that somebody has added."""
    return [_built(Callback, f"callbacks.{name}", part, {}) for name, part in settings.callbacks.items()]


class TellLoggers(Callback):
    """Tells loggers other than TensorBoard's, which has its own way, the settings, and how the run ended."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings = flat_settings(settings.plain())

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in _others(trainer):
            logger.log_hyperparams(self.settings)

    @contextlib.contextmanager
    def told(self, trainer: Trainer) -> Iterator[None]:
        """Tell them how the block ended: Lightning takes pruned for a failure, and does not see what fails later."""
        try:
            yield
        except BaseException as error:
            pruned = isinstance(error, Pruned)
            for logger in _others(trainer):
                logger.finalize("finished" if pruned else "failed")
                _close(logger, exit_code=0 if pruned else 1)
            raise

    def end(self, trainer: Trainer, figures: Mapping[str, Any], epoch: int) -> None:
        """Tell them the validation figures of the weights that are kept."""
        for logger in _others(trainer):
            logger.log_metrics({f"best/{name}": float(figures[name]) for name in ("accuracy", "loss")}, epoch)
            logger.save()
            _close(logger, exit_code=0)


@contextlib.contextmanager
def named(settings: TrainSettings) -> Iterator[None]:
    """What fails in a callback or logger that somebody has added, as a UserError that names it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError | Pruned) or refused_by_machine(error) is not None:
            raise
        passed = {type(frame.f_locals.get("self")) for frame, _ in traceback.walk_tb(error.__traceback__)}
        added = {f"callbacks.{name}": part for name, part in settings.callbacks.items()}
        added |= {f"logger.{name}": part for name, part in settings.logger.items()}
        for key, part in added.items():
            if not part["_target_"].startswith("shoepair.") and _class_of(part) in passed:
                raise UserError(
                    f"{key}: {part['_target_']} failed ({type(error).__name__}: {one_line(str(error))[:200]}); "
                    "HYDRA_FULL_ERROR=1 shows where."
                ) from error
        raise


def _class_of(part: Mapping[str, Any]) -> Any:
    module, _, name = part["_target_"].rpartition(".")
    return getattr(importlib.import_module(module), name)


def _others(trainer: Trainer) -> list[Logger]:
    return [logger for logger in trainer.loggers if not isinstance(logger, EpochLogger)]


def _close(logger: Logger, exit_code: int) -> None:
    """W&B keeps a run open until its process ends, and the next job of a sweep would go on with it."""
    if isinstance(logger, WandbLogger):
        importlib.import_module("wandb").finish(exit_code=exit_code)  # nothing, where no run was begun


def _built(kind: Any, key: str, part: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    arguments = {name: value for name, value in part.items() if name != "_target_"}
    with refusing(key, part):  # by the class's own check of its arguments
        target = _class_of(part)
        known = inspect.signature(target).parameters
        built = target(**({name: value for name, value in ours.items() if name in known} | arguments))
    if not isinstance(built, kind):
        raise UserError(f"{key}._target_={part['_target_']}: expected a {kind.__name__} of Lightning.")
    return built
