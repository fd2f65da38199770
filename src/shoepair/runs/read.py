"""Reads what training runs left in their folders, wherever these were moved or copied to. Needs no torch."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from shoepair.config.compat import todays_override, with_todays_keys
from shoepair.errors import UserError
from shoepair.files import read_json
from shoepair.metrics.predictions import Predictions, read_predictions
from shoepair.runs import folder
from shoepair.runs.folder import COMPLETED, Status

# Settings that say where and how something is computed, not what is learned.
NO_SETTINGS = (
    "output_dir", "plugins", "test", "resume", "data.cache_dir", "data.num_workers", "data.download", "sweep", "logger",
)  # fmt: skip
# What is typed for a multirun and says nothing of one of its jobs.
OF_MULTIRUN = re.compile(r"(sweep|space|launcher)(\.|=|$)")


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes:
        settings: the configuration, flat: {"optimizer.lr": 0.001, ...}, but for what NO_SETTINGS names.
        overrides: what was typed for it.
        results: what results.json holds; empty unless the run is completed.
    """

    path: Path
    status: Status
    settings: Mapping[str, Any]
    overrides: Sequence[str] = ()
    results: Mapping[str, Any] = field(default_factory=dict)

    def figure(self, split: str, name: str) -> float | None:
        value = self.results.get("splits", {}).get(split, {}).get(name)
        return None if value is None else float(value)

    @property
    def approach(self) -> str:
        return str(self.settings.get("approach.name", "?"))

    @property
    def command(self) -> str:
        """What trains this run again, outside of its sweep."""
        kept = [
            o
            for o in self.overrides
            if not OF_MULTIRUN.match(name := o.partition("=")[0].lstrip("+~")) and name != "test"
        ]
        return shlex.join(["shoepair", "train", *kept])

    @cached_property
    def validation(self) -> Predictions | None:
        """What predictions.csv says of the validation pairs; None if nothing, or if it cannot be read."""
        try:
            return read_predictions(self.path / "predictions.csv").get("val")
        except UserError:
            return None


def read_runs(folders: Iterable[str | Path]) -> tuple[list[Run], list[str]]:
    """Every training run in these folders and below them, by path, and a line for each that could not be read."""
    found = {
        path.parent.parent if path.name == "best.ckpt" else path.parent
        for folder in folders
        for name in ("status.json", "results.json", "checkpoints/best.ckpt")
        for path in Path(folder).rglob(name)
    }
    runs, unreadable = [], []
    for path in sorted(found, key=_by_number):
        run = read_run(path)
        if isinstance(run, str):
            unreadable.append(run)
        elif "checkpoint" not in run.settings:  # that would be an evaluation
            runs.append(run)
    return runs, unreadable


def read_run(path: Path) -> Run | str:
    """A run, or why its folder cannot be read."""
    settings = read_settings(path)
    if settings is None:
        return f"{path}: neither config.json nor .hydra/config.yaml can be read"
    status, results = folder.read_status(path), read_json(path / "results.json")
    if status.name == folder.UNKNOWN and results is not None:
        status = Status(COMPLETED)  # a copy of what matters
    if status.name == folder.UNKNOWN:
        return f"{path}: there is neither a status.json nor a results.json that can be read"
    if status.name == COMPLETED and (results is None or "val" not in results.get("splits", {})):
        return f"{path}: it is completed, but its results.json cannot be read"
    if status.name != COMPLETED:
        results = None
    overrides = results.get("overrides") if results else _read_yaml(path / ".hydra" / "overrides.yaml")
    return Run(path, status, settings, tuple(map(todays_override, overrides or ())), results or {})


def read_settings(path: Path) -> dict[str, Any] | None:
    """What a run was started with, flat; None if that cannot be read."""
    config = read_json(path / "config.json") or _read_yaml(path / ".hydra" / "config.yaml")
    return flat_settings(config) if isinstance(config, dict) else None


def flat_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration, flat, with today's keys."""
    return flatten(with_todays_keys(config))


def flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}, without what NO_SETTINGS names."""
    if prefix in NO_SETTINGS:
        return {}
    if not isinstance(node, dict):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _read_yaml(path: Path) -> Any:
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (OSError, ValueError, OmegaConfBaseException):
        return None


def _by_number(path: Path) -> tuple[Path, int, str]:
    """Jobs of a sweep in their order: 2_... before 10_..."""
    number = path.name.partition("_")[0]
    return path.parent, int(number) if number.isdigit() and len(number) < 4 else -1, path.name
