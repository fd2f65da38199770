"""Photos under any names, listed in a CSV file."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from conftest import TINY, Command
from PIL import Image

from shoepair.data.layout import NAME
from shoepair.data.photos import read_photos
from shoepair.data.table import read_table
from shoepair.errors import UserError


@pytest.fixture
def table(drawn_photos: Path, tmp_path: Path) -> Path:
    """The drawn photos under names that follow no rule, and the table that lists them."""
    (tmp_path / "heap").mkdir()
    lines = ["File, Person, Pair, Side, Kind, Split, Remark"]
    for i, path in enumerate(
        sorted(drawn_photos.glob("*/*.png"), key=lambda path: (path.parent.name != "train", path))
    ):
        match = NAME.fullmatch(path.name)
        assert match is not None
        shutil.copy(path, tmp_path / "heap" / f"IMG {i}.png")
        split = "" if path.parent.name == "train" else path.parent.name
        lines.append(
            f"heap/IMG {i}.png, {match['person']}, {match['pair']}, {match['side']}, {match['kind']}, {split},"
        )
    (tmp_path / "shoes.csv").write_text("\n".join(lines))
    return tmp_path / "shoes.csv"


def change(table: Path, line: int, old: str, new: str) -> None:
    lines = table.read_text().splitlines()
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new)
    table.write_text("\n".join(lines))


def test_a_table_gives_the_shoes_of_the_folders(table: Path, drawn_photos: Path) -> None:
    listed, named = read_table(table, 64), read_photos(drawn_photos, 64)
    assert list(listed) == list(named) == ["train", "test_m", "test_w"]
    for split, shoes in named.items():
        assert torch.equal(listed[split].images, shoes.images)
        assert [(s.person, s.pair, s.side, s.kind) for s in listed[split].shoes] == [
            (s.person, s.pair, s.side, s.kind) for s in shoes.shoes
        ]
        assert listed[split].shoes[0].name.startswith("heap/IMG ")


def test_what_is_left_out_is_named_by_its_line(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = table.read_text().splitlines()
    (table.parent / "heap" / "IMG 4.png").write_bytes(b"no photo")
    change(table, 2, "IMG 0.png", "nowhere.png")
    change(table, 5, ", right,", ", upper,")
    lines = table.read_text().splitlines()
    lines += [
        lines[9].replace("IMG 8", "IMG 9"),
        lines[9],
        lines[10].replace("u0", "v0"),
        lines[11].replace("u0", ",u0"),
    ]
    lines += [lines[12].rpartition(",")[0].rpartition(",")[0] + ", val,"]
    table.write_text("\n".join(lines))
    last = len(lines)
    shoes = read_table(table, 64)["train"]
    said = {line.partition("line ")[2] for line in caplog.text.splitlines()}
    assert said == {
        "2 (heap/nowhere.png): there is no such file.",
        "3 (heap/IMG 1.png): the other shoe of this pair is missing.",
        "4 (heap/IMG 2.png): the other shoe of this pair is missing.",
        "5 (heap/IMG 3.png): its side is upper, expected left or right.",
        "6 (heap/IMG 4.png): it cannot be read as an image (UnidentifiedImageError: cannot identify image file "
        "'IMG 4.png').",
        "7 (heap/IMG 5.png): the other shoe of this pair is missing.",
        f"{last - 4} (heap/IMG 9.png): a second photo of the shoe in line 10.",
        f"{last - 3} (heap/IMG 8.png): a second photo of the shoe in line 10.",
        f"{last - 2} (heap/IMG 9.png): the same photo as in line 11.",
        f"{last - 1} (heap/IMG 10.png): there is nothing in the column person.",
        f"{last} (heap/IMG 11.png): its split is val, expected one of train, test_m, test_w (who of train validates, "
        "data.fold decides).",
    }
    assert len(shoes.shoes) == 24 - 6


def test_a_second_reading_says_the_same_from_the_cache(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    (table.parent / "heap" / "IMG 4.png").write_bytes(b"no photo")
    texts = []
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            read_table(table, 32)
        texts.append(caplog.messages)
    assert texts[0] == texts[1] and len(texts[0]) == 2


def test_a_person_in_two_splits_is_refused(table: Path) -> None:
    for line in (2, 3):
        change(table, line, ", ,", ", test_m,")
    with pytest.raises(UserError, match="u001 stands in both train and test_m"):
        read_table(table, 32)


def test_a_table_without_a_pair_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "shoes.csv").write_text("file,person,pair,side,kind\n")
    with pytest.raises(UserError, match="no complete pair of photos in train"):
        read_table(tmp_path / "shoes.csv", 32)


def test_a_network_is_trained_and_measured_on_a_table(shoepair: Command, table: Path) -> None:
    tiny = [setting for setting in TINY if "num_" not in setting]
    outcome = shoepair("train", *tiny, "data=table", "data.file=shoes.csv", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    for more in ((), ("data=table", "data.file=shoes.csv", "data.num_people=2")):
        outcome = shoepair("evaluate", "checkpoint=latest", *more)
        assert outcome.code == (0 if not more else 2), outcome.err


def test_a_missing_column_is_named_before_anything_starts(shoepair: Command) -> None:
    Path("shoes.csv").write_text("file,person,side\na.jpg,1,left\n")
    outcome = shoepair("train", "data=table", "data.file=shoes.csv")
    assert outcome.code == 2 and outcome.err == (
        "shoepair: shoes.csv, line 1: there is no column pair, kind; expected the columns file, person, pair, side, "
        "kind, found file, person, side.\n"
    )
    assert not Path("outputs").exists()


def test_names_that_are_none_are_their_own_rows_matter(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    (table.parent / "loop.png").symlink_to("loop.png")
    for line, name in ((2, "n\0ul.png"), (3, "x" * 5000), (4, "loop.png")):
        change(table, line, f"heap/IMG {line - 2}.png", name)
    shoes = read_table(table, 32)["train"]
    assert caplog.text.count("there is no such file.") == 3 and len(shoes.shoes) == 24 - 4


def test_a_table_from_another_system_gives_the_same_shoes(table: Path) -> None:
    expected = read_table(table, 32)["train"]
    text = table.read_text().replace("heap/", "heap\\").replace(",", " ;")
    table.write_bytes(f"sep=;\r\n{text}\r\n".replace("\n", "\r\n").encode("utf-16"))
    assert torch.equal(read_table(table, 32)["train"].images, expected.images)


def test_a_line_that_is_left_out_stands_in_nobodys_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (32, 32), (50, 60, 70) if name == "a" else (90, 20, 10)).save(tmp_path / f"{name}.png")
    table = tmp_path / "shoes.csv"
    table.write_text("file,person,pair,side,kind\na.png,p,1,left,m\na.png,p,1,right,m\nb.png,p,1,right,m\n")
    assert len(read_table(table, 32)["train"].shoes) == 2
    assert caplog.text.count("Left out") == 1 and "line 3 (a.png): the same photo as in line 2." in caplog.text
