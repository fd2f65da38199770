"""What a job of a search does: it tells its study the validation accuracy of each epoch, and ends where Optuna's pruner
says that it is hopeless. Needs the extra `search`, imported where there is a search.
"""

import platform
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from shoepair.config.schema import SearchSettings, TrainSettings
from shoepair.errors import Pruned

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.trial import Trial


def callbacks(settings: TrainSettings, run_dir: Path) -> list[Callback]:
    """What a job of a search needs; nothing in any other run."""
    if settings.sweep is None or settings.sweep.trial is None:
        return []
    trial = trial_of(settings.sweep, settings.trainer.max_epochs)
    trial.set_user_attr("host", platform.node())  # machines may share a study
    trial.set_user_attr("folder", str(run_dir))
    return [ReportEpochs(trial)]


class ReportEpochs(Callback):
    """optuna-integration's callback, which reports and asks once the epoch's line is said.

    Raises:
        Pruned: where the pruner says so.
    """

    def __init__(self, trial: "Trial") -> None:
        from optuna_integration import PyTorchLightningPruningCallback

        # What is trained anew, since the run was killed before the epoch's checkpoint was written, was reported.
        warnings.filterwarnings("ignore", message=r".*is already reported.*")
        self.reporter = PyTorchLightningPruningCallback(trial, monitor="val/accuracy")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        from optuna import TrialPruned

        try:
            self.reporter.on_validation_end(trainer, pl_module)
        except TrialPruned:
            accuracy = 100 * float(trainer.callback_metrics["val/accuracy"])
            raise Pruned(
                f"after epoch {trainer.current_epoch + 1} of {trainer.max_epochs}, validation accuracy {accuracy:.1f} %"
            ) from None


def trial_of(search: SearchSettings, max_epochs: int) -> "Trial":
    """The trial that this job runs, whatever process asked for it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert search.study is not None and search.trial is not None
    study = optuna.load_study(
        study_name=search.study,
        storage=search.storage,
        sampler=optuna.samplers.RandomSampler(),  # nothing is drawn here
        pruner=build_pruner(search, max_epochs),
    )
    frozen = study.get_trials(deepcopy=False)[search.trial]
    return optuna.trial.Trial(study, frozen._trial_id)  # the id has no public name; the class wants it


def build_pruner(search: SearchSettings, max_epochs: int) -> "BasePruner":
    """Optuna's pruner of this name. It counts epochs from 0."""
    from optuna import pruners

    before = max(search.warmup_epochs - 1, 0)
    if search.pruner == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=before)
    if search.pruner == "successive_halving":
        return pruners.SuccessiveHalvingPruner(min_resource=max(before, 1), reduction_factor=3)
    if search.pruner == "hyperband":
        return pruners.HyperbandPruner(min_resource=max(before, 1), max_resource=max_epochs, reduction_factor=3)
    return pruners.NopPruner()
