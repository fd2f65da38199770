"""What can be chosen: the groups of conf/, and of folders that --config-dir names, by the names of their files."""

import itertools
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def groups_of(command: str, typed: Sequence[str]) -> dict[str, list[str]]:
    """Group -> its options, sorted.

    Args:
        command: train or evaluate.
        typed: all that was typed after it, of which --config-dir counts.
    """
    places: list[Traversable] = [files("shoepair.conf")]
    for flag, named in itertools.pairwise(typed):
        if flag in ("--config-dir", "-cd"):
            places.append(Path(named))
    places += [Path(word.partition("=")[2]) for word in typed if word.startswith("--config-dir=")]
    groups: dict[str, set[str]] = {}
    for place in places:
        for folder in place.iterdir() if place.is_dir() else ():
            if folder.is_dir() and (command == "train" or folder.name == "data"):
                groups.setdefault(folder.name, set()).update(_options(folder))
    return {name: sorted(options) for name, options in groups.items() if options}


def _options(folder: Traversable, inside: str = "") -> list[str]:
    options = []
    for path in folder.iterdir():
        if path.is_dir():
            options += _options(path, f"{inside}{path.name}/")
        elif path.name.endswith(".yaml"):
            options.append(f"{inside}{path.name.removesuffix('.yaml')}")
    return options
