"""Runs the parts of the torture, each until its count is reached, and writes docs/reliability.md from what came of it.

PYTHONPATH=tests python -m torture                       all parts; what FILE says was done is not done again
PYTHONPATH=tests python -m torture kills names           these parts
PYTHONPATH=tests python -m torture names --count 500     so many cases of each
PYTHONPATH=tests python -m torture --anew                as if nothing had been done
"""

import argparse
import importlib
import json
from dataclasses import asdict
from pathlib import Path

from shoepair.files import write_json
from torture.counts import Counts

ROOT = Path(__file__).parents[2]
RESULTS, PAGE = ROOT / "docs" / "results" / "torture.json", ROOT / "docs" / "reliability.md"
AT_ONCE = 10  # cases, after which what came of them is written down
# Part: its function, how many cases, and what it is in the table.
PARTS = {
    "kills": ("kills.run", 60, "runs killed at random moments and resumed"),
    "kills_on_two": ("kills.run_on_two", 20, "runs killed and resumed, their folder and $TMPDIR on two file systems"),
    "kills_moved": ("kills.run_moved", 20, "runs killed, moved to another folder and resumed"),
    "kills_same": ("kills.run_same", 12, "kills of one and the same run"),
    "photos": ("files.run", 100, "strange photos in a heap"),
    "names": ("files.run_names", 60, "heaps with strange names"),
    "tables": ("files.run_tables", 60, "tables of pairs, as people have them"),
    "settings": ("settings.run", 130, "settings checked, and trained with"),
    "checkpoints": ("checkpoints.run", 135, "crafted and broken checkpoints"),
    "folders": ("folders.run", 84, "hostile run folders"),
    "disk": ("disk.run", 56, "disk full, read-only, no memory, a folder where a file is"),
    "servers": ("servers.run", 42, "broken servers and archives"),
    "stores": ("stores.run", 60, "commands on a store of shoes killed at random moments"),
    "crowds": ("crowds.run", 16, "several processes in one folder at once"),
}  # fmt: skip
TOGETHER = ("kills_same",)  # cases that are one story


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all, if none is named")
    parser.add_argument("--count", type=int, metavar="N", help="cases of each part; default: each part's own")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="decides the cases")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="what was done (%(default)s)")
    parser.add_argument("--anew", action="store_true", help="forget what was done")
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: no such part; they are {', '.join(PARTS)}")
    wrong = 0
    for part in options.parts or PARTS:
        counts = go_on(part, options.count or PARTS[part][1], options.seed, options.json, anew=options.anew)
        print(counts, flush=True)
        wrong += len(counts.wrong)
    if options.json == RESULTS:
        PAGE.write_text(page(read(RESULTS)), encoding="utf-8")
    raise SystemExit(bool(wrong))


def go_on(part: str, count: int, seed: int, file: Path, *, anew: bool) -> Counts:
    """Try cases of a part until there are `count`, and write them down as they come."""
    done = Counts(part) if anew else read(file).get(part, Counts(part))
    while done.tried < count:
        module, _, function = PARTS[part][0].partition(".")
        now = count - done.tried if part in TOGETHER else min(AT_ONCE, count - done.tried)
        some: Counts = getattr(importlib.import_module(f"torture.{module}"), function)(now, seed + done.tried)
        # A driver may try more than it was asked for; what is asked for next follows from what was asked for.
        done = Counts(
            part, done.tried + some.tried, done.right + some.right, done.one_line + some.one_line,
            [*done.wrong, *some.wrong],
        )  # fmt: skip
        write_json(file, {name: asdict(counts) for name, counts in (read(file) | {part: done}).items()})
    return done


def read(file: Path) -> dict[str, Counts]:
    """What was done, by part, in the order of PARTS."""
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {part: Counts(**found[part]) for part in PARTS if part in found}


def page(done: dict[str, Counts]) -> str:
    """docs/reliability.md: its words, and the table of what was done."""
    words = PAGE.read_text(encoding="utf-8")
    rows = ["| tried | cases | right result | one line | neither |", "| --- | ---: | ---: | ---: | ---: |"]
    for part, counts in done.items():
        rows.append(
            f"| {PARTS[part][2]} | {counts.tried:,} | {counts.right:,} | {counts.one_line:,} | {len(counts.wrong):,} |"
        )
    before, _, rest = words.partition(BEGIN)
    return f"{before}{BEGIN}\n{chr(10).join(rows)}\n{END}{rest.partition(END)[2]}"


BEGIN, END = "<!-- written by `make torture` -->", "<!-- end -->"


if __name__ == "__main__":
    main()
