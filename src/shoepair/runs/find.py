"""Which file `checkpoint=` and `init_from=` mean: itself, the best of a sweep, the newest run, or one of PACKAGED."""

import logging
from datetime import datetime
from pathlib import Path

from shoepair.errors import UserError
from shoepair.files import is_file, is_folder
from shoepair.runs.folder import COMPLETED, best_checkpoint, read_status
from shoepair.runs.leaderboard import best_run
from shoepair.runs.packaged import PACKAGED, READY, packaged_checkpoint
from shoepair.runs.read import Run, find_runs, read_run, read_runs

log = logging.getLogger(__name__)


def find_checkpoint(checkpoint: str, output_dir: str, key: str = "checkpoint", *, or_ready: bool = False) -> Path:
    """The file that `checkpoint=` means.

    Args:
        checkpoint: a file; the folder of a run (the epoch that it kept); a folder with several runs, such as a sweep's
            (the best run by validation accuracy); "latest" (the run in output_dir that ended last, however it did, or
            began, if it goes on); or "ready" or "best" (the networks that come with shoepair).
        key: what the setting is called.
        or_ready: it is to be used on shoes that nothing is known of: "latest" passes over runs that are not completed,
            or were trained on the pairs that validate, as in the sanity mode, and is "ready" where there is no other.
    Raises:
        UserError: if there is none.
    """
    if checkpoint == "latest":
        trained = [path for path in find_runs([output_dir])[0] if best_checkpoint(path).is_file()]
        for path in sorted(trained, key=_ended, reverse=True):
            if not or_ready or _is_for_use(path):
                return best_checkpoint(path)
        if or_ready:
            return packaged_checkpoint(READY)
        raise UserError(f"{key}=latest: there is no trained run in {output_dir}/; run `shoepair train` first.")
    if checkpoint in PACKAGED:
        return packaged_checkpoint(checkpoint, key)
    path = Path(checkpoint)
    if is_file(path):
        return path
    if not is_folder(path):
        raise UserError(f"{key}={checkpoint}: no such file or folder.")
    if best_checkpoint(path).is_file():
        return best_checkpoint(path)
    runs, unreadable = read_runs([path])
    best = best_run([run for run in runs if best_checkpoint(run.path).is_file()])
    if best is None:
        none = f"{key}={checkpoint}: there is neither checkpoints/best.ckpt nor a completed run in it"
        raise UserError("; ".join([none, *(f"not read: {line}" for line in unreadable)]) + ".")
    for line in unreadable:
        log.warning("Not read: %s", line)
    return best_checkpoint(best.path)


def _is_for_use(run_dir: Path) -> bool:
    run = read_run(run_dir)
    return isinstance(run, Run) and run.status.name == COMPLETED and not run.saw_validation


def _ended(run_dir: Path) -> datetime:
    """By its own record, since copying changes the dates of files."""
    since = read_status(run_dir).since
    if since:
        return datetime.fromisoformat(since)
    return datetime.fromtimestamp(best_checkpoint(run_dir).stat().st_mtime).astimezone()
