"""Settings: every key with every wrong type and with extremes, many by the check alone, some trained.

The check accepts, or answers in one line; what it accepts trains to its end, or is answered in one line.
"""

import contextlib
import itertools
import random
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args
from unittest import mock

from conftest import TINY, Outcome, run_here
from pydantic.fields import FieldInfo

from shoepair.config.approaches import APPROACHES
from shoepair.config.schema import DATA, TrainSettings, leaves_of
from shoepair.config.trainer import NOT_HERE
from shoepair.config.typed import quoted
from torture.counts import Counts, judged, main, shoepair

GROUPS = {
    "approach": list(APPROACHES), "data": ["synthetic"], "augment": ["flips", "none", "harsh"],
    "optimizer": ["adam", "adamw", "sgd"], "scheduler": ["constant", "cosine", "onecycle", "plateau"],
    "mode": ["fit", "sanity"], "sweep": ["folds", "seeds", "grid"], "trainer": ["default"],
}  # fmt: skip
OF_HYDRA = (
    "output_subdir", "job.chdir", "job.name", "job.num", "run.dir", "mode", "sweep.dir", "sweep.subdir", "verbose",
    "searchpath", "sweeper.params", "sweeper.max_batch_size", "job.env_set", "launcher", "callbacks", "hydra_logging",
)  # fmt: skip
WRONG = (
    "null", "true", "-1", "0", "1", "2", "0.5", "1.5", "-0.5", "1e30", "-1e30", "1e308", "1e-320", "nan", "inf", "-inf",
    "9" * 400, "-" + "9" * 400, "9" * 5000, "1e400", "abc", "''", "'a b'", "'\n'", "'\x1b[31m'", "ü", "'\u202e'", ".",
    "..", "/", "/dev/null", "'a=b'", "'${nothing}'", "'${seed}'", "'???'", "[]", "[1]", "[abc]", "[[1]]", "{}",
    "{a: 1}", "[null]", "a" * 300, "a" * 3000, "/".join(["a" * 200] * 15), "1_000", "0x10", "1000000000",
)  # fmt: skip
# What takes too long, or too much room, for a training of a second: the largest is meant to be large.
SLOW = ("num_people", "num_test_people", "image_size", "max_epochs", "width", "stages", "kernel_size", "hidden_units",
        "copies", "devices", "encoder", "weights", "cutout", "bins", "num_workers")  # fmt: skip


def sections() -> dict[str, FieldInfo]:
    """Every key of a training on drawn shoes, whatever else is chosen."""
    keys = {key: field for key, field in leaves_of(TrainSettings).items() if key not in ("approach", "data")}
    for approach in APPROACHES.values():
        keys |= leaves_of(approach.settings, "approach.")
    return keys | leaves_of(DATA["synthetic"], "data.")


def extremes(field: FieldInfo) -> list[str]:
    """The bounds of a number, and what lies beside them."""
    found: list[str] = []
    parts = [getattr(part, "__metadata__", ()) for part in get_args(field.annotation)]
    for bound in (*field.metadata, *itertools.chain.from_iterable(parts)):
        edge = next((getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)), None)
        if edge is not None:
            step = 1 if isinstance(edge, int) and int in (field.annotation, *_kinds(field)) else 1e-9 * (abs(edge) or 1)
            found += [repr(edge), repr(edge + step), repr(edge - step)]
    return found


def _kinds(field: FieldInfo) -> list[Any]:
    return [getattr(part, "__origin__", part) for part in get_args(field.annotation)]


def wrong_settings(random: random.Random) -> list[str]:
    """What somebody types who does not care: one, two or three settings."""
    keys = sections()
    typed = []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        kind = random.random()
        key = random.choice(list(keys))
        if kind < 0.65:
            values = [*WRONG, *3 * extremes(keys[key])]
            typed.append(f"{random.choice(('', '', '+', '++'))}{key}={random.choice(values)}")
        elif kind < 0.75:
            typed.append("~" + random.choice([key, key.partition(".")[0], *GROUPS]))
        elif kind < 0.85:
            group = random.choice(list(GROUPS))
            typed.append(
                f"{group}={random.choice([*GROUPS[group], *GROUPS[group], *WRONG[:4], 'a,b', '[a,b]', 'nothing'])}"
            )
        elif kind < 0.93:
            typed.append(f"+trainer.{random.choice(list(NOT_HERE))}={random.choice(WRONG)}")
        else:
            typed.append(f"{random.choice(('', '++'))}hydra.{random.choice(OF_HYDRA)}={random.choice(WRONG)}")
    if random.random() < 0.1:
        typed.insert(0, "-m")
    return typed


def check(count: int, seed: int = 0) -> Counts:
    """The check alone: all but the training of what was typed."""
    counts, chance = Counts("settings checked"), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), without_training():
        for _ in range(count):
            typed = wrong_settings(chance)
            counts.add(" ".join(word[:100] for word in typed), ended(lambda typed=typed: run_here("train", *typed)))  # type: ignore[misc]
    return counts


@contextlib.contextmanager
def without_training() -> Iterator[None]:
    """Runs end when their settings were checked."""
    from shoepair.launch import hydra_app, sweep

    trained = mock.patch.object(hydra_app, "run_train", lambda config: 0.5)
    with trained, mock.patch.object(sweep.Sweep, "end", lambda whole: True):
        yield


def ended(run: Callable[[], Outcome]) -> str:
    """ "right", "one line", or what went wrong."""
    try:
        outcome = run()
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    if outcome.code == 0:
        return "right"
    said = outcome.err.splitlines()
    is_line = len(said) == 1 and said[0].startswith("shoepair: ") and len(said[0]) < 1000
    return "one line" if is_line and outcome.code in (1, 2) else f"exit code {outcome.code}, {outcome.err[-300:]!r}"


def accepted_settings(random: random.Random) -> list[str]:
    """Settings that are on the edge of what is allowed, one or two, and one of every group's options."""
    chosen = {group: random.choice(options) for group, options in GROUPS.items() if group in ("optimizer", "scheduler")}
    approach = random.choice(("single", "dual", "dual", "histogram"))
    keys: dict[str, Any] = leaves_of(TrainSettings) | leaves_of(DATA["synthetic"], "data.")
    keys |= leaves_of(APPROACHES[approach].settings, "approach.")
    bounded = [key for key, field in keys.items() if extremes(field) and key.rpartition(".")[2] not in SLOW]
    typed = [f"{group}={option}" for group, option in chosen.items()] + [f"approach={approach}"]
    for key in random.sample(bounded, random.choice((1, 1, 2))):
        typed.append(f"++{key}={random.choice(extremes(keys[key]))}")
    typed += random.sample(
        ["data.batch_size=1", "data.balanced=false", "data.batch_size=2", "ema_decay=0.5", "keep=last", "mode=sanity",
         "data.drop_last=true", "early_stopping.patience=1", "data.batch_size=5", "approach.norm=none",
         "scheduler.interval=step", "scheduler.interval=epoch", "+trainer.limit_train_batches=1"],
        random.choice((0, 1, 2)),
    )  # fmt: skip
    return [word for word in typed if approach != "histogram" or word != "approach.norm=none"]


def train(count: int, seed: int = 0) -> Counts:
    """Tiny trainings with settings on the edge of what is allowed, each in a process of its own."""
    counts, chance = Counts("settings trained"), random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            typed = accepted_settings(chance)
            tiny = [word for word in TINY if "histogram" not in " ".join(typed) or "approach" not in word]
            run_dir = f"hydra.run.dir={quoted(f'outputs/{number}')}"
            done = shoepair("train", *tiny, run_dir, *typed, cwd=Path(folder), seconds=300)
            counts.add(" ".join(typed), "one line" if "Not learned: " in done.stdout else judged(done, refusals=(1, 2)))
    return counts


def run(count: int, seed: int = 0) -> Counts:
    """`count` trainings, and twelve checks for each of them."""
    checked, trained = check(12 * count, seed), train(count, seed)
    both = Counts("settings", checked.tried + trained.tried, checked.right + trained.right)
    both.one_line, both.wrong = checked.one_line + trained.one_line, checked.wrong + trained.wrong
    return both


if __name__ == "__main__":
    main(run)
