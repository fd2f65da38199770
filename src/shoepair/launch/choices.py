"""Whether what was typed for a group can be the name of an option: Hydra takes more, and stumbles over it later."""

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override, QuotedString, ValueType

from shoepair.config.groups import groups_of
from shoepair.config.habits import OPTIONS
from shoepair.config.shown import in_line
from shoepair.errors import UserError

SEVERAL = ("callbacks", "experiment", "logger")  # groups that a list of options fits
TRIED = ("approach", "augment", "data", "optimizer", "scheduler")  # groups that a sweep may go through
CHOSEN_BY = {"hydra/launcher": "launcher", "hydra/sweeper": "sweep"}


def refuse_no_option(command: str, typed: Sequence[str], overrides: Sequence[Override]) -> None:
    """Raise a UserError for the first value of a group that is no name, and no {KEY: VALUE} for what the group holds.

    Whether there is an option of that name, Hydra says: it knows more places than conf/.

    Args:
        command: train or evaluate.
        typed: all that was typed after it.
        overrides: the settings among it.
    """
    groups = groups_of(command, typed)
    for override in overrides:
        group = override.key_or_group
        ours = groups_of("train", []).get(group, []) if command == "evaluate" and group not in groups else []
        if ours and (override.is_sweep_override() or override.value() in ours):
            raise UserError(
                f"{override.input_line}: evaluate takes data=NAME only, since a checkpoint is measured as it was "
                "trained; trainer.accelerator and trainer.devices say where."
            )
        if override.is_value_path or (group not in groups and "/" not in group):
            continue
        if override.is_delete() and override.value() is None:
            continue
        options = groups.get(CHOSEN_BY.get(group, group), [])
        if override.is_range_sweep() or override.is_interval_sweep():
            raise _mistake(group, str(override.input_line).partition("=")[2], options)
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:  # of names
            continue
        for value in override.sweep_iterator() if override.is_sweep_override() else [override.value()]:
            if not _is_choice(group, value):
                raise _mistake(group, value, options)


def _is_choice(group: str, value: Any) -> bool:
    if isinstance(value, list):
        return (group in SEVERAL or "/" in group) and _all_names(value)
    return isinstance(value, str | QuotedString | dict)


def _all_names(values: list[Any]) -> bool:
    return all(isinstance(name, str | QuotedString) for name in values)


def _mistake(group: str, value: Any, options: Sequence[str]) -> UserError:
    said = f"{group}={in_line(value)}: expected "
    said += "names of options" if isinstance(value, list) and group in SEVERAL else "the name of an option"
    if str(value) in options:  # as experiment=7, of a file experiment/7.yaml
        return UserError(f"{said}, which a number is in quotes: {group}=\"'{value}'\".")
    if value is None:
        said += f" ({group}=[] for none)" if group in SEVERAL else " (leave it out for none)"
    if isinstance(value, list) and len(value) > 1 and group in TRIED and _all_names(value):
        said += f" (-m {group}=NAME,NAME tries several)"
    if group in CHOSEN_BY:
        said += f", which {CHOSEN_BY[group]}=NAME chooses"
    if options:
        said += f": {', '.join(options)}"
    return UserError(f"{said}; {OPTIONS[group]}" if group in OPTIONS else f"{said}.")
