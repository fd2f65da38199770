"""The leaderboard as a person sees it: a table for the terminal, leaderboard.md, leaderboard.csv, leaderboard.png."""

import csv
import re
import shlex
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoepair.config.typed import as_typed
from shoepair.reports.tables import between, markdown_table, text_table
from shoepair.runs.folder import ENDED_WELL
from shoepair.runs.leaderboard import ABSENT, Setting, differing_keys, gather, short_names
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


def terminal_table(settings: Sequence[Setting], *, test: bool = False) -> str:
    """One line for each setting, best first, at most TERMINAL_WIDTH wide where that can be."""
    columns = _columns(settings, test=test)
    del columns["parameters"]
    names = [Path(cell).name for cell in columns.pop("run")]
    if all(re.match(r"\d+_", name) for name in names):  # of one sweep: the number at the front of a folder's name
        columns["job"] = [name.partition("_")[0] for name in names]
    else:
        columns["run"] = [name if len(name) <= 24 else f"{name[:23]}…" for name in names]
    if all(cell == "-" for cell in columns["to the best"][1:]):
        del columns["to the best"]
    for name in (*DROPPED_FIRST, None):
        table = text_table(list(columns), list(zip(*columns.values(), strict=True)))
        if name is None or max(map(len, table.splitlines())) <= TERMINAL_WIDTH:
            break
        columns.pop(name, None)
    return f"{table}\n\n{_caption(settings)}"


def write_markdown(path: Path, settings: Sequence[Setting], *, test: bool = False) -> None:
    path.write_text(markdown_report(settings, test=test) + "\n", encoding="utf-8")


def markdown_report(settings: Sequence[Setting], *, test: bool = False) -> str:
    columns = _columns(settings, test=test)
    table = markdown_table(list(columns), list(zip(*columns.values(), strict=True)))
    report = f"{table}\n\n{_caption(settings)}"
    if settings[0].completed:
        report += f"\n\nThe best run again: `{settings[0].best_run.command}`"
    return report


def write_csv(path: Path, runs: Sequence[Run], *, test: bool = False) -> None:
    """One row for each run, best setting first: where it is, how it ended, what differs, its metrics."""
    keys = differing_keys(runs)
    tests = TEST_COLUMNS if test else {}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "status", "reason", *keys, "val_accuracy", "val_loss", "val_interval_low",
                         "val_interval_high", *tests, "best_epoch", "num_epochs", "seconds", "num_parameters",
                         "device", "command"])  # fmt: skip
        for run in (run for setting in gather(runs) for run in setting.runs):
            results = run.results
            low, high = results.get("splits", {}).get("val", {}).get("interval", (None, None))
            writer.writerow([
                run.path, run.status.name, run.status.reason, *(run.settings.get(key) for key in keys),
                run.figure("val", "accuracy"), run.figure("val", "loss"), low, high,
                *(run.figure(*column) for column in tests.values()),
                *(results.get(name) for name in ("best_epoch", "num_epochs", "seconds", "num_parameters", "device")),
                run.command,
            ])  # fmt: skip


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


def _columns(settings: Sequence[Setting], *, test: bool) -> dict[str, list[str]]:
    """Header -> cells, one for each setting."""
    best = settings[0]
    names = short_names(list(best.values))
    columns = {"#": [str(place) if s.completed else "-" for place, s in enumerate(settings, 1)]}
    columns |= {names[key]: [_value(s.values[key]) for s in settings] for key in best.values}
    columns["val"] = [mean_and_spread(s.figures("val", "accuracy")) for s in settings]
    columns["95 % interval"] = [between(s.interval if s.completed else None) for s in settings]
    columns["to the best"] = ["-"] + [_difference(s.difference_to(best)) for s in settings[1:]]
    if test:
        columns |= {
            name: [mean_and_spread(s.figures(*column)) for s in settings] for name, column in TEST_COLUMNS.items()
        }
    columns["runs"] = [_runs(s) for s in settings]
    columns["parameters"] = [_mean(s, "num_parameters") for s in settings]
    columns["epochs"] = [_mean(s, "num_epochs") for s in settings]
    columns["seconds"] = [_mean(s, "seconds") for s in settings]
    columns["run"] = [str((s.best_run if s.completed else s.runs[0]).path) for s in settings]
    return columns


def _caption(settings: Sequence[Setting]) -> str:
    devices = sorted({run.results["device"] for s in settings for run in s.completed if "device" in run.results})
    repeated = any(len(s.completed) > 1 for s in settings)
    said = ["Accuracy in percent" + (", mean ± standard deviation over the runs" if repeated else "")]
    said += ["intervals over people"]
    if devices:
        said += [f"on {' and '.join(devices)}"]
    return "; ".join(said) + "."


def _runs(setting: Setting) -> str:
    """How many completed, of how many if not all; of a single run, how it ended."""
    if len(setting.completed) == len(setting.runs):
        return str(len(setting.runs))
    if len(setting.runs) == 1:
        return setting.runs[0].status.name
    return f"{len(setting.completed)} of {len(setting.runs)}"


def mean_and_spread(rates: Sequence[float]) -> str:
    """In percent, with the standard deviation where there is more than one."""
    if not rates:
        return "-"
    spread = f" ± {100 * statistics.stdev(rates):.1f}" if len(rates) > 1 else ""
    return f"{100 * statistics.fmean(rates):.1f}{spread}"


def _difference(difference: tuple[float, list[float]] | None) -> str:
    return "-" if difference is None else f"{100 * difference[0]:+.1f} ({between(difference[1])})"


def _mean(setting: Setting, name: str) -> str:
    values = [run.results[name] for run in setting.completed if name in run.results]
    if not values:
        return "-"
    mean = statistics.fmean(values)
    return f"{mean:.1f}" if mean < 10 and mean != round(mean) else f"{mean:,.0f}"


def _value(value: Any) -> str:
    """As it is typed; of a class, its name."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and value != ABSENT and value.replace("_", "").replace(".", "").isalnum():
        return value.rpartition(".")[2]
    return f"{value:g}" if isinstance(value, float) else str(value)


def best_lines(setting: Setting, folder: Path) -> list[str]:
    """Where the best network is and how to have it again."""
    run: Run = setting.best_run
    return [
        f"Best run      {run.path}",
        f"Train again   {run.command}",
        f"Evaluate      shoepair evaluate {as_typed('checkpoint', folder)}",
        f"Look at runs  tensorboard --logdir {shlex.quote(str(folder))}",
    ]
