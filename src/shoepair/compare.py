"""`shoepair compare`: runs side by side, repetitions over seeds and folds gathered into mean and spread."""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from shoepair.errors import UserError
from shoepair.results.leaderboard import Setting, gather, read_runs
from shoepair.results.records import COMPLETED
from shoepair.results.table import markdown_table, text_table


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="shoepair compare",
        description="Compare the training runs in folders, best validation accuracy first. Runs that differ in seed or "
        "fold only are gathered: mean and standard deviation over them.",
        epilog="Example: shoepair compare outputs",
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a run's folder, or any folder above run folders")
    parser.add_argument(
        "--test", action="store_true", help="show the test sets as well; choose on validation, not on them"
    )
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        if not Path(folder).is_dir():
            raise UserError(f"{folder}: no such folder.")
    runs = read_runs(options.folders)
    if not runs:
        raise UserError(f"{', '.join(options.folders)}: there is no run in it; `shoepair train` makes one.")
    settings = gather(runs)
    if not settings:
        raise UserError(f"{', '.join(options.folders)}: none of its {len(runs)} runs is completed.")
    print(settings_table(settings, test=options.test, markdown=options.markdown))
    for run in runs:
        if run.status != COMPLETED:
            print(f"Not counted: {run.path} ({run.status})")


def settings_table(settings: Sequence[Setting], *, test: bool, markdown: bool) -> str:
    """One row for each setting: accuracies in percent, mean and standard deviation over its runs."""
    header = ["setting", "parameters", "runs", "val"]
    splits = ["val"]
    if test:
        header += ["test_m", "test_w", "tests", "same", "different"]
        splits += ["test_m", "test_w", "test"]
    header += ["seconds"]
    rows = []
    for setting in settings:
        row = [setting.label, f"{setting.runs[0].results['num_parameters']:,}", str(len(setting.runs))]
        row += [mean_and_spread(setting.figures(split, "accuracy")) for split in splits]
        if test:
            row += [mean_and_spread(setting.figures("test", name)) for name in ("accuracy_same", "accuracy_different")]
        row += [f"{statistics.fmean(run.results['seconds'] for run in setting.runs):.0f}"]
        rows.append(row)
    table = (markdown_table if markdown else text_table)(header, rows)
    devices = sorted({run.results["device"] for setting in settings for run in setting.runs})
    return f"{table}\n\nAccuracy in percent, mean ± standard deviation over the runs; on {' and '.join(devices)}."


def mean_and_spread(figures: Sequence[float]) -> str:
    """In percent, with the standard deviation where there is more than one."""
    if not figures:
        return "-"
    spread = f" ± {100 * statistics.stdev(figures):.1f}" if len(figures) > 1 else ""
    return f"{100 * statistics.fmean(figures):.1f}{spread}"
