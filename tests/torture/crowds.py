"""Several at once in one folder, and Ctrl-C at any moment, once or twice: each is whole, or refused in one line.

PYTHONPATH=tests python -m torture.crowds 20 0
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from torture.counts import Counts, judged, main
from torture.world import TINY, forked, start, world

Done = list[subprocess.CompletedProcess[str]]


def at_once(folder: Path, chance: random.Random, *commands: tuple[str, ...]) -> Done:
    running = []
    for command in commands:
        running.append(start(*command, cwd=folder))
        time.sleep(chance.choice([0, 0, 0.05, 0.5]))
    return [process.end() for process in running]


def all_well(done: Done, whole: Callable[[], bool], *, refusals: int | None = None) -> str:
    """Each is right or refused, at least one is right, and what they leave is whole."""
    ended = [judged(one) for one in done]
    bad = [one for one in ended if one not in ("right", "one line")]
    if bad:
        return bad[0]
    if "right" not in ended:
        return "all were refused"
    if refusals is not None and ended.count("one line") != refusals:
        return f"{ended.count('one line')} were refused, expected {refusals}"
    return "right" if whole() else "what they left is not whole"


def status_of(run_dir: Path) -> str:
    return str(json.loads((run_dir / "status.json").read_text())["status"])


def matches(folder: Path, chance: random.Random) -> tuple[str, str]:
    command = ("match", "heap", "--checkpoint", "outputs/run", "--out", "crowd/match")

    def whole() -> bool:
        with (folder / "crowd" / "match" / "pairs.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        return bool(rows or (folder / "crowd/match/singles.csv").read_text()) and not partial(folder)

    return "match to one folder", all_well(at_once(folder, chance, command, command, command), whole)


def sweeps(folder: Path, chance: random.Random) -> tuple[str, str]:
    """With other settings under the same numbers: none may clear what the other one has."""
    one = ("train", "-m", *TINY, "seed=1,2", "hydra.sweep.dir=crowd/sweep", "hydra.sweep.subdir=${hydra.job.num}")
    other = tuple(word.replace("seed=1,2", "seed=3,4") for word in one)

    def whole() -> bool:
        seeds = [json.loads((folder / f"crowd/sweep/{n}/config.json").read_text())["seed"] for n in (0, 1)]
        return seeds in ([1, 2], [3, 4]) and not partial(folder)

    return "sweeps in one folder", all_well(at_once(folder, chance, one, other), whole, refusals=1)


def starts(folder: Path, chance: random.Random) -> tuple[str, str]:
    commands = [("train", *TINY, f"seed={seed}", "hydra.run.dir=crowd/run") for seed in range(4)]

    def whole() -> bool:
        typed = (folder / "crowd/run/.hydra/overrides.yaml").read_text()
        seed = json.loads((folder / "crowd/run/config.json").read_text())["seed"]
        return status_of(folder / "crowd/run") == "completed" and f"seed={seed}" in typed and not partial(folder)

    return "starts in one folder", all_well(at_once(folder, chance, *commands), whole, refusals=3)


def compares(folder: Path, chance: random.Random) -> tuple[str, str]:
    """Beside a run that goes on."""
    shutil.copytree(folder / "outputs", folder / "crowd" / "outputs")
    (folder / "crowd/outputs/run/results.json").unlink()
    status = folder / "crowd/outputs/run/status.json"  # or compare would rightly say that it cannot be read
    status.write_text(json.dumps(json.loads(status.read_text()) | {"status": "interrupted"}))
    compare = ("compare", "crowd/outputs")
    done = at_once(folder, chance, ("train", "resume=crowd/outputs/run"), compare, compare, compare)

    def whole() -> bool:
        with (folder / "crowd/outputs/leaderboard.csv").open(newline="") as file:
            return len(list(csv.DictReader(file))) == 3 and not partial(folder)

    return "compare beside a resume", all_well(done, whole, refusals=0)


def caches(folder: Path, chance: random.Random) -> tuple[str, str]:
    commands = [
        ("train", *TINY, f"seed={n}", "data.cache_dir=crowd/cache", f"hydra.run.dir=crowd/{n}") for n in range(3)
    ]
    return "one cold cache", all_well(at_once(folder, chance, *commands), lambda: not partial(folder), refusals=0)


def interrupted(folder: Path, chance: random.Random) -> tuple[str, str]:
    """Ctrl-C, once or twice: quiet, and a run can be gone on with."""
    commands: list[tuple[str, ...]] = [
        ("train", *TINY, "trainer.max_epochs=30", "hydra.run.dir=crowd/run"),
        ("train", "-m", *TINY, "seed=1,2,3", "hydra.sweep.dir=crowd/sweep"),
        ("compare", "outputs"),
        ("evaluate", "checkpoint=outputs/run", "hydra.run.dir=crowd/evaluated"),
        ("match", "heap", "--checkpoint", "outputs/run", "--out", "crowd/match"),
        ("draw", "crowd/drawn", "--people", "200"),
    ]
    command, presses = chance.choice(commands), chance.choice([1, 2, 2])
    running = start(*command, cwd=folder, before=lambda: os.setpgid(0, 0))
    time.sleep(10 ** chance.uniform(-1, 0.8))
    for _ in range(presses):
        try:
            os.killpg(running.child, signal.SIGINT)
        except (ProcessLookupError, PermissionError):
            break
        time.sleep(10 ** chance.uniform(-2.5, -0.5))
    done = running.end(120)
    ended = judged(done, refusals=(2, 130))
    if done.returncode == 130 and "Traceback" not in done.stderr + done.stdout:
        ended = "one line"
    if ended == "one line" and (folder / "crowd/run/checkpoints/last.ckpt").is_file():
        ended = judged(forked("train", "resume=crowd/run", cwd=folder))
    return f"Ctrl-C {presses} times: {command[0]} {command[1]}", ended


def partial(folder: Path) -> list[Path]:
    return list((folder / "crowd").rglob("*.partial"))


def run(count: int, seed: int) -> Counts:
    counts, chance = Counts("crowds"), random.Random(seed)
    kinds = [matches, interrupted, sweeps, interrupted, starts, interrupted, compares, interrupted, caches]
    with world("crowds") as folder:
        for number in range(count):
            (folder / "crowd").mkdir()
            counts.add(*kinds[number % len(kinds)](folder, chance))
            shutil.rmtree(folder / "crowd", ignore_errors=True)
    return counts


if __name__ == "__main__":
    main(run)
