"""Optimizer and schedule: what is typed for them is what trains."""

from pathlib import Path

import pytest
import torch
from conftest import TINY, Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from shoepair.models.module import momentum_cycle

SHORT = (*TINY, "test=false", "trainer.precision=32-true")


def test_the_momentum_of_a_cycle_is_the_optimizers() -> None:
    """torch's own are 0.85 and 0.95, which is what an optimizer of 0.9 gets."""
    assert momentum_cycle({"betas": [0.9, 0.999]}) == {"base_momentum": 0.85, "max_momentum": 0.95}
    assert momentum_cycle({"momentum": 0.5}) == {"base_momentum": 0.45, "max_momentum": 0.55}
    assert momentum_cycle({"momentum": 0.0}) == momentum_cycle({}) == {"cycle_momentum": False}
    assert momentum_cycle({"betas": [0.99, 0.999]})["max_momentum"] < 1


@pytest.mark.parametrize(
    ("optimizer", "key", "values"),
    [("adam", "betas", ("[0.9,0.999]", "[0.5,0.999]")), ("sgd", "momentum", ("0.9", "0.3"))],
)
def test_a_momentum_that_is_swept_makes_a_difference(
    shoepair: Command, optimizer: str, key: str, values: tuple[str, str]
) -> None:
    outcome = shoepair("-m", *SHORT, f"optimizer={optimizer}", f"optimizer.{key}={','.join(values)}",
                       "hydra.sweep.dir=outputs/sweep", "hydra.sweep.subdir=${hydra.job.num}")  # fmt: skip
    assert outcome.code == 0, outcome.err
    one, other = (torch.load(f"outputs/sweep/{job}/checkpoints/last.ckpt")["state_dict"] for job in (0, 1))
    assert any(not torch.equal(one[name], other[name]) for name in one if name.endswith("weight"))


def test_a_cycle_that_moves_by_epochs_ends_with_them(shoepair: Command, tmp_path: Path) -> None:
    outcome = shoepair(*SHORT, "scheduler.interval=epoch", "trainer.max_epochs=5", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    scalars = EventAccumulator(str(tmp_path / "outputs/run")).Reload()
    rates = [event.value for event in scalars.Scalars("schedule/learning_rate")]
    assert len(rates) == 5 and max(rates) > 0.5e-3 and rates[-1] < 0.1 * max(rates)
