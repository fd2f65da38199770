"""What a run writes for TensorBoard: curves by epoch, one row of hyperparameters, and figures of its best epoch."""

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor

from shoepair.config.schema import TrainSettings, known_keys, may_be_null
from shoepair.config.shown import ABSENT, OF_BATCHES, short_names, shown
from shoepair.config.typed import Typed
from shoepair.data.shoes import normalise
from shoepair.errors import Pruned
from shoepair.metrics.scores import probability
from shoepair.reports.contact_sheet import Item, shoe_image
from shoepair.reports.figures import costing_only_itself, draw_pairs
from shoepair.runs.folder import is_main_process
from shoepair.runs.read import flat_settings, flatten
from shoepair.training.callbacks import EpochLines

# Two curves on one chart each; add_scalars would make a run of its own for every curve, and of more than 40 runs
# TensorBoard shows none until it is asked to.
LAYOUT = {
    "Training and validation": {
        name: ["Multiline", [f"{name}/train$", f"{name}/val$"]] for name in ("accuracy", "loss")
    }
}
PICTURES = "pictures/"  # begins the tags of pictures
OPEN_SECTIONS = ("optimizer", "scheduler", "trainer", "callbacks")  # to which keys can be added


def tag_of(name: str) -> str:
    """What a metric is called in TensorBoard, which opens the groups that come first by name.

    val/loss is loss/val: what is to be compared stands side by side, and accuracy and loss come before all else. The
    learning rate does not have the name of the hyperparameter.
    """
    if name == "lr":
        return "schedule/learning_rate"
    split, _, metric = name.partition("/")
    return f"{metric}/{split}" if metric in ("accuracy", "loss") else name.replace("val/", "validation/", 1)


def _said_once(raised: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread of its own. What the machine refuses there is raised again where a run logs next,
    and said there, in one line."""
    if not (isinstance(raised.exc_value, OSError) and type(raised.thread).__name__ == "_AsyncWriterThread"):
        threading.__excepthook__(raised)


class EpochLogger(TensorBoardLogger):
    """A TensorBoardLogger whose horizontal axis is the epoch, counted from 1, and that writes into `folder` itself.

    An empty name and version keep TensorBoard's name of the run equal to its folder's.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(save_dir=folder, name="", version="", default_hp_metric=False)
        threading.excepthook = _said_once

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        by_epoch = dict(metrics)
        epoch = by_epoch.pop("epoch", None)  # Lightning adds it; as a curve it would only take room
        by_epoch = {tag_of(name): value for name, value in by_epoch.items()}
        super().log_metrics(by_epoch, step if epoch is None else int(epoch) + 1)
        self.experiment.flush()  # or the curves of a run that is killed would end minutes before it

    def save(self) -> None:
        """Hydra keeps the configuration: no hparams.yaml beside it."""


@dataclass(frozen=True)
class Logs:
    """What of a trainer is needed to write."""

    loggers: Sequence[Logger]
    is_global_zero: bool


class HyperparameterRow(Callback):
    """One row in the HPARAMS tab: the settings when training starts, how it ended when it ends.

    TensorBoard unites the columns of all runs if no run claims to know them all, so only the records of a session
    are written, not that of an experiment (as `add_hparams` would), and runs of both approaches stand side by side.

    Its name begins with what tells the run from others, and is never the same twice: TensorBoard would make one row of
    two runs.
    """

    def __init__(self, settings: TrainSettings, run_dir: Path, lines: EpochLines, typed: Typed) -> None:
        self.values = hyperparameters(settings, typed.follows)
        self.name = f"{typed.label or 'default settings'} ({run_dir}, {datetime.now():%Y-%m-%d %H:%M:%S})"
        self.lines = lines
        self.keeps_best, self.loggers = settings.keep == "best", settings.logger
        self.is_open = self.has_failed = False

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.begin(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.fail(trainer, exception)

    @contextlib.contextmanager
    def recorded_if_refused(self, run_dir: Path) -> Iterator[None]:
        """Write that the run failed before it had a trainer, whose loggers would have told it."""
        try:
            yield
        except Exception as error:
            is_logged = any(part["_target_"].endswith(f".{EpochLogger.__name__}") for part in self.loggers.values())
            self.fail(Logs([EpochLogger(run_dir)] if is_logged else [], is_main_process()), error)
            raise

    @contextlib.contextmanager
    def recorded(self, trainer: Trainer) -> Iterator[None]:
        """Write how the block ended, also where it failed before or after the fit."""
        try:
            yield
        except Exception as error:
            self.fail(trainer, error)
            raise
        self.end(trainer, "STATUS_SUCCESS")

    def begin(self, trainer: Trainer | Logs) -> None:
        writer = writer_of(trainer)
        if not trainer.is_global_zero or writer is None or self.is_open:
            return
        start = SessionStartInfo(group_name=self.name, start_time_secs=time.time())
        for name, value in self.values.items():
            kind = "bool" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
            setattr(start.hparams[name], f"{kind}_value", value)
        _write_record(trainer, "session_start_info", HParamsPluginData(session_start_info=start))
        writer.add_custom_scalars(LAYOUT)
        self.is_open = True

    def fail(self, trainer: Trainer | Logs, error: BaseException) -> None:
        """Record that the run failed or was pruned, with the figures that it had come to.

        A run that was interrupted may go on: its row stays as that of one that has not ended.
        """
        if not trainer.is_global_zero or not isinstance(error, Exception) or self.has_failed:
            return  # Lightning tells of it first, then closes the log; then `recorded` sees it
        self.has_failed = True
        ranks = self.lines.history.get("val/rank", [])
        if ranks:
            epoch = int(np.argmax(ranks)) if self.keeps_best else len(ranks) - 1
            figures = {name: self.lines.history[f"val/{name}"][epoch] for name in ("accuracy", "loss")}
            write_result(trainer, epoch + 1, figures)
        self.begin(trainer)
        # TensorBoard has no word for pruned. It calls unknown, too, what has not ended yet, which has no result.
        self.end(trainer, "STATUS_UNKNOWN" if isinstance(error, Pruned) else "STATUS_FAILURE")

    def end(self, trainer: Trainer | Logs, status: str) -> None:
        """Write how the run ended."""
        writer = writer_of(trainer)
        if writer is None or not self.is_open:
            return
        end = SessionEndInfo(status=Status.Value(status), end_time_secs=time.time())
        _write_record(trainer, "session_end_info", HParamsPluginData(session_end_info=end))
        writer.close()  # or its thread would live as long as the process
        self.is_open = False


def hyperparameters(settings: TrainSettings, follows: Mapping[str, str]) -> dict[str, str | float | bool]:
    """A value for every key there is, under short names.

    TensorBoard shows first the columns in which runs differ, and in parallel coordinates only runs that have a value
    in each column: what a run does not have is "-", and what may be null is always text, so that its type is the same
    in all runs. A key that follows another one is "= that one": it differs only where it does not. What is not known
    beforehand, added by +KEY=VALUE or of somebody's callbacks, is one text a section.
    """
    flat, known = flat_settings(settings.plain()), known_keys()
    names = short_names(list(known))
    columns: dict[str, str | float | bool] = {}
    for section in OPEN_SECTIONS:
        added = {key: value for key, value in flat.items() if key.startswith(f"{section}.") and key not in known}
        said = (f"{key.removeprefix(f'{section}.')} {shown(value, key)}" for key, value in added.items())
        columns[f"{section}, added"] = ", ".join(said) or repr(ABSENT)
        flat = {key: value for key, value in flat.items() if key not in added}
    sections = {name.rpartition(".")[0] for name in known}  # of which one that is null has none of its keys
    for key in dict.fromkeys([*flatten(known), *flat]):
        if key in (*sections, *OPEN_SECTIONS, "checkpoint"):
            continue
        value = flat.get(key, ABSENT)
        is_plain = isinstance(value, bool | int | float) and not (key in known and may_be_null(known[key]))
        is_plain = is_plain and not OF_BATCHES.fullmatch(key)
        columns[names.get(key, key)] = (
            f"= {follows[key]}" if key in follows else value if is_plain else shown(value, key)
        )
    return columns


class FirstPairs(Callback):
    """Shows the first training pairs as the network sees them, augmented: half of them same, half different.

    Of those that were encoded beforehand, their photos.
    """

    def __init__(self, run_dir: Path, num_pairs: int = 6) -> None:
        self.path = run_dir / "pairs.png"
        self.num_pairs = num_pairs
        self.is_tried = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if batch_idx or self.is_tried or self.path.exists() or not trainer.is_global_zero:
            return
        self.is_tried = True
        with costing_only_itself(self.path):
            self._draw(trainer, pl_module, batch)

    def _draw(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        heading = "Same pairs, as the network sees them"
        of_vectors = batch["label"] if isinstance(batch, dict) else batch[0] if batch[0].ndim == 2 else None
        if of_vectors is not None:  # a frozen encoder's, or what heads are given of them
            heading = "Same pairs, their photos"
            left, right, label = trainer.datamodule.first_images(len(of_vectors))  # type: ignore[attr-defined]
            left, right = normalise(left), normalise(right)
        else:
            left, right, label = (part.detach().float().cpu() for part in batch)
        rows = []
        for wanted, said in ((1, heading), (0, "Different pairs")):
            chosen = (label == wanted).nonzero()[: self.num_pairs, 0]
            seen = pl_module.pictures(left[chosen], right[chosen])  # type: ignore[operator]
            rows.append(
                (said, [Item([shoe_image(_pixels(p)) for p in pictures]) for pictures in zip(*seen, strict=True)])
            )
        draw_pairs(self.path, rows)
        write_picture(trainer, self.path, trainer.current_epoch + 1)


def _pixels(image: Tensor) -> np.ndarray:
    """From [-0.5, 0.5] back to uint8."""
    return ((image + 0.5) * 255).round().clamp(0, 255).byte().numpy()


def write_kept_epoch(
    trainer: Trainer, epoch: int, figures: Mapping[str, Any], logit: np.ndarray, label: np.ndarray
) -> None:
    """The kept epoch's validation figures (which HPARAMS shows) and its precision-recall curve."""
    write_result(trainer, epoch, figures)
    writer = writer_of(trainer)
    if writer is not None:
        writer.add_pr_curve("result/precision_recall", label, probability(logit), epoch)


def write_result(trainer: Trainer | Logs, epoch: int, figures: Mapping[str, Any]) -> None:
    """The validation figures of the epoch that a run keeps. After the fit, this opens the log again."""
    writer = writer_of(trainer)
    if writer is not None:
        for name in ("accuracy", "loss"):
            writer.add_scalar(f"result/{name}", figures[name], epoch)


def write_picture(trainer: Trainer, path: Path, epoch: int) -> None:
    """Show a PNG file in the IMAGES tab, as it is. After the fit, write_result() opens the log again."""
    from PIL import Image

    with Image.open(path) as opened:
        width, height = opened.size
    picture = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=path.read_bytes())
    _write(trainer, Summary(value=[Summary.Value(tag=f"{PICTURES}{path.stem}", image=picture)]), epoch)


def _write_record(trainer: Trainer | Logs, name: str, data: HParamsPluginData) -> None:
    plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    metadata = SummaryMetadata(plugin_data=plugin)
    _write(trainer, Summary(value=[Summary.Value(tag=f"_hparams_/{name}", metadata=metadata)]))


def _write(trainer: Trainer | Logs, summary: Summary, epoch: int | None = None) -> None:
    writer = writer_of(trainer)
    if writer is not None:
        writer._get_file_writer().add_summary(summary, epoch)  # None after the log was closed


def writer_of(trainer: Trainer | Logs) -> Any | None:
    """TensorBoard's writer; None for a run that writes no log for it."""
    return next((logger.experiment for logger in trainer.loggers if isinstance(logger, EpochLogger)), None)
