"""What a run and an evaluation say of their pictures."""

from pathlib import Path

import pytest
from conftest import TINY, Command

from shoepair.training import report, tensorboard


def refuse(*arguments: object) -> None:
    raise ValueError("it cannot be drawn")


def test_pictures_that_cannot_be_drawn_cost_a_line_each_and_are_not_promised(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "draw_pairs", refuse)
    monkeypatch.setattr(report, "draw_curves", refuse)
    outcome = shoepair("train", *TINY, "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    said = outcome.out + outcome.err
    for name in ("pairs", "curves"):
        assert said.count(f"No picture outputs/run/{name}.png: ValueError: it cannot be drawn") == 1
    assert "Pictures       outputs/run/mistakes.png\n" in said and Path("outputs/run/results.json").is_file()
    monkeypatch.setattr(report, "draw_roc", refuse)
    outcome = shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/measured")
    assert outcome.code == 0, outcome.err
    assert "Pictures   outputs/measured/scores.png, confusion.png\n" in outcome.out + outcome.err
