"""A file that is replaced is whole, whatever happens in between."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shoepair.files import read_json, replacing, write_json


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
