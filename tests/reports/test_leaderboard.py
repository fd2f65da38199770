"""The leaderboard of runs that are only described: what it calls, gathers, ranks and sorts."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shoepair.errors import UserError
from shoepair.metrics.predictions import Predictions, write_predictions
from shoepair.reports.figures import draw_settings, round_ticks
from shoepair.reports.leaderboard import markdown_report, terminal_table, write_csv
from shoepair.runs.folder import COMPLETED, Status
from shoepair.runs.leaderboard import rank
from shoepair.runs.read import Run


def run(path: str, accuracy: float, loss: float = 0.5, **settings: Any) -> Run:
    """A completed run; of its keys, `__` stands for the dot."""
    flat = {key.replace("__", "."): value for key, value in settings.items()}
    val = {"accuracy": accuracy, "loss": loss}
    return Run(Path(path), Status(COMPLETED), flat, [f"{key}=x" for key in flat], {"splits": {"val": val}})


BETAS = [
    run("outputs/sweep/0_a", 0.8, 0.4, optimizer__betas=[0.9, 0.999], seed=0),
    run("outputs/sweep/1_b", 0.9, 0.6, optimizer__betas=[0.8, 0.99], seed=0),
    run("outputs/sweep/2_c", 0.7, 0.2, optimizer__betas=None, seed=0),
]


def cells(table: str, column: str) -> list[str]:
    header, _, *rows = (line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|"))
    return [row[header.index(column)] for row in rows]


def test_a_sweep_over_a_list_ends_in_a_leaderboard(tmp_path: Path) -> None:
    board = rank(BETAS)
    assert cells(markdown_report(board), "betas") == ["[0.8, 0.99]", "[0.9, 0.999]", "null"]
    write_csv(tmp_path / "board.csv", board)
    with (tmp_path / "board.csv").open(newline="") as file:
        assert [row["optimizer.betas"] for row in csv.DictReader(file)] == ["[0.8, 0.99]", "[0.9, 0.999]", "null"]
    assert draw_settings(tmp_path / "board.png", board.ranked)
    with Image.open(tmp_path / "board.png") as picture:
        assert picture.size[0] > 300


def test_an_interval_that_is_not_known_is_left_out(tmp_path: Path) -> None:
    runs = [run("a/0_x", 0.8, lr=1), run("a/1_x", 0.7, lr=2)]
    runs[0].results["splits"]["val"]["interval"] = None
    runs[1].results["splits"]["val"]["interval"] = [0.6, 0.8]
    write_csv(tmp_path / "board.csv", rank(runs))
    with (tmp_path / "board.csv").open(newline="") as file:
        assert [row["val_interval_low"] for row in csv.DictReader(file)] == ["", "0.6"]
    assert cells(markdown_report(rank(runs)), "95 % interval") == ["-", "60.0 to 80.0"]


@pytest.mark.parametrize("people", ["a", "ab", "abcdefgh"])
def test_settings_that_judge_all_pairs_alike_differ_by_nothing_within_what_so_few_people_tell(
    tmp_path: Path, people: str
) -> None:
    val = Predictions(
        list(people), ["l"] * len(people), ["r"] * len(people), np.ones(len(people), dtype=int), np.ones(len(people))
    )
    for name in ("0_x", "1_x"):
        (tmp_path / name).mkdir()
        write_predictions(tmp_path / name / "predictions.csv", {"val": val})
    one, other = rank([run(str(tmp_path / f"{i}_x"), 1.0, lr=i) for i in range(2)]).ranked
    if len(people) == 1:
        assert one.interval is None and one.difference_to(other) is None
        return
    width = 1 - 0.025 ** (1 / len(people))
    difference = one.difference_to(other)
    assert one.interval == pytest.approx([1 - width, 1]) and difference is not None
    assert difference == (0.0, [0.0, 0.0])  # of verdicts that are all the same


def test_whatever_differs_is_drawn_and_told(tmp_path: Path) -> None:
    mixed = [None, True, 1, 2.5, "null", "a|b", [1, 2], "torch.optim.Adam", 0.001, 1e9]
    runs = [run(f"runs/{i}_x", i / 10, optimizer__eps=value) for i, value in enumerate(mixed)]
    board = rank([*runs, run("runs/10_x", 0.95)])
    told = cells(markdown_report(board).replace("\\|", "¦"), "eps")
    assert told == ["-", "1e+09", "0.001", "torch.optim.Adam", "[1, 2]", "a¦b", "'null'", "2.5", "1", "true",
                    "null"]  # fmt: skip
    assert draw_settings(tmp_path / "board.png", board.ranked)


def test_runs_are_gathered_by_values_and_not_by_how_they_are_written() -> None:
    runs = [run("a/0_x", 0.8, lr=1, seed=0), run("a/1_x", 0.9, lr=1.0, seed=1), run("a/2_x", 0.7, lr=True, seed=0)]
    assert [len(setting.runs) for setting in rank(runs).ranked] == [2, 1]


def test_one_batch_and_all_of_them_are_two_settings() -> None:
    board = rank([run(f"a/{i}_x", 0.8, trainer__limit_train_batches=value) for i, value in enumerate((1, 1.0))])
    assert cells(markdown_report(board), "limit_train_batches") == ["1", "1.0"]


def test_texts_and_lists_of_them_do_not_look_alike() -> None:
    values = (["a, b"], ["a", "b"], "[a, b]")
    board = rank([run(f"a/{i}_x", 0.8, callbacks__note__words=value) for i, value in enumerate(values)])
    assert cells(markdown_report(board), "words") == ["['a, b']", "[a, b]", "'[a, b]'"]


def test_a_key_that_is_called_like_a_column_has_its_whole_name() -> None:
    report = markdown_report(rank([run(f"a/{i}_x", 0.8, scheduler__epochs=3 + i) for i in range(2)], sort="epochs"))
    assert cells(report, "scheduler.epochs") == ["3", "4"] and cells(report, "epochs") == ["-", "-"]


def test_an_option_of_a_group_that_was_typed_is_shown_beside_what_else_was() -> None:
    runs = [run("a/0_x", 0.8, optimizer=0, optimizer__lr=0.1, optimizer___target_="a.Adam"),
            run("a/1_x", 0.9, optimizer=0, optimizer__lr=0.2, optimizer___target_="a.SGD")]  # fmt: skip
    runs = [replace(one, overrides=["optimizer=x", "optimizer.lr=1"]) for one in runs]
    assert cells(markdown_report(rank(runs)), "optimizer") == ["SGD", "Adam"]


def test_a_repetition_of_the_same_seed_is_said_to_be_one_and_counts_once() -> None:
    runs = [
        run("outputs/one/0_x", 0.8, lr=1, seed=0), run("outputs/two/0_x", 0.8, lr=1, seed=0),
        run("outputs/two/1_x", 0.9, lr=1, seed=1), run("outputs/two/2_x", 0.7, lr=2, seed=0),
    ]  # fmt: skip
    report = markdown_report(rank(runs))
    assert cells(report, "runs") == ["3 (1 again)", "1"] and cells(report, "val") == ["85.0 ± 7.1", "70.0"]
    assert "again: with the seed and fold of another run" in report
    assert "1 again" not in markdown_report(rank(runs[1:]))


def test_a_job_says_which_sweep_it_belongs_to() -> None:
    runs = [
        run("outputs/one/0_x", 0.8, lr=1), run("outputs/two/0_x", 0.9, lr=2), run("outputs/2026-11-26_dual", 0.7, lr=3)
    ]  # fmt: skip
    table = terminal_table(rank(runs))
    assert [line.split()[-1] for line in table.splitlines()[2:5]] == ["s1/0", "s2/0", "2026-11-26_dual"]
    assert "s1 is the sweep outputs/two\ns2 is the sweep outputs/one" in table
    assert "is the sweep" not in terminal_table(rank(BETAS))


def test_a_run_whose_name_begins_with_a_number_is_no_job(tmp_path: Path) -> None:
    paths = [tmp_path / "3_a", tmp_path / "3_c"]
    for path in paths:
        (path / ".hydra").mkdir(parents=True)
        (path / ".hydra/hydra.yaml").write_text("hydra:\n  mode: RUN\n")
    table = terminal_table(rank([run(str(path), 0.8, lr=i) for i, path in enumerate(paths)]))
    assert [line.split()[-1] for line in table.splitlines()[2:4]] == ["3_a", "3_c"]


def test_another_metric_ranks_and_is_shown() -> None:
    board = rank(BETAS, "loss")
    report = markdown_report(board)
    assert cells(report, "loss") == ["0.200", "0.400", "0.600"] and cells(report, "#") == ["1", "2", "3"]
    assert board.best.best_run("loss").path == Path("outputs/sweep/2_c")


def test_rows_are_sorted_by_any_column_and_may_be_few() -> None:
    runs = [run(f"a/{i}_x", i / 10, lr=lr) for i, lr in enumerate((0.1, 3, 0.02, None))]
    assert cells(markdown_report(rank(runs, sort="lr")), "lr") == ["0.02", "0.1", "3", "null"]
    shown = markdown_report(rank(runs, sort="lr", reverse=True, top=2))
    assert cells(shown, "lr") == ["null", "3"] and cells(shown, "#") == ["1", "3"] and "2 of 4 settings" in shown
    assert cells(markdown_report(rank(runs, sort="val")), "val") == ["0.0", "10.0", "20.0", "30.0"]
    with pytest.raises(UserError, match=r"--sort width: no such column; expected one of lr, val"):
        rank(runs, sort="width")


@pytest.mark.parametrize("low", [1.07e-6, 3e-4, 0.11, 1.16, 900])
@pytest.mark.parametrize("times", [8, 23, 100, 1e4, 1e9])
def test_ticks_are_few_and_round(low: float, times: float) -> None:
    for is_log in (True, False):
        ticks = round_ticks(low, low * times, is_log=is_log)
        assert 2 <= len(ticks) <= 5 and ticks == sorted(ticks) and low <= ticks[0] and ticks[-1] <= low * times
        assert all(len(f"{tick:e}".partition("e")[0].replace(".", "").rstrip("0")) <= 3 for tick in ticks)
