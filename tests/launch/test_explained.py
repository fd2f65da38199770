"""`--explain` reads the line as `train` does, and answers mistakes in it with the same line."""

from pathlib import Path

import pytest
from conftest import Command


@pytest.fixture(autouse=True)
def mine(shoepair: Command) -> None:
    """An experiment of one's own."""
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/wide.yaml").write_text("# @package _global_\noptimizer: {lr: 0.25}\n")


@pytest.mark.parametrize(
    ("line", "now"),
    [
        ("--config-dir mine experiment=wide --explain optimizer.lr", "0.25"),
        ("--explain optimizer.lr --config-dir mine experiment=wide", "0.25"),
        ("seed=1 -cd mine data.seed=1 --explain=optimizer.lr experiment=wide", "0.25"),
        ("--config-dir=mine --explain optimizer.lr experiment=wide optimizer.lr=0.5", "0.5"),
        ("--explain optimizer.lr --cfg job -p optimizer", "0.001"),
        ("-m --explain optimizer.lr seed=1", "0.001"),
    ],
)
def test_a_value_is_told_with_all_that_decides_it(shoepair: Command, line: str, now: str) -> None:
    outcome = shoepair("train", *line.split())
    assert outcome.code == 0 and outcome.out.count("Now:") == 1, outcome.err
    assert outcome.out.splitlines()[-1].split() == ["Now:", now]


@pytest.mark.parametrize(
    "mistake",
    ["approach=nosuch", "optimizer.lrr=1", "optimizer.lr=(", "--config-dir nosuch", "experiment=wide", "mode=1"],
)
def test_a_mistake_beside_it_is_the_same_line_as_without_it(shoepair: Command, mistake: str) -> None:
    outcome = shoepair("train", "--explain", "optimizer.lr", *mistake.split())
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and not outcome.out
    assert outcome.err == shoepair("train", *mistake.split()).err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--explain", "seed", "seed=0,1"], "seed=0,1: expected one value, since --explain tells that of one run."),
        (
            ["-m", "--explain", "seed", "seed=0,1"],
            "seed=0,1: expected one value, since --explain tells that of one run.",
        ),
        (["--explain", ""], "--explain: expected a key, such as --explain data.negatives."),
        (["--explain="], "--explain: expected a key, such as --explain data.negatives."),
        (["--explain", "optimizer.lr", "optimizer.lr=${nosuch}"], "optimizer.lr: Interpolation key 'nosuch' not found"),
        (
            ["--explain", "hydra.sweeper.n_trials", "sweep=search"],
            "hydra.sweeper.n_trials: Hydra's own key; shoepair train --cfg hydra -p hydra.sweeper shows its value.",
        ),
    ],
)
def test_what_it_cannot_tell_is_one_line(shoepair: Command, arguments: list[str], said: str) -> None:
    outcome = shoepair("train", *arguments)
    assert outcome.code == 2 and outcome.err == f"shoepair: {said}\n"


def test_an_argument_of_somebody_elses_class_is_told(shoepair: Command) -> None:
    outcome = shoepair("train", "--explain", "logger.csv.name", "logger=csv")
    assert "An argument of lightning.pytorch.loggers.CSVLogger." in outcome.out and outcome.code == 0
    outcome = shoepair("train", "--explain", "nosuch.key")
    assert outcome.err.startswith("shoepair: nosuch: no such key; there are callbacks, "), outcome.err


def test_an_empty_word_beside_resume_is_no_setting(shoepair: Command, trained: Path) -> None:
    outcome = shoepair(f"resume={trained}", "")
    assert outcome.code == 2 and outcome.err == "shoepair: : this is no setting (mismatched input '<EOF>').\n"
