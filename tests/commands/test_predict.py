"""Two photos in, a sentence out: on the command line and in Python."""

import contextlib
import csv
import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Command, run_here
from PIL import Image

from shoepair import ShoeClassifier, load_classifier
from shoepair.errors import UserError
from shoepair.inference.classifier import verdict_of
from shoepair.inference.network import load_trained
from shoepair.metrics.calibration import most_false_matches
from shoepair.metrics.scores import logit_of

SENTENCE = re.compile(r"(Same pair|Different pairs), \d\d % sure\.|Not sure, \d+ % for the same pair: .*\.")

SAID = "Network: {}, learned from drawn shoes alone: of photos it is surer than it should be\n"


@pytest.fixture(scope="module")
def classifier(trained: Path) -> ShoeClassifier:
    return load_classifier(trained)


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has learned enough to tell pairs from one another."""
    folder = tmp_path_factory.mktemp("learned")
    with contextlib.chdir(folder):
        outcome = run_here(
            "train", *TINY, "optimizer.lr=1e-2", "trainer.max_epochs=12", "trainer.precision=32-true", "test=false",
            "hydra.run.dir=outputs/learned",
        )  # fmt: skip
    assert outcome.code == 0, outcome.err
    return folder / "outputs" / "learned"


@pytest.fixture(scope="module")
def photos(drawn_photos: Path) -> list[Path]:
    """Left and right shoe of every drawn pair, in turn."""
    return sorted((drawn_photos / "train").iterdir())


def test_two_photos_give_one_sentence(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    outcome = shoepair("predict", str(photos[0]), str(photos[1]), "--checkpoint", str(trained))
    assert outcome.code == 0 and outcome.err == SAID.format(f"{trained}/checkpoints/best.ckpt")
    assert outcome.out.count("\n") == 1 and SENTENCE.fullmatch(outcome.out.strip())
    said = json.loads(shoepair("predict", str(photos[0]), str(photos[1]), "--json", "--checkpoint", str(trained)).out)
    assert said["sentence"] == outcome.out.strip() and said["same"] == (said["probability"] > 0.5)
    assert [said["left"], said["right"]] == [str(photos[0]), str(photos[1])]


def test_the_newest_run_is_taken_and_said(
    shoepair: Command, trained: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parents[1])
    outcome = shoepair("predict", str(photos[0]), str(photos[1]))
    assert outcome.code == 0 and outcome.err == SAID.format("outputs/tiny/checkpoints/best.ckpt")


def test_verdicts_are_those_of_evaluation(learned: Path) -> None:
    """The photos are written from the shoes the run was validated on: the same pixels give the same logits."""
    from shoepair.data.synthetic.collection import draw_shoes

    shoes = draw_shoes(num_people=6, num_test_people=2, image_size=32, seed=0, hardness=0.95)["train"]
    images = {shoe.name: image for shoe, image in zip(shoes.shoes, shoes.images, strict=True)}
    with (learned / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    verdicts = list(load_classifier(learned).compare_all((images[row["left"]], images[row["right"]]) for row in rows))
    temperature = json.loads((learned / "results.json").read_text())["temperature"]
    said = np.array([math.log(verdict.probability / (1 - verdict.probability)) for verdict in verdicts])
    logits = np.array([float(row["logit"]) for row in rows])
    assert logits.std() > 0.01 and abs(temperature - 1) > 0.05  # or anything would do
    np.testing.assert_allclose(said * temperature, logits, rtol=1e-3, atol=1e-4)


def test_paths_images_arrays_and_tensors_are_the_same_photo(classifier: ShoeClassifier, photos: list[Path]) -> None:
    expected = classifier.compare(photos[0], photos[1])
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
        ("/dev/zero", "/dev/zero: this is no regular file"),
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
    turned, exif = both.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # as a phone keeps what it took upright
    turned.save("turned.png", exif=exif)
    assert shoepair("predict", "--stacked", "turned.png", "--checkpoint", str(trained)).out == apart.out


@pytest.mark.parametrize("place", [".", "/", "folder"])
def test_a_picture_that_cannot_be_written_is_said_before_it_is_drawn(
    shoepair: Command, trained: Path, photos: list[Path], place: str
) -> None:
    Path("folder").mkdir()
    outcome = shoepair("predict", *map(str, photos[:2]), "--explain", place, "--checkpoint", str(trained))
    assert (
        outcome.code == 2
        and outcome.out == ""
        and outcome.err.splitlines()[-1]
        == (f"shoepair: --explain {place}: this is a folder; expected the name of a PNG file.")
    )


def test_many_pairs_are_answered_row_by_row(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    rows = [f"{left},{right}" for left, right in zip(photos[::2], photos[1::2], strict=True)]
    Path("pairs.csv").write_text("\n".join(["left,right", *rows]))
    outcome = shoepair("predict", "--pairs", "pairs.csv", "--checkpoint", str(trained))
    answers = list(csv.DictReader(StringIO(outcome.out)))
    assert outcome.code == 0 and [f"{answer['left']},{answer['right']}" for answer in answers] == rows
    assert all(SENTENCE.fullmatch(answer["sentence"]) for answer in answers)
    lines = shoepair("predict", "--pairs", "pairs.csv", "--json", "--checkpoint", str(trained)).out.splitlines()
    assert [json.loads(line)["sentence"] for line in lines] == [answer["sentence"] for answer in answers]


def test_a_photo_that_is_too_dark_makes_no_verdict(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    Image.open(photos[0]).point(lambda value: value // 16).save("dark.png")
    said = "Not sure: the left photo is too dark; take it again with more light."
    outcome = shoepair("predict", "dark.png", str(photos[1]), "--checkpoint", str(trained))
    assert outcome.code == 0 and outcome.out == said + "\n"
    answer = json.loads(shoepair("predict", "dark.png", str(photos[1]), "--json", "--checkpoint", str(trained)).out)
    assert answer["answer"] == "not sure" and answer["reasons"] == ["the left photo is too dark"]
    assert isinstance(answer["same"], bool) and 0 < answer["probability"] < 1
    Path("pairs.csv").write_text(f"left,right\ndark.png,{photos[1]}\n{photos[0]},{photos[1]}\n")
    outcome = shoepair("predict", "--pairs", "pairs.csv", "--checkpoint", str(trained))
    first, second = csv.DictReader(StringIO(outcome.out))
    assert (first["answer"], first["sentence"]) == ("not sure", said)
    assert (second["answer"] == "not sure") == second["sentence"].startswith("Not sure")


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
        ("left;right\na;\n", "pairs.csv, line 2: there is no right photo."),
        ("left,right\na,b,c\n", "pairs.csv, line 2: it has 3 values, the header 2"),
        ("left,left,right\na,b,c\n", "pairs.csv, line 1: the column left comes twice"),
        ("sep=:\nleft,right\na,b\n", "pairs.csv, line 2: there is no column left, right"),
        ('left,right\n"a.jpg,b.jpg\n', "pairs.csv: this is no CSV file (line 2: unexpected end of data)."),
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


@pytest.mark.parametrize(
    ("probability", "threshold", "same", "sentence"),
    [
        (0.835, 0.93, False, "Not sure enough, 83 % for the same pair."),
        (0.945, 0.93, True, "Same pair, 94 % sure."),
        (0.455, 0.93, False, "Not sure, 45 % for the same pair: look again with more light."),
        (0.115, 0.93, False, "Different pairs, 88 % sure."),
        (0.99999, 0.999999, False, "Not sure enough, 99 % for the same pair."),
        (0.585, 0.2, True, "Taken for the same pair, with only 58 % for it."),
        (0.305, 0.2, True, "Taken for the same pair, with only 30 % for it."),
        (0.705, 0.2, True, "Same pair, 70 % sure."),
        (0.105, 0.2, False, "Different pairs, 89 % sure."),
    ],
)
def test_the_sentence_follows_the_threshold(probability: float, threshold: float, same: bool, sentence: str) -> None:
    verdict = verdict_of(logit_of(probability), logit_of(threshold))
    assert (verdict.same, verdict.sentence) == (same, sentence)
    assert [verdict.probability, verdict.threshold] == pytest.approx([probability, threshold])


def test_the_decision_at_one_half_does_not_move(learned: Path, photos: list[Path]) -> None:
    network = load_trained(learned / "checkpoints" / "best.ckpt")
    raw = replace(network, calibration=None)
    assert network.temperature != 1 == raw.temperature
    pairs = [(left, right) for left in photos[::2] for right in photos[1::2]]
    one, other = (list(ShoeClassifier(which, learned).compare_all(pairs)) for which in (network, raw))
    assert [verdict.same for verdict in one] == [verdict.same for verdict in other]
    assert any(v.probability != pytest.approx(w.probability, abs=1e-3) for v, w in zip(one, other, strict=True))


def test_a_rate_of_false_matches_gives_the_threshold(shoepair: Command, learned: Path, photos: list[Path]) -> None:
    """Half of twelve different pairs: at most 2 may be called the same, for P(X <= 2) = 0.019, P(X <= 3) = 0.073; fewer
    where those of a person are alike."""
    kept = load_trained(learned / "checkpoints" / "best.ckpt").calibration
    assert kept is not None
    allowed = most_false_matches(12, 0.5, kept.design_effect)
    assert allowed in (0, 1, 2) and most_false_matches(12, 0.5) == 2
    expected = 1 / (1 + math.exp(-kept.different[-1 - allowed] / kept.temperature))
    typed = ("predict", str(photos[0]), str(photos[1]), "--checkpoint", str(learned), "--max-fmr", "0.5")
    outcome = shoepair(*typed, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    assert said["threshold"] == pytest.approx(expected, abs=1e-6)
    line = outcome.err.splitlines()[0]
    assert line.startswith(f"Threshold {expected:.4f}: in validation it calls {allowed} of 12 different pairs the same")
    assert shoepair(*typed).out.strip() == said["sentence"]
    assert load_classifier(learned, max_fmr=0.5).compare(*photos[:2]).threshold == pytest.approx(expected)
    Path("pairs.csv").write_text(f"left,right\n{photos[0]},{photos[1]}\nbroken.jpg,{photos[1]}\n")
    outcome = shoepair("predict", "--pairs", "pairs.csv", "--json", *typed[3:])
    of_many, broken = map(json.loads, outcome.out.splitlines())
    assert of_many == said and broken.keys() == said.keys()
    assert json.loads(shoepair(*typed[:5], "--json").out)["threshold"] == 0.5


@pytest.mark.parametrize("command", ["predict", "match"])
def test_a_rate_that_cannot_be_kept_is_one_line(
    shoepair: Command, trained: Path, photos: list[Path], command: str
) -> None:
    shown = [str(photo) for photo in photos[:2]] if command == "predict" else [str(photos[0].parent)]
    typed = (command, *shown, "--checkpoint", str(trained / "checkpoints" / "best.ckpt"), "--max-fmr")
    for rate, said in (
        (
            "0.05",
            "a false match rate of 0.05: validation had 12 different pairs, as good as ",
        ),
        ("0", "--max-fmr 0.0: expected a rate between 0 and 1, such as 0.05."),
        ("nan", "--max-fmr nan: expected a rate between 0 and 1, such as 0.05."),
    ):
        outcome = shoepair(*typed, rate)
        assert outcome.code == 2 and outcome.out == "" and outcome.err.startswith(f"shoepair: {said}"), outcome.err
        assert outcome.err.count("\n") == 1
    with pytest.raises(UserError, match="validation had 12 different pairs"):
        load_classifier(trained, max_fmr=0.01)


def test_a_checkpoint_without_calibration_knows_no_rate(shoepair: Command, trained: Path, photos: list[Path]) -> None:
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    del content["calibration"]
    torch.save(content, "old.ckpt")
    typed = ("predict", str(photos[0]), str(photos[1]), "--checkpoint", "old.ckpt")
    assert shoepair(*typed).code == 0
    outcome = shoepair(*typed, "--max-fmr", "0.5")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith("shoepair: a false match rate of 0.5: this checkpoint carries no calibration")
    content["calibration"] = {"temperature": 0.0}
    torch.save(content, "broken.ckpt")
    outcome = shoepair(*typed[:-1], "broken.ckpt")
    assert outcome.code == 2 and "broken.ckpt: this is no checkpoint of shoepair" in outcome.err


def test_importing_shoepair_does_not_import_torch() -> None:
    code = "import sys, shoepair; assert 'torch' not in sys.modules; assert shoepair.load_classifier.__doc__"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        import shoepair

        shoepair.nothing  # noqa: B018
