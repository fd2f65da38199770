"""One training run in its folder: keeps others out, takes up what an earlier attempt left, records how it ended.

Imports torch only when there is something to train, so that a sweep that is complete answers at once.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from shoepair.config.schema import check_train_config
from shoepair.errors import UserError
from shoepair.files import read_json
from shoepair.runs import folder as records
from shoepair.runs.read import NO_SETTINGS, flat_settings

log = logging.getLogger(__name__)


def run_job(config: DictConfig) -> float:
    """Train what a composed configuration asks for.

    A job of a multirun whose folder holds the completed run of the same settings returns that run's result; one that
    was interrupted goes on after its last whole epoch.

    Returns:
        The validation accuracy of the epoch that is kept, from 0 to 1.
    Raises:
        UserError: for what the user can mend.
    """
    plain = check_train_config(config)
    hydra = HydraConfig.get()
    run_dir = records.relative_to_here(hydra.runtime.output_dir)
    in_sweep = hydra.mode == RunMode.MULTIRUN
    test = plain["test"] if plain["test"] is not None else not in_sweep
    with records.locked(run_dir, wait=in_sweep):
        if in_sweep:
            earlier = earlier_result(run_dir, plain, test=test)
            if earlier is not None:
                log.info("Completed before: %s, validation accuracy %.1f %%", run_dir, 100 * earlier)
                return earlier
            plain = plain | {"resume": take_up(run_dir, plain)}
        elif plain["resume"] is None:
            records.refuse_used(run_dir)
        else:
            refuse_changed(run_dir, plain)
        with records.recorded(run_dir, plain):
            from shoepair.training.environment import limit_threads
            from shoepair.training.train import run

            limit_threads(hydra.launcher.get("cpus_per_task") if in_sweep else None)
            return run(plain, run_dir, test=test, overrides=list(hydra.overrides.task), in_sweep=in_sweep)


def may_change(scheduler: str) -> set[str]:
    """The keys that an interrupted run may go on with otherwise than it was started.

    What its checkpoint restores (weights, optimizer, schedule) would silently win over any other.

    Args:
        scheduler: its `_target_`.
    """
    keys = {*NO_SETTINGS, "data.root", "data.file", "trainer.accelerator", "trainer.devices", "early_stopping.patience"}
    if scheduler.rpartition(".")[2] in ("ConstantLR", "ReduceLROnPlateau"):  # the same for any number of epochs
        keys.add("trainer.max_epochs")
    return keys


def refuse_changed(run_dir: Path, plain: Mapping[str, Any]) -> None:
    """An interrupted run goes on as it was started, also where files that it was composed of have changed since.

    Raises:
        UserError: if they have.
    """
    before, now = flat_settings(read_json(run_dir / "config.json") or {}), flat_settings(plain)
    for key in sorted((before.keys() | now.keys()) - may_change(plain["scheduler"]["_target_"])):
        if before.get(key) != now.get(key):
            raise UserError(
                f"{key} cannot be changed by resume: {run_dir} was started with {before.get(key)}, not "
                f"{now.get(key)}; a new run can change it."
            )


def earlier_result(run_dir: Path, plain: Mapping[str, Any], *, test: bool) -> float | None:
    """The validation accuracy of the completed run of the same settings in `run_dir`, if there is one."""
    results = read_json(run_dir / "results.json")
    if records.read_status(run_dir, mine=True).name != records.COMPLETED or results is None:
        return None
    if not same_settings(read_json(run_dir / "config.json"), plain) or (test and "test" not in results["splits"]):
        return None
    return float(results["splits"]["val"]["accuracy"])


def take_up(run_dir: Path, plain: Mapping[str, Any]) -> str | None:
    """What `resume` is to be: `run_dir` if an attempt with the same settings can go on; else clears the folder."""
    before = read_json(run_dir / "config.json")
    if before is None and records.read_status(run_dir, mine=True).name == records.UNKNOWN:
        return None
    if same_settings(before, plain) and records.last_checkpoint(run_dir).is_file():
        log.info("Going on with %s", run_dir)
        return str(run_dir)
    log.info("Starting anew in %s", run_dir)
    records.clear(run_dir)
    return None


def same_settings(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> bool:
    return before is not None and flat_settings(before) == flat_settings(now)
