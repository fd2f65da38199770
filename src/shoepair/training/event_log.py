"""The TensorBoard log of a run that goes on: what its epochs gave, each of them once, and nothing of a broken one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.optim.lr_scheduler import ReduceLROnPlateau

from shoepair.files import replacing
from shoepair.training.callbacks import EpochLines
from shoepair.training.tensorboard import PICTURES, tag_of

ONCE = f"{PICTURES}pairs"  # the picture that is written while a run trains, and never again
NO_CURVES = ("val/rank",)  # of the history


class GoesOn(Callback):
    """When a run is resumed, brings its log and its schedule to where its last checkpoint is, before anything is added.

    A kill leaves it elsewhere: the figures of an epoch are written partly before that checkpoint and partly after it.
    What a run writes at its start and at its end, it writes again.
    """

    def __init__(self, run_dir: Path, lines: EpochLines) -> None:
        self.run_dir = run_dir
        self.lines = lines

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self.lines.history:
            rewrite(self.run_dir, self.lines.history)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A schedule by the validation loss hears of the last epoch's only after its checkpoint is written."""
        for loss in self.lines.history.get("val/loss", [])[-1:]:
            for config in trainer.lr_scheduler_configs:
                if isinstance(config.scheduler, ReduceLROnPlateau):
                    config.scheduler.step(loss)


def rewrite(folder: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Make one log of all in a folder, with each epoch's figures once.

    It takes the place of the first one in one step, and then the others go: after a kill, the next attempt does the
    same.

    Args:
        history: the figures of every epoch so far, by name. An older version's tags were these names.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    figures: dict[tuple[str, int], Event] = {}
    pictures: dict[tuple[str, int], Event] = {}
    names = {name: name for name in history} | {tag_of(name): name for name in history}
    for event, value in _values(files):
        if value.tag in names:
            name = names[value.tag]
            value.tag = tag_of(name)
            figures.setdefault((name, event.step), _event(event.step, value, event.wall_time))
        elif value.HasField("image") and value.tag in (ONCE, "train/pairs"):
            value.tag = ONCE
            pictures.setdefault((value.tag, event.step), _event(event.step, value, event.wall_time))
    now = time.time()
    first = files[0] if files else folder / f"events.out.tfevents.{int(now):010d}.before"
    with replacing(first) as partial, partial.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for name, values in history.items():
            for epoch, figure in enumerate(values, 1):
                if name not in NO_CURVES:
                    new = _event(epoch, Summary.Value(tag=tag_of(name), simple_value=figure), now)
                    writer.write(figures.get((name, epoch), new).SerializeToString())
        for event in pictures.values():
            writer.write(event.SerializeToString())
    for path in files[1:]:
        path.unlink()


def _event(step: int, value: Summary.Value, wall_time: float) -> Event:
    return Event(wall_time=wall_time, step=step, summary=Summary(value=[value]))


def _values(files: Sequence[Path]) -> Iterator[tuple[Event, Summary.Value]]:
    """All that can be read: a kill may have torn the last record of a file."""
    for path in files:
        for record in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(record)
            for value in event.summary.value:
                yield event, value
