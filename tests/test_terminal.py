"""Nothing from outside steers the terminal."""

import logging
from pathlib import Path

import pytest
from conftest import Command
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shoepair.reports.tables import text_table
from shoepair.terminal import Record, labelled, on_one_line, printable, say, say_aside

EVIL = "\x1b[31m\x1b]0;title\x07\u202egpj.exe"


@given(st.text())
def test_what_is_printable_steers_nothing_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in shown)
    assert not any("\x7f" <= letter <= "\x9f" or letter in "\u202a\u202e\u2066" for letter in shown)
    shown.encode()  # no half characters
    assert printable(shown) == shown and "\n" not in on_one_line(text)


def test_what_is_shown_of_names_says_what_they_are() -> None:
    assert printable("Füße\t\x1b[0m \udcff \u202e") == "Füße\t\\x1b[0m \\xff \\u202e"
    assert text_table(["a"], [["b\nc\x07"]]).splitlines()[-1] == "b\\nc\\x07"


def test_what_is_logged_steers_nothing() -> None:
    record = Record("name", logging.WARNING, "file", 1, "Left out %s", (Path(EVIL),), None)
    assert record.getMessage() == "Left out \\x1b[31m\\x1b]0;title\\x07\\u202egpj.exe"
    try:
        raise ValueError(EVIL)
    except ValueError as error:
        failed = Record("name", logging.ERROR, "file", 1, "Failed", (), (ValueError, error, error.__traceback__))
    assert "\x1b" not in logging.Formatter().format(failed) and "ValueError: \\x1b" in logging.Formatter().format(
        failed
    )


@pytest.mark.parametrize(
    "typed",
    [
        (EVIL,), ("train", f"approach={EVIL}"), ("train", f"data.root={EVIL}", "data=photos"), ("train", f"{EVIL}=1"),
        ("evaluate", f"checkpoint={EVIL}"), (f"resume={EVIL}",), ("match", EVIL), ("match", f"--{EVIL}"),
        ("compare", EVIL), ("predict", EVIL, EVIL), ("predict", "--pairs", EVIL), ("export", "--checkpoint", EVIL),
        ("draw", EVIL, "--people", EVIL),
        ("match", "heap", "--checkpoint", EVIL), ("match", "heap", "--sides", EVIL),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_steers_nothing(shoepair: Command, typed: tuple[str, ...]) -> None:
    Path("heap").mkdir()
    Image.new("RGB", (8, 8)).save(f"heap/{EVIL[:9]}.png")
    outcome = shoepair(*typed)
    assert outcome.code == 2 and not outcome.out, outcome
    assert outcome.err.startswith("shoepair: ") and outcome.err.count("\n") == 1
    assert not any(letter in outcome.err for letter in "\x1b\x07\u202e")


def test_a_mistake_of_any_length_is_a_line_that_can_be_read(shoepair: Command) -> None:
    endless = "a" * 5000
    many = "a " * 2500
    for typed in (
        ("-m", f"+data.augment.contrast={endless}"),
        ("-m", f"+data.augment.contrast='{many}'"),
        (f"{endless}=1",),
        (f"data.root='{many}'", "data=photos"),
        ("predict", endless, endless),
        ("match", many),
    ):
        outcome = shoepair(*typed)
        assert outcome.code == 2 and outcome.err.count("\n") == 1 and len(outcome.err) < 1000
        assert outcome.err.startswith("shoepair: ") and "..." in outcome.err


def test_lines_of_processes_that_share_a_terminal_begin_with_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with labelled("0_lr-0.1\x1b"):
        say("\nepoch\nlast")
        say_aside("left out")
    say("whole")
    said = capsys.readouterr()
    assert (
        said.out == "\n0_lr-0.1\\x1b  epoch\n0_lr-0.1\\x1b  last\nwhole\n" and said.err == "0_lr-0.1\\x1b  left out\n"
    )
