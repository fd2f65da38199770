"""What a process takes that is measured from outside."""

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

# Runs between a benchmark and what it measures: Linux counts the memory of whoever starts a program as the program's.
BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"\\n{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}")
sys.exit(code)
"""


@dataclass(frozen=True)
class Measured:
    """What a process said and took.

    Attributes:
        said: the lines that it printed.
        seconds: by the clock.
        cpu_seconds: of all cores together: what a busy machine disturbs less.
        memory_mb: the most that was resident at once.
    """

    said: list[str]
    seconds: float
    cpu_seconds: float
    memory_mb: float


def measured(command: Sequence[str], cwd: Path | None = None) -> Measured:
    """Run a command. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", BETWEEN, *command], stdout=subprocess.PIPE, text=True, check=True, cwd=cwd
    )
    seconds = time.perf_counter() - started
    *said, _, usage = done.stdout.split("\n")[:-1]  # BETWEEN begins a line of its own
    cpu_seconds, memory_kb = map(float, usage.split())
    return Measured(said, seconds, cpu_seconds, memory_kb / 1024)
