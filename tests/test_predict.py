"""Two photos in, a sentence out: on the command line and in Python."""

import csv
import json
import math
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import Command
from PIL import Image

from shoepair import ShoeClassifier, load_classifier
from shoepair.errors import UserError
from shoepair.verdict import verdict_of

SENTENCE = re.compile(r"(Same pair|Different pairs), \d\d % sure\.|Not sure, \d+ % for the same pair: .*\.")


@pytest.fixture(scope="module")
def classifier(trained: Path) -> ShoeClassifier:
    return load_classifier(trained)


@pytest.fixture(scope="module")
def photos(drawn_photos: Path) -> list[Path]:
    """Left and right shoe of every drawn pair, in turn."""
    return sorted((drawn_photos / "train").iterdir())


def test_two_photos_give_one_sentence(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    outcome = shoepair("predict", str(photos[0]), str(photos[1]), "--checkpoint", str(trained))
    assert outcome.code == 0 and outcome.err == f"Checkpoint {trained}/checkpoints/best.ckpt\n"
    assert outcome.out.count("\n") == 1 and SENTENCE.fullmatch(outcome.out.strip())
    said = json.loads(shoepair("predict", str(photos[0]), str(photos[1]), "--json", "--checkpoint", str(trained)).out)
    assert said["sentence"] == outcome.out.strip() and said["same"] == (said["probability"] > 0.5)
    assert [said["left"], said["right"]] == [str(photos[0]), str(photos[1])]


def test_the_newest_run_is_taken_and_said(
    shoepair: Command, trained: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parents[1])
    outcome = shoepair("predict", str(photos[0]), str(photos[1]))
    assert outcome.code == 0 and outcome.err == "Checkpoint outputs/tiny/checkpoints/best.ckpt\n"


def test_verdicts_are_those_of_evaluation(trained: Path, classifier: ShoeClassifier, tmp_path: Path) -> None:
    """The photos are written from the shoes the run was validated on: the same pixels give the same logits."""
    from shoepair.data.synthetic import draw_shoes

    shoes = draw_shoes(num_people=6, num_test_people=2, image_size=32, seed=0, hardness=0.9)["train"]
    images = {shoe.name: image for shoe, image in zip(shoes.shoes, shoes.images, strict=True)}
    with (trained / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    assert rows
    verdicts = list(classifier.compare_all((images[row["left"]], images[row["right"]]) for row in rows))
    for row, verdict in zip(rows, verdicts, strict=True):
        assert verdict.probability == pytest.approx(1 / (1 + math.exp(-float(row["logit"]))), abs=0.01)


def test_paths_images_arrays_and_tensors_are_the_same_photo(classifier: ShoeClassifier, photos: list[Path]) -> None:
    expected = classifier.compare(photos[0], photos[1])
    left, right = (Image.open(path) for path in photos[:2])
    for convert in (
        str,
        Image.open,
        lambda path: np.asarray(Image.open(path)),
        lambda path: np.asarray(Image.open(path)).transpose(2, 0, 1),
        lambda path: torch.from_numpy(np.array(Image.open(path))),
        lambda path: torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1),
        lambda path: np.asarray(Image.open(path).convert("RGBA")),
    ):
        assert classifier.compare(convert(photos[0]), convert(photos[1])) == expected
    assert left.size == right.size == (64, 64)


def test_a_turned_photo_is_seen_upright(classifier: ShoeClassifier, photos: list[Path], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.open(photos[0]).rotate(180).save(tmp_path / "turned.png", exif=exif)
    assert classifier.compare(tmp_path / "turned.png", photos[1]) == classifier.compare(photos[0], photos[1])


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        ("nowhere.jpg", "nowhere.jpg: no such file."),
        (".", "this is a folder"),
        (np.zeros((8, 8, 3)), "an array of float64: expected uint8"),
        (torch.zeros(3, 8, 8), "an array of float32: expected uint8"),
        (np.zeros((2, 3, 8, 8), np.uint8), "an array of shape (2, 3, 8, 8)"),
        (np.zeros((0, 8, 3), np.uint8), "an array of shape (0, 8, 3)"),
        (None, "a photo is a NoneType"),
    ],
)
def test_what_is_no_photo_is_named(classifier: ShoeClassifier, photo: object, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        classifier.compare(photo, np.zeros((8, 8), np.uint8))  # type: ignore[arg-type]


def test_one_stacked_photo_is_its_two_halves(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    both = Image.new("RGB", (64, 128))
    for row, path in enumerate(photos[:2]):
        both.paste(Image.open(path), (0, 64 * row))
    both.save("both.png")
    stacked = shoepair("predict", "--stacked", "both.png", "--checkpoint", str(trained))
    apart = shoepair("predict", *map(str, photos[:2]), "--checkpoint", str(trained))
    assert stacked.code == 0 and stacked.out == apart.out


def test_many_pairs_are_answered_row_by_row(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    rows = [f"{left},{right}" for left, right in zip(photos[::2], photos[1::2], strict=True)]
    Path("pairs.csv").write_text("\n".join(["left,right", *rows]))
    outcome = shoepair("predict", "--pairs", "pairs.csv", "--checkpoint", str(trained))
    answers = list(csv.DictReader(StringIO(outcome.out)))
    assert outcome.code == 0 and [f"{answer['left']},{answer['right']}" for answer in answers] == rows
    assert all(SENTENCE.fullmatch(answer["sentence"]) for answer in answers)
    lines = shoepair("predict", "--pairs", "pairs.csv", "--json", "--checkpoint", str(trained)).out.splitlines()
    assert [json.loads(line)["sentence"] for line in lines] == [answer["sentence"] for answer in answers]


def test_of_many_pairs_those_that_cannot_be_used_are_named(
    shoepair: Command, trained: Path, photos: list[Path]
) -> None:
    Path("broken.jpg").write_bytes(b"no photo")
    Path("pairs.csv").write_text(f"left,right\nbroken.jpg,{photos[1]}\n{photos[0]},{photos[1]}\n")
    outcome = shoepair("predict", "--pairs", "pairs.csv", "--checkpoint", str(trained))
    first, second = csv.DictReader(StringIO(outcome.out))
    assert first["same"] == "" and "broken.jpg: this cannot be read as an image" in first["sentence"]
    assert SENTENCE.fullmatch(second["sentence"])
    assert outcome.code == 2 and "pairs.csv: 1 of 2 pairs cannot be used; the first: broken.jpg" in outcome.err


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "pairs.csv, line 1: there is no column left, right"),
        ("left;right\na;b\n", "pairs.csv, line 1: there is no column left, right"),
        ("left,right\n", "pairs.csv: there is no pair in it."),
        ("left,right\na.jpg,b.jpg\na.jpg,\n", "pairs.csv, line 3: there is no right photo."),
    ],
)
def test_a_table_of_pairs_that_cannot_be_used_is_one_line(shoepair: Command, table: str, said: str) -> None:
    Path("pairs.csv").write_text(table)
    outcome = shoepair("predict", "--pairs", "pairs.csv")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1


def test_a_file_that_is_no_photo_is_one_line(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    Path("broken.jpg").write_bytes(b"no photo")
    checkpoint = str(trained / "checkpoints" / "best.ckpt")
    outcome = shoepair("predict", "broken.jpg", str(photos[0]), "--checkpoint", checkpoint)
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err.startswith("shoepair: broken.jpg: this cannot be read as an image (UnidentifiedImageError)")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("logit", "sentence"),
    [
        (math.log(0.945 / 0.055), "Same pair, 94 % sure."),
        (-math.log(0.885 / 0.115), "Different pairs, 88 % sure."),
        (50.0, "Same pair, 99 % sure."),
        (-0.2, "Not sure, 45 % for the same pair: look again with more light."),
    ],
)
def test_the_sentence_says_how_sure_it_is(logit: float, sentence: str) -> None:
    assert verdict_of(logit).sentence == sentence
    assert verdict_of(logit).same == (logit > 0)


def test_importing_shoepair_does_not_import_torch() -> None:
    code = "import sys, shoepair; assert 'torch' not in sys.modules; assert shoepair.load_classifier.__doc__"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        import shoepair

        shoepair.nothing  # noqa: B018
