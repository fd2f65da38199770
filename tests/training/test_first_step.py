"""What only the data, the machine and torch can tell of settings is one line, before the first step."""

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import TINY, Command
from PIL import Image
from settings import train_settings

from shoepair.data.datamodule import ShoePairDataModule


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("data.batch_size=1 data.balanced=false", "data.batch_size=1: expected at least 2, since batch norm needs two"),
        ("data.batch_size=23 data.balanced=false", "data.batch_size=23: it leaves one pair alone in the last batch"),
        ("+trainer.limit_train_batches=0.4", "trainer.limit_train_batches=0.4: that is less than one of 2 batches."),
        ("+trainer.limit_val_batches=0.1", "trainer.limit_val_batches=0.1: that is less than one of 1 batches."),
        ("scheduler.total_steps=3", "scheduler.total_steps=3: expected at least 4, the steps of this run, or null."),
        (
            "scheduler.total_steps=1 scheduler.interval=epoch",
            "scheduler.total_steps=1: expected at least 2, the epochs",
        ),
        ("scheduler.pct_start=0.25", "scheduler.pct_start=0.25: of 4 steps that is one, and OneCycleLR cannot rise in"),
        (
            "+optimizer.fused=true trainer.gradient_clip_val=1 trainer.precision=bf16-mixed",
            "optimizer.fused=true: expected false, since with trainer.precision=bf16-mixed Lightning cannot clip",
        ),
        ("optimizer._target_=json.loads", "optimizer: json.loads refused"),
        ("+optimizer.capturable=true", "optimizer: torch.optim.Adam refused"),
        ("+optimizer.eps=small", "optimizer: torch.optim.Adam refused"),
        ("scheduler=constant +scheduler.last_epoch=3", "scheduler: torch.optim.lr_scheduler.ConstantLR refused"),
    ],
)
def test_it_is_one_line(shoepair: Command, typed: str, said: str) -> None:
    outcome = shoepair(*TINY, *typed.split(), "hydra.run.dir=outputs/run")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1
    assert json.loads(Path("outputs/run/status.json").read_text())["status"] == "failed"
    assert "Epoch" not in outcome.out


@pytest.mark.parametrize("key", ["accumulate_grad_batches", "devices"])
def test_one_batch_is_not_shared(shoepair: Command, key: str) -> None:
    cut = ("approach.cutout=64", "approach.local_layer=features.8", "approach.hidden_units=null", "approach.dropout=0")
    network = ("approach=pretrained", "approach.encoder=torchvision/mobilenet_v3_small", "approach.weights=null", *cut)
    tiny = [setting for setting in TINY if not setting.startswith("approach.")]
    more = ("approach.draws=2", f"trainer.{key}=2", "trainer.accelerator=cpu", "trainer.strategy=ddp_spawn")
    outcome = shoepair(*tiny, *network, *more[: 3 if key == "devices" else 2])
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"shoepair: trainer.{key}=2: expected 1, since with approach.draws=2 every epoch is")


@pytest.mark.parametrize(("people", "split"), [(["a", "b", "c", "d"], "train"), (["a", "b", "c", "d", "d"], "train")])
def test_people_of_one_pair_each_teach_no_difference(
    shoepair: Command, tmp_path: Path, people: list[str], split: str
) -> None:
    shades = iter(range(10, 250, 10))
    rows = ["file,person,pair,side,kind"]
    for pair, person in enumerate(people):
        for side in ("left", "right"):
            Image.new("RGB", (32, 32), (next(shades),) * 3).save(tmp_path / f"{pair}{side}.png")
            rows.append(f"{pair}{side}.png,{person},{pair},{side},w")
    Path("shoes.csv").write_text("\n".join(rows))
    tiny = [setting for setting in TINY if not setting.startswith("data.num")]
    outcome = shoepair(*tiny, "data=table", "data.file=shoes.csv", "data.train_fraction=0.5", "data.batch_size=2")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {split} has no different pair, since each of its")


def test_a_part_of_validation_has_both_kinds_of_pair() -> None:
    data = ShoePairDataModule(train_settings(*TINY, "data.num_people=20", "data.batch_size=4").data, 0)
    data.setup()
    trainer: Any = SimpleNamespace(limit_val_batches=0.5, global_rank=0, world_size=1, strategy=SimpleNamespace(
        root_device=torch.device("cpu")))  # fmt: skip
    data.trainer = trainer
    for trainer.limit_val_batches in (0.5, 3):
        some = [label for *_, label in data.val_dataloader()][:3]
        assert 0.2 < torch.cat(some).mean() < 0.8
    trainer.limit_val_batches = 1.0  # all of them, in the order of predictions.csv
    assert torch.cat([label for *_, label in data.val_dataloader()]).tolist() == data.pairs["val"].label.tolist()


def test_what_the_memory_cannot_hold_is_not_begun(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", lambda name: 500)
    outcome = shoepair(*TINY, "hydra.run.dir=outputs/run")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: data.batch_size=12: 12 pairs of 32 pixels take some")


def test_a_single_pair_that_is_not_reached_does_no_harm(shoepair: Command) -> None:
    short = ("data.batch_size=23", "data.balanced=false", "trainer.max_epochs=1", "test=false")
    assert shoepair(*TINY, *short, "+trainer.limit_train_batches=1").code == 0
    assert shoepair(*TINY, *short, "data.drop_last=true").code == 0
