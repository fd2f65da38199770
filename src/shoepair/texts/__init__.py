"""What people read in pages, one file a language: `en.toml`, `de.toml`. To add a language, add a file."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
DEFAULT = "en"

# Tables of texts; {names} in them are filled in with str.format.
Texts = dict[str, Any]


@cache
def load_texts(language: str = DEFAULT) -> Texts:
    """The texts of a language, a key of languages()."""
    return tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))


@cache
def languages() -> dict[str, str]:
    """What each language calls itself, by its code (BCP 47), such as "de"."""
    return {code: str(load_texts(code)["language"]) for code in sorted(path.stem for path in FOLDER.glob("*.toml"))}


def counted(texts: Texts, number: int, what: str) -> str:
    """A number with its noun: `what` is a key of the table `counts`, which has the singular and the plural."""
    one, several = texts["counts"][what]
    return str(one if number == 1 else several).format(n=f"{number:,}")
