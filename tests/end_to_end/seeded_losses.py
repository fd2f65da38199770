"""Whether a change leaves training as it was: the losses of every experiment, seeded, two epochs on tiny data.

python tests/end_to_end/seeded_losses.py                              the losses of this checkout
python tests/end_to_end/seeded_losses.py ../before/.venv/bin/python   and of another one; are they identical?

Losses are the same only on one machine with one torch. Exit code 1 where they differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

# Only keys that every version has. 12 people, of whom 9 train: one full batch of 42 pairs.
SETTINGS = ("data.num_people=12", "data.num_test_people=0", "trainer.max_epochs=2", "trainer.precision=32-true")
EXPERIMENTS = {
    "best_dual": (),
    "best_single": (),
    "best_pretrained": ("approach.weights=null", "approach.cutout=64"),
    "original_dual": (),
    "original_single": (),
}
READ = """
import json, sys, torch
callbacks = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["callbacks"]
history = next(state["history"] for state in callbacks.values() if isinstance(state, dict) and "history" in state)
print(json.dumps({name: [value.hex() for value in history[name]] for name in ("train/loss", "val/loss")}))
"""


def losses_of(experiment: str, python: str, folder: Path) -> dict[str, list[str]]:
    """The losses of both epochs, as hexadecimal numbers, so that none is rounded."""
    typed = [f"experiment={experiment}", *SETTINGS, *EXPERIMENTS[experiment], f"hydra.run.dir={experiment}"]
    subprocess.run([python, "-m", "shoepair", "train", *typed], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    checkpoint = str(folder / experiment / "checkpoints" / "last.ckpt")
    read = subprocess.run([python, "-c", READ, checkpoint], check=True, capture_output=True, text=True)
    losses: dict[str, list[str]] = json.loads(read.stdout)
    return losses


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", nargs="?", metavar="PYTHON", help="of the environment of another checkout")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, default=list(EXPERIMENTS))
    options = parser.parse_args()
    # Absolute, since each runs in a folder of its own; not resolved, or the environment's python would be the system's.
    pythons = [str(Path(python).absolute()) for python in filter(None, (options.before, sys.executable))]
    same = True
    for experiment in options.only:
        found = []
        for python in pythons:
            with tempfile.TemporaryDirectory() as folder:
                found.append(losses_of(experiment, python, Path(folder)))
        same &= all(losses == found[0] for losses in found)
        for which, losses in zip(("before", "now")[-len(found) :], found, strict=True):
            shown = "   ".join(
                f"{name} {' '.join(f'{float.fromhex(value):.9f}' for value in values)}"
                for name, values in losses.items()
            )
            print(f"{experiment:16} {which:7} {shown}", flush=True)
        if len(found) > 1:
            print(f"{experiment:16} {'identical' if found[0] == found[1] else 'DIFFERENT'}", flush=True)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
