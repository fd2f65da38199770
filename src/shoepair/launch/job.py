"""One job in its folder: keeps others out, takes up what an earlier attempt left, records how it ended.

Imports torch only when there is something to train, so that a sweep that is complete answers at once.
"""

import contextlib
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from shoepair.config.schema import TrainSettings
from shoepair.config.typed import Typed
from shoepair.errors import Diverged, NotLearned, Pruned, UserError, refused_by_machine
from shoepair.launch.beside import lines_of_its_own, take_gpu
from shoepair.launch.hydra_private import wants_traceback
from shoepair.launch.names_of_runs import NamesOfRuns
from shoepair.launch.naming import told_apart
from shoepair.launch.preflight import evaluate_settings, files_of, train_settings, with_files
from shoepair.launch.resume import refuse_changed, same_settings
from shoepair.runs import folder
from shoepair.runs.read import flatten, read_run
from shoepair.terminal import guard_terminal, say, say_error

log = logging.getLogger(__name__)


def train_job(config: DictConfig) -> float | None:
    """The task of every training job: its validation accuracy, NaN if it was pruned, None if it failed in a multirun.

    A job of a multirun whose folder holds the completed run of the same settings returns that run's result; one that
    was interrupted goes on after its last whole epoch.
    """
    with lines_of_its_own(), _inside_task("train"):
        hydra, run_dir = HydraConfig.get(), folder_of_job()
        in_sweep = hydra.mode == RunMode.MULTIRUN
        settings = train_settings(config, names_of_sweep(hydra))
        files = files_of(config, settings)
        test = settings.test if settings.test is not None else not in_sweep
        with folder.locked(run_dir, wait=in_sweep):
            if in_sweep:
                earlier = earlier_result(run_dir, settings, test=test)
                if earlier is not None:
                    log.info("Completed before: %s, validation accuracy %.1f %%", run_dir, 100 * earlier)
                    return earlier
                if pruned_before(run_dir, settings):
                    return _pruned(settings, f"before: {run_dir}")
                settings = settings.model_copy(update={"resume": take_up(run_dir, settings)})
            elif settings.resume is None:
                folder.refuse_used(run_dir)
            else:
                refuse_changed(run_dir, settings)
                settings = settings.model_copy(update={"resume": where_it_was(run_dir)})
            try:
                with folder.recorded(run_dir, settings.plain()):
                    if in_sweep:
                        take_gpu(hydra)
                    import torch

                    from shoepair.training.train import train

                    # Of the launchers, submitit on one machine does not leave each process its share of the cores.
                    if in_sweep and (num_threads := hydra.launcher.get("cpus_per_task")) is not None:
                        torch.set_num_threads(num_threads)
                    typed = what_was_typed(config, hydra, files)
                    return train(settings, run_dir, test=test, typed=typed, in_sweep=in_sweep)
            except Pruned as pruned:
                return _pruned(settings, str(pruned))
    return None


def names_of_sweep(hydra: HydraConf) -> NamesOfRuns | None:
    """What names of runs mean in a multirun; None of a single run."""
    if hydra.mode != RunMode.MULTIRUN:
        return None
    return NamesOfRuns(folder.relative_to_here(Path(hydra.sweep.dir).absolute()))


def what_was_typed(config: DictConfig, hydra: HydraConf, files: Mapping[str, str]) -> Typed:
    """For the run's record and its name in TensorBoard.

    Args:
        files: that names of runs mean.
    """
    overrides = list(hydra.overrides.task)
    told = told_apart(overrides, ["output_dir", *hydra.job.config.override_dirname.exclude_keys])
    label = ", ".join(f"{name} {value}" for name, value in (told or told_apart(overrides, ["output_dir"])).items())
    flat = flatten(OmegaConf.to_container(config, resolve=False))
    followed = {key: re.fullmatch(r"\$\{([\w.]+)\}", value) for key, value in flat.items() if isinstance(value, str)}
    return Typed(with_files(overrides, files), label, {key: found[1] for key, found in followed.items() if found})


def evaluate_job(config: DictConfig) -> None:
    """The task of `evaluate`."""
    with lines_of_its_own(), _inside_task("evaluate"):
        hydra, run_dir = HydraConfig.get(), folder_of_job()
        settings = evaluate_settings(config, names_of_sweep(hydra))
        from shoepair.training.checkpoint import load_module
        from shoepair.training.evaluate import evaluate

        trained = load_module(settings.checkpoint)
        with folder.locked(run_dir, wait=False):
            folder.refuse_used(run_dir)
            with folder.recorded(run_dir, settings.plain()):
                overrides = with_files(hydra.overrides.task, files_of(config, settings))
                evaluate(trained, settings, run_dir, overrides=overrides)


def folder_of_job() -> Path:
    return folder.relative_to_here(HydraConfig.get().runtime.output_dir)


def earlier_result(run_dir: Path, settings: TrainSettings, *, test: bool) -> float | None:
    """The validation accuracy of the completed run of the same settings in `run_dir`, if there is one."""
    if folder.read_status(run_dir, mine=True).name != folder.COMPLETED or not same_settings(run_dir, settings):
        return None
    run = read_run(run_dir)
    if isinstance(run, str) or (test and "test" not in run.results["splits"]):
        return None
    return run.figure("val", "accuracy")


def pruned_before(run_dir: Path, settings: TrainSettings) -> bool:
    """Whether a search has ended the run of the same settings in `run_dir`."""
    ended = folder.read_status(run_dir, mine=True).name == folder.PRUNED
    return settings.sweep is not None and ended and same_settings(run_dir, settings)


def _pruned(settings: TrainSettings, when: str) -> float:
    from shoepair.launch.search import tell_pruned

    log.info("Pruned %s", when)
    assert settings.sweep is not None
    tell_pruned(settings.sweep)
    return math.nan


def take_up(run_dir: Path, settings: TrainSettings) -> str | None:
    """What `resume` is to be: `run_dir` if an attempt with the same settings can go on; else clears the folder."""
    is_new = not (run_dir / "config.json").exists() and not (run_dir / "status.json").exists()
    if is_new:
        return None
    if same_settings(run_dir, settings):
        try:
            return where_it_was(run_dir)
        except UserError as error:
            log.info("%s", error)
    log.info("Starting anew in %s", run_dir)
    folder.clear(run_dir)
    return None


def where_it_was(run_dir: Path) -> str | None:
    """What `resume` is to be for a run that goes on: `run_dir`, or None where none of its epochs had ended.

    Raises:
        UserError: if its last checkpoint is broken.
    """
    from shoepair.runs.checkpoint import read_checkpoint

    last = folder.last_checkpoint(run_dir)
    if not last.is_file():
        if folder.is_main_process():  # the further ones of ddp come here when the first one is training already
            log.info("Starting anew in %s: none of its epochs had ended", run_dir)
            folder.clear(run_dir)
        return None
    read_checkpoint(last, key="resume")
    log.info("Going on with %s", run_dir)
    return str(run_dir)


@contextlib.contextmanager
def _inside_task(command: str) -> Iterator[None]:
    """What holds while a task runs under Hydra.

    Lightning starts further processes (ddp) with sys.argv: it gets the command back. What the user can mend leaves a
    single run as SystemExit, since Hydra adds lines to every exception. A job of a multirun of `train` that fails says
    so in its own log and ends like any other: the others go on, whatever the sweeper does with exceptions.
    """
    guard_terminal()  # a job may have a process of its own
    multirun = HydraConfig.get().mode == RunMode.MULTIRUN
    without = sys.argv
    sys.argv = [without[0], command, *without[1:]]
    try:
        yield
    except Exception as error:
        is_said = isinstance(error, UserError | NotLearned | Diverged)  # its message is all there is to know
        refused = None if is_said else refused_by_machine(error, folder_of_job())
        if multirun and command == "train":
            known = refused is not None or isinstance(error, UserError)
            log.error("Failed: %s: %s", type(error).__name__, refused or error, exc_info=not known)
        elif multirun or wants_traceback() or not (is_said or refused):
            raise
        elif isinstance(error, NotLearned):
            say(f"\n{error}")
            raise SystemExit(1) from None
        else:
            say_error(refused or error)
            raise SystemExit(1 if isinstance(error, Diverged) else 2) from None
    finally:
        sys.argv = without
