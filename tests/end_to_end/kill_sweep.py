"""Kills a sweep at random moments and goes on with it: the leaderboard must be that of an undisturbed sweep.

python tests/end_to_end/kill_sweep.py 20     kills 20 times, and says what it saw
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("shoepair"))
SWEEP = ("train", "-m", "data.num_people=6", "data.num_test_people=0", "data.image_size=32", "data.batch_size=12",
         "approach.width=2", "trainer.max_epochs=6", "optimizer.lr=1e-3,1e-2", "seed=0,1")  # fmt: skip
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("times", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for moment, completed in kill_and_go_on(Path(temporary), times=options.times, seed=options.seed):
            print(f"killed after {moment:4.1f} s with {completed} of 4 jobs completed: same leaderboard")
