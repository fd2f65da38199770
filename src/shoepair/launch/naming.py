"""What folders of runs are called, and what a sweep's jobs have in common. Registers the resolvers that conf/ names."""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime

from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, OmegaConf

from shoepair.config.shown import short_names, shown
from shoepair.launch.beside import jobs_at_once
from shoepair.launch.hydra_private import parse_overrides

LONGEST_LABEL, LONGEST_VALUE = 120, 60  # letters, of names of folders


def run_name(what: str, choices: DictConfig) -> str:
    """Folder name of a new run or sweep: when and what, and never the same twice.

    The last four letters keep two runs apart that start in the same second.
    """
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    chosen = choices.get("experiment") or "-".join(
        str(choices[group]) for group in ("approach", "data") if choices.get(group)
    )
    named = {"train": [chosen], "sweep": ["sweep"]}.get(what, [what, chosen])
    return "_".join([now, *(path_safe(name)[:LONGEST_VALUE] for name in filter(None, named)), secrets.token_hex(2)])


def run_label(overrides: Sequence[str], excluded: Sequence[str] = ()) -> str:
    """`optimizer.lr=0.001`, `approach=dual` as `lr-0.001_approach-dual`: safe to type as a value, short to read.

    What would make it longer than LONGEST_LABEL is left out; values are cut at LONGEST_VALUE.

    Args:
        overrides: what was typed for a job.
        excluded: keys that do not tell it from the others.
    """
    label = ""
    for name, value in told_apart(overrides, excluded).items():
        longer = path_safe(f"{label}_{name}-{path_safe(value)[:LONGEST_VALUE].strip('-')}".strip("_"))
        if len(longer) <= LONGEST_LABEL:
            label = longer
    return label


def told_apart(overrides: Sequence[str], excluded: Sequence[str] = ()) -> dict[str, str]:
    """Short name of a key -> what its value is called. Arguments: see run_label."""
    told = {o.get_key_element(): o for o in parse_overrides(overrides) if o.get_key_element() not in excluded}
    names = short_names([key.lstrip("+~") for key in told])
    return {names[key.lstrip("+~")]: _value(override) for key, override in told.items()}


def _value(override: Override) -> str:
    value = override.value()
    return shown(value.text if isinstance(value, QuotedString) else value, override.key_or_group)


def path_safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-")


def naming_override(overrides: Sequence[Override]) -> str:
    """One more override, which keeps what is the same for all jobs of a sweep out of the names of their folders."""
    swept = {override.get_key_element() for override in overrides if override.is_sweep_override()}
    fixed = {override.get_key_element() for override in overrides} | {
        "output_dir",
        "init_from",
        "approach.ensemble_with",
        "sweep.study",
        "sweep.trial",
    }
    keys = ",".join(f"'{key}'" for key in sorted(fixed - swept))  # in quotes for the ~ of ~logger=tensorboard
    return f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"


# At import, so that the processes a launcher starts know them as well.
OmegaConf.register_resolver("run_name", run_name, use_cache=True, replace=True)
OmegaConf.register_resolver("run_label", run_label, replace=True)
OmegaConf.register_resolver("jobs_at_once", jobs_at_once, replace=True)
