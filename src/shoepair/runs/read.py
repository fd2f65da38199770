"""Reads what training runs left in their folders, wherever these were moved or copied to. Needs no torch.

The one place that decides what such a folder may say: somebody else may have written it, a disk may have lost half of
it. What cannot be read is named, and hides nothing else.
"""

import math
import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml  # type: ignore[import-untyped]
from annotated_types import Ge, Le
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from shoepair.config.compat import todays_override, with_dotted_keys, with_todays_keys
from shoepair.errors import UserError, one_line
from shoepair.files import read_json, read_small
from shoepair.runs import folder
from shoepair.runs.folder import COMPLETED, Status

if TYPE_CHECKING:
    from shoepair.metrics.predictions import Predictions

# Settings that say where and how something is computed, not what is learned.
NO_SETTINGS = (
    "output_dir", "plugins", "test", "resume", "data.cache_dir", "data.num_workers", "data.download", "sweep", "logger",
)  # fmt: skip
# What is typed for a multirun and says nothing of one of its jobs.
OF_MULTIRUN = re.compile(r"(sweep|space|launcher)(\.|=|$)")
OPEN = {(0, "callbacks"), (0, "logger")}  # depth and name of what holds arguments of somebody else's classes
MOST_KEYS, DEEPEST, LONGEST_TEXT = 10_000, 12, 10_000  # of a configuration; those that runs write are far below
LARGEST_INTEGER = 2**63


class UnreadableRunError(ValueError):
    """What a run folder says cannot be read; the message says what, without the folder."""


Amount = Annotated[int | float, Ge(0), Le(1e15)]


class _Results(BaseModel):
    """What results.json must be. Keys that only newer or older versions write may be anything."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)

    splits: dict[str, dict[str, Any]]
    best_epoch: Amount | None = None
    num_epochs: Amount | None = None
    seconds: Amount | None = None
    num_parameters: Amount | None = None
    device: str | None = None
    overrides: list[str] = []

    @field_validator("splits")
    @classmethod
    def _has_validation(cls, splits: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, metrics in splits.items():
            interval = metrics.get("interval")
            if interval is not None and not (
                isinstance(interval, list)
                and len(interval) == 2
                and all(as_number(end) is not None for end in interval)
            ):
                raise ValueError(f"{name}.interval is no pair of numbers")
        accuracy = as_number(splits.get("val", {}).get("accuracy"))
        if accuracy is None or not 0 <= accuracy <= 1:
            raise ValueError("val.accuracy is no number from 0 to 1")
        return splits


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
        return as_number(self.results.get("splits", {}).get(split, {}).get(name))

    @property
    def approach(self) -> str:
        return str(self.settings.get("approach.name", "?"))

    @property
    def saw_validation(self) -> bool:
        """Whether it was trained on the pairs that validate, as in the sanity mode: they say little of others."""
        return self.settings.get("data.validate_on_train") is True

    @property
    def command(self) -> str:
        """What trains this run again, outside of its sweep."""
        kept = [
            o
            for o in self.overrides
            if not OF_MULTIRUN.match(name := o.partition("=")[0].lstrip("+~")) and name not in ("test", "resume")
        ]
        flags = [
            word for path in config_dirs(self.path) for word in ("--config-dir", str(folder.relative_to_here(path)))
        ]
        return shlex.join(["shoepair", "train", *flags, *kept])

    @cached_property
    def validation(self) -> "Predictions | None":
        """What predictions.csv says of the validation pairs; None if nothing, or if it cannot be read."""
        from shoepair.metrics.predictions import read_predictions  # late: it needs numpy

        path = self.path / "predictions.csv"
        try:
            return read_predictions(path).get("val") if path.is_file() else None
        except UserError:
            return None


def read_runs(folders: Iterable[str | Path]) -> tuple[list[Run], list[str]]:
    """Every training run in these folders and below them, by path, and a line for each that could not be read."""
    found, unreadable = find_runs(folders)
    runs = []
    for path in found:
        run = read_run(path)
        if isinstance(run, str):
            unreadable.append(run)
        elif "checkpoint" not in run.settings:  # that would be an evaluation
            runs.append(run)
    return runs, unreadable


def find_runs(folders: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """The folders that look like a run's, in `folders` and below them, by path, and a line for each that cannot be
    looked into. Links to folders are not followed: they may lead in a circle.
    """
    waiting, found, unreadable = [Path(place) for place in folders], set(), []
    while waiting:
        place = waiting.pop()
        try:
            with os.scandir(place) as entries:
                inside = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
            if {"status.json", "results.json"} & inside.keys() or folder.best_checkpoint(place).is_file():
                found.add(place)
        except OSError as error:
            unreadable.append(f"{place}: {error.strerror or error}")
            continue
        waiting += [place / name for name, is_folder in inside.items() if is_folder]
    return sorted(found, key=_by_number), sorted(unreadable)


def read_run(path: Path) -> Run | str:
    """A run, or why its folder cannot be read."""
    try:
        return _read_run(path)
    except (UnreadableRunError, OSError) as error:
        return f"{path}: {one_line(str(error))}"


def _read_run(path: Path) -> Run:
    settings = read_settings(path)
    status, record = folder.read_status(path), read_json(path / "results.json")
    if status.name == folder.UNKNOWN and record is not None:
        status = Status(COMPLETED)  # a copy of what matters
    if status.name == folder.UNKNOWN:
        raise UnreadableRunError("there is neither a status.json nor a results.json that can be read")
    if status.name != COMPLETED:
        return Run(path, status, settings, typed_for(path))
    results = read_results(path)
    return Run(path, status, settings, tuple(map(todays_override, results.get("overrides", ()))), results)


def read_settings(path: Path) -> dict[str, Any]:
    """What a run was started with, flat. Raises UnreadableRunError."""
    config = read_json(path / "config.json")
    if config is None:
        config = read_yaml(path / ".hydra" / "config.yaml")
    if not isinstance(config, dict):
        raise UnreadableRunError("neither config.json nor .hydra/config.yaml can be read")
    return flat_settings(config)


def read_results(path: Path) -> dict[str, Any]:
    """What results.json says, without what is null. Raises UnreadableRunError."""
    record = read_json(path / "results.json")
    if record is None:
        raise UnreadableRunError("it is completed, but its results.json cannot be read")
    try:
        checked = _Results.model_validate(record)
    except (ValidationError, RecursionError) as error:
        wrong = f"{type(error).__name__}"
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            wrong = f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:100]}"
        raise UnreadableRunError(f"it is completed, but its results.json says something else ({wrong})") from error
    return {key: value for key, value in checked.model_dump(exclude_unset=True).items() if value is not None}


def typed_for(path: Path) -> tuple[str, ...]:
    """What was typed for a run, as one would type it today; nothing where that cannot be read."""
    typed = read_yaml(path / ".hydra" / "overrides.yaml")
    return tuple(map(todays_override, typed)) if is_texts(typed) else ()


def config_dirs(path: Path) -> list[str]:
    """What was typed as --config-dir for a run; nothing where that cannot be read."""
    record, provider = path / ".hydra" / "hydra.yaml", "command-line"
    if provider not in (read_small(record) or ""):  # to read all of it takes 50 ms
        return []
    try:
        sources = read_yaml(record, resolve=False)["hydra"]["runtime"]["config_sources"]
        named = [source["path"] for source in sources if source["provider"] == provider]
    except (KeyError, TypeError):
        return []
    return named if is_texts(named) else []


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def flat_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's configuration, flat, with today's keys. Raises UnreadableRunError if it is none."""
    try:
        return flatten(with_todays_keys(plain_config(config)))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, UnreadableRunError) else f"{type(error).__name__}: {error}"
        raise UnreadableRunError(f"its configuration says something else ({reason[:200]})") from error


def flatten(config: Any) -> dict[str, Any]:
    """As with_dotted_keys(), without what NO_SETTINGS names."""
    left_out = tuple(f"{name}." for name in NO_SETTINGS)
    return {key: value for key, value in with_dotted_keys(config).items() if not f"{key}.".startswith(left_out)}


def as_number(value: Any) -> float | None:
    """A number that is finite; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    return float(value)


def plain_config(config: Any) -> dict[str, Any]:
    """A configuration: sections of sections, in them plain values and lists of such. Numbers that no setting can have
    become texts. Raises UnreadableRunError if it is something else.
    """
    if not isinstance(config, Mapping):
        raise UnreadableRunError(f"it is of the type {type(config).__name__}")
    left = MOST_KEYS

    def plain(node: Any, depth: int, dots: bool = False) -> Any:
        nonlocal left
        left -= 1
        if left < 0 or depth > DEEPEST:
            raise UnreadableRunError("it is far too large")
        if isinstance(node, Mapping):
            named = {str(key) if type(key) in (int, float, bool) else key: value for key, value in node.items()}
            for key in named:
                if not isinstance(key, str) or not key or ("." in key and not dots) or len(key) > LONGEST_TEXT:
                    raise UnreadableRunError(f"there is a key {key!r:.50}")
            return {key: plain(value, depth + 1, dots or (depth, key) in OPEN) for key, value in named.items()}
        if isinstance(node, list):
            return [plain(item, depth + 1, dots) for item in node]
        if node is None or isinstance(node, bool):
            return node
        if isinstance(node, str):
            return node[:LONGEST_TEXT]
        if isinstance(node, float):
            return node if math.isfinite(node) else str(node)
        if isinstance(node, int):
            return node if abs(node) < LARGEST_INTEGER else hex(node)[:LONGEST_TEXT]
        raise UnreadableRunError(f"there is a value of the type {type(node).__name__}")

    checked: dict[str, Any] = plain(config, 0)
    return checked


def read_yaml(path: Path, *, resolve: bool = True) -> Any:
    """Plain values; None if they cannot be read.

    Args:
        resolve: put values in the place of their names.
    """
    text = read_small(path)
    if text is None:
        return None
    try:
        if not _is_harmless(text):
            return None
        return OmegaConf.to_container(OmegaConf.create(text), resolve=resolve)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError, OmegaConfBaseException):
        return None


def _is_harmless(text: str) -> bool:
    """Of YAML, before it is built: a few lines of names for one another would become gigabytes, and the time for lists
    in lists grows with the square of their depth. Raises yaml.YAMLError."""
    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            return False
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            return False
    return True


def _by_number(path: Path) -> tuple[Path, int, str]:
    """Jobs of a sweep in their order: 2_... before 10_..."""
    number = path.name.partition("_")[0]
    return path.parent, int(number) if number.isdecimal() and len(number) < 4 else -1, path.name
