"""`resume=FOLDER`: what was typed for a run before, what was typed now, and what may change between the two."""

import os
import re
from pathlib import Path
from typing import Any

from shoepair.config.compat import NAMES_OF_RUNS, todays_override
from shoepair.config.schema import TrainSettings
from shoepair.config.shown import identity
from shoepair.config.typed import quoted
from shoepair.errors import UserError
from shoepair.files import read_json
from shoepair.launch.hydra_private import parse_overrides, text_of
from shoepair.runs.read import (
    NO_SETTINGS,
    OF_MULTIRUN,
    UnreadableRunError,
    config_dirs,
    flat_settings,
    is_texts,
    read_yaml,
)


def replay_resumed(arguments: list[str]) -> list[str]:
    """With `resume=FOLDER`: the overrides that the run was started with, then what was typed now.

    Raises:
        UserError: if there is no such run, or a key that was typed may not change.
    """
    typed = next((a for a in reversed(arguments) if a.startswith("resume=")), "")
    folder = next((text_of(override) for override in parse_overrides([typed])), None)
    if not folder:
        return arguments  # none, or one that Hydra will say it cannot read
    recorded = Path(folder, ".hydra", "overrides.yaml")
    if not recorded.is_file():
        raise UserError(f"resume={folder}: expected the folder of an interrupted run; there is no {recorded}.")
    if {"-m", "--multirun"} & set(arguments):
        raise UserError(f"resume={folder}: expected no multirun; resume one run at a time.")
    now = {a.partition("=")[0].lstrip("+~") for a in arguments if a[:1] != "-" and ("=" in a or a[:1] == "~")}
    _refuse_typed_changes(folder, now)
    loaded, started = read_yaml(recorded), read_yaml(recorded.with_name("hydra.yaml"), resolve=False)
    hydra = started.get("hydra") if isinstance(started, dict) else None
    if not is_texts(loaded) or not isinstance(hydra, dict):
        raise UserError(f"resume={folder}: its .hydra/ cannot be read: it is not as `shoepair train` left it.")
    before = [todays_override(override) for override in loaded]
    # Only settings: a folder that comes from somebody else must not say where Hydra writes.
    before = [o for o in before if (name := o.partition("=")[0].lstrip("+~")) not in now
              and not OF_MULTIRUN.match(name) and not re.match(r"hydra\b", name)]  # fmt: skip
    files = started_with(Path(folder)) or {}
    for key in NAMES_OF_RUNS:  # a job of a sweep may have been typed with a name, which has meant this file
        if isinstance(file := files.get(key), str):
            before = [o for o in before if o.partition("=")[0].lstrip("+") != key] + [f"{key}={quoted(file)}"]
    if hydra.get("mode") == "MULTIRUN" and not any(o.startswith("test=") for o in [*before, *arguments]):
        before.append("test=false")
    flags = []
    if not any(a.partition("=")[0] in ("--config-dir", "-cd") for a in arguments):
        flags = [flag for path in config_dirs(Path(folder)) for flag in ("--config-dir", path)]
    place = next(i for i, a in enumerate(arguments) if a.startswith("resume="))  # overrides must stand side by side
    return [*flags, *arguments[:place], *before, f"hydra.run.dir={quoted(folder)}", *arguments[place:]]


def may_change(scheduler: str) -> set[str]:
    """The keys that an interrupted run may go on with otherwise than it was started.

    What its checkpoint restores (weights, optimizer, schedule) would silently win over any other.

    Args:
        scheduler: its `_target_`.
    """
    keys = {*NO_SETTINGS, "data.root", "data.file", "trainer.accelerator", "trainer.devices", "early_stopping.patience"}
    keys.remove("sweep")  # a run, not a sweep, goes on
    if scheduler.rpartition(".")[2] in ("ConstantLR", "ReduceLROnPlateau"):  # the same for any number of epochs
        keys.add("trainer.max_epochs")
    return keys


def _refuse_typed_changes(folder: str, keys: set[str]) -> None:
    """Before Hydra notes down what was typed. What has changed in files is looked for when all is composed."""
    config = read_yaml(Path(folder, ".hydra", "config.yaml"), resolve=False)
    scheduler = config.get("scheduler") if isinstance(config, dict) else None
    allowed = may_change(str(scheduler.get("_target_")) if isinstance(scheduler, dict) else "")
    refused = sorted(key for key in keys - allowed if not key.startswith("hydra."))
    if refused:
        raise UserError(
            f"{refused[0]} cannot be changed by resume: the run goes on as it was started; a new run can change it."
        )


def refuse_changed(run_dir: Path, settings: TrainSettings) -> None:
    """An interrupted run goes on as it was started, also where files that it was composed of have changed since.

    Raises:
        UserError: if they have, or if no run was in this folder.
    """
    before, now = started_with(run_dir), flat_settings(settings.plain())
    if before is None:
        raise UserError(
            f"resume={run_dir}: expected the folder of an interrupted run; there is no config.json in it that can be "
            "read."
        )
    _refuse_links(run_dir)
    for key in sorted((before.keys() | now.keys()) - may_change(settings.scheduler.target)):
        if identity(before.get(key), key) != identity(now.get(key), key):
            raise UserError(
                f"{key} cannot be changed by resume: {run_dir} was started with {before.get(key)}, not "
                f"{now.get(key)}; a new run can change it."
            )


def started_with(run_dir: Path) -> dict[str, Any] | None:
    """The settings of the run in a folder, flat; None if there are none that can be read."""
    config = read_json(run_dir / "config.json")
    try:
        return None if config is None else flat_settings(config)
    except UnreadableRunError:
        return None


def same_settings(run_dir: Path, now: TrainSettings) -> bool:
    """Whether a run of the same settings was in a folder."""
    before, wanted = started_with(run_dir), flat_settings(now.plain())
    if before is None or before.keys() != wanted.keys():
        return False
    return all(identity(before[key], key) == identity(wanted[key], key) for key in wanted)


def _refuse_links(run_dir: Path) -> None:
    """A run writes into its folder only: what leads out of it may be somebody else's trap.

    Raises:
        UserError: naming the first link out of the folder.
    """
    home = run_dir.resolve()
    for path in sorted(run_dir.rglob("*")):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
            raise UserError(f"resume={run_dir}: {path} is a link that leads out of this folder; remove it first.")
