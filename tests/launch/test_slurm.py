"""launcher=slurm on a real cluster of one node: jobs cancelled, started again, past their time; and gone on with."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kill_sweep import PROGRAM, SWEEP, board_of
from slurm_cluster import cluster, is_installed

# A job stays in its second epoch while there is a file `hold`, unless SLURM has started it again.
HOLD = """
import os, time
from pathlib import Path
from lightning.pytorch.callbacks import Callback

class Hold(Callback):
    def on_train_epoch_start(self, trainer, module):
        while trainer.current_epoch == 1 and Path("hold").exists() and not os.environ.get("SLURM_RESTART_COUNT"):
            Path(trainer.default_root_dir, "held").touch()
            time.sleep(0.1)
"""
QUICK = (*SWEEP[:-2], "trainer.max_epochs=3", "--config-dir", "mine", "plugins=[mine/hold.py]", "callbacks=hold",
         "launcher=slurm", "hydra.launcher.cpus_per_task=1")  # fmt: skip
Run = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if not is_installed():
        pytest.skip("slurm-wlm and munge are not both installed")
    with cluster(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.fixture
def start(slurm: dict[str, str], tmp_path: Path) -> Run:
    """Starts a sweep in an empty folder, with a file `hold` in it."""
    (tmp_path / "mine" / "callbacks").mkdir(parents=True)
    (tmp_path / "mine" / "hold.py").write_text(HOLD)
    (tmp_path / "mine" / "callbacks" / "hold.yaml").write_text("hold:\n  _target_: shoepair_plugin_hold.Hold\n")
    (tmp_path / "hold").touch()

    def run(*settings: str) -> subprocess.Popen[str]:
        command = [PROGRAM, *QUICK, *settings, "hydra.sweep.dir=outputs/sweep"]
        return subprocess.Popen(command, cwd=tmp_path, env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)  # fmt: skip

    return run


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    for _ in range(1200):
        if true():
            return
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.5)
    raise AssertionError("waited for too long")


@pytest.mark.long
@pytest.mark.slow
def test_a_sweep_outlives_what_slurm_does_to_its_jobs_and_is_gone_on_with(
    start: Run, slurm: dict[str, str], tmp_path: Path
) -> None:
    def ask(*command: str) -> str:
        return subprocess.run(command, env=slurm, check=True, capture_output=True, text=True).stdout

    process = start("seed=0,1,2,3", "hydra.launcher.array_parallelism=3")
    wait_until(lambda: len(list(tmp_path.glob("outputs/sweep/*/held"))) == 3, process)
    jobs = ask("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
    assert sorted(line.split()[1] for line in jobs) == ["PENDING", *3 * ["RUNNING"]]
    array = jobs[0].partition("_")[0]
    ask("scancel", f"{array}_3", f"{array}_1")
    ask("scontrol", "requeue", f"{array}_2")
    wait_until(lambda: f"{array}_2 PENDING" in ask("squeue", "--noheader", "--array", "--format=%i %T"))
    ask("scontrol", "update", f"JobId={array}_2", "StartTime=now")  # SLURM waits for two minutes
    (tmp_path / "hold").unlink()
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 1 and "Traceback" not in said, said
    assert f"SLURM has 4 jobs, {array}_0 to {array}_3" in said
    ends = dict(re.findall(r"(\d_seed-\d): (.*); (?:\d|none) left", said))
    assert ends.keys() == {f"{number}_seed-{number}" for number in range(4)}
    for number in (0, 2):
        assert ends[f"{number}_seed-{number}"].startswith("completed, validation accuracy ")
    for number in (1, 3):
        assert ends[f"{number}_seed-{number}"].startswith("lost (SLURM: CANCELLED), see outputs/sweep/.submitit/")
    assert "Never begun: 3_seed-3 (SLURM: CANCELLED)" in said
    assert "4 jobs: 2 completed, 1 interrupted, 1 never begun" in said
    assert said.splitlines()[-1] == "Go on with the same command and hydra.sweep.dir=outputs/sweep"
    (again,) = tmp_path.glob("outputs/sweep/2_*/train.log")
    assert "Going on with outputs/sweep/2_seed-2" in again.read_text() and again.read_text().count("Epoch 1/3") == 1

    process = start("seed=0,1,2,3")
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0 and "4 jobs: 4 completed; 2 of them from before, 2 run now" in said, said
    assert {row["status"] for row in board_of(tmp_path / "outputs/sweep")} == {"completed"}


@pytest.mark.long
@pytest.mark.slow
def test_a_job_past_its_time_is_interrupted_and_gone_on_with(start: Run, tmp_path: Path) -> None:
    process = start("seed=0", "hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=10")
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 1 and "Interrupted: outputs/sweep/0_: its time was over" in said, said
    assert "1 jobs: 1 interrupted" in said and "SLURM has one job, " in said and "0_: lost (SLURM: FAILED), " in said
    (log,) = tmp_path.glob("outputs/sweep/0_*/train.log")
    (tmp_path / "hold").unlink()
    process = start("seed=0")
    said, _ = process.communicate(timeout=900)
    assert process.returncode == 0 and "1 jobs: 1 completed" in said, said
    assert "Going on with outputs/sweep/0_" in log.read_text() and log.read_text().count("Epoch 1/3") == 1
