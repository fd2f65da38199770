"""Nothing is lost: runs that were stopped, moved, refused or killed go on to where they would have come."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from conftest import TINY, Command, stop_in
from hypothesis import given
from hypothesis import strategies as st

from shoepair.config.typed import as_typed, quoted
from shoepair.launch.hydra_private import parse_overrides, text_of
from shoepair.launch.job import where_it_was
from shoepair.training.checkpoint import CheckpointFiles

PROGRAM = Path(sys.executable).with_name("shoepair")
FOUR = (*TINY, "trainer.max_epochs=4", "optimizer.lr=1e-2", "test=false")


def weights(file: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(file)["state_dict"]
    return state


def content_of(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_was_moved_knows_its_best_epoch(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    # The learning rate is so high that often no later epoch is better than an early one: with which seeds, processors
    # do not agree.
    for seed in range(10):
        fast = ("trainer.max_epochs=5", "optimizer.lr=10", "scheduler=constant")
        settings = (*TINY, *fast, "test=false", f"seed={seed}")
        assert shoepair(*settings, f"hydra.run.dir=outputs/{seed}").code == 0
        whole = json.loads(Path(f"outputs/{seed}/results.json").read_text())
        if whole["best_epoch"] < 4:
            break
    assert whole["best_epoch"] < 4
    stop_in(4, monkeypatch, shoepair, *settings, "hydra.run.dir=outputs/halves")
    Path("elsewhere").mkdir()
    shutil.move("outputs/halves", "elsewhere/moved")
    outcome = shoepair("resume=elsewhere/moved")
    assert outcome.code == 0, outcome.err
    moved = json.loads(Path("elsewhere/moved/results.json").read_text())
    assert moved["best_epoch"] == whole["best_epoch"] and moved["splits"] == whole["splits"]
    expected = weights(Path(f"outputs/{seed}/checkpoints/best.ckpt"))
    assert all(
        torch.equal(value, expected[key])
        for key, value in weights(Path("elsewhere/moved/checkpoints/best.ckpt")).items()
    )
    callbacks = torch.load("elsewhere/moved/checkpoints/last.ckpt")["callbacks"]
    assert str(Path.cwd()) not in str(callbacks)  # nothing absolute


def test_a_checkpoint_is_the_old_one_or_the_whole_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "checkpoints" / "last.ckpt"
    CheckpointFiles().save_checkpoint({"epoch": 1}, file)

    def half(content: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space"):
        patched.setattr(torch, "save", half)
        CheckpointFiles().save_checkpoint({"epoch": 2}, file)
    assert torch.load(file) == {"epoch": 1}
    assert [path.name for path in file.parent.iterdir()] == ["last.ckpt"]


def test_workers_that_run_ahead_begin_with_the_epoch_that_comes_next(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*FOUR, "data.num_workers=1")  # onecycle counts the steps, for which the loaders are made early
    assert shoepair(*settings, "hydra.run.dir=outputs/whole").code == 0
    stop_in(3, monkeypatch, shoepair, *settings, "hydra.run.dir=outputs/halves")
    assert shoepair("resume=outputs/halves").code == 0
    whole, halves = (weights(Path(f"outputs/{name}/checkpoints/last.ckpt")) for name in ("whole", "halves"))
    assert all(torch.equal(value, whole[key]) for key, value in halves.items())


def test_a_run_goes_on_without_the_one_that_it_began_with(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shoepair(*FOUR, "hydra.run.dir=outputs/first").code == 0
    stop_in(3, monkeypatch, shoepair, *FOUR, "init_from=outputs/first", "hydra.run.dir=outputs/second")
    shutil.rmtree("outputs/first")
    outcome = shoepair("resume=outputs/second")
    assert outcome.code == 0, outcome.err


def test_a_broken_last_checkpoint_is_one_line_and_in_a_sweep_a_new_start(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in(3, monkeypatch, shoepair, *FOUR, "hydra.run.dir=outputs/run")
    last = Path("outputs/run/checkpoints/last.ckpt")
    last.write_bytes(last.read_bytes()[:5000])
    outcome = shoepair("resume=outputs/run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: resume=outputs/run/checkpoints/last.ckpt: this is no checkpoint")
    sweep = ("-m", *FOUR, "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert shoepair(*sweep).code == 0
    (first, _) = sorted(path.parent for path in Path("outputs/sweep").rglob("status.json"))
    expected = json.loads((first / "results.json").read_text())["splits"]
    status = json.loads((first / "status.json").read_text())
    (first / "status.json").write_text(json.dumps(status | {"status": "interrupted"}))
    (first / "checkpoints/last.ckpt").write_bytes(b"")
    outcome = shoepair(*sweep)
    assert outcome.code == 0 and "Starting anew in" in outcome.out, outcome.err
    assert json.loads((first / "results.json").read_text())["splits"] == expected


def test_a_run_that_ended_before_its_first_epoch_starts_anew(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in(1, monkeypatch, shoepair, *FOUR, "hydra.run.dir=outputs/run")
    assert not Path("outputs/run/checkpoints/last.ckpt").is_file()
    outcome = shoepair("resume=outputs/run")
    assert outcome.code == 0 and "none of its epochs had ended" in outcome.out, outcome.err
    assert shoepair(*FOUR, "hydra.run.dir=outputs/whole").code == 0
    run, whole = (json.loads(Path(f"outputs/{name}/results.json").read_text()) for name in ("run", "whole"))
    assert run["splits"] == whole["splits"]


def test_a_further_process_of_ddp_leaves_what_the_first_one_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert where_it_was(tmp_path) is None and (tmp_path / "config.json").is_file()
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert where_it_was(tmp_path) is None and not (tmp_path / "config.json").exists()


def test_a_refused_start_leaves_the_run_that_has_the_folder_as_it_was(shoepair: Command) -> None:
    assert shoepair(*FOUR, "hydra.run.dir=outputs/run").code == 0
    before = content_of(Path("outputs/run"))
    for typed in (
        (*TINY, "seed=5", "hydra.run.dir=outputs/run"),
        ("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/run"),
        ("resume=outputs/run", "optimizer.lr=0.5"),
        ("resume=outputs/run", "data.batch_size=0"),
    ):
        outcome = shoepair(*typed)
        assert outcome.code == 2 and outcome.err.count("\n") == 1, typed
        assert content_of(Path("outputs/run")) == before, typed
    assert shoepair("resume=outputs/run").code == 0


@pytest.mark.parametrize("name", ["ü = a, (b) [c] #2 ~d; e", 'f\'g "h" back\\slash', "null"])
def test_a_folder_may_be_called_anything(shoepair: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = Path("outputs", name)
    stop_in(2, monkeypatch, shoepair, *FOUR, f"hydra.run.dir={quoted(str(folder))}")
    assert (folder / "checkpoints/last.ckpt").is_file()
    outcome = shoepair(f"resume={quoted(str(folder))}")
    assert outcome.code == 0 and "Epoch 2/4" in outcome.out, outcome.err
    line = next(line for line in outcome.out.splitlines() if line.startswith("Measure again"))
    words = subprocess.run(["bash", "-c", f'printf "%s\\n" {line[15:]}'], capture_output=True, text=True).stdout
    command = words.splitlines()
    assert command[:2] == ["shoepair", "evaluate"] and len(command) == 3
    assert shoepair(*command[1:], "hydra.run.dir=outputs/measured").code == 0


@given(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0$"), min_size=1))
def test_what_is_printed_for_typing_is_read_as_it_was(text: str) -> None:
    shell = as_typed("resume", text)
    (override,) = parse_overrides([shell_word(shell)])
    assert text_of(override) == text


def shell_word(shell: str) -> str:
    import shlex

    (word,) = shlex.split(shell)
    return word


def test_what_a_folder_of_somebody_else_says_of_hydra_is_not_obeyed(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in(2, monkeypatch, shoepair, *FOUR, "hydra.run.dir=outputs/run")
    Path("precious.txt").write_text("mine")
    overrides = Path("outputs/run/.hydra/overrides.yaml")
    evil = [
        "hydra.job_logging.handlers.file.filename=precious.txt", "+hydra.job_logging.handlers.file.mode=w",
        "hydra.output_subdir=../../elsewhere", "hydra/job_logging=stdout",
    ]  # fmt: skip
    overrides.write_text(overrides.read_text() + "".join(f"- {line}\n" for line in evil))
    outcome = shoepair("resume=outputs/run")
    assert outcome.code == 0, outcome.err
    assert Path("precious.txt").read_text() == "mine" and not Path("elsewhere").exists()


def test_a_run_that_had_stopped_early_stops_at_once_unless_it_may_wait_longer(shoepair: Command) -> None:
    # Nothing is learned, so that no epoch is better than the first one.
    settings = (*TINY, "trainer.max_epochs=9", "optimizer.lr=1e-9", "scheduler=constant", "test=false")
    assert shoepair(*settings, "early_stopping.patience=2", "hydra.run.dir=outputs/run").code == 0
    trained = json.loads(Path("outputs/run/results.json").read_text())
    assert trained["num_epochs"] < 9
    outcome = shoepair("resume=outputs/run")
    assert outcome.code == 0 and "Epoch " not in outcome.out.replace("Epoch lines", ""), outcome.out
    assert json.loads(Path("outputs/run/results.json").read_text())["num_epochs"] == trained["num_epochs"]
    outcome = shoepair("resume=outputs/run", "early_stopping.patience=4")
    assert outcome.code == 0, outcome.err
    assert json.loads(Path("outputs/run/results.json").read_text())["num_epochs"] == trained["num_epochs"] + 2
    assert json.loads(Path("outputs/run/config.json").read_text())["early_stopping"]["patience"] == 4


@pytest.mark.parametrize("tasks", ["4"])
def test_under_slurm_a_run_is_like_any_other(shoepair: Command, monkeypatch: pytest.MonkeyPatch, tasks: str) -> None:
    assert shoepair(*FOUR, "hydra.run.dir=outputs/without").code == 0
    for name, value in {
        "SLURM_JOB_ID": "17", "SLURM_JOB_NAME": "shoes", "SLURM_NTASKS": tasks, "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NODELIST": "n1", "SLURM_STEP_NUM_TASKS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    Path("hpc_ckpt_1.ckpt").write_bytes(b"of another program")
    outcome = shoepair(*FOUR, "hydra.run.dir=outputs/within")
    assert outcome.code == 0, outcome.err
    within, without = (json.loads(Path(f"outputs/{n}/results.json").read_text()) for n in ("within", "without"))
    assert within["splits"] == without["splits"]
    assert not list(Path("outputs").rglob("hpc_ckpt*"))


@pytest.mark.slow
def test_a_terminated_run_says_how_to_go_on_and_goes_on(tmp_path: Path) -> None:
    settings = (*TINY, "trainer.max_epochs=400", "scheduler=constant", "test=false", "hydra.run.dir=outputs/run")
    process = subprocess.Popen(
        [PROGRAM, *settings], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    last, started = tmp_path / "outputs/run/checkpoints/last.ckpt", time.monotonic()
    while not last.is_file():
        assert time.monotonic() - started < 120 and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 143 and "Terminated. Go on with: shoepair train resume=outputs/run" in out
    assert json.loads((tmp_path / "outputs/run/status.json").read_text())["status"] == "interrupted"
    epochs = out.count("   train: loss")
    done = subprocess.run(
        [PROGRAM, "resume=outputs/run", f"trainer.max_epochs={epochs + 3}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "outputs/run/results.json").read_text())["num_epochs"] == epochs + 3
