import json
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image

from shoepair.config.schema import SanitySettings
from shoepair.training.sanity import judge

SMALL = ("mode=sanity", "data.image_size=32", "data.num_test_people=0", "hydra.run.dir=outputs/sanity")
SETTINGS = SanitySettings(accuracy=0.97, loss_gap=0.1, patience=3)


@pytest.mark.parametrize("choice", ["approach=single", "approach=dual", "experiment=original_dual", "scheduler=cosine"])
def test_sanity_learns_and_says_so(shoepair: Command, choice: str) -> None:
    outcome = shoepair(*SMALL, choice, "optimizer.lr=3e-3")
    assert outcome.code == 0, outcome.out + outcome.err
    assert outcome.out.rstrip().splitlines()[-1].startswith("Learned: after ")
    record = json.loads(Path("outputs/sanity/results.json").read_text())
    assert record["temperature"] is None  # these people were trained on
    assert set(record["splits"]) == {"val"} and record["splits"]["val"]["accuracy"] >= 0.97
    with Image.open("outputs/sanity/curves.png") as curves:
        assert curves.width > 600


def test_sanity_without_learning_rate_exits_with_one_and_says_where_to_look(shoepair: Command) -> None:
    outcome = shoepair(*SMALL, "optimizer.lr=0", "trainer.max_epochs=2")
    verdict = outcome.out.rstrip().splitlines()[-1]
    assert outcome.code == 1 and outcome.err == ""
    assert verdict.startswith("Not learned: ") and "optimizer.lr=0" in verdict and "frozen weights" in verdict
    assert json.loads(Path("outputs/sanity/status.json").read_text())["status"] == "failed"


def test_a_persons_own_experiment_can_be_checked(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "wild.yaml").write_text(
        "# @package _global_\ndefaults: [{override /scheduler: plateau}, {override /approach: single}]\n"
        "approach: {dropout: 0.5}\ndata: {batch_size: 40, drop_last: true, augment: {rotation_deg: 90, hflip: 1.0}}\n"
    )
    outcome = shoepair("--config-dir", "mine", "experiment=wild", "mode=sanity", "--cfg", "job")
    assert "dropout: 0.0" in outcome.out and "augment: null" in outcome.out and "batch_size: 12" in outcome.out
    assert "ConstantLR" in outcome.out and "name: single" in outcome.out
    outcome = shoepair("mode=sanity", "augment=harsh")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: augment=harsh: expected none, since mode=sanity")


@pytest.mark.parametrize(
    ("train", "val", "learned"),
    [((0.02, 1.0), (0.03, 1.0), True), ((0.02, 0.97), (0.03, 0.97), True), ((0.02, 0.96), (0.03, 1.0), False),
     ((0.02, 1.0), (0.03, 0.96), False), ((0.02, 1.0), (0.2, 1.0), False)],
)  # fmt: skip
def test_learned_means_both_accuracies_and_losses_that_meet(
    train: tuple[float, float], val: tuple[float, float], learned: bool
) -> None:
    history = {
        "train/loss": [train[0]], "train/accuracy": [train[1]], "val/loss": [val[0]], "val/accuracy": [val[1]],
    }  # fmt: skip
    assert judge(history, SETTINGS).learned is learned
