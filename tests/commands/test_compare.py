"""`shoepair compare`: what it tells to type next is of the best run, wherever that and the written files are."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import Command


def run_with(accuracy: float, trained: Path, path: str) -> None:
    """A copy of a run, with another validation accuracy."""
    shutil.copytree(trained, path)
    results = json.loads(Path(path, "results.json").read_text())
    results["splits"]["val"]["accuracy"] = accuracy
    Path(path, "results.json").write_text(json.dumps(results))
    Path(path, "predictions.csv").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        (["outputs/a", "outputs/b"], "outputs"),
        (["outputs"], "outputs"),
        (["outputs/a", "outputs"], "outputs"),
        (["outputs", "--out", "reports"], "outputs"),
        (["outputs", "--metric", "loss"], "outputs"),
        (["outputs/a", "elsewhere", "outputs/b"], "."),
    ],
)
def test_the_next_commands_are_of_the_best_run_and_of_all_that_was_compared(
    shoepair: Command, trained: Path, typed: list[str], shown: str
) -> None:
    for path, accuracy in (("outputs/a/0_x", 0.5), ("outputs/b/0_x", 0.75), ("elsewhere/0_x", 0.25)):
        run_with(accuracy, trained, path)
    outcome = shoepair("compare", *typed)
    assert outcome.code == 0, outcome.err
    said = {line[:14].strip(): line[14:] for line in outcome.out.splitlines()}
    assert said["Evaluate"] == f"shoepair evaluate checkpoint={said['Best run']}"
    assert said["Look at runs"] == f"tensorboard --logdir {shown}"
    if "--metric" not in typed:
        assert said["Best run"] == "outputs/b/0_x"


def test_tensorboard_is_not_sent_through_the_whole_disk(shoepair: Command, trained: Path) -> None:
    run_with(0.75, trained, "outputs/a/0_x")
    outcome = shoepair("compare", "outputs", "/dev/shm", "--out", "reports")
    assert outcome.code == 0 and "tensorboard --logdir outputs/a/0_x" in outcome.out, outcome.err


def test_the_command_that_trains_the_best_run_again_names_the_folder_of_its_experiment(
    shoepair: Command,
) -> None:
    Path("my own", "experiment").mkdir(parents=True)
    Path("my own", "experiment", "wide.yaml").write_text("# @package _global_\noptimizer: {lr: 5e-4}\n")
    settings = ("data.num_people=6", "data.num_test_people=0", "data.image_size=32", "data.batch_size=12",
                "approach.width=2", "trainer.max_epochs=1")  # fmt: skip
    outcome = shoepair("--config-dir", "my own", "experiment=wide", *settings, "hydra.run.dir=outputs/b")
    assert outcome.code == 0, outcome.err
    outcome = shoepair("compare", "outputs/b")
    command = "shoepair train --config-dir 'my own' experiment=wide"
    assert f"Train again   {command}" in outcome.out
    assert f"The best run again: `{command}" in Path("outputs/b/leaderboard.md").read_text()
    assert command in Path("outputs/b/leaderboard.csv").read_text()
    again = next(line for line in outcome.out.splitlines() if line.startswith("Train again"))
    outcome = shoepair(*shlex.split(again)[3:], "--cfg", "job")
    assert outcome.code == 0 and "lr: 0.0005" in outcome.out, outcome.err
