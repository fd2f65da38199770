"""A file that is replaced is whole, whatever happens in between."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoepair.errors import UserError
from shoepair.files import find_file, read_json, read_rows, replacing, write_json, write_rows


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "record.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
        assert partial.parent == tmp_path and partial.name.startswith(".") and str(os.getpid()) in partial.name
    assert path.read_text() == "new" and names(tmp_path) == ["record.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "record.txt").write_text("old")
    with pytest.raises(error), replacing(tmp_path / "record.txt") as partial:
        partial.write_text("half")
        raise error
    assert (tmp_path / "record.txt").read_text() == "old" and names(tmp_path) == ["record.txt"]


def test_what_was_written_is_on_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, names(tmp_path)))

    monkeypatch.setattr(os, "fsync", fsync)
    write_json(tmp_path / "record.json", {"a": 1})
    assert len(synced) == 1
    size, before = synced[0]
    assert size == (tmp_path / "record.json").stat().st_size and "record.json" not in before


def test_a_killed_process_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"a": 1})
    code = """
import os, signal, sys
from shoepair.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "record.json")])
    assert killed.returncode == -signal.SIGKILL
    assert read_json(tmp_path / "record.json") == {"a": 1}
    assert [name for name in names(tmp_path) if not name.startswith(".")] == ["record.json"]


def test_a_record_that_cannot_be_written_as_json_leaves_the_old_one(tmp_path: Path) -> None:
    write_json(tmp_path / "record.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "record.json", {"a": object()})
    assert read_json(tmp_path / "record.json") == {"a": 1} and names(tmp_path) == ["record.json"]


def test_json_comes_back_and_what_is_no_object_does_not(tmp_path: Path) -> None:
    record = {"é": [1, 0.1, None, True], "b": {"c": "x"}}
    write_json(tmp_path / "record.json", record)
    assert read_json(tmp_path / "record.json") == json.loads((tmp_path / "record.json").read_text()) == record
    for text in ("", "[1]", '{"a": ', "\xff"):
        (tmp_path / "other.json").write_text(text, encoding="latin-1")
        assert read_json(tmp_path / "other.json") is None
    assert read_json(tmp_path / "nowhere.json") is None


TEXTS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["=1", "'=1", "-", "' x", "\t", " a ", "'"]
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(TEXTS, TEXTS, st.floats(allow_nan=False)), max_size=4))
def test_every_text_comes_back_from_a_table_and_none_is_a_formula(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "texts.csv"
    write_rows(path, ("one", "other", "number"), rows)
    found = [tuple(row.values()) for _, row in read_rows(path, ("one", "other", "number"))]
    assert found == [(one, other, str(number)) for one, other, number in rows]
    with path.open(newline="", encoding="utf-8") as file:
        cells = [cell for row in csv.reader(file) for cell in row[:2]]
    assert not any(cell.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")) for cell in cells)


Form = Literal["NFC", "NFD"]
NAMES = st.text(st.characters(codec="cp1252", exclude_categories=["Cc"], exclude_characters="'"), min_size=1)


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t|"),
    declared=st.booleans(),
    quoted=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]),
    empty=st.integers(0, 2),
)
def test_tables_are_read_as_people_have_them(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str, declared: bool,
    quoted: int, line_end: str, encoding: str, empty: int,
) -> None:  # fmt: skip
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, quoting=quoted, lineterminator=line_end)  # type: ignore[arg-type]
    writer.writerow(["Left", " Right"])
    writer.writerows(rows)
    text = (f"sep={delimiter}{line_end}" if declared else "") + written.getvalue() + line_end * empty
    path = tmp_path_factory.getbasetemp() / "people.csv"
    path.write_bytes(text.encode(encoding))
    expected = [(left.strip(), right.strip()) for left, right in rows]
    found = [tuple(row.values()) for _, row in read_rows(path, ("left", "right"))]
    if encoding == "cp1252" and is_utf8(path.read_bytes()):
        assert len(found) <= len(rows)  # the same bytes mean something else in UTF-8
    else:
        assert found == [row for row in expected if any(row)]


def is_utf8(content: bytes) -> bool:
    try:
        return not content.decode().isascii()
    except UnicodeDecodeError:
        return False


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
@pytest.mark.parametrize("in_table", ["NFC", "NFD"])
@pytest.mark.parametrize("slash", ["/", "\\"])
def test_a_file_is_found_in_each_spelling(tmp_path: Path, on_disk: Form, in_table: Form, slash: str) -> None:
    file = tmp_path / "Schränke" / unicodedata.normalize(on_disk, "Füße é.jpg")
    file.parent.mkdir()
    file.touch()
    assert find_file(tmp_path, f"Schränke{slash}{unicodedata.normalize(in_table, 'Füße é.jpg')}") == file
    (tmp_path / "back\\slash.jpg").touch()
    assert find_file(tmp_path, "back\\slash.jpg") == tmp_path / "back\\slash.jpg"
    for name in ("nowhere.jpg", "n\0ul", "x" * 9999, "Schränke", ""):
        assert find_file(tmp_path, name) is None


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xfe\x00", b"\xff\xfe\x00\xd8,\0", b"\0" * 50]
)
def test_what_is_no_table_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"a.csv(: this is no CSV file|, line 1: there is no column left)"):
        read_rows(tmp_path / "a.csv", ("left",))
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "nowhere.csv"):
        with pytest.raises(UserError, match="expected a CSV file"):
            read_rows(path, ("left",))
