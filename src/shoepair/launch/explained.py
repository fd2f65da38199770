"""What keys mean: beside their values in --help, and one by one by `--explain KEY`."""

import contextlib
import io
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from shoepair.config.messages import allowed, unknown_key
from shoepair.config.schema import keys_of
from shoepair.config.shown import ABSENT, shown
from shoepair.errors import UserError
from shoepair.terminal import say

LINE = re.compile(r"(?P<indent> *)(?P<key>[\w]+):(?P<value>.*)")
COLUMN = 34  # where meanings begin


def explain_keys(command: str, names: Sequence[str], overrides: Sequence[str]) -> str:
    """For each key what it means, what it may be, and its value with what else was typed.

    Args:
        names: of keys, or of sections, all of whose keys are meant.
    Raises:
        UserError: if there is no such key.
    """
    keys = keys_of(command)
    with initialize_config_module("shoepair.conf"):
        config = compose(command, list(overrides))
    said = []
    for name in names:
        meant = [key for key in keys if key == name or key.startswith(f"{name}.")]
        if not meant:
            raise unknown_key(name, list(keys))
        for key in meant:
            field = keys[key]
            said.append(f"{key}\n  {field.description}\n  Allowed: {allowed(field)}\n  Now:     {_now(config, key)}")
    return "\n".join(said)


def _now(config: Any, key: str) -> str:
    if OmegaConf.is_missing(config, key):
        return "(to be given)"
    value = OmegaConf.select(config, key, default=ABSENT)
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
    """The keys that --explain names (--explain KEY ..., --explain=KEY), and the overrides beside them.

    Raises:
        UserError: if it names none.
    """
    names: list[str] = []
    for place, argument in enumerate(arguments):
        flag, equals, named = argument.partition("=")
        if flag == "--explain":
            names += [named] if equals else [a for a in arguments[place + 1 :] if "=" not in a and a[0] != "-"]
    if not names:
        raise UserError("--explain: expected a key, such as --explain data.negatives.")
    return names, [a for a in arguments if "=" in a and a[0] != "-"]
