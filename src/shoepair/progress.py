"""A bar with the time that is left, for steps that take longer than a moment."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Step = TypeVar("Step")

SILENT_S = 1.0  # what ends sooner shows no bar


def progress(steps: Iterable[Step], what: str, unit: str, total: int | None = None) -> Iterable[Step]:
    """The steps, with a bar where somebody looks at a terminal.

    Args:
        total: how many there are, where the steps cannot say.
    """
    hidden = not sys.stderr.isatty()
    shown: Iterable[Step] = tqdm(steps, desc=what, unit=unit, total=total, leave=False, delay=SILENT_S, disable=hidden)
    return shown
