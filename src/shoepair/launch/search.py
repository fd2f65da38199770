"""sweep=search: Hydra's Optuna sweeper, and what it does not do: studies that hold only what can be compared, trials
that are known to their jobs, and a search that goes on where it was ended.

Needs the extra `search`: imported only when there is a search.
"""

import functools
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
from hydra import compose
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.utils import instantiate
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution, distribution_to_json
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from shoepair.config.messages import checked_value
from shoepair.config.schema import SearchSettings, TrainSettings
from shoepair.config.shown import READ_OTHERWISE, in_line
from shoepair.config.typed import PLAIN, quoted
from shoepair.config.values import Chance, Count
from shoepair.errors import UserError, one_line
from shoepair.files import read_json, write_json
from shoepair.launch.beside import lost_jobs
from shoepair.launch.hydra_private import explain, parse_overrides, typed_for
from shoepair.launch.names_of_runs import NamesOfRuns
from shoepair.launch.preflight import train_settings
from shoepair.runs.folder import relative_to_here
from shoepair.runs.read import flat_settings
from shoepair.terminal import say_aside

RECORD = "search.json"  # in a search's folder: its study, and its trials
ATTEMPTS = 4  # at opening a storage, a second apart
TRIED_NUMBERS = 16  # of a key: more of its values than these are tried at their ends only
AS_TYPED = tuple("'\"[{$")  # begins what stands as it was typed: texts in quotes, lists, references
SAMPLERS = ("hydra_plugins.hydra_optuna_sweeper.*", "optuna.samplers.*")


class StudySweeper(OptunaSweeperImpl):
    """Hydra's Optuna sweeper, whose trials' numbers go to their jobs (sweep.study, sweep.trial).

    A pruned job says so to the study itself. A folder that holds a search already goes on with it: trials that
    had not ended, or whose jobs were lost, are launched again, with the settings that they had, and new ones are added
    up to n_trials.

    Attributes:
        begun: the name of the study; begin_search says it, before Hydra makes the sweeper.
    """

    begun = ""

    def __init__(self, sampler: Any, **options: Any) -> None:
        super().__init__(sampler=instantiate(sampler, _execution_whitelist_=SAMPLERS), **options)

    def sweep(self, arguments: list[str]) -> None:
        self.study_name = self.begun
        # What was typed counts instead; Hydra's sweeper takes it away too late for samplers that know the space.
        typed = {_key_of(override) for override in arguments}
        self.params = OmegaConf.create({k: v for k, v in (self.params or {}).items() if _key_of(str(k)) not in typed})
        self.record = Record(Path(self.sweep_dir), self.study_name)
        lost_jobs.clear()
        study = open_study(str(self.storage), self.study_name)
        self._launch_unfinished(study)
        self.n_trials -= len(self.record.trials)
        if self.n_trials <= 0:
            return
        try:
            super().sweep(arguments)
        except ValueError as error:
            if not any(self.record.trials.values()):  # none was chosen
                raise UserError(f"the search's sampler cannot choose: {one_line(str(error))}") from error
            # In its end, it asks for the best trial.
            if any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
                raise

    def _launch_unfinished(self, study: optuna.Study) -> None:
        """What an attempt that was ended had begun goes on; what its jobs had completed is told to the study."""
        trials = study.get_trials(deepcopy=False)
        assert self.launcher is not None
        running = [n for n in self.record.trials if trials[n].state == TrialState.RUNNING]
        for number in [n for n in running if not self.record.trials[n]]:  # its values had not been chosen yet
            study.tell(number, state=TrialState.FAIL)
            running.remove(number)
        for batch in (running[i : i + self.n_jobs] for i in range(0, len(running), self.n_jobs)):
            returns = self.launcher.launch([self.record.trials[n] for n in batch], initial_job_idx=self.job_idx)
            self.job_idx += len(returns)
            for number, returned in zip(batch, returns, strict=True):
                try:
                    self._tell(study.tell, number, float(returned.return_value))
                except Exception:  # of the job, which has said so in its log
                    self._tell(study.tell, number, state=TrialState.FAIL)

    def _tell(self, theirs: Callable[..., FrozenTrial], trial: Trial | int, *value: float, **state: Any) -> None:
        """What a pruned job has told stands; a trial whose job was lost goes on running, as after a kill."""
        number = trial if isinstance(trial, int) else trial.number
        if self.record.trials[number] not in lost_jobs:
            theirs(trial, *value, **state, skip_if_finished=True)

    def _configure_trials(self, trials: list[Trial], *arguments: Any) -> Sequence[Sequence[str]]:
        study = trials[0].study
        if not isinstance(study.tell, functools.partial):
            setattr(study, "tell", functools.partial(self._tell, study.tell))  # noqa: B010
        self.record.add({trial.number: [] for trial in trials})
        jobs = super()._configure_trials(trials, *arguments)
        jobs = [[*(_with_typed(said, trial.params) for said in job), f"sweep.study={study.study_name}",
                 f"sweep.trial={trial.number}"] for job, trial in zip(jobs, trials, strict=True)]  # fmt: skip
        self.record.add({trial.number: list(job) for trial, job in zip(trials, jobs, strict=True)})
        return jobs


class Record:
    """Which trials of which study a sweep's folder holds: RECORD there.

    Attributes:
        trials: their overrides by their numbers; empty while they are being chosen.
    Raises:
        UserError: if the folder holds a search of another study.
    """

    def __init__(self, folder: Path, study: str) -> None:
        self.path, self.study = folder / RECORD, study
        found = read_json(self.path) or {"study": study, "trials": {}}
        if found["study"] != study:
            raise UserError(
                f"{folder}: expected a search of the same settings and space; it holds one of the study "
                f"{found['study']}, and this one is {study}. Leave hydra.sweep.dir away."
            )
        self.trials: dict[int, list[str]] = {int(number): job for number, job in found["trials"].items()}

    def add(self, trials: Mapping[int, list[str]]) -> None:
        self.trials |= trials
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"study": self.study, "trials": self.trials})


def recorded_search(folder: Path) -> tuple[str, set[int]]:
    """The study that the search in a folder belongs to, and the numbers of its trials."""
    record = read_json(folder / RECORD)
    assert record is not None
    return record["study"], {int(number) for number in record["trials"]}


def begin_search(config: DictConfig) -> None:
    """Before a search: make its sweeper known to Hydra, check what it may choose, and name its study.

    Raises:
        UserError or an error of Hydra: for the first choice that cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    Plugins.instance().register(StudySweeper)
    sweeper = config.hydra.sweeper
    _check_sweeper(config)
    if config.hydra.runtime.choices["hydra/launcher"] != "basic" and sweeper.n_jobs == 1:
        say_aside("Search: one trial at a time; hydra.sweeper.n_jobs=N launches N at once.")
    space, fixed = space_of(config)
    if not space:
        raise UserError(
            "the search has nothing to choose from: every key of its space was typed as one value; type another key "
            "with several, such as optimizer.lr=interval(1e-4,1e-2)."
        )
    names = NamesOfRuns(relative_to_here(Path(config.hydra.sweep.dir).absolute()))
    points = []
    for chosen in some_of(space):
        overrides = [*fixed, *(_with_typed(f"{key}={value}", chosen) for key, value in chosen.items())]
        try:
            points.append(
                train_settings(
                    compose(config_name=config.hydra.job.config_name, overrides=overrides, return_hydra_config=True),
                    names,
                )
            )
        except Exception as error:
            message = explain(error)
            if message is None:
                raise
            said = [f"{message} (in the space of the search, which space=NAME chooses; nothing was run)"]
            if "expected a whole number" in message:
                said.append("Whole numbers are int(interval(1,5)) or range(1,5).")
            raise UserError(" ".join(said)) from error
    names.write()
    StudySweeper.begun = study_name(str(sweeper.study_name), points, space)


def _check_sweeper(config: DictConfig) -> None:
    sweeper = config.hydra.sweeper
    for key in ("n_trials", "n_jobs"):
        checked_value(Count, f"hydra.sweeper.{key}", sweeper[key])
    checked_value(Chance, "hydra.sweeper.max_failure_rate", sweeper.max_failure_rate)
    if sweeper.storage != config.sweep.storage:  # to which the jobs report
        raise UserError(f"hydra.sweeper.storage={in_line(sweeper.storage)}: type sweep.storage=URL instead.")
    if sweeper.direction != "maximize":
        raise UserError(
            f"hydra.sweeper.direction={in_line(sweeper.direction)}: expected maximize: of the validation accuracy."
        )
    sampler = str(sweeper.sampler.get("_target_"))
    if sampler.endswith(".CmaEsSampler") and find_spec("cmaes") is None:  # Optuna notices in the second trial
        raise UserError(f"hydra.sweeper.sampler: {sampler} needs cmaes, which is not installed: pip install cmaes")


def space_of(config: DictConfig) -> tuple[dict[str, BaseDistribution], list[str]]:
    """What is searched: what space/ and what was typed say, without what was typed with one value. And the overrides
    that all trials have."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    typed = typed_for(config)
    overrides = [*params, *typed]
    kinds: dict[str, bool] = {}
    for said in parse_overrides(typed):
        several = said.is_sweep_override()
        if kinds.setdefault(said.key_or_group, several) != several:
            raise UserError(f"{said.key_or_group}: typed as one value and as several; leave one of them out.")
    for override in overrides:
        try:
            create_params_from_overrides([override])
        except (ValueError, AssertionError, NotImplementedError, HydraException) as error:
            reason = one_line(str(error)).rstrip(".") or "expected values, or the ends of an interval"
            raise UserError(f"{override}: the search cannot choose from this ({reason}).") from error
    space, fixed, removed = create_params_from_overrides(overrides)
    said_once = {_key_of(key) for key in (*fixed, *removed)}
    space = {key: distribution for key, distribution in space.items() if _key_of(key) not in said_once}
    return space, [*(f"{key}={value}" for key, value in fixed.items()), *removed]


def some_of(space: Mapping[str, BaseDistribution]) -> Iterator[dict[str, Any]]:
    """Few points of a space in which each key has each of its ends, its choices and its whole numbers, if these are not
    many, once."""
    values = {key: _some_values(found) for key, found in space.items()}
    for number in range(max(map(len, values.values()), default=0)):
        yield {key: found[min(number, len(found) - 1)] for key, found in values.items()}


def _some_values(found: Any) -> list[Any]:
    if isinstance(found, CategoricalDistribution):
        return list(found.choices)
    if isinstance(found, IntDistribution) and (found.high - found.low) // found.step < TRIED_NUMBERS:
        return list(range(found.low, found.high + 1, found.step))
    return [found.low, found.high]


def _key_of(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _with_typed(override: str, chosen: Mapping[str, Any]) -> str:
    """KEY=VALUE, what is chosen for KEY as it is typed. Optuna keeps a list, or a text in quotes, as it was typed
    already; any other text that Hydra would not take for one word needs quotes."""
    key, _, _ = override.partition("=")
    value = chosen.get(key)
    if not isinstance(value, str) or value[:1] in AS_TYPED or READ_OTHERWISE.fullmatch(value) or PLAIN.fullmatch(value):
        return override
    return f"{key}={quoted(value)}"


def study_name(prefix: str, points: Sequence[TrainSettings], space: Mapping[str, BaseDistribution]) -> str:
    """The name of the study of all trials that can be compared: those of the same fixed settings and the same space.

    Args:
        points: the settings at some_of(space), so that each option of a group is there with its own.
    """
    settings = [flat_settings(point.plain()) for point in points]
    searched = {key: json.loads(distribution_to_json(found)) for key, found in space.items()}
    told = json.dumps([settings, searched], sort_keys=True, default=str)
    return f"{prefix}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def open_study(storage: str, name: str) -> optuna.Study:
    """A study, made if it is not there yet.

    Raises:
        UserError: if its storage cannot be opened.
    """
    for remaining in reversed(range(ATTEMPTS)):
        try:
            return optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True)
        except SQLAlchemyError as error:
            # Searches that begin at once all make the tables of a new database: all but one are refused, and find them.
            failure: Exception = error
            if remaining:
                time.sleep(1)
        except (ImportError, ValueError) as error:  # of a database's driver; of what is no URL
            failure = error
            break
    raise UserError(f"sweep.storage={shown_storage(storage)}: it cannot be opened ({one_line(str(failure))}).")


def shown_storage(storage: str) -> str:
    """Without its password, if it has one."""
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return storage


def tell_pruned(search: SearchSettings) -> None:
    """Tell its study that a job was pruned. The sweeper, which knows completed and failed only, leaves that alone."""
    assert search.study is not None and search.trial is not None  # the search has said them
    study = optuna.load_study(study_name=search.study, storage=search.storage)
    study.tell(search.trial, state=TrialState.PRUNED, skip_if_finished=True)
