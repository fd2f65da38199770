"""What a name of a run means is decided once, before anything is trained."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Command
from omegaconf import OmegaConf

SHORT = (*TINY[:-1], "trainer.max_epochs=1")


def config_of(run: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((run / "config.json").read_text())
    return config


def test_every_job_of_a_sweep_starts_from_the_run_that_was_the_newest_before_it(shoepair: Command) -> None:
    """Also the second job, beside which the first one is newer by then; and the name is not in the folders' names."""
    assert shoepair(*SHORT, "hydra.run.dir=outputs/first").code == 0
    outcome = shoepair("-m", *SHORT, "init_from=latest", "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0, outcome.err
    jobs = sorted(path for path in Path("outputs/sweep").iterdir() if path.is_dir())
    assert [job.name for job in jobs] == ["0_seed-0", "1_seed-1"]
    assert {config_of(job)["init_from"] for job in jobs} == {"outputs/first/checkpoints/best.ckpt"}
    assert outcome.out.count("Weights    from outputs/first/checkpoints/best.ckpt") == 2


def test_where_the_jobs_differ_each_finds_its_own(shoepair: Command) -> None:
    for name in ("one", "other"):
        assert shoepair(*SHORT, f"hydra.run.dir=outputs/{name}").code == 0
    outcome = shoepair("-m", *SHORT, "init_from=outputs/one,outputs/other", "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0, outcome.err
    found = {config_of(path.parent)["init_from"] for path in Path("outputs/sweep").glob("*/config.json")}
    assert found == {f"outputs/{name}/checkpoints/best.ckpt" for name in ("one", "other")}


def test_a_run_records_the_file_as_if_it_had_been_typed(shoepair: Command, tmp_path: Path) -> None:
    """Also where an experiment names the run; so that it is gone on with from the same one."""
    assert shoepair(*SHORT, "hydra.run.dir=outputs/first").code == 0
    Path("outputs/first").rename("outputs/the 'first'")
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "further.yaml").write_text("# @package _global_\ninit_from: latest\n")
    outcome = shoepair("--config-dir", "mine", "experiment=further", *SHORT, "hydra.run.dir=outputs/second")
    assert outcome.code == 0, outcome.err
    file = "outputs/the 'first'/checkpoints/best.ckpt"
    assert config_of(Path("outputs/second"))["init_from"] == file
    typed = OmegaConf.load("outputs/second/.hydra/overrides.yaml")
    assert [override for override in typed if str(override).startswith("init_from=")]
    assert OmegaConf.load("outputs/second/.hydra/config.yaml").init_from == file
    outcome = shoepair("resume=outputs/second")
    assert outcome.code == 0, outcome.err


def test_what_comes_with_the_package_keeps_its_name(shoepair: Command) -> None:
    """Its file lies elsewhere on every machine, and is what the name always means."""
    typed = ("experiment=best_dual", "approach.copies=0", "data.num_people=4", "data.num_test_people=0",
             "data.image_size=112", "data.batch_size=8", "trainer.max_epochs=1")  # fmt: skip
    assert shoepair(*typed, "hydra.run.dir=outputs/run").code == 0
    assert OmegaConf.load("outputs/run/.hydra/config.yaml").init_from == "ready"
    outcome = shoepair("-m", *typed, "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0, outcome.err
    (again,) = [line for line in outcome.out.splitlines() if line.startswith("Train again")]
    assert "experiment=best_dual" in again and "init_from" not in again


def files_in(folder: str) -> dict[Path, int]:
    """What was written in a folder, and when."""
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["latest", "outputs"])
def test_a_sweep_goes_on_from_the_run_that_a_name_meant_when_it_began(shoepair: Command, name: str) -> None:
    """By then, a job of it ended last and is the best, and there is a newer run elsewhere."""
    assert shoepair(*SHORT, "hydra.run.dir=outputs/first").code == 0
    sweep = ("-m", *SHORT, f"init_from={name}", "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert shoepair(*sweep).code == 0
    results = json.loads(Path("outputs/first/results.json").read_text())
    results["splits"]["val"]["accuracy"] = 0.0
    Path("outputs/first/results.json").write_text(json.dumps(results))
    assert shoepair(*SHORT, "hydra.run.dir=outputs/second").code == 0
    shutil.rmtree("outputs/sweep/1_seed-1")
    completed = files_in("outputs/sweep/0_seed-0/checkpoints")
    outcome = shoepair(*sweep)
    assert outcome.code == 0 and "2 jobs: 2 completed; 1 of them from before" in outcome.out, outcome.err
    assert files_in("outputs/sweep/0_seed-0/checkpoints") == completed
    assert config_of(Path("outputs/sweep/1_seed-1"))["init_from"] == "outputs/first/checkpoints/best.ckpt"
    shutil.rmtree("outputs/first")
    outcome = shoepair(*sweep)
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: init_from={name}: when the sweep in outputs/sweep ")
    assert outcome.err.count("\n") == 1 and files_in("outputs/sweep/0_seed-0/checkpoints") == completed


def test_a_name_is_looked_up_once_also_where_the_jobs_differ(shoepair: Command) -> None:
    """What each was trained from is recorded as if it had been typed; so that it can be gone on with."""
    assert shoepair(*SHORT, "hydra.run.dir=outputs/first").code == 0
    outcome = shoepair("-m", *SHORT, "init_from=latest,null", "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0, outcome.err
    jobs = sorted(path.parent for path in Path("outputs/sweep").glob("*/config.json"))
    first = "outputs/first/checkpoints/best.ckpt"
    assert [config_of(job)["init_from"] for job in jobs] == [first, first, None, None]
    assert "init_from-latest" in jobs[1].name
    assert f"init_from='{first}'" in json.loads((jobs[1] / "results.json").read_text())["overrides"]
    outcome = shoepair(f"resume={jobs[1]}")
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("name", ["outputs/sweep", "outputs/sweep/0_seed-0", "latest"])
def test_a_sweep_does_not_start_from_its_own_jobs(shoepair: Command, name: str) -> None:
    """They would be trained anew, first of all the one that the others start from."""
    assert shoepair("-m", *SHORT, "seed=0,1", "hydra.sweep.dir=outputs/sweep").code == 0
    before = files_in("outputs/sweep")
    outcome = shoepair("-m", *SHORT, f"init_from={name}", "seed=0,1", "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 2 and outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.startswith(f"shoepair: init_from={name}: outputs/sweep/")
    assert "/checkpoints/best.ckpt lies in the folder of this sweep" in outcome.err
    assert files_in("outputs/sweep") == before


@pytest.mark.slow
def test_a_search_goes_on_from_the_run_that_a_name_meant_when_it_began(shoepair: Command) -> None:
    """Also where it is one of the choices."""
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    tiny = ("approach=histogram", "approach.bins=4", *(one for one in SHORT if not one.startswith("approach.")))
    assert shoepair(*tiny, "hydra.run.dir=outputs/first").code == 0
    for number, typed in enumerate(("init_from=latest", "init_from=choice(outputs,latest)")):
        search = ("sweep=search", *tiny, "output_dir=outputs", f"hydra.sweep.dir=outputs/{number}")
        for num_trials in (1, 2):
            outcome = shoepair(*search, typed, f"hydra.sweeper.n_trials={num_trials}")
            assert outcome.code == 0 and f"{num_trials} jobs: {num_trials} completed" in outcome.out, outcome.err
        started_from = {config_of(path.parent)["init_from"] for path in Path(f"outputs/{number}").glob("*/config.json")}
        assert len(started_from) <= number + 1 and not any(f"outputs/{number}/" in file for file in started_from)
