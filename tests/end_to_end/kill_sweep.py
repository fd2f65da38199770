"""Kills a sweep at random moments and goes on with it: the leaderboard must be that of an undisturbed sweep. Kills one
search with pruning again and again: it must come to a leaderboard that holds every trial once.

python tests/end_to_end/kill_sweep.py 20            kills 20 times, and says what it saw
python tests/end_to_end/kill_sweep.py 20 --search
"""

import argparse
import csv
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("shoepair"))
SWEEP = ("train", "-m", "data.num_people=6", "data.num_test_people=0", "data.image_size=32", "data.batch_size=12",
         "approach.width=2", "trainer.max_epochs=6", "optimizer.lr=1e-3,1e-2", "seed=0,1")  # fmt: skip
# A pruner acts from the sixth trial on, and by the accuracy of few pairs.
SEARCH = ("train", "sweep=search", "approach=histogram", "data.num_people=12", "data.num_test_people=0",
          "data.image_size=32", "trainer.max_epochs=8", "optimizer.lr=tag(log,interval(1e-6,1e-1))",
          "sweep.pruner=median", "sweep.warmup_epochs=1", "hydra.sweeper.n_trials=8")  # fmt: skip
LONGEST_S = 12  # from the start of a job to its kill: its imports, and some trials
OF_TIME = ("seconds",)


def board_of(folder: Path) -> list[dict[str, str]]:
    """leaderboard.csv without times, and paths without the sweep's own folder."""
    with (folder / "leaderboard.csv").open(newline="") as file:
        rows = [{key: value for key, value in row.items() if key not in OF_TIME} for row in csv.DictReader(file)]
    return [row | {"path": Path(row["path"]).name} for row in rows]


def kill_and_go_on(folder: Path, *, times: int, seed: int) -> list[tuple[float, int]]:
    """Kill `times` sweeps, each at a random moment, and go on with each until it is whole.

    Returns:
        For each: after how many seconds it was killed, and how many jobs were completed then.
    Raises:
        AssertionError: if a leaderboard differs from that of the undisturbed sweep.
    """
    started = time.perf_counter()
    whole = subprocess.run([PROGRAM, *SWEEP, "hydra.sweep.dir=outputs/whole"], cwd=folder, capture_output=True)
    assert whole.returncode == 0, whole.stderr.decode()
    seconds = time.perf_counter() - started
    moments, seen = random.Random(seed), []
    for number in range(times):
        sweep_dir = f"outputs/killed{number}"
        process = subprocess.Popen([PROGRAM, *SWEEP, f"hydra.sweep.dir={sweep_dir}"], cwd=folder,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        moment = moments.uniform(0.45, 0.95) * seconds  # before that it imports
        time.sleep(moment)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        completed = len(list(Path(folder, sweep_dir).glob("*/results.json")))
        again = subprocess.run([PROGRAM, *SWEEP, f"hydra.sweep.dir={sweep_dir}"], cwd=folder, capture_output=True)
        assert again.returncode == 0, again.stderr.decode()
        found, expected = board_of(Path(folder, sweep_dir)), board_of(Path(folder, "outputs/whole"))
        assert found == expected, (number, moment, found, expected)
        seen.append((moment, completed))
    return seen


def kill_and_go_on_searching(folder: Path, *, times: int, seed: int) -> list[tuple[float, dict[str, int]]]:
    """Kill one search `times` times, each after a random while, go on with it each time, and let it end.

    Returns:
        For each kill: after how many seconds it was, and the jobs' statuses then, as leaderboard.csv would say them.
    Raises:
        AssertionError: if a trial is missing, stands there twice or did not end, or if what had ended was lost.
    """
    command = [PROGRAM, *SEARCH, f"hydra.sweeper.n_trials={8 + times}", "hydra.sweep.dir=outputs/search"]
    jobs = folder / "outputs/search"
    moments, seen, ended = random.Random(seed), [], dict[str, str]()

    def statuses() -> dict[str, str]:
        found = {path.parent.name: json.loads(path.read_text())["status"] for path in jobs.glob("*/status.json")}
        return {name: status for name, status in found.items() if status in ("completed", "pruned")}

    for _ in range(times):
        started = time.time()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not any(p.stat().st_mtime > started for p in jobs.glob("*/status.json")):
            time.sleep(0.02)  # until it begins a job, or goes on with one
        moment = moments.uniform(0, LONGEST_S)
        time.sleep(moment)
        process.kill()
        process.wait()
        now = statuses()
        assert ended.items() <= now.items(), (ended, now)
        ended = now
        seen.append((moment, dict(Counter(ended.values()))))
    whole = subprocess.run(command, cwd=folder, capture_output=True)
    assert whole.returncode == 0, whole.stderr.decode()
    rows = board_of(jobs)
    assert {row["path"]: row["status"] for row in rows}.items() >= ended.items()
    numbers = sorted(int(row["path"].partition("_")[0]) for row in rows)
    assert len(numbers) == len(set(numbers)) == 8 + times, numbers
    assert {row["status"] for row in rows} <= {"completed", "pruned"}
    with closing(sqlite3.connect(folder / "outputs/search.db")) as database:
        states = dict(database.execute("select number, state from trials").fetchall())
    of_study = {"completed": "COMPLETE", "pruned": "PRUNED"}
    assert all(states[int(row["path"].partition("_")[0])] == of_study[row["status"]] for row in rows)
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--search", action="store_true", help="a search with pruning")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if options.search:
            for moment, ended in kill_and_go_on_searching(Path(temporary), times=options.times, seed=options.seed):
                print(f"killed {moment:.1f} s after a job had begun, when there were {ended}")
            print("every trial once in the leaderboard, each as the study says it")
            raise SystemExit
        for moment, completed in kill_and_go_on(Path(temporary), times=options.times, seed=options.seed):
            print(f"killed after {moment:4.1f} s with {completed} of 4 jobs completed: same leaderboard")
