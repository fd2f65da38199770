"""What the machine refuses (room, files, memory) ends in one line, and leaves nothing half."""

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, Command, Outcome, run_here
from hypothesis import given
from hypothesis import strategies as st

from shoepair import cli
from shoepair.errors import UserError, refused_by_machine
from shoepair.files import replacing, write_record


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk with so much room: what is written beyond fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def is_one_line(outcome: Outcome, *words: str) -> bool:
    lines = [line for line in outcome.err.splitlines() if line.startswith("shoepair: ")]
    assert outcome.code == 2 and len(lines) == 1 and "Traceback" not in outcome.err + outcome.out, outcome.err
    assert all(word in lines[0] for word in words), lines[0]
    return True


def test_a_run_without_room_names_the_file_and_can_be_gone_on_with(
    shoepair: Command, tmp_path: Path, trained: Path
) -> None:
    assert trained.is_dir()  # its shoes are in the cache
    with files_of_at_most(25_000):
        outcome = shoepair("train", *TINY, "hydra.run.dir=run")
    assert is_one_line(outcome, "run/checkpoints/best.ckpt", ": File too large; allow larger files")
    assert not list(tmp_path.rglob("*.partial"))
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["status"] == "failed" and "File too large" in status["reason"]
    assert shoepair("train", "resume=run").code == 0
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "completed"


def test_a_sweep_without_room_names_the_reason_of_each_job(shoepair: Command) -> None:
    with files_of_at_most(25_000):
        outcome = shoepair("train", "-m", *TINY, "seed=1,2", "hydra.sweep.dir=sweep")
    assert outcome.code == 1 and "Traceback" not in outcome.out + outcome.err
    assert outcome.out.count("File too large") >= 2 and "2 jobs: 2 failed" in outcome.out


@pytest.mark.parametrize("command", [
    ("evaluate", "checkpoint={run}", "hydra.run.dir=file/run"),
    ("train", *TINY, "hydra.run.dir=file"),
    ("train", *TINY, "data.cache_dir=file"),
    ("compare", "{run}", "--out", "file/board"),
    ("match", "{run}", "--checkpoint", "{run}", "--out", "file/match"),
    ("export", "--checkpoint", "{run}", "--out", "folder"),
    ("draw", "file/drawn", "--people", "2", "--test-people", "0", "--size", "32"),
])  # fmt: skip
def test_a_file_in_the_way_is_one_line(
    shoepair: Command, trained: Path, tmp_path: Path, command: tuple[str, ...], drawn_photos: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    places = {"{run}": str(trained)}
    typed = [word.replace("{run}", places["{run}"]) for word in command]
    if command[0] == "match":
        typed[1] = str(drawn_photos / "test_m")
    outcome = shoepair(*typed)
    if command[0] == "compare":  # its table is what counts
        assert outcome.code == 0 and "Not written" in outcome.out
    else:
        assert is_one_line(outcome)
    assert (tmp_path / "file").read_text() == "mine" and list((tmp_path / "folder").iterdir()) == []


def test_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("shoepair")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([program, "--help"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("shoepair: the output: No space left on device") and done.stderr.count("\n") == 1


def test_a_small_record_is_written_in_its_place_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    write_record(path, {"status": "running", "since": "a long time"})

    def no_room(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", no_room)
    write_record(path, {"status": "failed"})
    monkeypatch.undo()
    assert json.loads(path.read_text()) == {"status": "failed"}
    assert [found.name for found in tmp_path.iterdir()] == ["status.json"]


def test_what_could_not_be_written_is_named_also_behind_a_library(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as raised, replacing(tmp_path / "file"):
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904 - as torch does
    said = refused_by_machine(raised.value)
    assert said == f"{tmp_path}/file: No space left on device; make room there, or choose another folder."


@given(st.integers(1, 140), st.text(max_size=30), st.one_of(st.none(), st.text(max_size=30), st.binary(max_size=9)))
def test_every_refusal_of_the_machine_is_one_line(number: int, reason: str, name: str | bytes | None) -> None:
    said = refused_by_machine(OSError(number, reason, name), "somewhere")
    assert said and len(said.splitlines()) == 1


def test_a_broken_pipe_other_than_the_outputs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def hung_up(arguments: list[str]) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(cli, "run", hung_up)
    outcome = run_here()
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        "shoepair: the output: Broken pipe; HYDRA_FULL_ERROR=1 shows where it happened."
    ]


def test_mistakes_of_the_program_are_no_refusals_of_the_machine() -> None:
    try:
        try:
            raise FileNotFoundError(2, "No such file", "x")
        except FileNotFoundError:
            raise KeyError("a mistake")  # noqa: B904
    except KeyError as error:
        assert refused_by_machine(error) is None
    assert refused_by_machine(UserError("said")) is None
    assert refused_by_machine(MemoryError()) is not None
