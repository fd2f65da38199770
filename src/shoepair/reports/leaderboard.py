"""The leaderboard as a person sees it: a table for the terminal, leaderboard.md, leaderboard.csv, leaderboard.png."""

import os
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoepair.config.shown import exact, shown_apart
from shoepair.config.typed import as_typed
from shoepair.files import read_small, replacing, write_rows
from shoepair.reports.tables import between, markdown_table, text_table
from shoepair.runs.folder import ENDED_WELL, relative_to_here, viewers
from shoepair.runs.leaderboard import METRICS, Leaderboard, Setting, differing_keys
from shoepair.runs.read import Run

TERMINAL_WIDTH = 100
TEST_COLUMNS = {
    "test_m": ("test_m", "accuracy"),
    "test_w": ("test_w", "accuracy"),
    "tests": ("test", "accuracy"),
    "same": ("test", "accuracy_same"),
    "different": ("test", "accuracy_different"),
}
DROPPED_FIRST = ("95 % interval", "seconds", "epochs", "run")  # from a table that is too wide for a terminal


def terminal_table(board: Leaderboard, *, test: bool = False) -> str:
    """One line for each setting, at most TERMINAL_WIDTH wide where that can be; below it what its columns mean."""
    columns = _columns(board, test=test)
    del columns["parameters"]
    header, columns[header], sweeps = _jobs([_run_of(setting, board.metric).path for setting in board.rows])
    if header == "job":
        del columns["run"]
    if all(cell == "-" for cell in columns["to the best"]):
        del columns["to the best"]
    for name in (*DROPPED_FIRST, None):
        table = text_table(list(columns), list(zip(*columns.values(), strict=True)))
        if name is None or max(map(len, table.splitlines())) <= TERMINAL_WIDTH:
            break
        columns.pop(name, None)
    return "\n".join([f"{table}\n\n{_caption(board)}", *sweeps])


def _jobs(paths: Sequence[Path]) -> tuple[str, list[str], list[str]]:
    """What runs are called in the terminal: a column's name and cells, and a line for each sweep if there are several.

    A job of a sweep is known by the number at the front of its folder's name, beside what stands for its sweep.
    """
    sweeps = list(dict.fromkeys(path.parent for path in paths if _is_job(path)))
    if len(sweeps) == 1 and all(_is_job(path) for path in paths):
        return "job", [path.name.partition("_")[0] for path in paths], []
    cells = []
    for path in paths:
        if _is_job(path):
            cells.append(f"s{sweeps.index(path.parent) + 1}/{path.name.partition('_')[0]}")
        else:
            cells.append(path.name if len(path.name) <= 24 else f"{path.name[:12]}…{path.name[-11:]}")
    return "run", cells, [f"s{number} is the sweep {sweep}" for number, sweep in enumerate(sweeps, 1)]


def _is_job(path: Path) -> bool:
    """Of a sweep: its number begins its name, and it was not a run of its own."""
    record = read_small(path / ".hydra" / "hydra.yaml") or ""
    return re.match(r"\d+_", path.name) is not None and "\n  mode: RUN\n" not in record


def write_markdown(path: Path, board: Leaderboard, *, test: bool = False) -> None:
    with replacing(path) as partial:
        partial.write_text(markdown_report(board, test=test) + "\n", encoding="utf-8")


def markdown_report(board: Leaderboard, *, test: bool = False) -> str:
    columns = _columns(board, test=test)
    table = markdown_table(list(columns), list(zip(*columns.values(), strict=True)))
    report = f"{table}\n\n{_caption(board)}"
    if board.best.completed:
        report += f"\n\nThe best run again: `{board.best.best_run(board.metric).command}`"
    return report


def write_csv(path: Path, board: Leaderboard, *, test: bool = False) -> None:
    """One row for each run, best setting first: where it is, how it ended, what differs, its metrics."""
    keys = differing_keys(board.runs)
    tests = TEST_COLUMNS if test else {}
    metrics = [name for name in METRICS if name in ("accuracy", "loss", board.metric)]
    header = ["path", "status", "reason", *keys, *(f"val_{name}" for name in metrics), "val_interval_low",
              "val_interval_high", *tests, "best_epoch", "num_epochs", "seconds", "num_parameters", "device",
              "command"]  # fmt: skip
    rows = []
    for run in board.runs:
        results = run.results
        low, high = results.get("splits", {}).get("val", {}).get("interval") or (None, None)
        rows.append([
            run.path, run.status.name, run.status.reason, *(_in_csv(run.settings.get(key, ""), key) for key in keys),
            *(run.figure("val", name) for name in metrics), low, high,
            *(run.figure(*column) for column in tests.values()),
            *(results.get(name) for name in ("best_epoch", "num_epochs", "seconds", "num_parameters", "device")),
            run.command,
        ])  # fmt: skip
    write_rows(path, header, rows)


def _in_csv(value: Any, key: str) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else exact(value, key)


def problem_lines(runs: Sequence[Run], unreadable: Sequence[str]) -> list[str]:
    """What did not complete, with its reason, and what could not be read."""
    lines = [
        f"{run.status.name.capitalize()}: {run.path}{': ' + run.status.reason if run.status.reason else ''}"
        for run in runs
        if run.status.name not in ENDED_WELL
    ]
    return lines + [f"Not read: {line}" for line in unreadable]


def count_statuses(runs: Sequence[Run]) -> str:
    """Such as "5 completed, 1 failed"."""
    names = [run.status.name for run in runs]
    return ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(sorted(names))) or "no run"


def _columns(board: Leaderboard, *, test: bool) -> dict[str, list[str]]:
    """Header -> cells, one for each row."""
    rows, best = board.rows, board.best
    places = {id(setting): str(place) if setting.completed else "-" for place, setting in enumerate(board.ranked, 1)}
    columns = {"#": [places[id(s)] for s in rows]}
    columns |= {name: shown_apart([s.values[key] for s in rows], key) for name, key in board.keys.items()}
    if board.metric != "accuracy":
        columns[board.metric] = [_metric(s.figures("val", board.metric), board.metric) for s in rows]
    columns["val"] = [mean_and_spread(s.figures("val", "accuracy")) for s in rows]
    columns["95 % interval"] = [between(s.interval if s.completed else None) for s in rows]
    columns["to the best"] = ["-" if s is best else _difference(s.difference_to(best)) for s in rows]
    if test:
        columns |= {name: [mean_and_spread(s.figures(*column)) for s in rows] for name, column in TEST_COLUMNS.items()}
    columns["runs"] = [_runs(s) for s in rows]
    columns |= {name: [_fact(s.fact(name)) for s in rows] for name in ("parameters", "epochs", "seconds")}
    columns["run"] = [str(_run_of(s, board.metric).path) for s in rows]
    return columns


def _run_of(setting: Setting, metric: str) -> Run:
    return setting.best_run(metric) if setting.completed else setting.runs[0]


def _caption(board: Leaderboard) -> str:
    settings = board.rows
    devices = sorted({run.results["device"] for s in settings for run in s.completed if "device" in run.results})
    repeated = any(len(s.repetitions) > 1 for s in settings)
    said = ["Accuracy in percent" + (", mean ± standard deviation over the runs" if repeated else "")]
    said += ["intervals over people"]
    if devices:
        said += [f"on {' and '.join(devices)}"]
    if len(board.rows) < len(board.ranked):
        said += [f"{len(board.rows)} of {len(board.ranked)} settings"]
    if any(len(s.completed) > len(s.repetitions) for s in settings):
        said += ["again: with the seed and fold of another run, with which it counts as one"]
    return "; ".join(said) + "."


def _runs(setting: Setting) -> str:
    """How many completed, of how many if not all; of a single run, how it ended."""
    if len(setting.runs) == 1 and not setting.completed:
        return setting.runs[0].status.name
    num_again = len(setting.completed) - len(setting.repetitions)
    again = f" ({num_again} again)" if num_again else ""
    if len(setting.completed) == len(setting.runs):
        return f"{len(setting.runs)}{again}"
    return f"{len(setting.completed)} of {len(setting.runs)}{again}"


def mean_and_spread(rates: Sequence[float]) -> str:
    """In percent, with the standard deviation where there is more than one."""
    if not rates:
        return "-"
    spread = f" ± {100 * statistics.stdev(rates):.1f}" if len(rates) > 1 else ""
    return f"{100 * statistics.fmean(rates):.1f}{spread}"


def _difference(difference: tuple[float, list[float]] | None) -> str:
    return "-" if difference is None else f"{100 * difference[0]:+.1f} ({between(difference[1])})"


def _metric(values: Sequence[float], name: str) -> str:
    if name.startswith("accuracy") or not values:
        return mean_and_spread(values)
    spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.3f}{spread}"


def _fact(mean: float | None) -> str:
    if mean is None:
        return "-"
    return f"{mean:.1f}" if mean < 10 and mean != round(mean) else f"{mean:,.0f}"


def best_lines(board: Leaderboard, folders: Sequence[str | Path]) -> list[str]:
    """Where the best network is and how to have it again.

    Args:
        folders: what was compared.
    """
    run = board.best.best_run(board.metric)
    return [
        f"Best run      {run.path}",
        f"Train again   {run.command}",
        f"Evaluate      shoepair evaluate {as_typed('checkpoint', run.path)}",
        *(f"Look at runs  {command}" for command in viewers(run.path, _folder_of_all(folders, run))),
    ]


def _folder_of_all(folders: Sequence[str | Path], best: Run) -> str | Path:
    """The folder below which TensorBoard finds all of `folders`; the best run's, where that would be the whole disk."""
    if len(folders) == 1:
        return folders[0]
    shared = Path(os.path.commonpath([Path(folder).resolve() for folder in folders]))
    return best.path if shared == shared.parent else relative_to_here(shared)
