"""Run folders as a disk or somebody else left them: what cannot be read is named, and hides nothing else."""

import copy
import json
import random
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from settings import train_settings
from torture.folders import break_file, changed, odd_places
from torture.world import remove

from shoepair.errors import UserError
from shoepair.reports.leaderboard import problem_lines, terminal_table, write_csv
from shoepair.runs.find import find_checkpoint
from shoepair.runs.folder import locked
from shoepair.runs.leaderboard import rank
from shoepair.runs.read import Run, find_runs, read_run, read_runs, read_yaml

RECORDS: dict[str, Any] = {
    "status.json": {"status": "completed", "reason": None, "since": "2026-01-01T00:00:00.000+00:00"},
    "results.json": {
        "splits": {"val": {"accuracy": 0.9, "loss": 0.3, "interval": [0.8, 1.0], "num_pairs": 10}},
        "temperature": 1.0, "num_parameters": 10, "seconds": 1.5, "seed": 0, "overrides": ["seed=0"],
        "versions": {}, "device": "cpu", "best_epoch": 1, "num_epochs": 2, "precision": "32-true",
    },
}  # fmt: skip
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(10**399, 10**400) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def make_run(path: Path, accuracy: float = 0.9, **changes: Any) -> Path:
    records = copy.deepcopy(RECORDS) | {"config.json": train_settings(f"seed={len(path.name)}").plain()} | changes
    records["results.json"]["splits"]["val"]["accuracy"] = accuracy
    path.mkdir(parents=True)
    for name, record in records.items():
        (path / name).write_text(json.dumps(record))
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "best.ckpt").write_text("weights")
    (path / "predictions.csv").write_text("split,person,left,right,label,logit\nval,u1,a,b,1,0.5\n")
    return path


def shown(folder: Path) -> tuple[list[Run], list[str]]:
    """Everything that compare says and writes but pictures."""
    runs, unreadable = read_runs([folder])
    board = rank(runs)
    assert terminal_table(board) and problem_lines(runs, unreadable) is not None
    write_csv(folder / "leaderboard.csv", board)
    return runs, unreadable


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["results.json", "status.json", "config.json"]), anything)
def test_whatever_a_record_says_the_others_are_shown(chance: random.Random, name: str, value: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = make_run(Path(folder, "whole")), make_run(Path(folder, "broken"), accuracy=0.5)
        record = json.loads((broken / name).read_text())
        record = value if chance.random() < 0.3 else {**record, chance.choice(list(record)): value}
        (broken / name).write_text(json.dumps(record))
        runs, unreadable = shown(Path(folder))
        assert whole in [run.path for run in runs]
        known = [run.path for run in runs if run.path == broken]
        assert len(known) + len(unreadable) == 1 or (name == "config.json" and "checkpoint" in record)
        assert all(line.startswith(f"{broken}: ") and "\n" not in line for line in unreadable)
        # As long as it is not taken for the better one, it is not chosen.
        assert find_checkpoint(folder, folder).parts[-3] in {path.name for path in [whole, *known]}


@pytest.mark.parametrize("number", range(40))
def test_whatever_a_file_of_a_run_is_the_others_are_shown(tmp_path: Path, number: int) -> None:
    chance = random.Random(number)
    whole, broken = make_run(tmp_path / "whole"), make_run(tmp_path / "broken", accuracy=0.5)
    break_file(broken / chance.choice(["results.json", "status.json", "config.json", "predictions.csv"]), chance)
    runs, unreadable = shown(tmp_path)
    assert whole in [run.path for run in runs] and len(runs) + len(unreadable) == 2


@pytest.mark.parametrize("number", range(8))
def test_odd_folders_beside_the_runs_do_no_harm(tmp_path: Path, number: int) -> None:
    whole = make_run(tmp_path / "whole")
    odd_places(tmp_path, random.Random(number))
    assert [run.path for run in shown(tmp_path)[0]] == [whole]
    assert find_checkpoint("latest", str(tmp_path)) == whole / "checkpoints" / "best.ckpt"
    remove(tmp_path / "beside")  # pytest could not


def test_a_link_to_a_folder_above_is_not_followed(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    (tmp_path / "run" / "up").symlink_to("..")
    assert find_runs([tmp_path, tmp_path / "run"]) == ([tmp_path / "run"], [])


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    results = copy.deepcopy(RECORDS["results.json"])
    results["seconds"] = "fast"
    make_run(tmp_path / "run", **{"results.json": results})
    said = read_run(tmp_path / "run")
    assert isinstance(said, str) and said.startswith(f"{tmp_path}/run: ") and "seconds" in said


def test_where_no_run_can_be_read_each_is_named(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (make_run(tmp_path / name) / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"not read: .*one: .*not read: .*two: "):
        find_checkpoint(str(tmp_path), str(tmp_path))


def test_changes_are_changes() -> None:
    chance = random.Random(0)
    assert any(changed(RECORDS["status.json"], chance) != RECORDS["status.json"] for _ in range(5))


@pytest.mark.parametrize("text", ["[" * 50_000, "{" * 50_000, "- " * 20_000])
def test_lists_in_lists_are_refused_at_once(tmp_path: Path, text: str) -> None:
    """To build them would take minutes, or hours."""
    (tmp_path / "config.yaml").write_text(text)
    started = time.process_time()
    assert read_yaml(tmp_path / "config.yaml") is None
    assert time.process_time() - started < 5


@pytest.mark.parametrize("typed", ["mode=sanity", "data.validate_on_train=true"])
def test_a_run_that_learned_its_validation_pairs_by_heart_is_not_taken_for_use(tmp_path: Path, typed: str) -> None:
    """Its figures are the best, and it ended last."""

    def since(second: int) -> dict[str, Any]:
        return {**RECORDS["status.json"], "since": f"2026-11-26T12:00:0{second}+00:00"}

    records: dict[str, Any] = {"config.json": train_settings(typed).plain(), "status.json": since(2)}
    by_heart = make_run(tmp_path / "by_heart", 1.0, **records)
    assert find_checkpoint("latest", str(tmp_path), or_ready=True).name == "ready.ckpt"
    real = make_run(tmp_path / "real", 0.7, **{"status.json": since(1)})
    for checkpoint in ("latest", str(tmp_path)):
        assert find_checkpoint(checkpoint, str(tmp_path), or_ready=True) == real / "checkpoints" / "best.ckpt"
    assert find_checkpoint("latest", str(tmp_path)) == by_heart / "checkpoints" / "best.ckpt"  # to be measured again
    assert [run.path for run in rank(read_runs([tmp_path])[0]).runs] == [real, by_heart]


@pytest.mark.parametrize("how", ["running", "interrupted", "pruned", "failed"])
def test_a_run_that_is_not_completed_is_not_taken_for_use(tmp_path: Path, how: str) -> None:
    """Though it has kept the best of its epochs, and is the newest."""
    newest: dict[str, Any] = {"status.json": {"status": how, "reason": None, "since": "2026-11-26T12:00:00+00:00"}}
    unfinished = make_run(tmp_path / "unfinished", **newest)
    with locked(unfinished, wait=False) if how == "running" else nullcontext():
        assert find_checkpoint("latest", str(tmp_path), or_ready=True).name == "ready.ckpt"
        whole = make_run(tmp_path / "whole")
        assert find_checkpoint("latest", str(tmp_path), or_ready=True) == whole / "checkpoints" / "best.ckpt"
        assert find_checkpoint("latest", str(tmp_path)) == unfinished / "checkpoints" / "best.ckpt"  # to be measured


@pytest.mark.parametrize("repeated", ["seed", "data.fold"])
def test_what_changed_together_with_the_seed_is_a_setting_of_its_own(tmp_path: Path, repeated: str) -> None:
    for number, optimizer in enumerate(("adam", "adamw")):
        typed = (f"{repeated}={number}", f"optimizer={optimizer}")
        results = {**RECORDS["results.json"], "overrides": typed[:1]}  # what an experiment changes was not typed
        records: dict[str, Any] = {"config.json": train_settings(*typed).plain(), "results.json": results}
        make_run(tmp_path / optimizer, **records)
    assert len(rank(read_runs([tmp_path])[0]).ranked) == 2
    for number in (2, 3):
        make_run(tmp_path / f"again{number}", 0.9, **{"config.json": train_settings(f"{repeated}={number}").plain()})
    assert [len(setting.runs) for setting in rank(read_runs([tmp_path])[0]).ranked] in ([3, 1], [1, 3])
