"""`shoepair match` with a store, with what a person said of pairs, and for programs."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from conftest import Command, Outcome
from PIL import Image

from shoepair.errors import UserError
from shoepair.inference.store import Store


@pytest.fixture
def days(drawn_photos: Path, tmp_path: Path) -> Path:
    """Left shoes come on one day, right ones on another."""
    for day, side in (("monday", "left"), ("tuesday", "right")):
        (tmp_path / day).mkdir()
        for photo in (drawn_photos / "train").glob(f"*_{side}_*"):
            shutil.copy(photo, tmp_path / day)
    return tmp_path


@pytest.fixture
def match(shoepair: Command, trained: Path) -> Command:
    def run(*typed: str) -> Outcome:
        return shoepair("match", *typed, "--checkpoint", str(trained), "--threshold", "0.01")

    return run


def pairs(folder: str = "outputs/match") -> set[tuple[str, str]]:
    with Path(folder, "pairs.csv").open() as file:
        return {(Path(row["left"]).name, Path(row["right"]).name) for row in csv.DictReader(file)}


def test_shoes_that_come_later_find_the_partners_of_before(match: Command, days: Path) -> None:
    assert match("monday", "tuesday", "--out", "at_once").code == 0
    monday = match("monday", "--store", "stock.db")
    assert monday.code == 0 and monday.out.startswith("12 shoes, all sides known: 0 pairs, 12 single shoes")
    tuesday = match("tuesday", "--store", "stock.db")
    assert tuesday.code == 0 and pairs() == pairs("at_once") != set()
    for photo in Path("monday").iterdir():  # not read again: nobody sees that they are no photos any more
        status = photo.stat()
        photo.write_bytes(b"?" * status.st_size)
        os.utime(photo, ns=(status.st_atime_ns, status.st_mtime_ns))
    shutil.move("tuesday", "wednesday")  # known by their content
    again = match("monday", "wednesday", "--store", "stock.db")
    assert again.code == 0 and "Left out" not in again.err and pairs() == pairs("at_once")
    assert match("--store", "stock.db").out.startswith("24 shoes") and pairs() == pairs("at_once")


def test_a_rejected_pair_is_not_found_again(match: Command, days: Path) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    before = pairs()
    left, right = sorted(before)[0]
    outcome = match("--store", "stock.db", "--reject", left, right)
    assert outcome.code == 0 and "are single again" in outcome.out
    assert match("--store", "stock.db", "--reject", left, right).err.splitlines()[-1] == (
        f"shoepair: --reject {left} {right}: they are no pair in stock.db."
    )
    assert match("--store", "stock.db").code == 0
    assert (left, right) not in pairs() and before - {(left, right)} <= pairs()


@pytest.mark.parametrize("store", [(), ("--store", "stock.db")])
def test_what_a_person_said_stays_and_the_rest_is_matched_anew(match: Command, days: Path, store: tuple[str]) -> None:
    match("monday", "tuesday", *store)
    before = sorted(pairs())
    with Path("outputs/match/pairs.csv").open() as file:
        names = {Path(row[side]).name: row[side] for row in csv.DictReader(file) for side in ("left", "right")}
    (left, right), (other_left, other_right), (wrong_left, wrong_right) = before[:3]
    rows = [(left, other_right, "right"), (wrong_left, wrong_right, "wrong"), (other_left, right, "")]
    Path("said.csv").write_text(
        "left,right,verdict\n" + "".join(f"{names[a]},{names[b]},{verdict}\n" for a, b, verdict in rows)
    )
    assert match("monday", "tuesday", *store, "--reviewed", "said.csv").code == 0
    assert (left, other_right) in pairs() and (wrong_left, wrong_right) not in pairs()
    if store:
        assert match(*store).code == 0 and (left, other_right) in pairs() and (wrong_left, wrong_right) not in pairs()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a.png,b.png,perhaps", "said.csv, line 2: its verdict is perhaps, expected right, wrong or nothing."),
        ("a.png,b.png,right", "--reviewed: a.png is not among the shoes."),
        ("a.png,,right", "said.csv, line 2: expected the names of two shoes, left and right."),
        ("a,b,right\na,c,right", "said.csv, line 3: a is right with b already, in line 2."),
        ("a,b,right\nb,a,wrong", "said.csv: a and b are both right and wrong."),
    ],
)
def test_a_mistake_in_what_a_person_said_is_one_line(match: Command, days: Path, rows: str, said: str) -> None:
    Path("said.csv").write_text(f"left,right,verdict\n{rows}\n")
    outcome = match("monday", "--reviewed", "said.csv")
    assert outcome.code == 2 and outcome.err.splitlines()[-1] == f"shoepair: {said}"


def test_another_network_than_the_stores_is_refused(
    match: Command, shoepair: Command, days: Path, trained: Path
) -> None:
    match("monday", "--store", "stock.db")
    content = torch.load(trained / "checkpoints" / "best.ckpt", weights_only=True)
    next(iter(content["state_dict"].values())).add_(1e-3)
    torch.save(content, "other.ckpt")
    before = Path("stock.db").read_bytes()
    outcome = shoepair("match", "tuesday", "--store", "stock.db", "--checkpoint", "other.ckpt")
    assert outcome.code == 2 and outcome.err.splitlines()[-1].startswith(
        "shoepair: --store stock.db: it was made with another network than this --checkpoint"
    )
    assert Path("stock.db").read_bytes() == before


def test_a_command_that_ends_early_leaves_the_store_as_it_was(
    match: Command, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match("monday", "--store", "stock.db")
    before = Path("stock.db").read_bytes()

    def copied_and_stopped(self: Store, *arguments: object) -> None:
        for file in Path().glob("stock.db*"):  # what a kill would leave at this moment
            shutil.copy(file, file.name.replace("stock", "killed"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remember", copied_and_stopped)
        assert match("tuesday", "--store", "stock.db").code == 130
    assert Path("stock.db").read_bytes() == before
    assert match("tuesday", "--store", "stock.db", "--out", "whole").code == 0
    assert match("tuesday", "--store", "killed.db", "--out", "killed").code == 0
    assert Path("whole/pairs.csv").read_text() == Path("killed/pairs.csv").read_text()


def test_what_is_no_store_or_in_use_is_one_line(match: Command, days: Path) -> None:
    Path("text.db").write_text("shoes " * 1000)
    for typed, said in (
        (("monday", "--store", "text.db"), "--store text.db: this is no store of shoepair; choose another file."),
        (("monday", "--store", "nowhere/a.db"), "--store nowhere/a.db: no such folder as nowhere."),
        (("--store", "new.db", "--reject", "a", "b"), "--store new.db: no such file."),
        (("--reject", "a", "b"), "expected a folder with photos, or --store FILE."),
        (("--store", "new.db"), "--store new.db: no such file."),
        (("monday", "--reject", "a", "b"), "--reject: expected --store FILE as well"),
        (("monday", "--forget", "a"), "--forget: expected --store FILE as well"),
    ):
        outcome = match(*typed)
        assert outcome.code == 2 and outcome.err.splitlines()[-1].startswith(f"shoepair: {said}")
    with Store(Path("stock.db"), "a network"), pytest.raises(UserError, match="another command is using it"):
        Store(Path("stock.db"), "a network")


def shoes_of(folder: str = "outputs/match") -> list[str]:
    """Every shoe, as often as it is told of."""
    with Path(folder, "pairs.csv").open() as file:
        named = [row[side] for row in csv.DictReader(file) for side in ("left", "right")]
    with Path(folder, "singles.csv").open() as file:
        return named + [row["shoe"] for row in csv.DictReader(file)]


def test_a_photo_that_takes_the_place_of_another_has_a_name_of_its_own(match: Command, days: Path) -> None:
    """A photo was taken again, or a folder is filled anew by a camera that begins with the same numbers."""
    match("monday", "tuesday", "--store", "stock.db")
    left, right = sorted(
        (pair["left"], pair["right"]) for pair in json.loads(match("--store", "stock.db", "--json").out)["pairs"]
    )[0]
    with Image.open(left) as photo:
        photo.point(lambda value: value * 0.9).save(left)
    outcome = match("monday", "tuesday", "--store", "stock.db")
    assert (
        outcome.code == 0
        and f"{left}: another shoe of stock.db has this name; this one is called {left} (2)." in outcome.err
    )
    assert match("--store", "stock.db").code == 0 and len(shoes_of()) == len(set(shoes_of())) == 25
    page = Path("outputs/match/match.html").read_text()
    assert f"{left} (2)" in page
    # Either can be named, and one of them be forgotten.
    assert match("--store", "stock.db", "--reject", left, right).code == 0
    forgotten = match("--store", "stock.db", "--forget", left, "--json")
    assert json.loads(forgotten.out) == {"rejected": None, "forgotten": [left]}
    assert match("--store", "stock.db").code == 0 and len(shoes_of()) == 24 and left not in shoes_of()
    assert f"{left} (2)" in shoes_of()


def test_a_shoe_that_is_forgotten_leaves_its_partner_single(match: Command, days: Path) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    left, right = sorted(pairs())[0]
    outcome = match("--store", "stock.db", "--forget", left, "--forget", sorted(pairs())[1][0])
    assert outcome.code == 0 and f"{left} is forgotten" in outcome.out
    assert match("--store", "stock.db", "--forget", left).err.splitlines()[-1] == (
        f"shoepair: {left} is not among the shoes of stock.db."
    )
    assert match("--store", "stock.db").out.startswith("22 shoes") and (left, right) not in pairs()
    assert match("monday", "--store", "stock.db").code == 0  # it comes back, as a shoe that is new
    assert match("--store", "stock.db").out.startswith("24 shoes")


def test_sides_that_are_said_later_undo_what_they_make_impossible(match: Command, days: Path) -> None:
    Path("lefts").mkdir()
    for i, photo in enumerate(sorted(Path("monday").iterdir())):
        shutil.copy(photo, Path("lefts", f"{i}.png"))
    match("lefts", "--store", "stock.db")
    wrong = pairs()
    assert wrong  # two left shoes
    Path("sides.csv").write_text("file,side\n" + "".join(f"{file.name},left\n" for file in Path("lefts").iterdir()))
    outcome = match("lefts", "--store", "stock.db", "--sides", "sides.csv")
    assert outcome.code == 0 and outcome.out.startswith("12 shoes, all sides known: 0 pairs, 12 single shoes")
    with Path("outputs/match/singles.csv").open() as file:
        assert all(row["nearest"] == "" for row in csv.DictReader(file))


def test_sides_that_are_said_later_put_a_pair_the_right_way_round(match: Command, days: Path) -> None:
    left, right = (sorted(Path(day).glob("*_1_*"))[0] for day in ("monday", "tuesday"))
    Path("heap").mkdir()
    shutil.copy(left, "heap/b.png")
    shutil.copy(right, "heap/a.png")
    match("heap", "--store", "stock.db")
    assert pairs() == {("a.png", "b.png")}
    Path("sides.csv").write_text("file,side\na.png,right\nb.png,left\n")
    assert match("heap", "--store", "stock.db", "--sides", "sides.csv").code == 0
    assert pairs() == {("b.png", "a.png")}


@pytest.mark.parametrize("store", [(), ("--store", "stock.db")])
def test_a_pair_that_is_right_the_other_way_round_is_exchanged(match: Command, days: Path, store: tuple[str]) -> None:
    match("monday", "tuesday", *store)
    answer = json.loads(match("monday", "tuesday", *store, "--json").out)
    left, right = answer["pairs"][0]["left"], answer["pairs"][0]["right"]
    Path("said.csv").write_text(f"left,right,verdict\n{left},{right},right\n{right},{left},right\n")  # of two reviews
    answer = json.loads(match("monday", "tuesday", *store, "--reviewed", "said.csv", "--json").out)
    found = [(pair["left"], pair["right"]) for pair in answer["pairs"]]
    assert found.count((right, left)) == 1 and (left, right) not in found


def test_what_is_rejected_is_kept_only_if_the_rest_went_well(match: Command, days: Path) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    left, right = sorted(pairs())[0]
    Path("said.csv").write_text("left,right,verdict\nnobody.png,nothing.png,right\n")
    typed = ("tuesday", "--store", "stock.db", "--reject", left, right)
    assert match(*typed, "--reviewed", "said.csv").code == 2
    outcome = match(*typed)
    assert outcome.code == 0 and outcome.out.startswith(f"{left} and {right} are single again")
    Path("said.csv").write_text(f"left,right,verdict\n{left},{right},right\n")
    left, right = sorted(pairs())[0]
    assert match("--store", "stock.db", "--reject", left, right, "--reviewed", "said.csv").code == 0
    assert (left, right) not in pairs() and "24 shoes" in match("--store", "stock.db").out


def test_a_store_without_a_shoe_is_one_line(match: Command, days: Path, trained: Path) -> None:
    match("monday", "--store", "stock.db")
    for name in sorted(shoes_of()):
        assert match("--store", "stock.db", "--forget", name).code == 0
    outcome = match("--store", "stock.db")
    assert outcome.code == 2 and outcome.err.splitlines()[-1] == (
        "shoepair: --store stock.db: it holds no shoe; name a folder with photos."
    )


def test_one_shoe_under_two_names_is_in_one_pair(match: Command, days: Path) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    first, second = sorted(Path("monday").iterdir())[:2]
    right = sorted(Path("tuesday").iterdir())[0]
    for rows, said in (
        (f"{first},{right},right\n{first.name},{second},right", f"is right with both {right} and {second}."),
        (f"{first},{first.name},wrong", f"{first} and {first.name} are one shoe."),
        (f"{first},{right},right\n{right.name},{first.name},wrong", "are both right and wrong."),
    ):
        Path("said.csv").write_text(f"left,right,verdict\n{rows}\n")
        outcome = match("--store", "stock.db", "--reviewed", "said.csv")
        assert outcome.code == 2 and outcome.err.splitlines()[-1].endswith(said)


def test_two_files_with_one_photo_are_one_shoe_of_a_store(match: Command, days: Path) -> None:
    photo = next(Path("monday").iterdir())
    shutil.copy(photo, Path("monday", "copy.png"))
    outcome = match("monday", "--store", "stock.db")
    assert outcome.out.startswith("12 shoes") and "Left out monday/" in outcome.err and "the same photo" in outcome.err


def test_programs_read_json(match: Command, days: Path) -> None:
    outcome = match("monday", "tuesday", "--json", "--score")
    answer = json.loads(outcome.out)
    assert answer["shoes"] == 24 == 2 * len(answer["pairs"]) + len(answer["singles"])
    assert answer["score"]["found"] == len(answer["pairs"]) and answer["written"] == "outputs/match"
    assert {(Path(pair["left"]).name, Path(pair["right"]).name) for pair in answer["pairs"]} == pairs()
    assert all(0.01 < pair["probability"] <= 1 for pair in answer["pairs"])


def test_a_missed_pair_counts_also_where_its_other_shoe_was_there_before(
    shoepair: Command, trained: Path, days: Path
) -> None:
    strict = ("--store", "stock.db", "--checkpoint", str(trained), "--threshold", "0.999999", "--json", "--score")
    assert shoepair("match", "monday", *strict).code == 0
    score = json.loads(shoepair("match", "tuesday", *strict).out)["score"]
    assert score["found"] < 12 and score["true"] == 12


def test_a_score_that_is_refused_changes_nothing(match: Command, days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(found: object, stored: object) -> None:  # as for a partner in the store whose name says nothing
        raise UserError("--score: other.png does not say whose shoe it is")

    assert match("monday", "--store", "stock.db").code == 0
    before = Path("stock.db").read_bytes()
    monkeypatch.setattr("shoepair.commands.match._count", refuse)
    assert match("tuesday", "--store", "stock.db", "--score").code == 2
    assert Path("stock.db").read_bytes() == before


def test_a_copy_parts_no_pair_and_a_known_photo_is_not_read_again(
    match: Command, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    before, first = pairs(), sorted(Path("monday").iterdir())[0]
    shutil.copy(first, "monday/a_copy_right.png")
    read: list[str] = []
    whole = Path.read_bytes

    def noted(path: Path) -> bytes:
        read.append(path.name)
        return whole(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    for _ in range(2):
        outcome = match("monday", "tuesday", "--store", "stock.db")
        assert f"Left out monday/a_copy_right.png: the same photo as {first}." in outcome.err
        assert pairs() == before and outcome.out.startswith("24 shoes, all sides known")
    assert {name for name in read if name.endswith(".png") and "contact" not in name} <= {"a_copy_right.png"}


def test_a_store_is_a_file_whatever_it_is_called(match: Command, days: Path) -> None:
    for name in (":memory:", "file:stock.db"):
        assert match("monday", "--store", name).code == 0
        assert Path(name).stat().st_size and match("--store", name).out.startswith("12 shoes")


def test_a_file_of_nothing_holds_no_shoe(match: Command, days: Path) -> None:
    Path("empty.db").touch()
    assert match("--store", "empty.db", "--forget", "x").err == "shoepair: --store empty.db: it holds no shoe.\n"


def test_a_photo_whose_content_cannot_be_read_does_not_end_the_command(
    match: Command, days: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, read = sorted(Path("monday").iterdir())[0], Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == first.name:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    outcome = match("monday", "--store", "stock.db")  # pillow reads it all the same
    assert outcome.code == 0 and outcome.out.startswith("12 shoes"), outcome.err


def test_a_name_that_begins_with_a_dash_can_be_rejected(match: Command, days: Path) -> None:
    match("monday", "tuesday", "--store", "stock.db")
    left, right = sorted(pairs())[0]
    Path("dashed").mkdir()
    for day, name, dashed in (("monday", left, "-left.png"), ("tuesday", right, "-right.png")):
        shutil.copy(Path(day, name), Path("dashed", dashed))
    assert match("dashed", "--store", "dash.db").code == 0 and pairs() == {("-left.png", "-right.png")}
    assert match("dashed", "--store", "dash.db", "--reject", "./-left.png", "./-right.png").code == 0
    assert not pairs()
