"""A network that has learned from people who validate is said to have: its figures on them are no measure."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command

KNOWN = "it has learned from {} of the {} people who validate here"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("data.num_people=6", None),  # the same split
        ("data.num_people=6 data.fold=0 data.folds=3", KNOWN.format(2, 2)),
        ("data.num_people=6 data.fold=0 data.folds=3 data.seed=1", None),  # others of the same names
        ("mode=sanity trainer.max_epochs=1", None),  # where that is the point
    ],
)
def test_drawn_people_who_taught_the_network_are_counted(
    shoepair: Command, trained: Path, typed: str, said: str | None
) -> None:
    outcome = shoepair(*TINY, "test=false", f"init_from={trained}", *typed.split())
    assert outcome.code in (0, 1), outcome.err
    assert (said is None and "has learned" not in outcome.err + outcome.out) or (
        said is not None and said in outcome.err + outcome.out
    )


def test_photos_of_the_same_folder_are_known(shoepair: Command, drawn_photos: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn_photos, tmp_path / "others")
    tiny = [setting for setting in TINY if not setting.startswith("data.num")]
    of_photos = (*tiny, "data=photos", "data.folds=2", "test=false")
    first = (f"data.root={drawn_photos}", "data.fold=0", "hydra.run.dir=outputs/first")
    assert shoepair(*of_photos, *first).code == 0
    for root, fold, known in ((drawn_photos, 1, True), (drawn_photos, 0, False), ("others", 1, False)):
        outcome = shoepair(*of_photos, f"data.root={root}", f"data.fold={fold}", "init_from=outputs/first")
        assert outcome.code == 0 and ("has learned" in outcome.err + outcome.out) is known, outcome.err


def test_a_checkpoint_that_does_not_say_who_taught_it_is_one_line(
    shoepair: Command, trained: Path, tmp_path: Path
) -> None:
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    for number, wrong in enumerate(({"num_people": "all"}, {"fold": "first"})):
        content["config"]["data"] |= wrong
        torch.save(content, f"{number}.ckpt")
        outcome = shoepair(*TINY, f"init_from={number}.ckpt")
        assert outcome.code == 2 and outcome.err.count("\n") == 1 and outcome.err.startswith("shoepair: ")
