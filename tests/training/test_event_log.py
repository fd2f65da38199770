"""After a kill and a resume the TensorBoard log has each epoch's figures, each of them once."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command
from lightning import LightningModule, Trainer
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter

from shoepair.errors import refused_by_machine
from shoepair.training.callbacks import EpochLines
from shoepair.training.event_log import GoesOn, rewrite
from shoepair.training.tensorboard import EpochLogger

CURVES = {"loss/train", "accuracy/train", "loss/val", "accuracy/val", "validation/accuracy_same",
          "validation/accuracy_different", "schedule/learning_rate"}  # fmt: skip
RUN = (*TINY, "trainer.max_epochs=4", "test=false", "hydra.run.dir=outputs/run")


def steps(folder: Path) -> dict[str, list[int]]:
    """tag -> the steps that it has, of all files, with whatever is there twice."""
    found: dict[str, list[int]] = {}
    for file in sorted(folder.glob("*tfevents*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


def is_whole(folder: Path, num_epochs: int) -> None:
    found = steps(folder)
    assert set(found) >= CURVES
    for tag in CURVES:
        assert sorted(found[tag]) == list(range(1, num_epochs + 1)), tag
    twice = [(tag, step) for tag, all_steps in found.items() for step, n in Counter(all_steps).items() if n > 1]
    assert not [key for key in twice if key[0] != "_hparams_/session_start_info"]
    assert "result/accuracy" in found and "pictures/pairs" in found


# Where the process dies: (what it dies before or after, at which call of it).
MOMENTS = {
    "validation of an epoch is logged, its checkpoint is not written": ("before", "CheckpointFiles.save_checkpoint", 3),
    "the best epoch is written, the last one is not": ("before", "CheckpointFiles.save_checkpoint", 4),
    "its checkpoint is written, its training is not logged": ("before", "EpochLogger.log_metrics", 4),
    "all is logged": ("after", "EpochLogger.log_metrics", 4),
    "the figures of the best epoch are logged, its results are not written": ("after", "HyperparameterRow.end", 1),
}  # fmt: skip
KILLS = """
import os, signal, sys
from shoepair.cli import main
from shoepair.training import checkpoint, tensorboard
place, (owner, name), number = sys.argv.pop(1), sys.argv.pop(1).split("."), int(sys.argv.pop(1))
kind = next(getattr(module, owner) for module in (checkpoint, tensorboard) if hasattr(module, owner))
usual, calls = getattr(kind, name), 0

def counted(*arguments, **more):
    global calls
    calls += 1
    if calls == number and place == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    given = usual(*arguments, **more)
    if calls == number:
        os.kill(os.getpid(), signal.SIGKILL)
    return given

setattr(kind, name, counted)
main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_runs_log_is_whole_after_it_has_gone_on(shoepair: Command, tmp_path: Path, moment: str) -> None:
    place, what, number = MOMENTS[moment]
    command = [sys.executable, "-c", KILLS, place, what, str(number), "train", *RUN]
    killed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    outcome = shoepair("resume=outputs/run")
    assert outcome.code == 0, outcome.err
    is_whole(Path("outputs/run"), 4)


def test_a_run_that_is_resumed_when_it_is_complete_has_its_log_once(shoepair: Command) -> None:
    assert shoepair(*RUN, "scheduler=constant").code == 0
    before = steps(Path("outputs/run"))
    outcome = shoepair("resume=outputs/run", "trainer.max_epochs=5")
    assert outcome.code == 0, outcome.err
    is_whole(Path("outputs/run"), 5)
    assert set(steps(Path("outputs/run"))) == set(before)


def test_what_a_kill_tore_or_doubled_is_mended_by_what_the_checkpoint_knows(tmp_path: Path) -> None:
    for log, epochs in (("first", (1, 2)), ("second", (2, 3, 4))):
        with SummaryWriter(str(tmp_path), filename_suffix=f".{log}") as writer:
            for epoch in epochs:
                tag = "val/loss" if log == "first" else "loss/val"  # the first was written by an older version
                writer.add_scalar(tag, epoch / 10, epoch, walltime=1000 + epoch)
            writer.add_scalar("result/loss", 0.2, 2)
    first, second = sorted(tmp_path.iterdir(), key=lambda path: path.name.endswith("second"))
    first.write_bytes(first.read_bytes()[:-5])  # in the middle of result/loss
    second.write_bytes(second.read_bytes()[:-200])
    for _ in range(2):  # as often as one likes
        rewrite(
            tmp_path,
            sorted(tmp_path.iterdir()),
            {"val/loss": [0.1, 0.2, 0.3], "train/loss": [3.0, 2.0, 1.0], "val/rank": [0.0, 0.0, 0.0]},
        )
        assert steps(tmp_path) == {"loss/val": [1, 2, 3], "loss/train": [1, 2, 3]}
    (file,) = tmp_path.glob("*tfevents*")
    events = [event for event in EventFileLoader(str(file)).Load() if event.summary.value]
    assert [event.wall_time for event in events[:2]] == [1001, 1002]


def test_what_callbacks_logged_stays_where_it_was(tmp_path: Path) -> None:
    """Two of three epochs of five steps have a checkpoint, which was written at second 1002.5."""
    with SummaryWriter(str(tmp_path)) as writer:
        for epoch in (1, 2, 3):
            for step in range(5 * epoch - 5, 5 * epoch):  # as Lightning's LearningRateMonitor
                writer.add_scalar("lr-AdamW", 0.1 / (step + 1), step, walltime=999.9 + epoch + step / 100)
            writer.add_scalar("loss/val", epoch / 10, epoch, walltime=1000 + epoch)
            writer.add_scalar("mine/by_step", epoch, 5 * epoch, walltime=1000 + epoch)
            if epoch > 1:
                writer.add_scalar("late", epoch, epoch, walltime=1000 + epoch)
            writer.add_histogram("weights", np.arange(9.0), epoch, walltime=1000 + epoch)
            writer.add_image("mine/picture", np.zeros((3, 4, 4)), epoch, walltime=1000 + epoch)
            writer.add_scalar("loss/train", epoch, epoch, walltime=1000.6 + epoch)  # after the checkpoint
        writer.add_scalar("result/loss", 0.2, 2, walltime=1002)
        writer.add_text("mine/text", "a word", walltime=1001)
    history = {"val/loss": [0.1, 0.2], "train/loss": [1.0, 2.0], "late": [2.0], "lr-AdamW": [0.02, 0.01]}
    for _ in range(2):
        rewrite(tmp_path, sorted(tmp_path.iterdir()), history, saved=1002.5)
        assert steps(tmp_path) == {
            "loss/val": [1, 2], "loss/train": [1, 2], "late": [2], "lr-AdamW": list(range(10)),
            "mine/by_step": [5, 10], "weights": [1, 2], "mine/picture": [1, 2], "mine/text/text_summary": [0],
        }  # fmt: skip


def test_the_file_that_is_written_to_stays(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with SummaryWriter(str(tmp_path / "run"), filename_suffix=".before") as before:
        before.add_scalar("loss/val", 0.1, 1)
    goes_on = GoesOn(tmp_path / "run", lines := EpochLines())
    lines.history = {"val/loss": [0.1]}
    trainer = Trainer(logger=(logger := EpochLogger(tmp_path / "run")), enable_checkpointing=False, accelerator="cpu")
    logger.experiment.add_scalar("mine", 1.0, 1)  # as some callback does in its setup
    logger.experiment.flush()
    live = {file: file.stat().st_ino for file in (tmp_path / "run").iterdir() if file.suffix != ".before"}
    goes_on.on_fit_start(trainer, LightningModule())
    logger.experiment.close()
    assert len(live) == 1 and all(file.stat().st_ino == inode for file, inode in live.items())
    assert steps(tmp_path / "run") == {"loss/val": [1], "mine": [1]}


def test_a_resumed_run_keeps_what_a_callback_has_logged(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/callbacks").mkdir(parents=True)
    (tmp_path / "mine/callbacks/rate.yaml").write_text(
        "rate: {_target_: lightning.pytorch.callbacks.LearningRateMonitor, logging_interval: step}\n"
    )
    typed = ("--config-dir", "mine", *RUN, "scheduler=constant", "callbacks=rate")
    assert shoepair(*typed, "trainer.max_epochs=1").code == 0
    outcome = shoepair("--config-dir", "mine", "resume=outputs/run", "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    found = steps(Path("outputs/run"))
    (tag,) = [tag for tag in found if tag.startswith("lr-")]
    assert found[tag] == list(range(len(found[tag]))) and len(found[tag]) > 2
    assert found["schedule/learning_rate"] == [1, 2]


def test_a_run_without_a_log_has_none_when_it_is_resumed(shoepair: Command) -> None:
    assert shoepair(*RUN, "scheduler=constant", "logger=[]", "trainer.max_epochs=1").code == 0
    assert shoepair("resume=outputs/run", "trainer.max_epochs=2").code == 0
    assert not steps(Path("outputs/run"))


def test_a_full_disk_is_said_by_the_run_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by TensorBoard's thread as well, with a traceback."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    logger = EpochLogger(tmp_path)

    def full(self: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RecordWriter, "write", full)
    with pytest.raises(Exception) as raised:
        for epoch in range(9):
            logger.log_metrics({"loss": 1.0}, epoch)
    assert str(refused_by_machine(raised.value, tmp_path)).startswith(f"{tmp_path}: No space left on device")
    assert capsys.readouterr().err == ""
