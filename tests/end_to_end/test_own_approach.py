"""An approach of one's own, from a folder outside the package: its Python file, and its YAML by --config-dir."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command

TOY = '''
"""Two shoes are a pair if their mean colours are near."""
from typing import Annotated, Literal

from annotated_types import Ge
from torch import nn

from shoepair.config.approaches import ApproachSettings, register
from shoepair.config.values import key
from shoepair.models.networks import PairNetwork


class ToySettings(ApproachSettings):
    name: Literal["toy"] = key("Mean colours.")
    hidden: Annotated[int, Ge(1)] = key("Units.")


class ToyNetwork(PairNetwork):
    def __init__(self, settings):
        super().__init__()
        hidden = settings.approach.hidden
        self.head = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 2))

    def forward(self, left, right):
        return self.head((left.mean(dim=(2, 3)) - right.mean(dim=(2, 3))).abs())


register("toy", ToySettings, ToyNetwork)
'''
SETTINGS = [setting for setting in TINY if not setting.startswith("approach.")]


@pytest.fixture
def toy(shoepair: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`shoepair`, in a folder with the files of the approach, which is forgotten afterwards."""
    from shoepair.config import approaches

    monkeypatch.setattr(approaches, "APPROACHES", approaches.APPROACHES.copy())
    (tmp_path / "mine" / "approach").mkdir(parents=True)
    (tmp_path / "mine" / "toy.py").write_text(TOY)
    (tmp_path / "mine" / "approach" / "toy.yaml").write_text("name: toy\nhidden: 4\n")
    return shoepair


OWN = ("--config-dir", "mine", "approach=toy", "plugins=[mine/toy.py]")


def test_it_is_trained_swept_evaluated_used_and_exported(toy: Command, drawn_photos: Path) -> None:
    outcome = toy("train", *OWN, *SETTINGS, "hydra.run.dir=outputs/run")
    assert outcome.code == 0 and "Approach   toy, 26 parameters" in outcome.out, outcome.err
    outcome = toy("train", "-m", *OWN, *SETTINGS, "approach.hidden=2,3", "hydra.sweep.dir=outputs/sweep")
    assert outcome.code == 0 and "2 jobs: 2 completed" in outcome.out, outcome.err
    outcome = toy("evaluate", "checkpoint=outputs/run", "plugins=[mine/toy.py]", "hydra.run.dir=outputs/measured")
    assert outcome.code == 0, outcome.err
    figures = [json.loads(Path(f"outputs/{run}/results.json").read_text())["splits"] for run in ("run", "measured")]
    assert figures[0] == figures[1]
    photos = [str(path) for path in sorted((drawn_photos / "train").iterdir())[:2]]
    plugin = ("--checkpoint", "outputs/run", "--plugin", "mine/toy.py")
    assert toy("predict", *photos, *plugin).code == 0
    assert toy("match", str(drawn_photos / "test_m"), *plugin).code == 0
    outcome = toy("export", *plugin, "--out", "toy.onnx")
    assert outcome.code == 0 and Path("toy.onnx").is_file(), outcome.err
    outcome = toy("train", "resume=outputs/run")  # what was typed then names its file again
    assert outcome.code == 0, outcome.err


def test_its_settings_are_checked_like_any_others(toy: Command) -> None:
    for typed, said in (
        ("approach.hidden=0", "approach.hidden=0: expected a whole number"),
        ("+approach.width=3", "approach.width: no such key"),
        ("~approach.hidden", "approach.hidden was removed: give it a value, a whole number"),
    ):
        outcome = toy("train", *OWN, *SETTINGS, typed)
        assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}"), outcome.err


def test_it_is_tried_out_by_the_sanity_mode(toy: Command) -> None:
    """Which takes the dropout away, where there is one."""
    outcome = toy("train", *OWN, *SETTINGS, "mode=sanity")
    assert (
        outcome.code in (0, 1) and outcome.err == "" and outcome.out.splitlines()[-1].startswith(("Learned", "Not le"))
    )


def test_what_a_checkpoint_names_is_never_imported_by_itself(toy: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoepair.config import approaches

    assert toy("train", *OWN, *SETTINGS, "hydra.run.dir=outputs/run").code == 0
    content = torch.load("outputs/run/checkpoints/best.ckpt", weights_only=True)
    assert content["config"]["plugins"] == ["mine/toy.py"]
    del approaches.APPROACHES["toy"]  # as in a process of its own
    Path("mine/toy.py").write_text("open('sprung', 'w')")
    for command in (("evaluate", "checkpoint=outputs/run"), ("export", "--checkpoint", "outputs/run")):
        outcome = toy(*command)
        assert outcome.code == 2 and outcome.err.splitlines()[-1].startswith("shoepair: checkpoint=outputs/run/")
        assert outcome.err.endswith("plugins=[mine/toy.py], or in other commands --plugin mine/toy.py.\n")
    assert not Path("sprung").exists()


def test_without_its_module_it_is_no_approach(toy: Command) -> None:
    outcome = toy("train", "--config-dir", "mine", "approach=toy", *SETTINGS)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: approach=toy: expected one of single, dual, pretrained, histogram; name ")


def test_it_may_come_with_an_installed_package(toy: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "toys-1.dist-info").mkdir(parents=True)
    (tmp_path / "site" / "toys-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    (tmp_path / "site" / "toys-1.dist-info" / "entry_points.txt").write_text("[shoepair.approaches]\ntoy = toys\n")
    (tmp_path / "site" / "toys.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path / "site")
    outcome = toy("train", *OWN[:3], *SETTINGS)
    assert outcome.code == 0, outcome.err
