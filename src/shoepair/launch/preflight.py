"""Checks a run, or every job of a sweep, before its folder is made, and finds the files that its settings name.

What `latest` or a folder means is decided here, once: jobs of a sweep that name the newest run all mean the same one.
Imports neither torch nor Lightning.
"""

import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override
from omegaconf.errors import OmegaConfBaseException

from shoepair.config.compat import NAMES_OF_RUNS
from shoepair.config.messages import checked_value
from shoepair.config.read import asks_for_several_devices, read_evaluate_settings, read_train_settings
from shoepair.config.schema import (
    TABLE_COLUMNS,
    EvaluateSettings,
    PhotosSettings,
    TableSettings,
    TrainSettings,
)
from shoepair.config.shown import in_line
from shoepair.config.typed import quoted
from shoepair.config.values import Count, Place
from shoepair.data.layout import check_photo_root, check_table
from shoepair.errors import UserError, one_line
from shoepair.launch.hydra_private import explain, jobs_of_sweep, typed_for
from shoepair.launch.names_of_runs import NamesOfRuns, find_file
from shoepair.launch.resume import refuse_changed
from shoepair.runs.folder import SWEEP_LOCK, hold, is_main_process, refuse_running, refuse_used, relative_to_here
from shoepair.runs.packaged import PACKAGED
from shoepair.runs.read import flatten
from shoepair.terminal import say_aside, say_error

OF_ANY_COMMAND = ("checkpoint", *NAMES_OF_RUNS)
Checked = tuple[DictConfig, TrainSettings | EvaluateSettings]  # a job as it was composed, and its settings


class Preflight(Callback):
    """Refuses a run, or a whole sweep, before its folder is made.

    Hydra turns an exception of a callback into a warning, so a refusal leaves as SystemExit.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse_if_unusable(lambda: _check_run(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        refuse_if_unusable(lambda: _begin_sweep(config))


def read_settings(config: DictConfig, names: NamesOfRuns | None = None) -> TrainSettings | EvaluateSettings:
    """The settings of the command that a configuration (with Hydra's part) was composed for; see below."""
    # Not hydra.job.name: Lightning gives the processes of ddp another one.
    is_evaluation = config.hydra.job.config_name == "evaluate"
    if is_evaluation:
        return evaluate_settings(config, names)
    settings = train_settings(config, names)
    augment = next((o for o in reversed(config.hydra.overrides.task) if o.startswith("augment=")), "augment=none")
    if settings.mode == "sanity" and settings.data.augment is None and augment != "augment=none":
        raise UserError(f"{augment}: expected none, since mode=sanity trains on the photos as they are.")
    return settings


def train_settings(config: DictConfig, names: NamesOfRuns | None = None) -> TrainSettings:
    """The settings of a training run, checked, with the files that they mean instead of the names of runs.

    Args:
        names: of a sweep.
    Raises:
        UserError: naming the first key that cannot be used, its value, and what is allowed; or a file that is not
            there.
    """
    settings = read_train_settings(plain_values(config))
    data = settings.data
    if isinstance(data, PhotosSettings) and not data.download:
        check_photo_root(data.root)
    if isinstance(data, TableSettings):
        check_table(data.file)
    if settings.resume is not None:  # a run that goes on has weights of its own
        return settings
    settings.approach.check_files()

    def file_of(name: str, key: str) -> str:
        file = (names.find_file if names else find_file)(name, settings.output_dir, key)
        return name if name in PACKAGED else file  # which lies elsewhere in each installation

    if settings.init_from is not None:
        settings = settings.model_copy(update={"init_from": file_of(settings.init_from, "init_from")})
    beside = getattr(settings.approach, "ensemble_with", None)
    if beside is not None:
        approach = settings.approach.model_copy(update={"ensemble_with": file_of(beside, "approach.ensemble_with")})
        settings = settings.model_copy(update={"approach": approach})
    return settings


def evaluate_settings(config: DictConfig, names: NamesOfRuns | None = None) -> EvaluateSettings:
    """As train_settings, of an evaluation."""
    settings = read_evaluate_settings(plain_values(config))
    data: Any = settings.data
    if data.root is not None and not data.download:
        check_photo_root(data.root)
    if data.file is not None:
        check_table(data.file)
    file_of = names.find_file if names else find_file
    return settings.model_copy(update={"checkpoint": file_of(settings.checkpoint, settings.output_dir, "checkpoint")})


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The configuration without Hydra's own part, resolved to dicts, lists, numbers and text.

    Raises:
        UserError: if a value is missing (???) or an interpolation leads nowhere.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        remedies = {
            "data.root": "data.root=FOLDER, the folder that holds train/",
            "data.file": f"data.file=FILE.csv, with the columns {', '.join(TABLE_COLUMNS)}",
            "checkpoint": "checkpoint=latest, or the path of a run's folder or of a checkpoint",
        }
        raise UserError(f"{missing[0]} has no value: give {remedies.get(missing[0], f'{missing[0]}=VALUE')}.")
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {one_line(str(error.msg))}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _refuse_no_section(config: DictConfig) -> None:
    """Hydra itself takes anything for these two."""
    for name, group in (("launcher", "launcher"), ("sweeper", "sweep")):
        section = config.hydra.get(name)
        if not isinstance(section, DictConfig):
            raise UserError(
                f"hydra.{name}={in_line(section)}: expected keys of it, hydra.{name}.KEY=VALUE; {group}=NAME chooses "
                "one."
            )


def _refuse_elsewhere(config: DictConfig) -> None:
    """What would have a run write where it is not looked for, or where something else is."""
    _refuse_no_section(config)
    hydra = config.hydra
    if hydra.output_subdir != ".hydra" and is_main_process():  # Lightning takes it away from the further ones of ddp
        raise UserError(
            f"hydra.output_subdir={in_line(hydra.output_subdir)}: expected .hydra, where resume= and compare look "
            "for what was typed."
        )
    if hydra.job.chdir:
        raise UserError(
            "hydra.job.chdir=true: expected false, since paths are as seen from where the command was typed; each run "
            "writes into its own folder anyway."
        )


def _refuse_shared_folder(config: DictConfig, num_jobs: int | None) -> None:
    """Each job of a sweep needs a folder of its own.

    Args:
        num_jobs: None if that is not known.
    """
    checked_value(Place, "hydra.sweep.dir", config.hydra.sweep.dir)
    subdir = str(OmegaConf.to_container(config.hydra.sweep)["subdir"])  # type: ignore[index, call-overload]
    if Path(subdir).is_absolute() or Path(os.path.normpath(subdir)).parts[:1] in ((), ("..",)):
        raise UserError(f"hydra.sweep.subdir={in_line(subdir)}: expected a folder below hydra.sweep.dir.")
    if num_jobs != 1 and not any(name in subdir for name in ("hydra.job.num", "hydra.job.id", "override_dirname")):
        raise UserError(
            f"hydra.sweep.subdir={in_line(subdir)}: expected ${{hydra.job.num}} in it, since each job needs a folder "
            "of its own."
        )


def _check_run(config: DictConfig) -> None:
    _refuse_elsewhere(config)
    settings = read_settings(config)
    checked_value(Place, "hydra.run.dir", config.hydra.run.dir)
    run_dir = relative_to_here(config.hydra.run.dir)
    if Path.cwd().is_relative_to(run_dir.resolve()) and getattr(settings, "resume", None) is None:
        raise UserError(f"hydra.run.dir={run_dir}: expected a folder of its own, not the one that the command is in.")
    # Before Hydra writes: its notes on a refused start must not take the place of those on the run that is there.
    refuse_running(run_dir)
    if isinstance(settings, TrainSettings) and settings.resume is not None:
        refuse_changed(run_dir, settings)
    else:
        refuse_used(run_dir)
    hold(run_dir, "has just started in it")
    if getattr(settings, "resume", None) is None:
        refuse_used(run_dir)  # again, now that nobody else can start there
    _note_files(config, [(config, settings)])


def _begin_sweep(config: DictConfig) -> None:
    _refuse_elsewhere(config)
    is_basic = config.hydra.sweeper._target_.endswith("BasicSweeper")
    jobs = jobs_of_sweep(config) if is_basic else None  # another one chooses as it goes; what is fixed is checked
    _refuse_shared_folder(config, None if jobs is None else len(jobs))
    _check_numbers(config)
    sweep_dir = relative_to_here(Path(config.hydra.sweep.dir).absolute())
    names = NamesOfRuns(sweep_dir)
    if jobs is None:
        settings = read_settings(config, names)
        _refuse_several_devices(settings)
        checked = [(config, settings)]
    else:
        checked = _check_every_job(config, jobs, names)
    _note_files(config, checked)
    hold(sweep_dir, "runs a sweep in it", SWEEP_LOCK)
    names.write()


def _check_numbers(config: DictConfig) -> None:
    """How many jobs are launched at once."""
    checked_value(Count | None, "hydra.sweeper.max_batch_size", config.hydra.sweeper.get("max_batch_size"))
    at_once = config.hydra.launcher.get("n_jobs", 1)
    if type(at_once) is not int or at_once == 0:
        raise UserError(f"hydra.launcher.n_jobs={in_line(at_once)}: expected a whole number, not 0; -1: one a core.")


def _check_every_job(config: DictConfig, jobs: Sequence[list[str]], names: NamesOfRuns) -> list[Checked]:
    checked: list[Checked] = []
    for job in jobs:
        composed = compose(config_name=config.hydra.job.config_name, overrides=job, return_hydra_config=True)
        try:
            settings = read_settings(composed, names)
            _refuse_several_devices(settings)
        except UserError as error:
            raise UserError(f"{error} (in the job {' '.join(job)}; nothing was run)") from error
        checked.append((composed, settings))
    return checked


def _note_files(config: DictConfig, checked: Sequence[Checked]) -> None:
    """Write the files that names of runs mean into the configuration, as if they had been typed.

    What differs between the jobs of a sweep stays as it is: each job finds its own in what the sweep has recorded.
    """
    shared = {}
    for key, file in files_of(*checked[0]).items():
        names = {OmegaConf.select(composed, key) for composed, _ in checked}
        if len(names) > 1 or any(files_of(*job).get(key) != file for job in checked):
            continue
        shared[key] = file
        with flag_override(config, ["readonly", "struct"], False):
            OmegaConf.update(config, key, file)
    with flag_override(config.hydra, ["readonly", "struct"], False):
        config.hydra.overrides.task = with_files(typed_for(config), shared)


def files_of(config: DictConfig, settings: TrainSettings | EvaluateSettings) -> dict[str, str]:
    """The files that names of runs mean in a configuration, by their keys; without those that always mean the same."""
    found, typed = flatten(settings.plain()), {key: OmegaConf.select(config, key) for key in OF_ANY_COMMAND}
    return {
        key: file
        for key, name in typed.items()
        if (file := found.get(key)) not in (None, name) and name not in PACKAGED
    }


def with_files(typed: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """What was typed, as if it had been these files."""
    kept = [override for override in typed if override.partition("=")[0].lstrip("+") not in files]
    return kept + [f"{key}={quoted(file)}" for key, file in files.items()]


def _refuse_several_devices(settings: TrainSettings | EvaluateSettings) -> None:
    """The processes of ddp repeat the whole command: in a sweep, each of them would run the sweep again."""
    if asks_for_several_devices(settings.trainer):
        raise UserError(
            f"trainer.devices={in_line(settings.trainer.devices)}: expected 1 in a multirun; run jobs beside one "
            "another instead of one job on several devices."
        )


def refuse_if_unusable(check: Callable[[], object]) -> None:
    """End the command with one line where a check raises what the user can mend."""
    try:
        check()
    except Exception as error:
        message = explain(error)
        if message is None:
            say_aside(traceback.format_exc())
            raise SystemExit(1) from error
        say_error(message)
        raise SystemExit(2) from error
