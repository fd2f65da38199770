"""How well networks do on real photos: cross-validation by person, and on request the test people.

python benchmarks/photos.py photos                      # trains what is missing, then prints the table
python benchmarks/photos.py photos --only best_dual     # some rows only
python benchmarks/photos.py photos --test               # also trains on everybody of train, looks at the tests once
python benchmarks/photos.py photos --report docs/results/photos.json    # writes what is found, then `make docs`

Each row is a setting that was fixed beforehand. A fold's figure is that of the last epoch or of averaged weights, never
of an epoch that was chosen on the fold. A test figure comes from the same settings, trained once on everybody of train.
Repeated, the command goes on where it was interrupted and trains nothing twice; after the settings of a row have
changed, give another --out or remove its folder.
"""

import argparse
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from folds import runs_of

from shoepair.files import read_json, write_json
from shoepair.metrics.bootstrap import interval, resampled_ratios
from shoepair.reports.leaderboard import mean_and_spread
from shoepair.reports.tables import between, markdown_table
from shoepair.runs.folder import COMPLETED, read_status
from shoepair.runs.leaderboard import Setting, gather
from shoepair.runs.read import read_runs


@dataclass(frozen=True)
class Row:
    """A setting that is measured.

    Attributes:
        name: of its line; its folder's with _ for what is no letter.
        overrides: what is typed for it, besides data, folds and folders.
    """

    name: str
    overrides: Sequence[str]

    @property
    def folder(self) -> str:
        return re.sub(r"\W+", "_", self.name)


ROWS = (
    Row("best_pretrained", ["experiment=best_pretrained"]),
    Row("best_dual", ["experiment=best_dual"]),
    Row("best_single", ["experiment=best_single"]),
    Row("histogram", ["approach=histogram", "keep=last"]),
    Row("original_dual", ["experiment=original_dual", "keep=last"]),
    Row("original_single", ["experiment=original_single", "keep=last"]),
)
KINDS = ("accuracy_same", "accuracy_different")
TESTS = ("test_m", "test_w", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="DIR", help="the folder that holds train/, test_m/ and test_w/")
    parser.add_argument("--out", type=Path, default=Path("outputs/photos"), metavar="DIR")
    parser.add_argument("--only", nargs="+", metavar="ROW", choices=[row.name for row in ROWS], help="some rows only")
    parser.add_argument("--test", action="store_true", help="the test people as well; settings were chosen before")
    parser.add_argument("--table", action="store_true", help="train nothing: the table of what is there")
    parser.add_argument("--weights", metavar="FILE", help="of the pretrained rows' encoder; default: its library's own")
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="write what is found; rows not measured here stay in it"
    )
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only is None or row.name in options.only]
    if not options.table:
        for row in rows:
            measure(row, options.photos, options.out, weights=options.weights, test=options.test)
    found = results_of(rows, options.out)
    if options.report is not None:
        write_json(options.report, with_others(found, read_json(options.report) or {}))
    print(table(found) if found else "Nothing is measured yet.")


def measure(row: Row, photos: Path, out: Path, *, weights: str | None, test: bool) -> None:
    """Train what is missing of a row."""
    overrides = [*row.overrides, "data=photos", f"data.root={photos}"]
    if weights is not None and any("pretrained" in override for override in overrides):
        overrides.append(f"approach.weights={weights}")
    run(["sweep=folds", *overrides, f"hydra.sweep.dir={out / row.folder / 'folds'}"])
    if test:
        once([*overrides, "data.validate_on_train=true", "test=true"], out / row.folder / "all")


def once(overrides: Sequence[str], run_dir: Path) -> None:
    """One training run, unless its folder holds it; an interrupted one goes on."""
    status = read_status(run_dir).name
    if status == COMPLETED:
        return
    if (run_dir / "checkpoints" / "last.ckpt").is_file():
        run([f"resume={run_dir}"])
    else:
        run([*overrides, f"hydra.run.dir={run_dir}"])


def run(overrides: Sequence[str]) -> None:
    command = [sys.executable, "-m", "shoepair", "train", *overrides]
    print(f"$ {shlex.join(['shoepair', 'train', *overrides])}", flush=True)
    subprocess.run(command, check=True)


def results_of(rows: Sequence[Row], out: Path) -> dict[str, Any]:
    """What is known of each row, best first; of a row that is measured in part, nothing."""
    settings: dict[str, Setting] = {}
    for row in rows:
        runs = read_runs([out / row.folder / "folds"])[0] if (out / row.folder / "folds").is_dir() else []
        if runs and all(run.status.name == COMPLETED for run in runs):
            with suppress(SystemExit):
                runs_of(out / row.folder / "folds")
                (settings[row.name],) = gather(runs)
    rows = [row for row in rows if row.name in settings]
    return with_others({row.name: result_of(row, settings[row.name], out) for row in rows}, {})


def with_others(found: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """What is found, and of other rows what was, best first; by how much each lies behind the best, over people."""
    rows = {**earlier, **found}
    names = sorted(rows, key=lambda name: -statistics.fmean(rows[name]["accuracy_of_folds"]))
    return {name: rows[name] | {"to_the_best": difference(rows[name], rows[names[0]])} for name in names}


def difference(row: dict[str, Any], best: dict[str, Any]) -> dict[str, Any] | None:
    """None of the best itself, and where it is not known who judged what."""
    mine, theirs = (result.get("right_of_people") for result in (row, best))
    if row is best or not mine or not theirs or mine.keys() != theirs.keys():
        return None
    people = list(mine)
    (right, verdicts), (of_best, _) = (
        np.array([of[person].split(" / ") for person in people], dtype=float).T for of in (mine, theirs)
    )
    found = resampled_ratios(right - of_best, verdicts)
    return {"difference": float((right - of_best).sum() / verdicts.sum()), "interval": interval(found)}


def result_of(row: Row, setting: Setting, out: Path) -> dict[str, Any]:
    of_test = read_json(out / row.folder / "all" / "results.json")
    first = setting.completed[0].results
    return {
        "typed": " ".join(row.overrides),
        "num_parameters": first["num_parameters"],
        "accuracy_of_folds": setting.figures("val", "accuracy"),
        "interval": setting.interval,
        **{kind: setting.mean("val", kind) for kind in KINDS},
        "tests": of_test and {split: of_test["splits"][split] for split in TESTS if split in of_test["splits"]},
        "seconds_of_a_fold": statistics.fmean(run.results["seconds"] for run in setting.completed),
        "device": first["device"],
        "versions": first["versions"],
        "right_of_people": right_of_people(setting),
    }


def right_of_people(setting: Setting) -> dict[str, str]:
    """Of each person, how many of how many verdicts are right, such as "5 / 6"."""
    found: dict[str, list[float]] = {}
    for (person, _, _), right in (setting.by_pair or {}).items():
        found.setdefault(person, []).append(right)
    return {person: f"{sum(rights):g} / {len(rights)}" for person, rights in found.items()}


def table(found: dict[str, Any]) -> str:
    """Accuracy in percent; intervals over people."""
    header = ["network", "typed", "parameters", "cross-validation", "95 % interval", "to the best", "same / different",
              "test_m", "test_w", "both (95 % interval)", "same / different", "seconds", "on"]  # fmt: skip
    lines = []
    for name, result in found.items():
        behind, tests = result["to_the_best"], result["tests"] or {}
        test = tests.get("test")
        lines.append([
            name,
            f"`{result['typed']}`",
            f"{result['num_parameters']:,}",
            mean_and_spread(result["accuracy_of_folds"]),
            between(result["interval"]),
            f"{100 * behind['difference']:+.1f} ({between(behind['interval'])})" if behind else "-",
            kinds(result),
            *(percent(tests[split]["accuracy"]) if split in tests else "-" for split in TESTS[:2]),
            f"{percent(test['accuracy'])} ({between(test['interval'])})" if test else "-",
            kinds(test) if test else "-",
            f"{result['seconds_of_a_fold']:.0f}",
            result["device"],
        ])  # fmt: skip
    return markdown_table(header, lines)


def kinds(result: dict[str, Any]) -> str:
    return " / ".join(percent(result[kind]) for kind in KINDS)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


if __name__ == "__main__":
    main()
