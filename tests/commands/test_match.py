"""A heap of single shoes in, pairs out: the matching, the report, the command."""

import base64
import csv
import io
import json
import math
import os
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY, Command
from PIL import Image

from shoepair import load_classifier
from shoepair.commands.match import count_right, shown_of
from shoepair.errors import UserError
from shoepair.files import read_rows
from shoepair.inference.assignment import Match
from shoepair.inference.classifier import verdict_of
from shoepair.inference.gallery import Gallery, sides_from_names, sides_from_table
from shoepair.inference.matching import Found
from shoepair.reports import matches as matches_report
from shoepair.reports.match_page import write_page
from shoepair.reports.matches import ShownMatch, ShownShoe, ShownSingle, draw_contact_sheets


def test_sides_are_read_from_names() -> None:
    names = ["u001_1_left_m.jpg", "Right 12.png", "shoe.left.jpg", "copyright.jpg", "left_right.jpg", "IMG_7.jpg"]
    assert sides_from_names([Path(name) for name in names]) == ["left", "right", "left", None, None, None]


def test_found_pairs_are_compared_with_the_truth_of_the_names() -> None:
    names = ["u1_1_left_m.jpg", "u1_1_right_m.jpg", "u1_2_left_m.jpg", "u1_2_right_m.jpg", "u2_1_left_m.jpg"]
    counts = count_right(names, [(0, 1), (2, 4)])
    assert (counts.found, counts.right, counts.true) == (2, 1, 2)
    assert (counts.precision, counts.recall) == (0.5, 0.5)


class Page(HTMLParser):
    """What a page holds: how deep each element stands, the texts, the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.items: dict[str, int] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag != "meta":
            if tag == "li":
                self.items[self.open[-1]] = self.items.get(self.open[-1], 0) + 1
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def shown(name: str) -> ShownShoe:
    file = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(file, "JPEG")
    return ShownShoe(name, file.getvalue())


def test_the_page_is_whole_and_needs_no_other_file(tmp_path: Path) -> None:
    matches = [
        ShownMatch(shown("a.jpg"), shown("<b>&.jpg"), 0.71, shown("c.jpg"), 0.62, unsure=True),
        ShownMatch(shown("d.jpg"), shown("e.jpg"), 0.999, None, None, unsure=False),
    ]
    path = tmp_path / "match.html"
    write_page(path, matches, [ShownSingle(shown("c.jpg"), shown("a.jpg"), 0.62)], gallery="a heap", threshold=0.5)
    text = path.read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and page.items == {"ol": 2, "ul": 1}
    assert [image["alt"] for image in page.images] == [
        "left shoe of pair 1, photo a", "right shoe of pair 1, photo <b>&", "next best for pair 1, photo c",
        "left shoe of pair 2, photo d", "right shoe of pair 2, photo e", "single shoe, photo c", "", "",
    ]  # fmt: skip
    for image in page.images[:-2]:  # the last two stand ready to enlarge others
        kind, _, data = str(image["src"]).partition(",")
        assert kind == "data:image/jpeg;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (20, 10)
    assert text.count('"http') == text.count("<script src") == text.count("<link") == 0 and "<b>" not in text
    assert "2 pairs, 1 single shoe." in page.text and "Pair 1, 71 %." in page.text and "Pair 2, 99 %." in page.text


def test_the_page_shows_what_the_network_saw_and_says_why_to_look_again(tmp_path: Path) -> None:
    left = replace(shown("a.jpg"), cut_out=shown("a").jpeg, doubt="is too dark")
    right = replace(shown("b.jpg"), cut_out=shown("b").jpeg, doubt="is blurred")
    path = tmp_path / "match.html"
    matches = [ShownMatch(left, right, 0.9, None, None, unsure=True)]
    write_page(path, matches, [ShownSingle(left, None, None)], gallery="a heap", threshold=0.5)
    page = Page()
    page.feed(path.read_text())
    assert [image["alt"] for image in page.images] == [
        "left shoe of pair 1, photo a", "right shoe of pair 1, photo b", "", "", "single shoe, photo a", "", "",
    ]  # fmt: skip
    assert "Look again: the left photo is too dark and the right photo is blurred." in page.text
    assert "a.jpg. Its photo is too dark." in page.text


def test_a_photo_that_is_too_dark_makes_its_pair_doubtful(
    shoepair: Command, trained: Path, drawn_photos: Path, tmp_path: Path
) -> None:
    heap = tmp_path / "heap"
    heap.mkdir()
    for path in sorted((drawn_photos / "train").iterdir())[:2]:
        Image.open(path).point(lambda value: value // 16).save(heap / path.name)
    outcome = shoepair("match", "heap", "--checkpoint", str(trained), "--threshold", "0.001")
    assert outcome.code == 0, outcome.err
    with Path("outputs/match/pairs.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["sure"] == "false"
    assert row["reasons"] == "the left photo is too dark; the right photo is too dark"


def test_what_predict_is_not_sure_of_is_doubtful_and_comes_first() -> None:
    margin = 1.4
    matches = [
        Match(0, 1, 1.2, None, -np.inf),
        Match(2, 3, 5.0, None, -np.inf),
        Match(4, 5, -3.0, 0, 2.0, confirmed=True),
    ]
    names = [f"{i}.jpg" for i in range(6)]
    gallery = Gallery([Path(name) for name in names], [None] * 6, [b""] * 6, torch.empty(0), doubts=[None] * 6)
    found = Found(gallery, names, list(range(6)), matches[::-1], [])

    def doubtful(limit: float) -> list[tuple[str, bool]]:
        return [(match.left.name, match.unsure) for match in shown_of(found, limit, sure_from=margin).matches]

    assert doubtful(0.0) == [("0.jpg", True), ("4.jpg", False), ("2.jpg", False)]
    assert not verdict_of(1.2, margin=margin).sure and verdict_of(5.0, margin=margin).sure
    assert not any(match.unsure for match in shown_of(found, -6.0, sure_from=-np.inf).matches)  # of --max-fmr
    assert doubtful(-6.0)[0] == ("0.jpg", True)  # however low a threshold was asked for
    assert sorted(doubtful(4.5)) == [("0.jpg", True), ("2.jpg", True), ("4.jpg", False)]


def test_a_heap_that_does_not_fit_on_one_sheet_comes_on_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    matches = [ShownMatch(shown("a"), shown("b"), 0.9, None, None, unsure=False)] * 201
    monkeypatch.setattr(matches_report, "TILES_A_SHEET", 80)
    earlier = draw_contact_sheets(tmp_path, matches, [ShownSingle(shown("c"), None, None)])
    assert [sheet.name for sheet in earlier] == ["contact_sheet.png", "contact_sheet_2.png", "contact_sheet_3.png"]
    monkeypatch.setattr(matches_report, "TILES_A_SHEET", 200)
    sheets = draw_contact_sheets(tmp_path, matches, [ShownSingle(shown("c"), None, None)])
    assert [sheet.name for sheet in sheets] == ["contact_sheet.png", "contact_sheet_2.png"]
    assert sorted(tmp_path.iterdir()) == sorted(sheets)
    with Image.open(sheets[0]) as full, Image.open(sheets[1]) as rest:
        assert rest.width < full.width


def test_a_match_takes_away_and_writes_over_only_what_a_match_has_written(
    shoepair: Command, trained: Path, drawn_photos: Path
) -> None:
    out = Path("out")
    out.mkdir()
    mine = {name: f"mine: {name}".encode() for name in ("contact_sheet_of_mine.png", "contact_sheet_2.png", "a.csv")}
    for name, content in mine.items():
        (out / name).write_bytes(content)
    typed = ("match", str(drawn_photos / "test_m"), "--checkpoint", str(trained), "--out", "out")
    for _ in range(2):
        outcome = shoepair(*typed)
        assert outcome.code == 0 and "contact_sheet.png" in outcome.out, outcome.err
        assert {name: (out / name).read_bytes() for name in mine} == mine
    for name in ("pairs.csv", "singles.csv", "match.html"):
        written = (out / name).read_bytes()
        (out / name).write_text("left,right\nof,mine\n")
        outcome = shoepair(*typed)
        assert outcome.code == 2 and f"--out out: {name} in it is not of shoepair match" in outcome.err
        assert (out / name).read_text() == "left,right\nof,mine\n"
        (out / name).write_bytes(written)


def test_a_name_is_its_own_photo_s_matter(shoepair: Command, trained: Path, drawn_photos: Path) -> None:
    heap = Path("heap")
    heap.mkdir()
    photos = sorted((drawn_photos / "test_m").glob("*.png"))
    names = ["=1+1.png", "-left.png", '@a, "b".png', " blank .png", "\x1b[31mred.png", "two\nlines.png"]
    for photo, name in zip(photos, names, strict=True):
        shutil.copy(photo, heap / name)
    shutil.copy(photos[0], heap / os.fsdecode(b"\xff.png"))
    (heap / "loop.png").symlink_to("loop.png")
    os.mkfifo(heap / "pipe.png")
    for size in ((20_000, 1), (1, 20_000)):
        Image.new("RGB", size).save(heap / f"strip {size[0]}.png")
    names += ["strip 1.png", "strip 20000.png"]
    for debris in (".DS_Store", "._-left.png", "Thumbs.db"):
        (heap / debris).write_bytes(b"nothing of a person's")
    (heap / "__MACOSX").mkdir()
    Path("sides.csv").write_text("file,side\n-left.png,left\n")
    outcome = shoepair("match", "heap", "--sides", "sides.csv", "--checkpoint", str(trained), "--threshold", "1e-9")
    assert outcome.code == 0, outcome.err
    assert [line for line in outcome.err.splitlines() if line.startswith("Left out")] == [
        "Left out heap/loop.png: Too many levels of symbolic links.",
        "Left out heap/pipe.png: this is no regular file.",
        "Left out heap/\\xff.png: its name is not in UTF-8; give it another one.",
    ]
    assert "8 shoes, 1 sides known" in outcome.out
    written = Path("outputs/match/pairs.csv")
    assert not any(row.startswith(tuple("=-@\t\r")) for row in written.read_text().replace(",", "\n").splitlines())
    found = [row[side] for _, row in read_rows(written, ("left", "right")) for side in ("left", "right")]
    found += [row["shoe"] for _, row in read_rows("outputs/match/singles.csv", ("shoe",))]
    assert sorted(found) == sorted(names)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a.png,left", "line 2: a.png stands for 2 photos; write its path."),
        ("one/a.png,left\none/a.png,right", "line 3: line 2 says another side of one/a.png."),
        ("n\0ul.png,left", "line 2: n\0ul.png is not among the photos."),
        (f"{'x' * 5000},left", f"line 2: {'x' * 5000} is not among the photos."),
    ],
)
def test_a_table_of_sides_that_says_nothing_clear_is_one_line(tmp_path: Path, rows: str, said: str) -> None:
    paths = [tmp_path / "one" / "a.png", tmp_path / "two" / "a.png"]
    table = tmp_path / "sides.csv"
    table.write_text(f"file,side\n{rows}\n")
    with pytest.raises(UserError) as refused:
        sides_from_table(table, paths)
    assert str(refused.value) == f"{table}, {said}"


@pytest.mark.parametrize("sides", ["names", "unknown", "sides.csv"])
def test_a_heap_is_matched(shoepair: Command, trained: Path, drawn_photos: Path, sides: str) -> None:
    heap = drawn_photos / "train"
    Path("sides.csv").write_text(
        "file,side\n" + "\n".join(f"{path.name},{path.name.split('_')[2]}" for path in heap.iterdir())
    )
    outcome = shoepair(
        "match", str(heap), "--checkpoint", str(trained), "--sides", sides, "--out", "found", "--score",
        "--threshold", "0.01",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"24 shoes, {'no side' if sides == 'unknown' else 'all sides'} known: ")
    assert "of 12 true pairs (recall" in outcome.out
    assert "Written found/match.html, contact_sheet.png, pairs.csv, singles.csv" in outcome.out
    with Path("found/pairs.csv").open() as file:
        pairs = list(csv.DictReader(file))
    with Path("found/singles.csv").open() as file:
        singles = [row["shoe"] for row in csv.DictReader(file)]
    placed = [row[side] for row in pairs for side in ("left", "right")] + singles
    assert sorted(placed) == sorted(path.name for path in heap.iterdir())
    assert pairs and all(0.01 < float(row["probability"]) <= 1 and row["runner_up"] for row in pairs)
    if sides != "unknown":
        assert all("left" in row["left"] and "right" in row["right"] for row in pairs)
    with Image.open("found/contact_sheet.png") as sheet:
        assert sheet.width > 500
    assert Path("found/match.html").read_text().startswith("<!DOCTYPE html>")


def test_a_heap_is_matched_at_a_rate_of_false_matches(shoepair: Command, trained: Path, drawn_photos: Path) -> None:
    threshold = load_classifier(trained, max_fmr=0.8).threshold
    typed = ("match", str(drawn_photos / "train"), "--checkpoint", str(trained))
    outcome = shoepair(*typed, "--max-fmr", "0.8", "--out", "rate")
    assert outcome.code == 0, outcome.err
    assert "\nThreshold 0." in outcome.out and " of 12 different pairs the same" in outcome.out
    probability = 1 / (1 + math.exp(-threshold))
    assert shoepair(*typed, "--threshold", str(probability), "--out", "typed").code == 0
    for name in ("pairs.csv", "singles.csv"):
        assert Path("rate", name).read_text() == Path("typed", name).read_text()
    with Path("rate/pairs.csv").open() as file:
        assert all(float(row["probability"]) >= probability - 1e-4 for row in csv.DictReader(file))


def test_three_of_five_chances_make_a_pair(shoepair: Command, drawn_photos: Path) -> None:
    typed = ("match", str(drawn_photos / "train"), "--checkpoint", "ready", "--json")
    found = [shoepair(*typed, *more) for more in ((), ("--threshold", "0.6"), ("--threshold", "0.001"))]
    usual, same, lower = (json.loads(outcome.out) for outcome in found)
    assert usual["threshold"] == pytest.approx(0.6, abs=1e-4)
    assert usual["pairs"] == same["pairs"] and all(pair["probability"] >= 0.6 for pair in usual["pairs"])
    assert len(lower["pairs"]) >= len(usual["pairs"]) > 0


@pytest.mark.parametrize("typed", ["approach=single", "approach=single approach.fusion=stack", "approach.fusion=stack"])
def test_networks_without_an_encoder_match_as_well(shoepair: Command, drawn_photos: Path, typed: str) -> None:
    assert shoepair("train", *TINY, *typed.split(), "hydra.run.dir=outputs/run").code == 0
    outcome = shoepair("match", str(drawn_photos / "test_m"), "--sides", "unknown")
    assert outcome.code == 0 and outcome.out.startswith("6 shoes, no side known: ")
    assert Path("outputs/match/match.html").is_file()


def test_what_cannot_be_read_is_left_out_and_named(shoepair: Command, trained: Path, drawn_photos: Path) -> None:
    Path("heap").mkdir()
    Path("heap/broken.jpg").write_bytes(b"no photo")
    Path("heap/notes.txt").write_text("shoes")
    shoe = next((drawn_photos / "train").iterdir())
    Path("heap/only.png").write_bytes(shoe.read_bytes())
    Path("heap/phone.heic").write_bytes(b"of another kind")
    Path("heap/zz.png").write_bytes(shoe.read_bytes())
    Path("heap/zzz.png").symlink_to("only.png")
    outcome = shoepair("match", "heap", "--checkpoint", str(trained))
    assert outcome.code == 0 and outcome.out.startswith("1 shoe, no side known: 0 pairs, 1 single shoe")
    assert "Left out heap/broken.jpg: this cannot be read as an image" in outcome.err and "notes" not in outcome.err
    page = Path("outputs/match/match.html").read_text()
    assert "are the same photo as another: phone.heic, broken.jpg, zz.png, zzz.png." in page
    Path("heap/zzz.png").unlink()
    for _ in range(2):
        stored = shoepair("match", "heap", "--store", "stock.db", "--json", "--checkpoint", str(trained))
        assert json.loads(stored.out)["left_out"] == ["phone.heic", "broken.jpg", "zz.png"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nowhere", "nowhere: no such folder."),
        ("empty", "empty: there is no photo in it"),
        ("broken", "broken: none of its 1 photos can be read"),
        ("broken --threshold 2", "--threshold 2.0: expected a number between 0 and 1."),
        ("broken --threshold 0.9 --max-fmr 0.5", "--threshold and --max-fmr: expected one of the two"),
        ("broken --sides upper", "--sides upper: expected names, unknown, or a CSV file"),
        ("broken --sides sides.csv", "sides.csv, line 2: else.jpg is not among the photos."),
        ("broken --score", "--score: shoe.jpg does not say whose shoe it is; expected names such as u001_1_left_m.jpg"),
        ("broken --checkpoint nowhere", "checkpoint=nowhere: no such file or folder."),
    ],
)
def test_a_mistake_in_matching_is_one_line(shoepair: Command, trained: Path, typed: str, said: str) -> None:
    for folder in ("empty", "broken"):
        Path(folder).mkdir()
    Path("broken/shoe.jpg").write_bytes(b"no photo")
    Path("sides.csv").write_text("file,side\nelse.jpg,left\n")
    more = [] if "--checkpoint" in typed else ["--checkpoint", str(trained / "checkpoints" / "best.ckpt")]
    outcome = shoepair("match", *typed.split(), *more)
    assert outcome.code == 2 and outcome.err.splitlines()[-1].startswith(f"shoepair: {said}")


def test_of_two_copies_the_one_whose_name_says_its_side_stays(
    shoepair: Command, trained: Path, drawn_photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_photos / "test_m", heap := tmp_path / "heap")
    for path in list(heap.glob("*_left_*")):
        shutil.copy(path, heap / f"a {path.stem[:6]}.png")
    outcome = shoepair("match", "heap", "--checkpoint", str(trained))
    assert outcome.out.startswith("6 shoes, all sides known"), outcome.out


def test_a_copy_of_a_photo_is_left_out_and_a_contact_sheet_is_no_photo(
    shoepair: Command, trained: Path, drawn_photos: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn_photos / "train", heap := tmp_path / "heap")
    checkpoint = ("--checkpoint", str(trained))
    num_shoes = len(list(heap.iterdir()))
    for _ in range(2):
        assert shoepair("match", "heap", *checkpoint, "--out", "heap").out.startswith(f"{num_shoes} shoes")
    assert (heap / "contact_sheet.png").is_file()
    for number in range(8):
        shutil.copy(heap / "u001_1_left_m.png", heap / f"z{number}_right.png")
    for more in ((), ("heap",), ("--store", "stock.db"), ("--store", "stock.db")):
        outcome = shoepair("match", "heap", *more, *checkpoint)
        assert outcome.out.startswith(f"{num_shoes} shoes, all sides known"), outcome.out
        assert "Left out heap/z0_right.png: the same photo as heap/u001_1_left_m.png." in outcome.err
        assert ("Left out 3 more photos that are the same as others." in outcome.err) == ("--store" not in more)


def test_a_count_of_nothing_is_no_number(shoepair: Command, trained: Path, drawn_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(next((drawn_photos / "train").iterdir()), tmp_path / "one")
    outcome = shoepair("match", "one", "--checkpoint", str(trained), "--score")
    assert "Right: 0 of 0 pairs found, of 0 true pairs" in outcome.out
