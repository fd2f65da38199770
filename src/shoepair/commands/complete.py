"""What the TAB key offers after train and evaluate: groups, keys, values and flags.

Hydra completes as well, but imports every plugin for it, which takes a second or more; here are only file names and
the schema. What begins with "hydra" is left to Hydra.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from shoepair.config.groups import groups_of
from shoepair.config.schema import keys_of

FLAGS = ("--cfg", "--config-dir", "--explain", "--help", "--hydra-help", "--info", "--multirun", "--version")


def complete(command: str, words: Sequence[str]) -> list[str] | None:
    """What the last word may become, sorted; None where Hydra knows more.

    Args:
        command: train or evaluate.
        words: all that is typed after it, the last one as far as it is there (it may be empty).
    """
    *before, last = words
    if last.startswith("-"):
        return [flag for flag in FLAGS if flag.startswith(last)]
    sign = re.match(r"[+~]*", last)
    prefix = sign[0] if sign else ""
    last = last.removeprefix(prefix)
    if last.startswith("hydra"):
        return None
    key, equals, value = last.partition("=")
    groups = groups_of(command, before)
    keys = {name: field for name, field in keys_of(command).items() if name not in ("data.name", "approach.name")}
    if equals:
        begun, value = re.fullmatch(r"(.*[,\[])?(.*)", value, re.DOTALL).groups(default="")  # type: ignore[union-attr]
        values = groups[key] if key in groups else _values(keys[key]) if key in keys else []
        return [f"{prefix}{key}={begun}{v}" for v in sorted(values) if v.startswith(value)]
    end = "" if "--explain" in before else "="
    fitting = {f"{group}{end}" for group in groups if group.startswith(last)}
    for name in keys:
        if name.startswith(last):
            inside, dot, _ = name[len(last) :].partition(".")
            fitting.add(f"{last}{inside}{dot or end}")
    return [f"{prefix}{word}" for word in sorted(fitting)]


def _values(field: FieldInfo) -> list[str]:
    """Those that are words."""
    words: list[str] = []
    for kind in _kinds(field.annotation):
        if kind is type(None):
            words.append("null")
        elif kind is bool:
            words += ["true", "false"]
        elif get_origin(kind) is Literal:
            words += map(str, get_args(kind))
    return words


def _kinds(annotation: Any) -> list[Any]:
    inner = [] if get_origin(annotation) is Literal else get_args(annotation)
    return [annotation, *(kind for part in inner for kind in _kinds(part))]
