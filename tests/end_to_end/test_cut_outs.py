"""Networks that see cut-outs, as a user trains and uses them."""

import csv
from pathlib import Path

import pytest
from conftest import TINY, Command
from PIL import Image

from shoepair import load_classifier
from shoepair.metrics.scores import probability_of

CUT = ("data.image_size=112", "approach.cutout=32", "data.own_scenes=0.5", "augment=harsh", "trainer.max_epochs=1")


@pytest.mark.parametrize(
    ("approach", "fusion"), [("single", "local"), ("dual", "local"), ("dual", "compare"), ("dual", "stack")]
)
def test_they_are_trained_measured_and_used_like_any_other(
    shoepair: Command, drawn_photos: Path, approach: str, fusion: str
) -> None:
    outcome = shoepair(*TINY, *CUT, f"approach={approach}", f"approach.fusion={fusion}", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    evaluated = shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/evaluated")
    assert evaluated.code == 0, evaluated.err
    assert logits_of("outputs/evaluated").items() >= logits_of("outputs/run").items()
    measured = shoepair(
        "evaluate", "checkpoint=outputs/run", "data=photos", f"data.root={drawn_photos}", "data.train_fraction=0.3",
        "hydra.run.dir=outputs/measured",
    )  # fmt: skip
    assert measured.code == 0, measured.err
    classifier = load_classifier("outputs/run")
    pairs = {names: float(logit) for names, logit in logits_of("outputs/measured").items() if names[0] == "val"}
    for (_, left, right), logit in list(pairs.items())[:4]:
        photos = [next(drawn_photos.rglob(f"{name}.*")) for name in (left, right)]
        expected = probability_of(logit / classifier.trained.temperature)
        assert classifier.compare(*photos).probability == pytest.approx(expected, abs=1e-4)
    matched = shoepair("match", str(drawn_photos / "train"), "--checkpoint", "outputs/run", "--out", "matches")
    assert matched.code == 0, matched.err


@pytest.mark.parametrize("num_workers", [0, 1])
def test_photos_are_changed_before_they_are_cut_out(shoepair: Command, num_workers: int) -> None:
    typed = (*TINY, *CUT, "approach=dual", "approach.copies=2", f"data.num_workers={num_workers}")
    outcome = shoepair(*typed, "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    assert shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/evaluated").code == 0
    assert logits_of("outputs/evaluated").items() >= logits_of("outputs/run").items()  # measured on photos as they are
    assert shoepair(*typed, "hydra.run.dir=outputs/again").code == 0
    assert logits_of("outputs/again") == logits_of("outputs/run")


def test_whole_photos_have_no_copies(shoepair: Command) -> None:
    outcome = shoepair(*TINY, "approach=dual", "approach.copies=2")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: approach.copies=2: expected 0, since with approach.cutout=null")


def logits_of(run: str) -> dict[tuple[str, ...], str]:
    with Path(run, "predictions.csv").open() as file:
        return {(row["split"], row["left"], row["right"]): row["logit"] for row in csv.DictReader(file)}


def test_a_photo_turned_by_half_a_turn_gets_the_same_answer(shoepair: Command, drawn_photos: Path) -> None:
    assert shoepair(*TINY, *CUT, "approach=dual", "hydra.run.dir=outputs/run").code == 0
    classifier = load_classifier("outputs/run")
    left, right = (Image.open(sorted(drawn_photos.rglob(f"*_{side}_*"))[0]) for side in ("left", "right"))
    upright = classifier.compare(left, right).probability
    assert classifier.compare(left.rotate(180), right).probability == pytest.approx(upright, abs=0.05)
    assert classifier.compare(left, right.rotate(180)).probability == pytest.approx(upright, abs=0.05)


def test_a_side_that_cannot_be_halved_is_refused(shoepair: Command) -> None:
    outcome = shoepair(*TINY, "approach.cutout=50")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: approach.cutout=50: expected a multiple of 16")


def test_predict_explains_itself(shoepair: Command, drawn_photos: Path, trained: Path) -> None:
    assert shoepair(*TINY, *CUT, "approach=dual", "hydra.run.dir=outputs/run").code == 0
    photos = [str(sorted(drawn_photos.rglob(f"*_{side}_*"))[0]) for side in ("left", "right")]
    outcome = shoepair("predict", *photos, "--checkpoint", "outputs/run", "--explain", "why.png")
    assert outcome.code == 0, outcome.err
    with Image.open("why.png") as picture:
        assert picture.width > 600 and picture.height > 900
    refused = shoepair("predict", *photos, "--checkpoint", str(trained), "--explain", "why.png")
    assert refused.code == 2 and "compares no places of cut-outs" in refused.err
    refused = shoepair("predict", "--stacked", photos[0], "--explain", "why.png")
    assert refused.code == 2 and "--explain: expected LEFT and RIGHT" in refused.err
    refused = shoepair("predict", *photos, "--checkpoint", "outputs/run", "--explain", "no/such/folder/why.png")
    assert refused.code == 2 and refused.err.splitlines()[-1].startswith("shoepair: --explain no/such/folder/why.png: ")
