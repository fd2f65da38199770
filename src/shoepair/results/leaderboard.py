"""Reads what runs left in their folders and gathers runs that differ by their seed or fold only."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from shoepair.results.records import COMPLETED, read_status

REPEATED_OVER = ("seed", "data.fold")  # runs that differ in these only are repetitions of one setting
NO_SETTINGS = (
    "output_dir",
    "test",
    "resume",
    "data.cache_dir",
    "data.num_workers",
    "data.download",
)  # do not change what is learned


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        settings: the configuration, flat: {"optimizer.lr": 0.001, ...}; empty if it was not found.
        results: what results.json holds; empty if there is none.
    """

    path: Path
    status: str
    settings: dict[str, Any]
    results: dict[str, Any]

    def figure(self, split: str, name: str) -> float | None:
        value = self.results.get("splits", {}).get(split, {}).get(name)
        return None if value is None else float(value)


def read_runs(folders: Iterable[str | Path]) -> list[Run]:
    """Every training run in these folders and below them, by path."""
    found = {path.parent for folder in folders for path in Path(folder).rglob("status.json")}
    runs = [read_run(path) for path in sorted(found)]
    return [run for run in runs if "checkpoint" not in run.settings]  # an evaluation is no run to compare


def read_run(path: Path) -> Run:
    settings: dict[str, Any] = {}
    recorded = path / ".hydra" / "config.yaml"
    if recorded.is_file():
        loaded = OmegaConf.load(recorded)
        assert isinstance(loaded, DictConfig)
        settings = flatten(OmegaConf.to_container(loaded, resolve=True))
    try:
        results = json.loads((path / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        results = {}
    return Run(path, read_status(path), settings, results)


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


@dataclass(frozen=True)
class Setting:
    """Runs that repeat one setting, and how it differs from the others."""

    label: str
    runs: Sequence[Run]

    def figures(self, split: str, name: str) -> list[float]:
        return [value for run in self.runs if (value := run.figure(split, name)) is not None]

    def mean(self, split: str = "val", name: str = "accuracy") -> float:
        figures = self.figures(split, name)
        return statistics.fmean(figures) if figures else -math.inf


def gather(runs: Sequence[Run]) -> list[Setting]:
    """Completed runs by setting, best mean validation accuracy first."""
    completed = [run for run in runs if run.status == COMPLETED and run.results]
    keys = [key for key in _differing(completed) if key not in REPEATED_OVER + NO_SETTINGS]
    groups: dict[str, list[Run]] = {}
    for run in completed:
        groups.setdefault(_label(run, keys), []).append(run)
    settings = [Setting(label, members) for label, members in groups.items()]
    return sorted(settings, key=lambda setting: (-setting.mean(), setting.label))


def _differing(runs: Sequence[Run]) -> list[str]:
    """Keys whose values differ between runs of one approach: what else tells approaches apart, their name says."""
    by_approach: dict[Any, list[Run]] = {}
    for run in runs:
        by_approach.setdefault(run.settings.get("approach.name"), []).append(run)
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    return [
        key
        for key in keys
        if any(len({repr(run.settings.get(key)) for run in members}) > 1 for members in by_approach.values())
    ]


def _label(run: Run, keys: Sequence[str]) -> str:
    """The values that tell this setting from the others; the approach always."""
    parts = [str(run.settings.get("approach.name", run.path.name))]
    absent = object()
    for key in keys:
        value = run.settings.get(key, absent)
        if value is not absent and key != "approach.name":
            parts.append(f"{key}={'null' if value is None else value}")
    return " ".join(parts)
