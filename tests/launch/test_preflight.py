"""What a name of a run means is decided once, before anything is trained."""

import json
from pathlib import Path
from typing import Any

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
