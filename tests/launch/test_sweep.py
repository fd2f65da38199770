"""Sweeps: launched in every way, survived by what fails, gone on with, and compared."""

import csv
import importlib.util
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import TINY, Command, run_here
from hydra import compose, initialize_config_module
from hydra.utils import get_class
from kill_sweep import PROGRAM, SWEEP, board_of, kill_and_go_on

from shoepair.models.module import PairModule

CONF = Path(__file__).parents[2] / "conf"


def board(folder: Path) -> list[dict[str, str]]:
    with (folder / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def status(folder: Path) -> dict[str, str]:
    written: dict[str, str] = json.loads((folder / "status.json").read_text())
    return written


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A finished sweep of two approaches, two learning rates and two folds, for tests that only look at it."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        outcome = run_here(
            "-m", *TINY, "approach=single,dual", "optimizer.lr=1e-3,3e-2", "data.fold=0,1", "data.folds=3",
            "hydra.sweep.dir=outputs/grid",
        )  # fmt: skip
    assert outcome.code == 0, outcome.err
    yield folder / "outputs" / "grid", outcome.out


def test_a_sweep_ends_in_a_leaderboard_of_what_differs(grid: tuple[Path, str]) -> None:
    folder, said = grid
    table = said[said.index("\n#  ") :].splitlines()[1:]
    assert table[0].split() == ["#", "approach", "lr", "val", "95", "%", "interval", "to", "the", "best", "runs",
                                "epochs", "seconds", "job"]  # fmt: skip
    assert max(map(len, table[:6])) <= 100
    means = [float(line.split()[3]) for line in table[2:6]]
    assert means == sorted(means, reverse=True)
    assert "8 jobs: 8 completed" in said and "Best run" in said
    rows = board(folder)
    assert len(rows) == 8 and {row["status"] for row in rows} == {"completed"}
    assert {(row["approach.name"], row["optimizer.lr"], row["data.fold"]) for row in rows} == {
        (approach, lr, fold) for approach in ("single", "dual") for lr in ("0.001", "0.03") for fold in ("0", "1")
    }
    assert not any("test" in column for column in rows[0])  # the choice is made on validation
    assert (folder / "leaderboard.md").read_text().count("\n| ") == 5
    assert (folder / "leaderboard.png").read_bytes().startswith(b"\x89PNG")


def test_folds_are_gathered_and_settings_compared_on_the_same_pairs(grid: tuple[Path, str]) -> None:
    table = (grid[0] / "leaderboard.md").read_text().splitlines()
    header, rows = table[0].split(" | "), [line.split(" | ") for line in table[2:6]]
    place = {name.strip("| "): i for i, name in enumerate(header)}
    for row in rows:
        assert row[place["runs"]] == "2" and "±" in row[place["val"]] and " to " in row[place["95 % interval"]]
    assert rows[0][place["to the best"]] == "-"
    for row in rows[1:]:
        assert float(row[place["to the best"]].split()[0]) <= 0


def test_the_best_of_a_sweep_is_one_path_away(grid: tuple[Path, str], shoepair: Command) -> None:
    folder, said = grid
    rows = board(folder)
    setting = [row for row in rows if all(row[key] == rows[0][key] for key in ("approach.name", "optimizer.lr"))]
    best = min(setting, key=lambda row: (-float(row["val_accuracy"]), float(row["val_loss"])))["path"]
    outcome = shoepair("evaluate", f"checkpoint={folder}", "hydra.run.dir=measured")
    assert outcome.code == 0, outcome.err
    measured = json.loads(Path("measured/results.json").read_text())
    assert measured["checkpoint"].endswith(f"{Path(best).name}/checkpoints/best.ckpt")
    again = next(line for line in said.splitlines() if line.startswith("Train again")).split()[3:]
    assert shoepair(*again, "hydra.run.dir=again").code == 0
    found = json.loads(Path("again/results.json").read_text())["splits"]["val"]
    assert found == json.loads((folder / Path(best).name / "results.json").read_text())["splits"]["val"]


def test_compare_reads_what_was_moved_and_says_what_it_cannot_read(
    grid: tuple[Path, str], shoepair: Command, tmp_path: Path
) -> None:
    copy = tmp_path / "from the cluster" / "grid"
    shutil.copytree(grid[0], copy)
    jobs = sorted(path for path in copy.iterdir() if path.is_dir())
    (jobs[0] / "results.json").write_text("{")
    (jobs[1] / "status.json").unlink()  # a copy of what matters
    shutil.rmtree(jobs[2] / ".hydra")
    (jobs[3] / "config.json").unlink()
    shutil.rmtree(jobs[4] / ".hydra")
    (jobs[4] / "config.json").unlink()
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.png"):
        (copy / name).unlink()
    outcome = shoepair("compare", str(copy))
    assert outcome.code == 0, outcome.err
    assert f"Not read: {jobs[0]}: it is completed, but its results.json cannot be read" in outcome.out
    assert f"Not read: {jobs[4]}: neither config.json nor .hydra/config.yaml can be read" in outcome.out
    assert len(board(copy)) == 6 and (copy / "leaderboard.md").is_file() and (copy / "leaderboard.png").is_file()


def test_compare_shows_test_sets_only_when_asked(trained: Path, shoepair: Command) -> None:
    shown = shoepair("compare", str(trained), "--out", "here")
    assert shown.code == 0 and "test_m" not in shown.out
    asked = shoepair("compare", str(trained), "--out", "here", "--test", "--markdown")
    assert "| test_m | test_w | tests | same | different |" in asked.out and "test_m" in board(Path("here"))[0]


def test_what_fails_does_not_take_the_others_down(
    shoepair: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = PairModule.training_step

    def training_step(self: PairModule, batch, batch_idx: int):  # type: ignore[no-untyped-def]
        if self.hparams["network"]["approach"]["kernel_size"] == 7:
            raise RuntimeError("none left")
        return forward(self, batch, batch_idx)

    monkeypatch.setattr(PairModule, "training_step", training_step)
    sweep = ("-m", *TINY, "optimizer=sgd", "hydra.sweep.dir=outputs/sweep")
    outcome = shoepair(*sweep, "approach.kernel_size=3,7", "optimizer.lr=1e-2,1e30")
    assert outcome.code == 1
    assert "4 jobs: 1 completed, 3 failed" in outcome.out
    by_status = {(r["approach.kernel_size"], r["optimizer.lr"]): r for r in board(Path("outputs/sweep"))}
    assert by_status["3", "0.01"]["status"] == "completed"
    assert "Diverged: the training loss is nan" in by_status["3", "1e+30"]["reason"]
    for lr in ("0.01", "1e+30"):
        row = by_status["7", lr]
        assert row["status"] == "failed" and row["reason"] == "RuntimeError: none left"
        assert f"Failed: {row['path']}: RuntimeError: none left" in outcome.out
        log = Path(row["path"], "train.log").read_text()
        assert "Traceback" in log and "RuntimeError: none left" in log
    # What failed can be tried again, when it need not.
    monkeypatch.setattr(PairModule, "training_step", forward)
    outcome = shoepair(*sweep, "approach.kernel_size=3,7", "optimizer.lr=1e-2,1e30")
    assert outcome.code == 1 and "Going on in outputs/sweep: 1 completed, 3 failed there." in outcome.out
    assert "4 jobs: 2 completed, 2 failed; 1 of them from before, 3 run now" in outcome.out


def test_the_same_command_goes_on_with_what_is_missing(shoepair: Command, tmp_path: Path) -> None:
    sweep = ("-m", *TINY, "optimizer.lr=1e-3,3e-3", "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert shoepair(*sweep).code == 0
    first = board_of(Path("outputs/sweep"))
    jobs = sorted(path for path in Path("outputs/sweep").iterdir() if path.is_dir())
    trained = [(job / "checkpoints/last.ckpt").stat().st_mtime_ns for job in jobs]
    # As if it had been killed: in the third job after an epoch, and before the fourth.
    (jobs[2] / "results.json").unlink()
    (jobs[2] / "status.json").write_text('{"status": "running", "reason": null, "since": "2026-01-01T00:00:00+00:00"}')
    shutil.rmtree(jobs[3])
    # And the first had been trained before there was the key data.same_side, as nothing else was possible then.
    config = json.loads((jobs[0] / "config.json").read_text())
    assert config["data"].pop("same_side_negatives") == 0
    (jobs[0] / "config.json").write_text(json.dumps(config))
    outcome = shoepair(*sweep)
    assert outcome.code == 0, outcome.err
    assert "Going on in outputs/sweep: 2 completed, 1 interrupted there." in outcome.out
    assert f"Going on with {jobs[2]}" in outcome.out
    assert "4 jobs: 4 completed; 2 of them from before, 2 run now" in outcome.out
    assert [(job / "checkpoints/last.ckpt").stat().st_mtime_ns for job in jobs[:3]] == trained[:3]
    assert board_of(Path("outputs/sweep")) == first
    # What is missing may be the test sets only.
    outcome = shoepair(*sweep, "test=true")
    assert outcome.code == 0 and "Epoch 1/2" not in outcome.out
    assert "test" in json.loads((jobs[0] / "results.json").read_text())["splits"]
    assert board_of(Path("outputs/sweep")) == first
    # Other settings are another result, for the same folder too.
    outcome = shoepair(*sweep, "trainer.max_epochs=1")
    assert outcome.code == 0 and "4 jobs: 4 completed\n" in outcome.out
    assert {row["num_epochs"] for row in board(Path("outputs/sweep"))} == {"1"}


def test_two_processes_never_train_the_same_run(shoepair: Command, tmp_path: Path) -> None:
    from shoepair.runs.folder import locked, recorded

    with locked(Path("outputs/run"), wait=False), recorded(Path("outputs/run"), {}):
        done = subprocess.run(
            [PROGRAM, *TINY, "hydra.run.dir=outputs/run"], capture_output=True, text=True, cwd=tmp_path
        )
    assert done.returncode == 2 and "outputs/run: another process trains this run" in done.stderr


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["experiment=glob(orignal_*)"], "experiment=glob(orignal_*): there is nothing to run: no value fits; choose"),
        (["seed=range(0)"], "seed=range(0): there is nothing to run: no value fits."),
        (["optimizer.lr=glob(*)"], "optimizer.lr=glob(*): there is nothing to run: no value fits."),
        (["optimizer.lr=${nosuch},1"], "Interpolation key 'nosuch' not found; full_key: optimizer.lr"),
        (["seed=1,2", "hydra.sweeper.max_batch_size=0"], "hydra.sweeper.max_batch_size=0: expected a whole number"),
        (["seed=1,2", "launcher=joblib", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0: expected a whole"),
        (["seed=1,2", "--config-dir"], "--config-dir: expected a value after it."),
    ],
)
def test_a_sweep_that_cannot_run_is_one_line(shoepair: Command, typed: list[str], said: str) -> None:
    outcome = shoepair("train", "-m", *typed)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err


@pytest.mark.parametrize("sweep", [path.stem for path in sorted((CONF / "sweep").glob("*.yaml"))])
def test_every_ready_made_sweep_composes(sweep: str) -> None:
    with initialize_config_module("shoepair.conf"):
        config = compose("train", [f"sweep={sweep}"], return_hydra_config=True)
    assert config.hydra.sweeper.params


@pytest.mark.parametrize(("sweep", "num_jobs"), [("folds", 5), ("seeds data.fold=0,1 data.folds=3 seed=7,8", 4)])
def test_ready_made_sweeps_run(shoepair: Command, sweep: str, num_jobs: int) -> None:
    settings = [setting for setting in TINY if "batch_size" not in setting] + ["trainer.max_epochs=1"]
    outcome = shoepair(*settings, "data.num_people=10", *f"sweep={sweep}".split(), "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0, outcome.err
    assert f"{num_jobs} jobs: {num_jobs} completed" in outcome.out
    people = [
        row["person"]
        for path in Path("outputs/sweep").glob("*/predictions.csv")
        for row in csv.DictReader(path.read_text().splitlines())
    ]
    if sweep == "folds":  # everybody validates once: 3 same and 3 different pairs each
        assert sorted(people) == sorted(6 * [f"u{number:03d}" for number in range(1, 11)])


def test_a_sweep_can_be_looked_at_without_running_it(shoepair: Command) -> None:
    outcome = shoepair("sweep=grid", "--cfg", "hydra", "-p", "hydra.sweeper.params")
    assert outcome.code == 0 and "data.batch_size: 16,42" in outcome.out


def test_experiments_are_swept_by_glob_and_found_in_a_folder_of_ones_own(shoepair: Command, tmp_path: Path) -> None:
    own = tmp_path / "mine" / "experiment"
    own.mkdir(parents=True)
    for width in (1, 3):
        (own / f"own_{width}.yaml").write_text(
            "# @package _global_\ndefaults:\n  - override /approach: single\n  - override /optimizer: adamw\n"
            f"approach:\n  width: {width}\n"
        )
    settings = [setting for setting in TINY if "width" not in setting]
    outcome = shoepair("--config-dir", "mine", "-m", "experiment=glob(own_*)", *settings, "trainer.max_epochs=1",
                       "hydra.sweep.dir=outputs/sweep")  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert {row["approach.width"] for row in board(Path("outputs/sweep"))} == {"1", "3"}


@pytest.mark.parametrize(
    ("launcher", "target", "needs"),
    [
        ("local", "hydra._internal.core_plugins.basic_launcher.BasicLauncher", "hydra"),
        ("joblib", "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher", "hydra_joblib_launcher"),
        (
            "submitit",
            "shoepair.launch.submitit_launcher.LocalLauncher",
            "hydra_submitit_launcher",
        ),
        ("slurm", "shoepair.launch.submitit_launcher.SlurmLauncher", "hydra_submitit_launcher"),
        ("ray", "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher", "hydra_ray_launcher"),
    ],
)
def test_launchers_fit_their_plugins_or_name_what_to_install(
    shoepair: Command, launcher: str, target: str, needs: str
) -> None:
    """Composing checks the options against the plugin's own schema."""
    outcome = shoepair(f"launcher={launcher}", "--cfg", "hydra", "-p", "hydra.launcher")
    installed = importlib.util.find_spec("hydra_plugins") and needs != "hydra"
    if needs == "hydra" or (installed and importlib.util.find_spec(f"hydra_plugins.{needs}")):
        assert outcome.code == 0 and f"_target_: {target}" in outcome.out
        assert get_class(target)
    else:
        extra = "slurm" if "submitit" in needs else launcher
        assert outcome.code == 2 and outcome.err.count("\n") == 1
        assert outcome.err.rstrip().endswith(f"is not installed: pip install 'shoepair[{extra}]'")


def test_an_extra_that_is_missing_is_named_with_what_installs_it(tmp_path: Path) -> None:
    """Plugins are found in the package hydra_plugins and by their entry points: here both are empty."""
    (tmp_path / "hydra_plugins").mkdir()
    (tmp_path / "hydra_plugins" / "__init__.py").write_text("")
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.metadata as m\nfound = m.entry_points\n"
        "m.entry_points = lambda **by: () if by.get('group') == 'hydra.plugins' else found(**by)\n"
    )
    for typed, extra in (("launcher=joblib", "joblib"), ("launcher=slurm", "slurm"), ("launcher=ray", "ray"),
                         ("sweep=search", "search")):  # fmt: skip
        done = subprocess.run([PROGRAM, typed, "-m"], capture_output=True, text=True, cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": str(tmp_path)})  # fmt: skip
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert f"is not installed: pip install 'shoepair[{extra}]'" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit"])
def test_jobs_beside_one_another_share_the_cores(tmp_path: Path, launcher: str) -> None:
    done = subprocess.run([PROGRAM, *SWEEP, f"launcher={launcher}", "hydra.sweep.dir=outputs/beside"],
                          capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "4 jobs: 4 completed" in done.stdout
    threads = {row["device"].rpartition(", ")[2] for row in board(tmp_path / "outputs/beside")}
    cores = len(os.sched_getaffinity(0))
    assert threads == {f"{1 if launcher == 'submitit' else max(1, cores // min(cores, 4))} threads)"}


@pytest.mark.slow
def test_a_search_survives_failures_goes_on_and_is_shared(tmp_path: Path) -> None:
    search = [PROGRAM, "sweep=search", *TINY, "optimizer=sgd", "optimizer.lr=tag(log, interval(1e-4, 1e30))",
              "hydra.sweeper.sampler.seed=1"]  # fmt: skip

    def trials() -> list[str]:
        with closing(sqlite3.connect(tmp_path / "outputs/search.db")) as study:
            return [state for (state,) in study.execute("select state from trials order by trial_id")]

    done = subprocess.run([*search, "hydra.sweeper.n_trials=4", "hydra.sweep.dir=outputs/one"],
                          capture_output=True, text=True, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 1, done.stderr  # some of these learning rates diverge
    assert len(trials()) == 4 and {"COMPLETE", "FAIL"} == set(trials())
    assert "4 jobs: " in done.stdout and " failed" in done.stdout
    search[-1] = "hydra.sweeper.sampler.seed=null"
    both = [
        subprocess.Popen([*search, "hydra.sweeper.n_trials=2", f"hydra.sweep.dir=outputs/{name}"], cwd=tmp_path,
                         stdout=subprocess.PIPE, text=True)
        for name in ("two", "three")
    ]  # fmt: skip
    for process in both:
        out, _ = process.communicate(timeout=300)
        assert process.returncode in (0, 1) and "2 jobs: " in out
    assert len(trials()) == 8 and "RUNNING" not in trials()
    with closing(sqlite3.connect(tmp_path / "outputs/search.db")) as study:
        ((name,),) = study.execute("select study_name from studies").fetchall()
    assert name.startswith("dual-synthetic-")


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_same_leaderboard(tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, times=3, seed=0)


@pytest.mark.slow
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    import signal
    import time

    process = subprocess.Popen([PROGRAM, *SWEEP, "trainer.max_epochs=50", "hydra.sweep.dir=outputs/sweep"],
                               cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    while not list(tmp_path.glob("outputs/sweep/0_*/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in out + err
    assert "Go on with the same command and hydra.sweep.dir=outputs/sweep" in err
    (job,) = tmp_path.glob("outputs/sweep/0_*")
    assert status(job)["status"] == "interrupted"


@pytest.mark.slow
def test_real_photos_are_swept_by_fold(shoepair: Command, real_photos: Path) -> None:
    outcome = shoepair("sweep=folds", "data=photos", f"data.root={real_photos}", "data.image_size=32",
                       "approach.width=2", "trainer.max_epochs=1", "hydra.sweep.dir=outputs/folds")  # fmt: skip
    assert outcome.code == 0 and "5 jobs: 5 completed" in outcome.out
