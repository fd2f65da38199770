"""Everything of Hydra that is not public and that we touch, each with its reason; and what its errors mean."""

import contextlib
import difflib
import itertools
import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from shoepair.config.groups import groups_of
from shoepair.config.habits import of_option
from shoepair.errors import UserError, one_line, refused_by_machine
from shoepair.launch.choices import refuse_no_option

# Hydra plugins that are extras, by where Hydra looks for them: what to install for them.
EXTRA_OF_PLUGIN = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "search",
    "hydra/sweeper/sampler/tpe": "search",
}


def jobs_of_sweep(config: DictConfig) -> list[list[str]]:
    """The overrides of each job that Hydra's own sweeper would run.

    The sweeper has no public way to say them before it runs them, and a mistake in the last job of a hundred is to be
    said before the first one trains.

    Raises:
        UserError: if what is swept over a group is no option's name.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    swept = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(
        [*swept, *typed_for(config)]
    )
    refuse_no_option(str(config.hydra.job.config_name), sys.argv, overrides)
    for override in overrides:
        if override.is_sweep_override() and next(override.sweep_iterator(), None) is None:
            options = groups_of(str(config.hydra.job.config_name), sys.argv).get(override.key_or_group)
            choose = f"; choose from {', '.join(options)}" if options else ""
            raise UserError(f"{override.input_line}: there is nothing to run: no value fits{choose}.")
    batches = BasicSweeper.split_arguments(overrides, max_batch_size=None)
    return [list(job) for job in itertools.chain.from_iterable(batches)]


def typed_for(config: DictConfig) -> list[str]:
    """What was typed, as it was: iterated over, references in it would be looked up."""
    typed: Any = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    return list(typed)


def parse_overrides(typed: Sequence[str]) -> list[Override]:
    """What was typed as Hydra will read it; nothing if it cannot be read, which Hydra will say itself."""
    try:
        return OverridesParser.create().parse_overrides(list(typed))
    except (OverrideParseException, ValueError):  # a ValueError of numbers with too many digits
        return []


def refuse_unknown_flags(command: str, arguments: Sequence[str]) -> None:
    """Raise a UserError for the first option that Hydra has not: its own parser would print the usage of all."""
    options = get_args_parser()._option_string_actions
    known = set(options)
    if arguments and arguments[-1] in options and options[arguments[-1]].nargs is None:
        raise UserError(f"{arguments[-1]}: expected a value after it.")
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        flag, _, value = argument.partition("=")
        if not flag.startswith("--") or any(option.startswith(flag) for option in known):
            continue
        near = difflib.get_close_matches(flag, [*known, "--explain", "--version"], n=1, cutoff=0.75)
        if near:
            raise UserError(f"{flag}: no such option; did you mean {near[0]}?")
        from shoepair.config.messages import unknown_key
        from shoepair.config.schema import keys_of

        key, keys = flag[2:].replace("-", "_"), keys_of(command)
        if key in keys or key in groups_of(command, arguments) or key.startswith("hydra."):
            said = f"Type {key}={value or 'VALUE'}."
        else:
            said = str(unknown_key(key, [name for name in keys if "." not in name]))
        raise UserError(f"{flag}: no such option; settings have no dashes. {said}")


def text_of(override: Override) -> str | None:
    """The value of an override that is to be a text as it was typed, without quotes; None for null.

    Override.value() makes numbers of what is not quoted, and no longer knows what was.
    """
    value = override._value
    if isinstance(value, QuotedString):
        return value.text
    return None if value is None else str(override.input_line).partition("=")[2]


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Let Hydra raise its errors instead of printing them: it asks this variable, and takes no argument for it."""
    global _asked_for
    _asked_for = before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        _asked_for = None
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before


_asked_for: str | None = None


def wants_traceback() -> bool:
    """Whether HYDRA_FULL_ERROR=1 was typed; while raising(), the variable itself always says so."""
    return _asked_for == "1"


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can mend, Hydra's and OmegaConf's among them; None for any other."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        file = str(error.missing_cfg_file)
        # Of a list of options, such as logger=[csv,nosuch], Hydra names none. It has what was typed in sys.argv.
        options = error.options or groups_of("train", sys.argv).get(file.partition("/")[0])
        return _missing_option(file, options) if options else one_line(str(error).partition("\n")[0])
    cause: Any = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key and cause.parent_node is not None:
        from shoepair.config.messages import unknown_key  # late, so that --help need not read the schema

        parent = str(cause.full_key).rpartition(".")[0]
        siblings = [str(key) for key in cause.parent_node if key != "hydra"]
        return str(unknown_key(str(cause.full_key), [f"{parent}.{key}" if parent else key for key in siblings]))
    if isinstance(error, OverrideParseException):
        lines = [line for line in error.message.splitlines() if not line.startswith(("Error ", "See "))]
        return f"{error.override}: this is no setting ({one_line(re.sub(' expecting .*', '', chr(10).join(lines)))})."
    refused = refused_by_machine(error)
    if refused is not None:
        return refused
    if isinstance(error, HydraException | OmegaConfBaseException):
        details = f" ({one_line(str(cause))})" if isinstance(cause, OmegaConfBaseException) else ""
        return one_line(str(error)) + details
    return None


def _missing_option(file: str, options: Sequence[str]) -> str:
    if file in EXTRA_OF_PLUGIN:
        return f"{file} is not installed: pip install 'shoepair[{EXTRA_OF_PLUGIN[file]}]'"
    group, _, option = file.rpartition("/")
    habit = of_option(group, option)
    if habit is not None:
        return habit
    said = f"{group}={option}: no such option; choose from {', '.join(sorted(options))}"
    if group == "space":  # of an approach of one's own, it may not have been typed
        return f"{said}, or write a file space/{option}.yaml into a folder that --config-dir names."
    return f"{said}."
