"""Runs that an older version left: measured, gone on with, compared and started from. See before/README.md."""

import json
import tarfile
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command

RUNS = ("dual", "single", "pretrained")


@pytest.fixture
def before(shoepair: Command, tmp_path: Path) -> Command:
    with tarfile.open(Path(__file__).parent / "before" / "runs.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    pytest.importorskip("timm")
    return shoepair


def splits_of(run: str) -> dict[str, dict[str, float]]:
    found = json.loads(Path(run, "results.json").read_text())["splits"]
    return {split: {name: figures[name] for name in ("accuracy", "loss")} for split, figures in found.items()}


@pytest.mark.parametrize("run", RUNS)
def test_an_old_checkpoint_is_measured_as_it_was(before: Command, run: str) -> None:
    outcome = before("evaluate", f"checkpoint=runs/{run}/whole", "hydra.run.dir=measured")
    assert outcome.code == 0, outcome.err
    for split, figures in splits_of("measured").items():
        assert figures == pytest.approx(splits_of(f"runs/{run}/whole")[split], abs=1e-5)


@pytest.mark.parametrize("run", RUNS)
def test_an_old_run_goes_on_to_where_it_would_have_come(before: Command, run: str) -> None:
    outcome = before("train", f"resume=runs/{run}/halves")
    assert outcome.code == 0, outcome.err
    assert "Epoch 2/2" in outcome.out and "Epoch 1/2" not in outcome.out
    for split, figures in splits_of(f"runs/{run}/halves").items():
        assert figures == pytest.approx(splits_of(f"runs/{run}/whole")[split], abs=1e-5)


def test_old_and_new_runs_are_compared(before: Command) -> None:
    typed = (
        "approach.width=2", "data.augment.hflip=0.5", "data.augment.rotation_deg=5", "data.augment.exposure=0.1",
        "data.same_side_negatives=0.2", "negative_weight=1.5", "ema_decay=0.9", "keep=last", "optimizer=adamw",
    )  # fmt: skip
    assert before("train", *TINY, *typed, "trainer.precision=32-true", "hydra.run.dir=runs/today").code == 0
    outcome = before("compare", "runs/dual/whole", "runs/today", "--out", "of dual")
    assert outcome.code == 0 and "Not read" not in outcome.out
    table = Path("of dual/leaderboard.md").read_text().splitlines()
    assert len([line for line in table if line.startswith("| 1 ")]) == 1 and not any(
        line.startswith("| 2 ") for line in table
    )
    outcome = before("compare", "runs", "--out", "of all")
    assert outcome.code == 0 and "Not read" not in outcome.out
    best = torch.load("runs/today/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    old = torch.load("runs/dual/whole/checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert len(best) == len(old)


@pytest.mark.parametrize("run", RUNS)
def test_an_old_network_is_started_from(before: Command, run: str) -> None:
    overrides = Path(f"runs/{run}/whole/.hydra/overrides.yaml").read_text().replace("- ", "").splitlines()
    outcome = before("train", *overrides)
    assert outcome.code == 2 and " is now " in outcome.err  # what was typed then is answered by today's name
    from shoepair.config.compat import todays_override

    typed = [todays_override(override) for override in overrides if not override.startswith("init=")]
    outcome = before("train", *typed, f"init_from=runs/{run}/whole", "hydra.run.dir=runs/further")
    assert outcome.code == 0, outcome.err
    assert f"Weights    from runs/{run}/whole/checkpoints/best.ckpt" in outcome.out
