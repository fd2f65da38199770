"""From runs to a ranking of settings: repetitions gathered, intervals over people, paired differences to the best."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shoepair.metrics.bootstrap import interval, resampled_ratios
from shoepair.runs.folder import COMPLETED
from shoepair.runs.read import Run

REPEATED_OVER = ("seed", "data.fold")  # runs that differ in these only are repetitions of one setting
ABSENT = "-"


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

    def figures(self, split: str, name: str) -> list[float]:
        return [value for run in self.completed if (value := run.figure(split, name)) is not None]

    def mean(self, split: str = "val", name: str = "accuracy") -> float | None:
        figures = self.figures(split, name)
        return statistics.fmean(figures) if figures else None

    @property
    def best_run(self) -> Run:
        """The completed run with the highest validation accuracy; of equals, the one with the lower loss."""
        return min(self.completed, key=_rank_of_run)

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

    @property
    def interval(self) -> list[float] | None:
        """What the validation accuracy lies between in 95 % of resamplings of the people."""
        if self.by_pair is None:
            own = [run.results["splits"]["val"].get("interval") for run in self.completed]
            return own[0] if len(own) == 1 else None
        return interval(resampled_ratios(*_by_person(self.by_pair)))

    def difference_to(self, other: "Setting") -> tuple[float, list[float]] | None:
        """Mean difference of the accuracies and its 95 % interval; None unless both judged the same pairs.

        The same people are drawn for both, so what makes a person's photos hard for both cancels.
        """
        mine, theirs = self.by_pair, other.by_pair
        if mine is None or theirs is None or mine.keys() != theirs.keys():
            return None
        sums, numbers = _by_person({pair: mine[pair] - theirs[pair] for pair in mine})
        return float(sums.sum() / numbers.sum()), interval(resampled_ratios(sums, numbers))


def gather(runs: Sequence[Run]) -> list[Setting]:
    """Settings by validation accuracy, best mean first; those without a completed run come last."""
    keys = [key for key in differing_keys(runs) if key not in REPEATED_OVER]
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr([run.settings.get(key, ABSENT) for key in keys]), []).append(run)
    settings = [Setting({key: group[0].settings.get(key, ABSENT) for key in keys}, group) for group in groups.values()]
    return sorted(settings, key=_rank)


def differing_keys(runs: Sequence[Run]) -> list[str]:
    """Keys whose values differ between runs: the approach, then what was typed, then the rest.

    Of the rest, a key that tells nothing that an earlier one does not tell is left out: a schedule's max_lr that
    follows the optimizer's lr, or the norm of an approach.
    """
    all_keys = dict.fromkeys(key for run in runs for key in run.settings)
    typed = {o.partition("=")[0].lstrip("+~") for run in runs for o in run.overrides}
    order = sorted(all_keys, key=lambda key: (key != "approach.name", key not in typed))
    kept: list[str] = []
    partitions = []
    for key in order:
        values = [repr(run.settings.get(key, ABSENT)) for run in runs]
        partition = [values.index(value) for value in values]
        if any(partition) and (key in typed or partition not in partitions):
            kept.append(key)
            partitions.append(partition)
    return kept


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key where that is enough to tell it from the others."""
    last = {key: key.rpartition(".")[2] for key in keys}
    last |= {key: key.split(".")[0] for key in keys if last[key] in ("name", "_target_")}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def best_run(runs: Sequence[Run]) -> Run | None:
    """The best run of the best setting; None if none is completed. Chosen on validation only."""
    settings = gather(runs)
    return settings[0].best_run if settings and settings[0].completed else None


def _rank(setting: Setting) -> tuple[float, float, Path]:
    accuracy, loss = setting.mean(), setting.mean("val", "loss")
    return math.inf if accuracy is None else -accuracy, math.inf if loss is None else loss, setting.runs[0].path


def _rank_of_run(run: Run) -> tuple[float, float, Path]:
    accuracy, loss = run.figure("val", "accuracy"), run.figure("val", "loss")
    assert accuracy is not None
    return -accuracy, math.inf if loss is None else loss, run.path


def _by_person(by_pair: Mapping[tuple[str, str, str], float]) -> tuple[np.ndarray, np.ndarray]:
    """(sum over each person's pairs, number of them), each (num_people,), people by name."""
    sums: dict[str, list[float]] = {}
    for (person, _, _), value in by_pair.items():
        sums.setdefault(person, []).append(value)
    values = [sums[person] for person in sorted(sums)]
    return np.array([math.fsum(v) for v in values]), np.array([len(v) for v in values])
