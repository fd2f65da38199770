"""Runs that are killed at random moments, from their first write on, and go on: as if nothing had been.

A run that went on is right if its weights and predictions are bit-equal to those of a run that was not killed, and its
TensorBoard log has every step once. PYTHONPATH=tests python -m torture.kills 60 0
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count as counter
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from torture.counts import STOPPED, Counts, judged, main
from torture.world import TINY, forked, world

RUN = ("train", *TINY, "trainer.max_epochs=3", "optimizer.lr=1e-2", "test=false")
OTHER_FILE_SYSTEM = Path("/dev/shm")
MOVES = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.move"}  # what Python says that it does to files


def run(count: int, seed: int) -> Counts:
    """In $TMPDIR, where many programs would write first."""
    return killed(count, seed, name="runs killed", base=None)


def run_on_two(count: int, seed: int) -> Counts:
    """In a folder on another file system than $TMPDIR."""
    if not OTHER_FILE_SYSTEM.is_dir() or OTHER_FILE_SYSTEM.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        raise SystemExit(f"{OTHER_FILE_SYSTEM}: expected a folder on another file system than {tempfile.gettempdir()}.")
    return killed(count, seed, name="runs killed, on another file system than $TMPDIR", base=OTHER_FILE_SYSTEM)


def run_moved(count: int, seed: int) -> Counts:
    """Moved to another folder before they go on."""
    return killed(count, seed, name="runs killed, and moved", base=None, moved=True)


def run_same(count: int, seed: int) -> Counts:
    """One run that is killed so many times, each time after it has gone on."""
    chance, counts = random.Random(seed), Counts("times that the same run was killed")
    with undisturbed(None) as (folder, expected, num_moves):
        seen = []
        for number in range(count):
            # Of later ones, many would come after the run's end: what is left becomes less each time.
            typed = run_in("run") if number == 0 else ("train", "resume=outputs/run")
            seen.append(kill(folder, typed, chance, num_moves // (1 if number == 0 else 3)))
        problem = gone_on(folder, "run", expected)
        for number, moment in enumerate(seen, 1):
            counts.add(f"kill {number} of {count}, {moment}", problem or "right")
    return counts


def killed(count: int, seed: int, *, name: str, base: Path | None, moved: bool = False) -> Counts:
    chance, counts = random.Random(seed), Counts(name)
    with undisturbed(base) as (folder, expected, num_moves):
        for number in range(count):
            run_name = f"run{number}"
            moment = kill(folder, run_in(run_name), chance, num_moves)
            if moved and (folder / "outputs" / run_name).exists():
                (folder / "outputs" / "elsewhere").mkdir(exist_ok=True)
                shutil.move(folder / "outputs" / run_name, folder / "outputs" / "elsewhere" / run_name)
                run_name = f"elsewhere/{run_name}"
            counts.add(f"seed {seed}, case {number}, {moment}", gone_on(folder, run_name, expected) or "right")
            shutil.rmtree(folder / "outputs" / run_name, ignore_errors=True)
    return counts


def run_in(name: str) -> tuple[str, ...]:
    return (*RUN, f"hydra.run.dir=outputs/{name}")


@contextmanager
def undisturbed(base: Path | None) -> Iterator[tuple[Path, dict[str, Any], int]]:
    """A folder, what a run that is not killed comes to, and how often that one changes something among its files."""
    with world("kills"), tempfile.TemporaryDirectory(prefix="torture-kills-", dir=base) as made:
        folder = Path(made)
        done = forked(*run_in("whole"), cwd=folder)
        assert done.returncode == 0, done.stderr
        moves = folder / "moves"
        done = forked(*run_in("again"), cwd=folder, before=partial(watch, folder, lambda n: moves.write_text(str(n))))
        assert done.returncode == 0, done.stderr
        expected = outcome_of(folder / "outputs/whole")
        assert outcome_of(folder / "outputs/again") == expected
        yield folder, expected, int(moves.read_text())


def watch(folder: Path, moved: Callable[[int], object]) -> None:
    """Call `moved` with the number of each change that this process makes below folder/outputs."""
    numbers, busy = counter(1), threading.local()
    below = str(folder / "outputs")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in MOVES or getattr(busy, "now", False) or (event == "open" and not writes(arguments)):
            return
        if isinstance(arguments[0], int) or below not in str(Path(os.fsdecode(arguments[0])).absolute()):
            return
        busy.now = True
        moved(next(numbers))
        busy.now = False

    sys.addaudithook(hook)


def writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return (
        any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))
    )


def kill(folder: Path, typed: tuple[str, ...], chance: random.Random, num_moves: int) -> str:
    """Start a run and kill it: at one of its changes among its files, or some time after it. Returns when."""
    at = chance.randint(1, max(1, num_moves))
    delay = chance.choice([0.0, 0.0, chance.uniform(0, 0.02), chance.uniform(0, 0.5)])

    def end() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def moved(number: int) -> None:
        if number == at and delay:
            threading.Timer(delay, end).start()
        elif number == at:
            end()

    done = forked(*typed, cwd=folder, before=partial(watch, folder, moved))
    ended = "killed" if done.returncode == -signal.SIGKILL else f"ended before with {done.returncode}"
    return f"{ended} {1000 * delay:.0f} ms after change {at}"


def gone_on(folder: Path, name: str, expected: dict[str, Any]) -> str | None:
    """What is wrong with a killed run after it has gone on, or has been started anew if it had not begun."""
    run_dir = folder / "outputs" / name
    if not (run_dir / "status.json").is_file():  # there is no run yet: the same command again
        done = forked(*run_in(name), cwd=folder)
    else:
        done = forked("train", f"resume=outputs/{name}", cwd=folder)
    ended = judged(done)
    if ended != "right" or STOPPED in done.stderr:
        return f"does not go on: {ended}"
    found = outcome_of(run_dir)
    wrong = [what for what in expected if found.get(what) != expected[what]]
    return f"differs in {', '.join(wrong)}" if wrong else None


def outcome_of(run_dir: Path) -> dict[str, Any]:
    """What must be bit-equal: weights, predictions, the steps of every curve."""
    outcome: dict[str, Any] = {"predictions": (run_dir / "predictions.csv").read_bytes()}
    for name in ("best", "last"):
        weights = torch.load(run_dir / "checkpoints" / f"{name}.ckpt")["state_dict"]
        outcome[name] = {key: value.numpy().tobytes() for key, value in weights.items()}
    outcome["TensorBoard log"] = scalars_of(run_dir)
    return outcome


def scalars_of(run_dir: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of every curve, in the order of steps; those that say how long something took without values."""
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(run_dir.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars" or value.HasField("simple_value"):
                    number = value.tensor.float_val[0] if value.tensor.float_val else value.simple_value
                    timed = "second" in value.tag or "time" in value.tag
                    found.setdefault(value.tag, []).append((event.step, 0.0 if timed else number))
    return {tag: sorted(points) for tag, points in found.items()}


if __name__ == "__main__":
    main(run)
