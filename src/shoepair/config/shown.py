"""What a setting's value is called where people read it, and when two values are the same one.

Tables, pictures, names of folders, TensorBoard and messages call values alike, and runs are gathered by the same rule.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from shoepair.config.typed import quoted

# A text that would be read as something else if it were typed without quotes; in a list, of two texts, too.
READ_OTHERWISE = re.compile(
    r"null|true|false|nan|[+-]?(inf|\d[\d_]*\.?\d*(e[+-]?\d+)?|\.\d+(e[+-]?\d+)?)|['\"\[{].*",
    re.IGNORECASE | re.DOTALL,
)
SEPARATES = re.compile(r"[,:\]}]|^\s|\s$|^$")
OF_BATCHES = re.compile(r"(.*\.)?limit_\w+_batches")  # keys where 1 is one batch, and 1.0 all of them


class Absent:
    """The value of a key that a run does not have, such as a kernel size where there is no convolution."""

    def __repr__(self) -> str:
        return "-"


ABSENT = Absent()


def identity(value: Any, key: str = "") -> Hashable:
    """What is equal of two values of a key if they are the same: 5 and 5.0 are, 1 and true or 1 and '1' are not."""
    if isinstance(value, bool | None | Absent):
        return repr(value), None
    if isinstance(value, int | float):
        return "part" if isinstance(value, float) and OF_BATCHES.fullmatch(key) else "number", value
    if isinstance(value, Mapping):
        return "settings", tuple(sorted((str(name), identity(inner, str(name))) for name, inner in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "list", tuple(map(identity, value))
    return "text", str(value)


def exact(value: Any, key: str = "") -> str:
    """A value of a key as it is typed, with all its digits."""
    return _called(value, repr if OF_BATCHES.fullmatch(key) else _all_digits)


def shown(value: Any, key: str = "") -> str:
    """A value as it is typed, such as 0.9, null or [0.9, 0.999], with no more digits than tell something.

    Args:
        key: of a class (_target_), the last part of its name is enough.
    """
    if key.rpartition(".")[2] == "_target_" and isinstance(value, str):
        return value.rpartition(".")[2]
    return _called(value, repr if OF_BATCHES.fullmatch(key) else _few_digits)


def shown_apart(values: Sequence[Any], key: str = "") -> list[str]:
    """What several values are called beside one another: as shown(), but those that would look alike are exact."""
    names = [shown(value, key) for value in values]
    meant: dict[str, set[Hashable]] = {}
    for name, value in zip(names, values, strict=True):
        meant.setdefault(name, set()).add(identity(value, key))
    return [name if len(meant[name]) == 1 else exact(value, key) for name, value in zip(names, values, strict=True)]


def in_line(value: Any) -> str:
    """A value as it is typed, and not longer than a line."""
    if type(value) is int and abs(value) >= 10**80:
        return "(a number of more than 80 digits)"  # Python refuses to write some of them down
    text = exact(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last part of each key where that is enough to tell it from the others."""
    last = {key: key.rpartition(".")[2] for key in keys}
    last |= {key: key.split(".")[0] for key in keys if last[key] in ("name", "_target_")}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _called(value: Any, number: Callable[[float], str], *, inside: bool = False) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        called = ((_called(part, number, inside=True) for part in both) for both in value.items())
        return "{" + ", ".join(map(": ".join, called)) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_called(inner, number, inside=True) for inner in value) + "]"
    text = str(value)
    is_ambiguous = READ_OTHERWISE.fullmatch(text) or (inside and SEPARATES.search(text))
    return quoted(text) if isinstance(value, str) and is_ambiguous else text


def _all_digits(number: float) -> str:
    return repr(number).removesuffix(".0")


def _few_digits(number: float) -> str:
    """All its digits if these are at most six; of a number that a search has drawn, five."""
    short = f"{number:.6g}"
    return short if float(short) == number else f"{number:.5g}"
