"""What the user can mend: the exception for it, and the one line in which every such error is said."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Shown as one line, without a traceback, and ends a command with exit code 2.

    The message says what was expected, what was received and the remedy.
    """


class NotLearned(Exception):  # noqa: N818 - it is a verdict, not an error of the program
    """The sanity check failed; the message says where to look first."""


class Diverged(FloatingPointError):  # noqa: N818 - as above
    """The loss of a run is no longer a number; the message says what to change."""


# Hydra plugins that are extras, by where Hydra looks for them: what to install for them.
EXTRA_OF_PLUGIN = {
    "hydra/launcher/joblib": "joblib",
    "hydra/launcher/submitit_local": "slurm",
    "hydra/launcher/submitit_slurm": "slurm",
    "hydra/launcher/ray": "ray",
    "hydra/sweeper/optuna": "search",
    "hydra/sweeper/sampler/tpe": "search",
}


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can mend, Hydra's and OmegaConf's among them; None for any other."""
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options is not None and error.missing_cfg_file:
        if str(error.missing_cfg_file) in EXTRA_OF_PLUGIN:
            extra = EXTRA_OF_PLUGIN[str(error.missing_cfg_file)]
            return f"{error.missing_cfg_file} is not installed: pip install 'shoepair[{extra}]'"
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        return f"{group}={option}: no such option; choose from {', '.join(sorted(error.options))}."
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key and cause.parent_node is not None:
        parent = cause.full_key.rpartition(".")[0]
        siblings = [str(key) for key in cause.parent_node if key != "hydra"]
        return str(unknown_key(cause.full_key, [f"{parent}.{key}" if parent else key for key in siblings]))
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return one_line(str(error)) + " (GROUP=OPTION; see --help for the options)"
    if isinstance(error, HydraException | OmegaConfBaseException):
        details = f" ({one_line(str(cause))})" if isinstance(cause, OmegaConfBaseException) else ""
        return one_line(str(error)) + details
    return None


def unknown_key(key: str, siblings: Iterable[str]) -> UserError:
    """The error for a key that nothing reads, with the nearest one that something does."""
    from shoepair.config.schema import RULES

    parent, _, name = key.rpartition(".")
    siblings = sorted(siblings)
    elsewhere = [known for known in RULES if known.rpartition(".")[0] != parent]
    for candidates in (siblings, elsewhere):
        near = difflib.get_close_matches(name, [known.rpartition(".")[2] for known in candidates], n=1)
        if near:
            meant = next(known for known in candidates if known.rpartition(".")[2] == near[0])
            return UserError(f"{key}: no such key; did you mean {meant}?")
    names = ", ".join(known.rpartition(".")[2] for known in siblings)
    return UserError(f"{key}: no such key; {f'{parent} has' if parent else 'there are'} {names}.")


def one_line(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not line.startswith("object_type="))
