"""The sanity check: training and validation set are the same, and both must be learned to almost no error."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from shoepair.config.schema import SanitySettings, TrainSettings
from shoepair.errors import NotLearned
from shoepair.training.callbacks import EpochLines

log = logging.getLogger(__name__)

ALMOST_NO_LOSS = 0.1


@dataclass(frozen=True)
class Verdict:
    """What the last epoch says."""

    learned: bool
    figures: str

    def __str__(self) -> str:
        return f"{'Learned' if self.learned else 'Not learned'}: {self.figures}"


def judge(history: Mapping[str, Sequence[float]], settings: SanitySettings, epoch: int = -1) -> Verdict:
    """Learned means: both accuracies reach settings.accuracy, and the losses meet within settings.loss_gap."""
    train_loss, val_loss = history["train/loss"][epoch], history["val/loss"][epoch]
    train_accuracy, val_accuracy = history["train/accuracy"][epoch], history["val/accuracy"][epoch]
    return Verdict(
        learned=min(train_accuracy, val_accuracy) >= settings.accuracy
        and abs(train_loss - val_loss) <= settings.loss_gap,
        figures=f"after {len(history['val/loss'])} epochs training has accuracy {100 * train_accuracy:.1f} %, "
        f"loss {train_loss:.4f}; validation, on the same pairs, {100 * val_accuracy:.1f} %, {val_loss:.4f}.",
    )


class StopWhenLearned(Callback):
    """Ends training when the verdict has been "learned", with almost no loss, for some epochs."""

    def __init__(self, lines: EpochLines, settings: SanitySettings) -> None:
        self.lines = lines
        self.settings = settings

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        history, patience = self.lines.history, self.settings.patience
        num_epochs = len(history["val/loss"])
        if num_epochs >= patience and all(
            judge(history, self.settings, epoch).learned
            and max(history["train/loss"][epoch], history["val/loss"][epoch]) <= ALMOST_NO_LOSS
            for epoch in range(-patience, 0)
        ):
            trainer.should_stop = True


def callbacks(settings: TrainSettings, lines: EpochLines) -> list[Callback]:
    """What a run in the sanity mode needs; nothing in any other mode."""
    return [] if settings.sanity is None else [StopWhenLearned(lines, settings.sanity)]


def conclude(settings: TrainSettings, history: Mapping[str, Sequence[float]], module: LightningModule) -> None:
    """Say the verdict of a run in the sanity mode. Raises NotLearned, with where to look first."""
    if settings.sanity is None:
        return
    verdict = judge(history, settings.sanity)
    if not verdict.learned:
        raise NotLearned(f"{verdict} {where_to_look(settings, module)}")
    log.info("\n%s", verdict)


def where_to_look(settings: TrainSettings, module: LightningModule) -> str:
    """What to look at first when nothing was learned, with its values."""
    parameters = list(module.parameters())
    trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return (
        f"Look first at the learning rate (optimizer.lr={settings.optimizer.lr:g}), the data (pairs.png in the "
        f"run's folder), and frozen weights ({trainable:,} of {sum(p.numel() for p in parameters):,} are trained)."
    )
