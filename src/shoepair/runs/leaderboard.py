"""From runs to a ranking of settings: repetitions gathered, intervals over people, paired differences to the best."""

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shoepair.config.shown import ABSENT, identity, short_names, shown
from shoepair.errors import UserError
from shoepair.metrics.bootstrap import interval, interval_over_people, resampled_ratios, sums_by_person
from shoepair.runs.folder import COMPLETED
from shoepair.runs.read import Run

REPEATED_OVER = ("seed", "data.fold")  # runs that differ in these only are repetitions of one setting
# What settings may be ranked by, of validation -> whether more is better.
METRICS = {
    "accuracy": True,
    "accuracy_same": True,
    "accuracy_different": True,
    "auroc": True,
    "loss": False,
    "loss_calibrated": False,
}
# What else is known of each run -> its name in results.json; val is the accuracy.
TABLE_HEADERS = ("#", "runs", "run", "job", "tests", "same", "different")  # beside FACTS, METRICS, and sentences
FACTS = {"val": "accuracy", "parameters": "num_parameters", "epochs": "num_epochs", "seconds": "seconds"}


@dataclass(frozen=True)
class Setting:
    """Runs that repeat one setting.

    Attributes:
        values: of the keys in which settings differ, in that order.
        runs: all of them, also those that did not complete.
    """

    values: Mapping[str, Any]
    runs: Sequence[Run]

    @property
    def completed(self) -> list[Run]:
        return [run for run in self.runs if run.status.name == COMPLETED]

    @cached_property
    def repetitions(self) -> list[list[Run]]:
        """The completed runs; those of one seed and fold, which only repeat one another, together."""
        together: dict[Hashable, list[Run]] = {}
        for run in self.completed:
            key = tuple(identity(run.settings.get(name, ABSENT), name) for name in REPEATED_OVER)
            together.setdefault(key, []).append(run)
        return list(together.values())

    def figures(self, split: str, name: str) -> list[float]:
        """A metric of each repetition: a seed and fold that was run several times counts once, by the mean."""
        by_repetition = (
            [value for run in runs if (value := run.figure(split, name)) is not None] for runs in self.repetitions
        )
        return [statistics.fmean(values) for values in by_repetition if values]

    def mean(self, split: str = "val", name: str = "accuracy") -> float | None:
        figures = self.figures(split, name)
        return statistics.fmean(figures) if figures else None

    def best_run(self, metric: str = "accuracy") -> Run:
        """The best completed run by a metric of validation; of equals, the one with the lower loss."""
        return min(self.completed, key=lambda run: _rank(run.figure, run.path, metric))

    @cached_property
    def by_pair(self) -> dict[tuple[str, str, str], float] | None:
        """(person, left, right) -> how often that validation pair was judged rightly, from 0 to 1, over the runs."""
        verdicts: dict[tuple[str, str, str], list[float]] = {}
        for run in self.completed:
            if (val := run.validation) is None:
                return None
            for person, left, right, correct in zip(val.person, val.left, val.right, val.correct, strict=True):
                verdicts.setdefault((person, left, right), []).append(float(correct))
        return {pair: statistics.fmean(found) for pair, found in verdicts.items()} or None

    def fact(self, name: str) -> float | None:
        """The mean of one of FACTS or METRICS."""
        if name == "val" or name in METRICS:
            return self.mean(name="accuracy" if name == "val" else name)
        values = [run.results[FACTS[name]] for run in self.completed if FACTS[name] in run.results]
        return statistics.fmean(values) if values else None

    @property
    def interval(self) -> list[float] | None:
        """What the validation accuracy lies between in 95 % of resamplings of the people; None below two people."""
        if self.by_pair is None:
            own = [run.results["splits"]["val"].get("interval") for run in self.completed]
            return own[0] if len(own) == 1 else None
        return interval_over_people(*_by_person(self.by_pair))

    def difference_to(self, other: "Setting") -> tuple[float, list[float]] | None:
        """Mean difference of the accuracies and its 95 % interval; None unless both judged the same pairs of several
        people.

        The same people are drawn for both, so what makes a person's photos hard for both cancels. Where both judged
        all pairs alike, the interval is 0 to 0.
        """
        mine, theirs = self.by_pair, other.by_pair
        if mine is None or theirs is None or mine.keys() != theirs.keys():
            return None
        sums, numbers = _by_person({pair: mine[pair] - theirs[pair] for pair in mine})
        if len(numbers) < 2:
            return None
        return float(sums.sum() / numbers.sum()), interval(resampled_ratios(sums, numbers))


def gather(runs: Sequence[Run], metric: str = "accuracy") -> list[Setting]:
    """Settings by the mean of a metric of validation, best first; then those that were trained on the pairs that
    validate; those without a completed run come last.

    Args:
        metric: one of METRICS.
    """
    keys = [key for key in differing_keys(runs) if key not in REPEATED_OVER]
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(identity(run.settings.get(key, ABSENT), key) for key in keys), []).append(run)
    settings = [Setting({key: group[0].settings.get(key, ABSENT) for key in keys}, group) for group in groups.values()]

    def place(setting: Setting) -> tuple[bool, bool, tuple[float, float, Path]]:
        return not setting.completed, setting.runs[0].saw_validation, _rank(setting.mean, setting.runs[0].path, metric)

    return sorted(settings, key=place)


@dataclass(frozen=True)
class Leaderboard:
    """A ranking, and what is shown of it.

    Attributes:
        ranked: every setting, best first.
        rows: those that are shown, in the order in which they are.
        metric: of METRICS; what ranks.
    """

    ranked: Sequence[Setting]
    rows: Sequence[Setting]
    metric: str = "accuracy"

    @property
    def best(self) -> Setting:
        return self.ranked[0]

    @property
    def keys(self) -> dict[str, str]:
        """Short name -> key, of what differs."""
        names = short_names(list(self.best.values))
        return {key if name in (*FACTS, *METRICS, *TABLE_HEADERS) else name: key for key, name in names.items()}

    @property
    def runs(self) -> list[Run]:
        return [run for setting in self.ranked for run in setting.runs]


def rank(
    runs: Sequence[Run],
    metric: str = "accuracy",
    *,
    sort: str | None = None,
    reverse: bool = False,
    top: int | None = None,
) -> Leaderboard:
    """The leaderboard of runs.

    Args:
        sort: instead of best first, by a key that differs (its name or the last part of it), or by one of FACTS or
            METRICS.
        reverse: the other way round.
        top: only so many rows.
    Raises:
        UserError: if nothing is called `sort`.
    """
    ranked = gather(runs, metric)
    board = Leaderboard(ranked, ranked, metric)
    rows = list(ranked)
    if sort is not None:
        key = board.keys.get(sort, sort)
        if key not in (*ranked[0].values, *FACTS, *METRICS):
            names = ", ".join([*board.keys, *FACTS, *METRICS])
            raise UserError(f"--sort {sort}: no such column; expected one of {names}.")
        rows.sort(key=lambda setting: in_order(setting.values[key] if key in setting.values else setting.fact(key)))
    if reverse:
        rows.reverse()
    return Leaderboard(ranked, rows[:top], metric)


def in_order(value: Any) -> tuple[int, Any]:
    """Numbers by size, then texts and lists by what they are called, then what is not there."""
    if value is None or value is ABSENT:
        return 2, shown(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return 0, value
    return 1, shown(value)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Keys whose values differ between runs: the approach, then what was typed, then the rest.

    Of the rest, a key that tells nothing that an earlier one does not tell is left out: a schedule's max_lr that
    follows the optimizer's lr, or the norm of an approach.
    """
    all_keys = dict.fromkeys(key for run in runs for key in run.settings)
    typed = {o.partition("=")[0].lstrip("+~") for run in runs for o in run.overrides}
    typed |= {
        f"{group}.{name}" for group in typed for name in ("_target_", "name")
    }  # what an option of a group chooses
    order = sorted(all_keys, key=lambda key: (key != "approach.name", key not in typed))
    kept: list[str] = []
    partitions = []
    for key in order:
        values = [identity(run.settings.get(key, ABSENT), key) for run in runs]
        partition = [values.index(value) for value in values]
        if any(partition) and (key in typed or partition not in partitions):
            kept.append(key)
            if key not in REPEATED_OVER:  # a setting of its own is none where the seed changed with it
                partitions.append(partition)
    return kept


def best_run(runs: Sequence[Run]) -> Run | None:
    """The best run of the best setting; None if none is completed. Chosen on validation only."""
    settings = gather(runs)
    return settings[0].best_run() if settings and settings[0].completed else None


def _rank(figure: Callable[[str, str], float | None], path: Path, metric: str) -> tuple[float, float, Path]:
    """What smaller is better of; of equals by the metric, the lower loss, then the name."""
    mean, loss = figure("val", metric), figure("val", "loss")
    place = math.inf if mean is None else -mean if METRICS[metric] else mean
    return place, math.inf if loss is None else loss, path


def _by_person(by_pair: Mapping[tuple[str, str, str], float]) -> tuple[np.ndarray, np.ndarray]:
    return sums_by_person([person for person, _, _ in by_pair], np.array(list(by_pair.values())))
