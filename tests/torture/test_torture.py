"""The torture itself: its parts try what they are asked for, go on where they were, and say it in one page."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from torture.__main__ import BEGIN, PAGE, PARTS, page
from torture.counts import Counts


def torture(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """In a process of its own, since its drivers fork."""
    environment = {**os.environ, "PYTHONPATH": "tests", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torture", *map(str, arguments)]
    return subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
def test_a_part_tries_what_it_is_asked_for_and_nothing_goes_wrong(part: str, tmp_path: Path) -> None:
    done = torture(part, "--count", "1", "--json", tmp_path / "torture.json")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = Counts(**json.loads((tmp_path / "torture.json").read_text())[part])
    assert 0 < counts.tried == counts.right + counts.one_line


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    file = tmp_path / "torture.json"
    file.write_text(json.dumps({"names": {"name": "names", "tried": 7, "right": 6, "one_line": 0, "wrong": ["that"]}}))
    before = file.read_text()
    done = torture("names", "--count", "7", "--json", file)
    assert done.returncode == 1 and "names: 7 tried, 6 right, 0 in one line, 1 wrong\n  that" in done.stdout
    assert file.read_text() == before
    assert torture("nonsense", "--json", file).returncode == 2


def test_the_page_has_a_row_for_each_part() -> None:
    words = PAGE.read_text()
    written = page({"kills": Counts("kills", 1234, 1000, 233, ["one"])})
    assert "| runs killed at random moments and resumed | 1,234 | 1,000 | 233 | 1 |" in written
    assert written.partition(BEGIN)[0] == words.partition(BEGIN)[0]
