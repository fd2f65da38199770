"""Commands on a store that are killed at random moments: the store is as it was before, or as it is after.

PYTHONPATH=tests python -m torture.stores 30 0
"""

import os
import random
import shutil
import signal
import sqlite3
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from torture.counts import Counts, judged, main
from torture.world import forked, world

STORE = ("match", "--checkpoint", "outputs/run", "--threshold", "0.001", "--store", "stock.db")
COMMANDS = (("tuesday",), ("monday", "tuesday", "--sides", "unknown"), ("wednesday",))
BESIDE = ("", "-journal", "-wal", "-shm")  # what SQLite writes next to a store
LAST = 0.01  # seconds in which a transaction is over


def run(count: int, seed: int) -> Counts:
    chance, counts = random.Random(seed), Counts("commands on a store killed")
    with world("stores") as folder:
        photos = sorted((folder / "heap").iterdir())
        for day, some in (("monday", photos[::3]), ("tuesday", photos[1::3]), ("wednesday", photos[2::3])):
            (folder / day).mkdir()
            for photo in some:
                shutil.copy(photo, folder / day)
        begin(folder, "monday")
        shutil.copy(folder / "stock.db", folder / "monday.db")
        before = told(folder)
        for number in range(count):
            command = chance.choice(COMMANDS)
            put_back(folder)
            started = time.monotonic()
            begin(folder, *command)
            seconds, after = time.monotonic() - started, told(folder)
            put_back(folder)
            at_its_end = chance.random() < 0.5
            moment = chance.uniform(0, LAST if at_its_end else seconds)
            forked(*STORE, *command, cwd=folder, before=partial(killed, moment, at_its_end=at_its_end))
            what = f"seed {seed}, case {number}, {command[0]}, {'end' if at_its_end else 'begin'} + {moment:.3f} s"
            left = told(folder)
            ended = "right" if left in (before, after) else "neither as before nor as after"
            done = forked(*STORE, *command, cwd=folder)
            if judged(done) != "right":
                ended = judged(done)
            elif told(folder) != after:
                ended = "goes on otherwise"
            counts.add(what, ended)
    return counts


def begin(folder: Path, *typed: str) -> None:
    done = forked(*STORE, *typed, cwd=folder)
    assert done.returncode == 0, done.stderr


def put_back(folder: Path) -> None:
    for ending in BESIDE:
        (folder / f"stock.db{ending}").unlink(missing_ok=True)
    shutil.copy(folder / "monday.db", folder / "stock.db")


def killed(moment: float, *, at_its_end: bool) -> None:
    """Kill this process after so many seconds, from now on or from when its transaction is to be kept."""
    from shoepair.inference.store import Store

    timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    leave = Store.__exit__

    def leaving(self: Store, *error: Any) -> None:
        timer.start()
        leave(self, *error)

    if at_its_end:
        Store.__exit__ = leaving  # type: ignore[method-assign]
    else:
        timer.start()


def told(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All that a store knows, but for when its photos changed."""
    with closing(sqlite3.connect(folder / "stock.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        columns = {"shoes": "id, name, side, doubt, fresh", "pairs": "one, other, confirmed", "rejected": "one, other",
                   "scores": "one, other, round(logit, 3)", "seen": "shoe, length(value)"}  # fmt: skip
        return {
            table: store.execute(f"SELECT {c} FROM {table} ORDER BY 1, 2").fetchall() for table, c in columns.items()
        }


if __name__ == "__main__":
    main(run)
