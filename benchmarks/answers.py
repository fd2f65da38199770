"""How fast the command line answers what needs no network: python benchmarks/answers.py

In multiples of Python's `import hydra`, in processor time, lowest of RUNS, beside the import, as machines drift.
"""

import os
import subprocess
import sys

from shoepair.reports.tables import markdown_table

RUNS = 5
TYPED = {
    "`shoepair --help`": ["--help"],
    "`shoepair --cfg job`": ["--cfg", "job"],
    "a mistake: `optimizer.lrr=1`": ["optimizer.lrr=1"],
    "a mistake: `optimizer.lr=abc`": ["optimizer.lr=abc"],
    "a mistake: `approach=dull`": ["approach=dull"],
}
TAB = {
    "TAB: a command": "shoepair ",
    "TAB: a key": "shoepair train optimizer.l",
    "TAB: a value": "shoepair train data=",
    "TAB: the options of `match`": "shoepair match --",
    "TAB: the options of `compare`": "shoepair compare --",
}


def main() -> None:
    program = [sys.executable, "-m", "shoepair"]
    asked = [(name, [*program, *typed], "") for name, typed in TYPED.items()]
    asked += [(name, [*program, "-sc", "query=bash"], line) for name, line in TAB.items()]
    yardsticks, rows = [], []
    for name, command, line in asked:
        found = []
        for _ in range(RUNS):
            yardsticks.append(seconds([sys.executable, "-c", "import hydra"]))
            found.append(seconds(command, line))
        rows.append((name, min(found)))
    yardstick = min(yardsticks)
    print(markdown_table(["", "times `import hydra`"], [[name, f"{took / yardstick:.1f}"] for name, took in rows]))
    print(f"\n`import hydra`: {yardstick:.2f} s")


def seconds(command: list[str], line: str = "") -> float:
    """Of processor time, of one process."""
    before = os.times()
    done = subprocess.run(command, env={**os.environ, "COMP_LINE": line}, capture_output=True, text=True)
    after = os.times()
    if done.returncode not in (0, 2) or "Traceback" in done.stderr:
        raise SystemExit(done.stderr)
    return after.children_user - before.children_user + after.children_system - before.children_system


if __name__ == "__main__":
    main()
