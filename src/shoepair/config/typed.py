"""How a setting is typed: quoted for Hydra's grammar and for the shell, where they want it; and what was typed."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# What Hydra takes for the text that it is; not a number, true or null.
PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)(?:[A-Za-z_]|\.{0,2}/)[A-Za-z0-9_/.-]*", re.IGNORECASE)


@dataclass(frozen=True)
class Typed:
    """What was typed for a run.

    Attributes:
        overrides: all of it.
        label: what tells it from the other jobs of its sweep, or from a run of which nothing was typed.
        follows: of keys whose value is that of another one unless something else is typed, that one.
    """

    overrides: Sequence[str] = ()
    label: str = ""
    follows: Mapping[str, str] = field(default_factory=dict)


def as_typed(key: str, value: object) -> str:
    """KEY=VALUE as it is typed into a shell."""
    text = str(value)
    return shlex.quote(f"{key}={text if PLAIN.fullmatch(text) else quoted(text)}")


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes it whatever is in it: a quote gets a backslash, and backslashes before it another
    one each."""
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"
