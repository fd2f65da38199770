"""Launchers: whose line is whose, how jobs ended, whose GPU, and what happens to the others when one is lost."""

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from kill_sweep import PROGRAM, SWEEP, board_of

from shoepair.launch.beside import jobs_at_once, visible_gpus

# Notes down its process and what this may see of the GPUs; with `lost` in the folder, all four jobs wait for one
# another, and those with a seed of 1 die.
NOTES = """
import os
import time
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Notes(Callback):
    def on_train_start(self, trainer, module):
        run = Path(trainer.default_root_dir)
        (run / "gpu").write_text(f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
        if Path("lost").exists():
            until = time.monotonic() + 120
            while len(list(run.parent.glob("*/gpu"))) < 4 and time.monotonic() < until:
                time.sleep(0.1)
            if "seed-1" in run.name:
                os._exit(9)
"""
QUICK = (*SWEEP, "trainer.max_epochs=2", "plugins=[mine/notes.py]", "callbacks=notes", "hydra.sweep.dir=outputs/sweep")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "callbacks").mkdir(parents=True)
    (tmp_path / "mine" / "notes.py").write_text(NOTES)
    (tmp_path / "mine" / "callbacks" / "notes.yaml").write_text("notes:\n  _target_: shoepair_plugin_notes.Notes\n")
    return tmp_path


def sweep(folder: Path, launcher: str, *, code: int = 0) -> str:
    """What a sweep of four says that ends with `code`."""
    done = subprocess.run([PROGRAM, *QUICK, f"launcher={launcher}", "--config-dir", "mine"], cwd=folder,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr and "srun" not in done.stdout + done.stderr
    return done.stdout


def gpus(folder: Path) -> list[tuple[str, str]]:
    """Process and GPUs of each job."""
    notes = [path.read_text().split() for path in sorted(folder.glob("outputs/sweep/*/gpu"))]
    return [(process, gpu) for process, gpu in notes]


@pytest.mark.slow
def test_lines_of_joblib_carry_their_jobs_name_and_each_process_has_a_gpu_of_its_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    lines = sweep(folder, "joblib").splitlines()
    for number, name in enumerate(("lr-0.001_seed-0", "lr-0.001_seed-1", "lr-0.01_seed-0", "lr-0.01_seed-1")):
        assert sum(line.startswith(f"{number}_{name}  Epoch ") for line in lines) == 2
    assert not any(line.startswith(("Epoch", "val ", "Folder")) for line in lines)
    assert "Epoch" in (log := next(folder.glob("outputs/sweep/0_*/train.log")).read_text()) and "seed-0  " not in log
    seen = gpus(folder)
    assert len(seen) == 4 and len(set(seen)) == 2  # two processes, each with one GPU
    assert {gpu for _, gpu in seen} == {"3", "5"}
    # Gone on with, where only the last jobs train: still one each.
    for number in range(4):
        (job,) = folder.glob(f"outputs/sweep/{number}_*")
        if number < 2:
            (job / "gpu").unlink()
        else:
            shutil.rmtree(job)
    assert "2 of them from before, 2 run now" in sweep(folder, "joblib")
    seen = gpus(folder)
    assert len(seen) == 2 and len({process for process, _ in seen}) == len({gpu for _, gpu in seen})


@pytest.mark.slow
def test_submitit_says_how_each_job_ended_and_outlives_one_that_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    (folder / "lost").touch()
    said = sweep(folder, "submitit", code=1)
    ends = [line.partition("] ")[2] or line.partition("[HYDRA]")[2] for line in said.splitlines() if " left" in line]
    assert len(ends) == 4 and [line.rpartition("; ")[2] for line in ends] == ["3 left", "2 left", "1 left", "none left"]
    assert sum("completed, validation accuracy " in line for line in ends) == 2
    lost = [line for line in ends if "lost (its process is gone), see outputs/sweep/.submitit/" in line]
    assert len(lost) == 2 and all("seed-1" in line for line in lost)
    assert "4 jobs: 2 completed, 2 interrupted" in said
    assert said.splitlines()[-1] == "Go on with the same command and hydra.sweep.dir=outputs/sweep"
    assert Counter(gpu for _, gpu in gpus(folder)) == {"3": 2, "5": 2}
    (folder / "lost").unlink()
    said = sweep(folder, "submitit")
    assert (
        "4 jobs: 4 completed; 2 of them from before, 2 run now" in said and len(board_of(folder / "outputs/sweep")) == 4
    )


def test_jobs_that_cannot_be_submitted_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", str(tmp_path))  # where there is no srun
    done = subprocess.run([PROGRAM, *SWEEP, "launcher=slurm"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert "launcher: the jobs cannot be submitted (" in done.stderr and "srun" in done.stderr


def test_gpus_are_those_that_are_visible_or_those_that_the_driver_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for named, expected in (("", []), ("2", ["2"]), ("0, GPU-6f1a", ["0", "GPU-6f1a"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert visible_gpus() == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible_gpus() == [] and jobs_at_once("auto") == -1
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    assert visible_gpus() == ["0", "1"]
    assert [jobs_at_once(accelerator) for accelerator in ("auto", "cuda", "cpu")] == [2, 2, -1]
