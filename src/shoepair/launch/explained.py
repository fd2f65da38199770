"""What keys mean: beside their values in --help, and one by one by `--explain KEY`."""

import contextlib
import io
import itertools
import re
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError

from shoepair.config.compat import with_dotted_keys
from shoepair.config.groups import groups_of
from shoepair.config.messages import allowed, unknown_key
from shoepair.config.schema import keys_of, known_keys
from shoepair.config.shown import ABSENT, shown
from shoepair.errors import UserError, one_line
from shoepair.launch.hydra_private import parse_overrides
from shoepair.terminal import say

LINE = re.compile(r"(?P<indent> *)(?P<key>[\w]+):(?P<value>.*)")
COLUMN = 34  # where meanings begin
# Flags of Hydra's that want a value: those that say what is composed, and those that say what is shown of it.
OF_CONFIG = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp")
OF_OUTPUT = ("--cfg", "-c", "--package", "-p", "--info", "--experimental-rerun")


def explain_keys(command: str, names: Sequence[str], composed: str) -> str:
    """For each key what it means, what it may be, and its value.

    Args:
        names: of keys, or of sections, all of whose keys are meant.
        composed: the configuration with what else was typed, as `--cfg job` prints it.
    Raises:
        UserError: if there is no such key.
    """
    keys, config, groups = keys_of(command), OmegaConf.create(composed), groups_of(command, sys.argv)
    said = []
    for name in names:
        meant = [key for key in keys if key == name or key.startswith(f"{name}.")]
        if name in groups:
            of_group = "A group: it chooses settings that belong together."
            said.append(f"{name}=NAME\n  {of_group}\n  Allowed: {', '.join(groups[name])}")
        elif not meant and (argument := _argument(config, name)) is not None:
            said.append(argument)
        elif not meant:
            raise _no_such_key(command, name, keys)
        for key in meant:
            field = keys[key]
            said.append(f"{key}\n  {field.description}\n  Allowed: {allowed(field)}\n  Now:     {_now(config, key)}")
    return "\n".join(said)


def _argument(config: Any, name: str) -> str | None:
    """Of a key that a class from elsewhere takes; None if it is none, or has no value."""
    parent = name.rpartition(".")[0]
    target = OmegaConf.select(config, f"{parent}._target_") if parent else None
    plain: Any = OmegaConf.to_container(config)
    if target is None or name not in with_dotted_keys(plain):
        return None
    return f"{name}\n  An argument of {target}.\n  Now:     {_now(config, name)}"


def _no_such_key(command: str, name: str, keys: Collection[str]) -> UserError:
    if name.partition(".")[0] == "hydra":
        section = f" -p {name.rpartition('.')[0]}" if "." in name else ""
        return UserError(f"{name}: Hydra's own key; shoepair {command} --cfg hydra{section} shows its value.")
    if name in known_keys():  # of another command
        return unknown_key(name, [key for key in keys if "." not in key])
    while not (siblings := [key for key in keys if key.rpartition(".")[0] == name.rpartition(".")[0]]):
        name = name.rpartition(".")[0]
    return unknown_key(name, siblings)


def _now(config: Any, key: str) -> str:
    if OmegaConf.is_missing(config, key):
        return "(to be given)"
    try:
        value = OmegaConf.select(config, key, default=ABSENT)
    except InterpolationResolutionError as error:
        raise UserError(f"{key}: {one_line(str(error)).partition('; full_key')[0]}") from error
    value = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    return "no value with these settings" if value is ABSENT else shown(value)


@contextlib.contextmanager
def annotated_help(command: str) -> Iterator[None]:
    """Hydra's help, with the meaning of each key behind its value: cut to the terminal's width, where there is one."""
    written, terminal = io.StringIO(), sys.stdout
    width = shutil.get_terminal_size().columns if terminal.isatty() else None
    try:
        with contextlib.redirect_stdout(written):
            yield
    finally:
        say(annotated(written.getvalue(), command, width).rstrip("\n"))


def annotated(text: str, command: str, width: int | None) -> str:
    """A YAML text among others with the meanings of its keys."""
    keys, path, lines = keys_of(command), [""] * 10, []
    for line in text.splitlines():
        found = LINE.fullmatch(line)
        if found:
            depth = len(found["indent"]) // 2
            path[depth] = found["key"]
            field = keys.get(".".join(path[: depth + 1]))
            if field is not None:
                meaning = f"{line.ljust(COLUMN)}  # {field.description}"
                line = meaning if width is None or len(meaning) <= width else f"{meaning[: width - 1]}…"
        lines.append(line)
    return "\n".join(lines)


def parse_explain(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The keys that --explain names (--explain KEY ..., --explain=KEY), and of the rest what decides their values.

    Raises:
        UserError: if it names none, or beside a sweep.
    """
    names: list[str] = []
    flags: list[str] = []
    overrides: list[str] = []
    are_named, words = False, iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if flag == "--explain":
            are_named = not equals
            names.append(value)
        elif flag in OF_CONFIG or flag in OF_OUTPUT:
            with_value = [word] if equals else [word, *itertools.islice(words, 1)]
            flags += with_value if flag in OF_CONFIG else []
        elif are_named and equals and not value and not word.startswith("-"):  # as TAB completes it
            names.append(flag)
        elif word.startswith("~") or (equals and not word.startswith("-")):
            overrides.append(word)
        elif are_named and not word.startswith("-"):
            names.append(word)
    if not any(names):
        raise UserError("--explain: expected a key, such as --explain data.negatives.")
    for override in parse_overrides(overrides):
        if override.is_sweep_override():
            raise UserError(f"{override.input_line}: expected one value, since --explain tells that of one run.")
    return [name for name in names if name], [*flags, *overrides]
