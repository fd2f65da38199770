"""What a torture counts: of what was tried, how much ended in the right result, and how much in one line.

Every driver in this folder has `run(count, seed) -> Counts`, and can be run by itself:
`PYTHONPATH=tests python -m torture.NAME 50 0`.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("shoepair")
STOPPED = "ran too long"


@dataclass
class Counts:
    """How many were tried, and how they ended; `wrong` says of each of the others what it was and what came of it."""

    name: str
    tried: int = 0
    right: int = 0
    one_line: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, what: str, ended: str) -> None:
        """Count one: `ended` is "right", "one line", or what went wrong."""
        self.tried += 1
        if ended == "right":
            self.right += 1
        elif ended == "one line":
            self.one_line += 1
        else:
            self.wrong.append(f"{what}: {ended}")
            print(f"wrong: {self.wrong[-1]}", file=sys.stderr, flush=True)

    def __str__(self) -> str:
        said = (
            f"{self.name}: {self.tried} tried, {self.right} right, {self.one_line} in one line, {len(self.wrong)} wrong"
        )
        return "\n".join([said, *(f"  {line}" for line in self.wrong)])


def shoepair(
    *arguments: str | Path, cwd: Path, seconds: float = 120, environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the program as a person would. One that is not through after `seconds` is killed, and says STOPPED."""
    command = [*prefix, str(PROGRAM), *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        err += f"\n{STOPPED}: {seconds:.0f} s"
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def judged(done: subprocess.CompletedProcess[str], *, refusals: Sequence[int] = (2,)) -> str:
    """ "right" (exit code 0, no traceback), "one line" (refused, by one line that names itself), or what went wrong."""
    said = [line for line in done.stderr.splitlines() if line.strip()]
    ending = f"exit code {done.returncode}, {' | '.join(said[-3:])[-300:]}"
    if "Traceback" in done.stderr + done.stdout or STOPPED in done.stderr:
        return ending
    if done.returncode == 0:
        return "right"
    ours = [line for line in said if line.startswith("shoepair: ")]
    return "one line" if done.returncode in refusals and len(ours) == 1 and said[-1] == ours[0] else ending


def main(run: Callable[[int, int], Counts]) -> None:
    """Run one driver: COUNT and SEED from the command line; exit code 1 if something went wrong."""
    numbers = [int(word) for word in sys.argv[1:]]
    counts = run(*{0: (20, 0), 1: (*numbers, 0), 2: tuple(numbers)}[len(numbers)])
    print(counts)
    raise SystemExit(bool(counts.wrong))
