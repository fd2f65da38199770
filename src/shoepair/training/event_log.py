"""The TensorBoard log of a run that goes on: what its epochs gave, each of them once, and nothing of a broken one."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.optim.lr_scheduler import ReduceLROnPlateau

from shoepair.files import replacing
from shoepair.training.callbacks import EpochLines
from shoepair.training.tensorboard import PICTURES, EpochLogger, tag_of

ONCE = f"{PICTURES}pairs"  # the picture that is written while a run trains, and never again
NO_CURVES = ("val/rank",)  # of the history
# What a run writes at each start and in its end.
WRITTEN_AGAIN = {
    "_hparams_/session_start_info", "_hparams_/session_end_info", "custom_scalars__config__",
    "result/accuracy", "result/loss", "result/precision_recall",
    *(f"{PICTURES}{name}" for name in ("mistakes", "confusion", "roc")),
}  # fmt: skip


class GoesOn(Callback):
    """When a run is resumed, brings its log and its schedule to where its last checkpoint is, before anything is added.

    A kill leaves it elsewhere: the figures of an epoch are written partly before that checkpoint and partly after it.
    What a run writes at its start and at its end, it writes again.

    It is to be made before the loggers of a run are, so that it knows the files that are of earlier attempts.
    """

    def __init__(self, run_dir: Path, lines: EpochLines) -> None:
        self.run_dir = run_dir
        self.lines = lines
        self.files = sorted(run_dir.glob("events.out.tfevents.*"))
        self.saved: float | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"saved": time.time()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved = state_dict.get("saved")
        self.saved = saved if isinstance(saved, float) else None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_logged = bool(self.files) or any(isinstance(logger, EpochLogger) for logger in trainer.loggers)
        if trainer.is_global_zero and self.lines.history and is_logged:
            rewrite(self.run_dir, self.files, self.lines.history, self.saved)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A schedule by the validation loss hears of the last epoch's only after its checkpoint is written."""
        for loss in self.lines.history.get("val/loss", [])[-1:]:
            for config in trainer.lr_scheduler_configs:
                if isinstance(config.scheduler, ReduceLROnPlateau):
                    config.scheduler.step(loss)


def rewrite(
    folder: Path, files: Sequence[Path], history: Mapping[str, Sequence[float]], saved: float | None = None
) -> None:
    """Make one log of several: each epoch's figures once, and whatever else was written up to the last checkpoint.

    It takes the place of the first one in one step, and then the others go: after a kill, the next attempt does the
    same.

    Args:
        files: the log of earlier attempts, all in `folder`.
        history: the figures of every epoch so far, by name; of names that began later, of the last epochs. An older
            version's tags were these names.
        saved: when the last checkpoint was written, in seconds; None: then the last figure of its epoch says it.
    """
    num_epochs = len(history["val/loss"])
    times, by_step = _times(files, history)
    if saved is None:
        ends = [wall_time for (_, epoch), wall_time in times.items() if epoch <= num_epochs]
        saved = max(ends, default=math.inf)
    is_whole = {name: len(values) == num_epochs and name not in by_step for name, values in history.items()}
    now = time.time()
    first = files[0] if files else folder / f"events.out.tfevents.{int(now):010d}.before"
    with replacing(first) as partial, partial.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for name in (name for name, whole in is_whole.items() if whole and name not in NO_CURVES):
            for epoch, figure in enumerate(history[name], 1):
                value = Summary.Value(tag=tag_of(name), simple_value=figure)
                event = Event(wall_time=times.get((name, epoch), now), step=epoch, summary=Summary(value=[value]))
                writer.write(event.SerializeToString())
        for event in _others(files, is_whole, num_epochs, saved):
            writer.write(event.SerializeToString())
    for path in files[1:]:
        path.unlink()


def _names(history: Iterable[str]) -> dict[str, str]:
    """tag -> name."""
    return {tag: name for name in history for tag in (name, tag_of(name))}


def _times(
    files: Sequence[Path], history: Mapping[str, Sequence[float]]
) -> tuple[dict[tuple[str, int], float], set[str]]:
    """(name, epoch) -> when it was logged first; and the names that some callback logs by steps instead of epochs."""
    times: dict[tuple[str, int], float] = {}
    by_step = set()
    names, num_epochs = _names(history), len(history["val/loss"])
    for event in _events(files):
        for value in event.summary.value:
            name = names.get(value.tag)
            if name is not None:
                times.setdefault((name, event.step), event.wall_time)
                is_ours = name == "lr" or name.startswith(("train/", "val/"))
                if not is_ours and not 1 <= event.step <= num_epochs + 1:
                    by_step.add(name)
    return times, by_step


def _others(files: Sequence[Path], is_whole: Mapping[str, bool], num_epochs: int, saved: float) -> Iterator[Event]:
    """What is neither among the figures of all epochs, nor written again, nor of an epoch that is trained again."""
    names = _names(is_whole)
    pictures = set[int]()
    for event in _events(files):
        kept = []
        for value in event.summary.value:
            name = names.get(value.tag)
            if value.tag == "train/pairs" and value.HasField("image"):  # as an older version called it
                value.tag, name = ONCE, None
            if value.tag == ONCE:
                if event.step in pictures:
                    continue
                pictures.add(event.step)
            is_of_epoch = name is not None and event.step <= num_epochs  # though it may be logged after the checkpoint
            if name is not None and (is_whole[name] or name in NO_CURVES):
                continue
            if value.tag not in WRITTEN_AGAIN and (event.wall_time <= saved or is_of_epoch):
                kept.append(value)
        if kept:
            yield Event(wall_time=event.wall_time, step=event.step, summary=Summary(value=kept))
        elif event.HasField("graph_def") and event.wall_time <= saved:
            yield event


def _events(files: Sequence[Path]) -> Iterator[Event]:
    """All that can be read: a kill may have torn the last record of a file."""
    for path in files:
        for record in RawEventFileLoader(str(path)).Load():
            yield Event.FromString(record)
