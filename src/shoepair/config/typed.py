"""How a setting is typed: quoted for Hydra's grammar and for the shell, where they want it."""

import re
import shlex

# What Hydra takes for the text that it is; not a number, true or null.
PLAIN = re.compile(r"(?!(?:true|false|null|nan|inf)$)(?:[A-Za-z_]|\.{0,2}/)[A-Za-z0-9_/.-]*", re.IGNORECASE)


def as_typed(key: str, value: object) -> str:
    """KEY=VALUE as it is typed into a shell."""
    text = str(value)
    return shlex.quote(f"{key}={text if PLAIN.fullmatch(text) else quoted(text)}")


def quoted(text: str) -> str:
    """A text as Hydra's grammar takes it whatever is in it: a quote gets a backslash, and backslashes before it another
    one each."""
    return "'" + re.sub(r"(\\*)('|\Z)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), text) + "'"
