"""Each argument of Lightning's Trainer that can be added works; those that cannot: tests/config/test_schema.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command

from shoepair.config.trainer import TrainerSettings

ADDED = {
    "strategy": "auto",
    "gradient_clip_algorithm": "value",
    "limit_train_batches": "1",
    "limit_val_batches": "1",
    "min_epochs": "2",
    "min_steps": "2",
    "profiler": "simple",
    "detect_anomaly": "true",
    "benchmark": "true",
    "inference_mode": "false",
}


def test_every_argument_that_can_be_added_is_tried_below() -> None:
    assert set(ADDED) == {name for name, field in TrainerSettings.model_fields.items() if not field.is_required()}


@pytest.fixture
def alone_afterwards() -> Iterator[None]:
    """A group of processes, which Lightning leaves until Python ends, is none of the tests' that come next."""
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:You passed `deterministic=True` and `benchmark=True`")  # as is said to the user
@pytest.mark.parametrize("typed", [*map("=".join, ADDED.items()), "limit_train_batches=1.0", "limit_val_batches=1.0",
                                   "profiler=advanced", "strategy=ddp_find_unused_parameters_true"])  # fmt: skip
def test_a_run_with(typed: str, shoepair: Command, alone_afterwards: None) -> None:
    whole = (*TINY, "test=false", "trainer.gradient_clip_val=1")
    outcome = shoepair(*whole, f"+trainer.{typed}", "hydra.run.dir=outputs/run")
    assert outcome.code == 0 and "Epoch 2/2" in outcome.out, outcome.err
    profile = Path("outputs/run/fit-profile.txt")
    assert profile.is_file() == ("profiler" in typed) == (f"Profile        {profile}" in outcome.out)
    if profile.is_file():
        assert "training_step" in profile.read_text()
    assert shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/measured").code == 0
