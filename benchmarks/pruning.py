"""Does pruning cost anything? The same search with and without it: the best accuracy, and the epochs that it took.

    python benchmarks/pruning.py OUT [KEY=VALUE ...] [--seeds 3] [--trials 40] [--seconds 400] [--pruners median ...]

Every search is one `shoepair train sweep=search` in OUT. After so many seconds the command ends; called again, it goes
on, until it says the result, which goes to OUT/pruning.json.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna

PROGRAM = [sys.executable, "-m", "shoepair", "train", "sweep=search"]
# 60 drawn people and the smallest run in which settings matter.
SETTINGS = ("approach=histogram", "data.num_people=60", "data.num_test_people=0", "data.image_size=16",
            "data.batch_size=64", "trainer.max_epochs=24", "sweep.warmup_epochs=4")  # fmt: skip


def search(folder: Path, pruner: str, seed: int, trials: int, seconds: float, settings: list[str]) -> bool:
    """Search, or go on with it. Returns whether it is whole."""
    command = [*PROGRAM, *SETTINGS, *settings, f"output_dir={folder}", f"hydra.sweep.dir={folder}/jobs",
               f"sweep.pruner={pruner}", f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.sampler.seed={seed}",
               f"seed={seed}"]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log, contextlib.suppress(subprocess.TimeoutExpired):
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            process.wait(timeout=seconds)
        finally:
            process.kill()
            process.wait()
    return len(finished(folder)) >= trials


def finished(folder: Path) -> list[optuna.trial.FrozenTrial]:
    """The trials of a folder's only study that have ended."""
    if not (folder / "search.db").is_file():
        return []
    url = f"sqlite:///{folder}/search.db"
    names = optuna.get_all_study_names(url)
    return [
        t for name in names for t in optuna.load_study(study_name=name, storage=url).trials if t.state.is_finished()
    ]


def measured(folder: Path) -> dict[str, Any]:
    trials = finished(folder)
    complete = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    best = max(complete, key=lambda trial: trial.value or 0)
    results = json.loads(Path(best.user_attrs["folder"], "results.json").read_text())
    return {
        "best": best.value,
        "best_interval": results["splits"]["val"]["interval"],
        "trials": len(trials),
        "pruned": sum(t.state == optuna.trial.TrialState.PRUNED for t in trials),
        "epochs": sum(len(t.intermediate_values) for t in trials),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--pruners", nargs="+", default=["median", "successive_halving"])
    parser.add_argument("--seconds", type=float, default=400, help="end after so many; the next call goes on")
    options, settings = parser.parse_known_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deadline = time.monotonic() + options.seconds
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for seed in range(options.seeds):
        for pruner in ("none", *options.pruners):
            folder = options.out / f"{pruner}-{seed}"
            if len(finished(folder)) < options.trials and not search(
                folder, pruner, seed, options.trials, deadline - time.monotonic(), settings
            ):
                print(f"{folder}: {len(finished(folder))} of {options.trials} trials; call again to go on")
                return
            found.setdefault(pruner, {})[str(seed)] = measured(folder)
    record = {"settings": [*SETTINGS, *settings], "trials": options.trials, "searches": found,
              "compared": {pruner: compared(found["none"], found[pruner]) for pruner in options.pruners}}  # fmt: skip
    (options.out / "pruning.json").write_text(json.dumps(record, indent=2) + "\n")
    for pruner, searches in found.items():
        for name, figures in searches.items():
            low, high = (100 * end for end in figures["best_interval"])
            print(f"{pruner:<18} seed {name}: best {100 * figures['best']:.1f} % ({low:.1f} to {high:.1f}), "
                  f"{figures['epochs']} epochs, {figures['pruned']} pruned")  # fmt: skip
    for pruner, means in record["compared"].items():
        print(f"{pruner}: {100 * means['epochs_of_unpruned']:.0f} % of the epochs; "
              f"best {100 * means['difference_of_best']:+.1f} points")  # fmt: skip


def compared(plain: dict[str, dict[str, Any]], pruned: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Means over the seeds."""
    return {
        "epochs_of_unpruned": statistics.fmean(pruned[seed]["epochs"] / plain[seed]["epochs"] for seed in plain),
        "difference_of_best": statistics.fmean(pruned[seed]["best"] - plain[seed]["best"] for seed in plain),
    }


if __name__ == "__main__":
    main()
