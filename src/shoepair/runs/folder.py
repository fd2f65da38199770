"""The files by which a run is known afterwards, and by which another process knows that it goes on.

In a run's folder: config.json (its settings) and status.json from its start, results.json when it is whole.
"""

import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from shoepair.config.typed import as_typed
from shoepair.errors import Pruned, UserError, refused_by_machine
from shoepair.files import is_file, is_folder, read_json, write_json, write_record

log = logging.getLogger(__name__)

RUNNING, COMPLETED, FAILED, INTERRUPTED, UNKNOWN = "running", "completed", "failed", "interrupted", "unknown"
PRUNED = "pruned"  # ended by a search, since it was hopeless; no failure
ENDED_WELL = (COMPLETED, PRUNED)
LOCK, SWEEP_LOCK = ".lock", ".sweep.lock"
LONGEST_REASON = 1000  # letters
TERMINATED = 128 + signal.SIGTERM  # what a shell says of a process that this signal ended


@dataclass(frozen=True)
class Status:
    """How a run ended, or that it goes on.

    Attributes:
        name: running, completed, pruned (by a search), failed, interrupted (by Ctrl-C or SIGTERM, or its process is
            gone), or unknown.
        reason: of a failed run, the exception; of an interrupted one, by what; of a pruned one, after which epoch.
        since: when it became so; empty if unknown.
    """

    name: str
    reason: str | None = None
    since: str = ""


def best_checkpoint(run_dir: str | Path) -> Path:
    """Where a run keeps the weights that it ends with: of its best epoch or, with keep=last, of its last one."""
    return Path(run_dir, "checkpoints", "best.ckpt")


def last_checkpoint(run_dir: str | Path) -> Path:
    """Where a run keeps what it needs to go on."""
    return Path(run_dir, "checkpoints", "last.ckpt")


def relative_to_here(folder: str | Path) -> Path:
    """The path as a person would type it, where that is shorter."""
    path = Path(folder)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def viewers(run_dir: Path, folder: str | Path) -> list[str]:
    """What is typed to look at the figures of a run, and at those of others in a folder: by where its loggers wrote."""
    commands = []
    if next(run_dir.rglob("events.out.tfevents.*"), None) is not None:
        inside = Path(folder).resolve() in run_dir.resolve().parents
        commands.append(f"tensorboard --logdir {shlex.quote(str(folder if inside else run_dir))}")
    config = read_json(run_dir / "config.json")
    loggers = config.get("logger") if isinstance(config, dict) else None
    for part in loggers.values() if isinstance(loggers, dict) else ():
        store = part.get("tracking_uri") if isinstance(part, dict) else None
        if isinstance(store, str) and store.startswith(("http://", "https://")):
            commands.append(re.sub("//[^/@]*@", "//", store))  # without a password
        elif isinstance(store, str):
            place = re.sub("^(sqlite:///|file://|file:)", "", store).partition("?")[0]
            if place and (is_file(Path(place)) or is_folder(Path(place))):  # as seen from here
                commands.append(f"mlflow ui --backend-store-uri {shlex.quote(store)}")
    return commands


def is_main_process() -> bool:
    """False in the further processes that Lightning starts for ddp; they share the folder of the first one."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


_held: dict[Path, FileLock] = {}


def hold(folder: Path, what: str, name: str = LOCK) -> None:
    """Keep other processes that do the same out of a folder, until release(), or until this process is gone.

    Args:
        what: the others do there, for the message.
        name: of the lock.
    Raises:
        UserError: if another process has it.
    """
    path = folder.absolute() / name
    if not is_main_process() or path in _held:
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"{folder}: another process {what}; wait for it, or choose another folder.") from None
    _held[path] = lock


def release() -> None:
    """Let others into the folders that this process holds."""
    while _held:
        _held.popitem()[1].release()


@contextlib.contextmanager
def locked(run_dir: Path, *, wait: bool) -> Iterator[None]:
    """Keep other processes out of `run_dir`; the lock is gone when its process is, however that ended.

    Args:
        wait: for another process that has it, instead of refusing.
    Raises:
        UserError: if another process has it and `wait` is false.
    """
    if not is_main_process() or run_dir.absolute() / LOCK in _held:
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(run_dir / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise UserError(f"{run_dir}: another process trains this run; wait for it, or end it.") from None
        log.info("Waiting for another process that trains %s", run_dir)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def recorded(run_dir: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """Write config.json and status.json: running now, and afterwards how the block ended."""
    if is_main_process():
        write_json(run_dir / "config.json", dict(config))
    set_status(run_dir, RUNNING)
    try:
        yield
    except Pruned as pruned:
        set_status(run_dir, PRUNED, str(pruned))
        raise
    except BaseException as error:
        stopped_by = _what_stopped(error)
        reason = stopped_by or f"{type(error).__name__}: {refused_by_machine(error, run_dir) or error}"
        with contextlib.suppress(OSError):  # what ended the run is what is to be said
            set_status(run_dir, INTERRUPTED if stopped_by else FAILED, reason[:LONGEST_REASON])
        raise
    set_status(run_dir, COMPLETED)


def _what_stopped(error: BaseException) -> str | None:
    """Of a run that did not fail; a launcher whose time is over, for one, says so in a SystemExit."""
    if isinstance(error, KeyboardInterrupt):
        return "Ctrl-C"
    if isinstance(error, SystemExit):
        return (
            "SIGTERM"
            if error.code == TERMINATED
            else error.code
            if isinstance(error.code, str)
            else f"exit {error.code}"
        )
    return None


def refuse_used(run_dir: Path) -> None:
    """Raises UserError if a run has been in this folder."""
    if is_main_process() and (run_dir / "status.json").is_file():
        raise UserError(
            f"{run_dir} holds another run: leave hydra.run.dir away, or go on with that run by "
            f"{as_typed('resume', run_dir)}."
        )


def refuse_running(run_dir: Path) -> None:
    """Raises UserError if another process is in this folder."""
    if is_main_process() and _has_process(run_dir):
        raise UserError(f"{run_dir}: another process trains this run; wait for it, or end it.")


def clear(run_dir: Path) -> None:
    """Remove what an earlier attempt left, but for the lock and what Hydra has just written for this one."""
    for path in run_dir.iterdir():
        if path.name in (LOCK, ".hydra") or path.suffix == ".log":
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def set_status(run_dir: Path, name: str, reason: str | None = None) -> None:
    if is_main_process():
        since = datetime.now().astimezone().isoformat(timespec="milliseconds")
        write_record(run_dir / "status.json", {"status": name, "reason": reason, "since": since})


def read_status(run_dir: Path, *, mine: bool = False) -> Status:
    """The status of a run; "unknown" if it left none that can be read.

    Args:
        mine: this process has locked the folder, so whatever ran there is gone.
    """
    record = read_json(run_dir / "status.json")
    if record is None or record.get("status") not in (RUNNING, COMPLETED, PRUNED, FAILED, INTERRUPTED):
        return Status(UNKNOWN)
    reason, since = record.get("reason"), record.get("since")
    reason, since = reason if isinstance(reason, str) else None, since if _is_time(since) else ""
    status = Status(record["status"], reason, since or "")
    if status.name == RUNNING and (mine or not _has_process(run_dir)):
        return Status(INTERRUPTED, "its process is gone", status.since)
    return status


def _is_time(text: object) -> bool:
    """Whether it is one that can be compared with others."""
    try:
        return isinstance(text, str) and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _has_process(run_dir: Path) -> bool:
    """Whether a process (of this machine) has the lock of a run."""
    lock = run_dir / LOCK
    if not lock.is_file():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # a copy that may not be written to
        return False
