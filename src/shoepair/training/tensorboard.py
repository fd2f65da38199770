"""What a run writes for TensorBoard: curves by epoch, one row of hyperparameters, and figures of its best epoch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
from torch import Tensor
from torch.utils.tensorboard.summary import hparams

from shoepair.config.schema import TrainSettings
from shoepair.data.shoes import normalise
from shoepair.metrics.scores import probability
from shoepair.reports.contact_sheet import Item, shoe_image
from shoepair.reports.figures import draw_pairs

# Two curves on one chart each; add_scalars would make a run of its own for every curve.
LAYOUT = {
    "Training and validation": {
        name: ["Multiline", [f"train/{name}$", f"val/{name}$"]] for name in ("loss", "accuracy")
    }
}


class EpochLogger(TensorBoardLogger):
    """A TensorBoardLogger whose horizontal axis is the epoch, counted from 1, and that writes into `folder` itself.

    An empty name and version keep TensorBoard's name of the run equal to its folder's.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        by_epoch = dict(metrics)
        epoch = by_epoch.pop("epoch", None)  # Lightning adds it; as a curve it would only take room
        super().log_metrics(by_epoch, step if epoch is None else int(epoch) + 1)
        self.experiment.flush()  # or the curves of a run that is killed would end minutes before it

    def save(self) -> None:
        """Hydra keeps the configuration: no hparams.yaml beside it."""


class HyperparameterRow(Callback):
    """One row in the HPARAMS tab: the settings when training starts, how it ended when it ends.

    TensorBoard unites the columns of all runs if no run claims to know them all, so only the records of a session
    are written, not that of an experiment (as `add_hparams` would), and runs of both approaches stand side by side.
    """

    def __init__(self, settings: TrainSettings) -> None:
        self.values = short_hyperparameters(settings.plain())

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and (writer := writer_of(trainer)) is not None:
            _, session_start, _ = hparams(self.values, {})
            _write(trainer, session_start)
            writer.add_custom_scalars(LAYOUT)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.end(trainer, "STATUS_FAILURE")

    def end(self, trainer: Trainer, status: str = "STATUS_SUCCESS") -> None:
        """Write how the run ended."""
        if not trainer.is_global_zero or (writer := writer_of(trainer)) is None:
            return
        data = HParamsPluginData(session_end_info=SessionEndInfo(status=Status.Value(status)))
        metadata = SummaryMetadata(
            plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
        )
        _write(trainer, Summary(value=[Summary.Value(tag="_hparams_/session_end_info", metadata=metadata)]))
        writer.flush()


class FirstPairs(Callback):
    """Shows the first training pairs as the network sees them, augmented: half of them same, half different."""

    def __init__(self, run_dir: Path, num_pairs: int = 6) -> None:
        self.path = run_dir / "pairs.png"
        self.num_pairs = num_pairs

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx or self.path.exists() or not trainer.is_global_zero:
            return
        if batch[0].ndim == 2:  # a frozen encoder's vectors
            left, right, label = trainer.datamodule.first_images(len(batch[0]))  # type: ignore[attr-defined]
            left, right = normalise(left), normalise(right)
        else:
            left, right, label = (part.detach().float().cpu() for part in batch)
        rows = []
        for wanted, heading in ((1, "Same pairs, as the network sees them"), (0, "Different pairs")):
            chosen = (label == wanted).nonzero()[: self.num_pairs, 0]
            seen = pl_module.pictures(left[chosen], right[chosen])  # type: ignore[operator]
            rows.append(
                (heading, [Item([shoe_image(_pixels(p)) for p in pictures]) for pictures in zip(*seen, strict=True)])
            )
        draw_pairs(self.path, rows)
        write_picture(trainer, "train/pairs", self.path, trainer.current_epoch + 1)


def _pixels(image: Tensor) -> np.ndarray:
    """From [-0.5, 0.5] back to uint8."""
    return ((image + 0.5) * 255).round().clamp(0, 255).byte().numpy()


def short_hyperparameters(config: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """The settings that people compare, under short names. What is null is left out: its type would change."""
    approach, data, optimizer = config["approach"], config["data"], config["optimizer"]
    named = {
        "approach": approach["name"],
        "data": data["name"],
        "optimizer": optimizer["_target_"].rpartition(".")[2],
        "lr": float(optimizer["lr"]),
        "weight_decay": optimizer.get("weight_decay"),
        "scheduler": config["scheduler"]["_target_"].rpartition(".")[2],
        "batch_size": data["batch_size"],
        "max_epochs": config["trainer"]["max_epochs"],
        **{key: value for key, value in approach.items() if key != "name"},
        "image_size": data["image_size"],
        "negatives": data["negatives"],
        "fold": data["fold"],
        "seed": config["seed"],
    }
    return {key: value for key, value in named.items() if isinstance(value, str | int | float | bool)}


def write_best_epoch(
    trainer: Trainer, epoch: int, figures: Mapping[str, Any], logit: np.ndarray, label: np.ndarray
) -> None:
    """The best epoch's validation figures (which HPARAMS shows) and its precision-recall curve."""
    writer = writer_of(trainer)
    if writer is None:
        return
    for name in ("accuracy", "loss"):
        writer.add_scalar(f"best/{name}", figures[name], epoch)
    writer.add_pr_curve("best/precision_recall", label, probability(logit), epoch)


def write_picture(trainer: Trainer, tag: str, path: Path, epoch: int) -> None:
    """Show a PNG file in the IMAGES tab, as it is. After the fit, write_best_epoch() opens the log again."""
    from PIL import Image

    with Image.open(path) as opened:
        width, height = opened.size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
    _write(trainer, Summary(value=[Summary.Value(tag=tag, image=picture)]), epoch)


def _write(trainer: Trainer, summary: Summary, epoch: int | None = None) -> None:
    writer = writer_of(trainer)
    if writer is not None:
        writer.file_writer.add_summary(summary, epoch)


def writer_of(trainer: Trainer) -> Any | None:
    """TensorBoard's writer; None for a run that writes no log for it."""
    return next((logger.experiment for logger in trainer.loggers if isinstance(logger, EpochLogger)), None)
