"""The files by which a run is known afterwards: status.json while and after it runs, results.json when it is whole."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any

from shoepair.errors import UserError

RUNNING, COMPLETED, FAILED = "running", "completed", "failed"


def best_checkpoint(run_dir: str | Path) -> Path:
    """Where a run keeps the best epoch."""
    return Path(run_dir, "checkpoints", "best.ckpt")


def last_checkpoint(run_dir: str | Path) -> Path:
    """Where a run keeps what it needs to go on."""
    return Path(run_dir, "checkpoints", "last.ckpt")


def relative_to_here(folder: str) -> Path:
    """The path as a person would type it, where that is shorter."""
    path = Path(folder)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def is_main_process() -> bool:
    """False in the further processes that Lightning starts for ddp; they share the folder of the first one."""
    return os.environ.get("LOCAL_RANK", "0") == "0"


def claim(run_dir: Path, *, resumed: bool) -> None:
    """Make `run_dir` this run's own, or refuse it.

    Raises:
        UserError: if another run has it and this one does not resume it.
    """
    if not is_main_process():
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        (run_dir / "status.json").open("x").close()
    except FileExistsError:
        if not resumed:
            raise UserError(
                f"{run_dir} holds another run: leave hydra.run.dir away, or go on with that run by resume={run_dir}."
            ) from None
    set_status(run_dir, RUNNING)


def set_status(run_dir: Path, status: str, reason: str | None = None) -> None:
    """Write status.json: "running", "completed" or "failed", with the reason."""
    record = {
        "status": status,
        "reason": reason,
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    write_json(run_dir / "status.json", record)


def read_status(run_dir: Path) -> str:
    """The status of a run; "unknown" if it left none."""
    try:
        return json.loads((run_dir / "status.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError):
        return "unknown"


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a file that is either the old one or the new one, never half of it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def find_checkpoint(checkpoint: str, output_dir: str) -> Path:
    """The file that `checkpoint=` means: itself, the best of a run's folder, or with "latest" the newest run's best.

    Raises:
        UserError: if there is none.
    """
    if checkpoint == "latest":
        runs = [path for path in Path(output_dir).rglob("checkpoints/best.ckpt") if path.is_file()]
        if not runs:
            raise UserError(f"checkpoint=latest: there is no trained run in {output_dir}/; run `shoepair train` first.")
        return max(runs, key=lambda path: (path.stat().st_mtime, path))
    path = Path(checkpoint)
    if path.is_dir():
        path = best_checkpoint(path)
        if not path.is_file():
            raise UserError(f"checkpoint={checkpoint}: there is no checkpoints/best.ckpt in this folder.")
    if not path.is_file():
        raise UserError(f"checkpoint={checkpoint}: no such file or folder.")
    return path
