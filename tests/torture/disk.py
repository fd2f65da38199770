"""Disks that are full or read-only, things in the way, no memory, damaged caches.

PYTHONPATH=tests python -m torture.disk 60 0. Full and read-only disks are mounts, which only root can make; without
them, files that may not grow stand for them.
"""

import contextlib
import functools
import json
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from torture.counts import Counts, judged, main
from torture.world import TINY, forked, world

TINY_PHOTOS = tuple(setting for setting in TINY if "num_test_people" not in setting)

Case = tuple[str, str]  # what was tried, how it ended


def run(count: int, seed: int) -> Counts:
    counts, chance = Counts("disk states"), random.Random(seed)
    with world("disk") as folder:
        kinds: list[Callable[[Path, random.Random], Case]] = [small_files, in_the_way, little_memory, damaged_cache]
        if can_mount(folder):
            kinds += [full_disk, read_only]
        for number in range(count):
            counts.add(*kinds[number % len(kinds)](folder, chance))
    return counts


def commands(folder: Path, out: Path) -> list[tuple[str, ...]]:
    """Every command that writes, into `out`."""
    photos, run_dir = folder / "photos", folder / "outputs" / "run"
    left, right = sorted(folder.glob("heap/*"))[:2]
    return [
        ("train", *TINY, f"hydra.run.dir={out}/run"),
        (
            "train",
            *TINY_PHOTOS,
            "data=photos",
            f"data.root={photos}",
            f"hydra.run.dir={out}/run",
            f"data.cache_dir={out}/c",
        ),
        ("train", "-m", *TINY, "seed=1,2", f"hydra.sweep.dir={out}/sweep"),
        ("train", f"resume={out}/interrupted"),
        ("evaluate", f"checkpoint={run_dir}", f"hydra.run.dir={out}/evaluation"),
        ("compare", str(folder / "outputs"), "--out", str(out / "board")),
        ("predict", str(left), str(right), "--checkpoint", str(run_dir)),
        ("match", str(folder / "heap"), "--checkpoint", str(run_dir), "--out", str(out / "match")),
        ("export", "--checkpoint", str(run_dir), "--out", str(out / "shoes.onnx")),
        ("draw", str(out / "drawn"), "--people", "2", "--test-people", "0", "--size", "32"),
    ]


def interrupted(folder: Path, out: Path) -> None:
    """A run in `out` that can be gone on with."""
    goal = out / "interrupted"
    if not goal.exists():
        shutil.copytree(folder / "outputs" / "run", goal)
        (goal / "results.json").unlink()
        record = json.loads((goal / "status.json").read_text())
        (goal / "status.json").write_text(json.dumps(record | {"status": "interrupted"}))


def verdict(done: subprocess.CompletedProcess[str], out: Path) -> str:
    """As judged(); and no run may be left that says it goes on, or that it is whole and is not."""
    ended = judged(done, refusals=(1, 2))
    if ended == "right" and "Not written" in done.stdout:
        ended = "one line"
    if done.returncode == 1 and " -m " in f" {' '.join(done.args)} " and "Traceback" not in done.stdout + done.stderr:
        ended = "one line"  # the leaderboard names each job with its reason
    for status in out.rglob("status.json"):
        try:
            name = json.loads(status.read_text()).get("status")
        except (ValueError, AttributeError, OSError):
            return f"{ended}, and {status.relative_to(out)} cannot be read"
        if name == "running" and done.returncode >= 0:
            return f"{ended}, and {status.relative_to(out)} says running"
        if name == "completed" and "interrupted" not in str(status) and not (status.parent / "results.json").is_file():
            return f"{ended}, and {status.relative_to(out)} says completed without results"
    partial = [path for path in out.rglob("*.partial")]
    return f"{ended}, and left {partial[0].name}" if partial and done.returncode >= 0 else ended


def small_files(folder: Path, chance: random.Random) -> Case:
    """No file may become larger than some bytes."""
    limit = int(10 ** chance.uniform(3.5, 5.5))  # what it prints goes into a file, too
    return _tried(folder, chance, f"files of at most {limit} bytes", lambda: _limit(resource.RLIMIT_FSIZE, limit))


def little_memory(folder: Path, chance: random.Random) -> Case:
    """So much address space more than the process has already."""
    more = int(10 ** chance.uniform(6, 8.3))

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + more)

    return _tried(folder, chance, f"{more:,} bytes of memory", limit)


def in_the_way(folder: Path, chance: random.Random) -> Case:
    """A file where a folder is to be, or a folder, a dead link, a loop or a pipe where a file is to be."""
    out = _fresh(folder)
    interrupted(folder, out)
    command = chance.choice(commands(folder, out))
    kind = chance.choice(["file", "folder", "full folder", "dead link", "loop", "pipe"])
    names = [
        "run", "c", "sweep", "sweep/0_seed=1", "sweep/leaderboard.csv", "sweep/multirun.yaml", "evaluation", "board",
        "board/leaderboard.md", "match", "match/pairs.csv", "match/match.html", "match/contact_sheet.png", "shoes.onnx",
        "drawn", "drawn/train", "drawn/sheet.png", "interrupted/checkpoints", "interrupted/checkpoints/last.ckpt",
        "interrupted/config.json", "interrupted/status.json", "interrupted/.hydra", "interrupted/.lock",
        "interrupted/train.log", "interrupted/curves.png", "run/checkpoints", "run/.hydra", "run/train.log",
        "run/predictions.csv", "run/results.json", "evaluation/results.json", "evaluation/evaluate.log",
    ]  # fmt: skip
    mine = [name for name in names if any(str(out / name.split("/")[0]) in word for word in command)] or names
    path = out / chance.choice(mine)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if kind == "file":
        path.write_text("something else")
    elif kind == "dead link":
        path.symlink_to(folder / "nowhere")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        if kind == "full folder":
            (path / "mine.txt").write_text("mine")
    done = forked(*command, cwd=folder)
    ended = verdict(done, out) if path.name != "status.json" else judged(done, refusals=(1, 2))
    if kind == "full folder" and not (path / "mine.txt").is_file():
        ended += ", and what was in the way is gone"
    return f"{kind} at {path.relative_to(out)}: {command[0]} {command[1][-40:]}", ended


def damaged_cache(folder: Path, chance: random.Random) -> Case:
    """What is kept of shoes is broken: it is to be made again."""
    out = _fresh(folder)
    command = [*commands(folder, out)[1], f"data.cache_dir={folder}/kept"]
    if not (folder / "kept").is_dir():
        assert forked(*command, cwd=folder).returncode == 0
        out = _fresh(folder)
    path = chance.choice([path for path in sorted((folder / "kept").iterdir()) if path.suffix in (".npy", ".json")])
    kind = chance.choice(["empty", "half", "other", "numbers", "longer", "folder", "dead link"])
    before = path.read_bytes()
    if kind in ("folder", "dead link"):
        path.unlink()
        path.mkdir() if kind == "folder" else path.symlink_to(folder / "nowhere")
    else:
        broken = {"empty": b"", "half": before[: len(before) // 2], "other": b"\x80" * len(before), "numbers": b"[1]"}
        path.write_bytes(broken.get(kind, before + b"more"))
    done = forked(*command, cwd=folder)
    ended = verdict(done, out)
    if path.is_dir():
        path.rmdir()
        path.write_bytes(before)
    elif ended == "one line":
        ended = "it was not made again"
    return f"a cache's {path.suffix} that is {kind}", ended


def full_disk(folder: Path, chance: random.Random) -> Case:
    size = int(10 ** chance.uniform(0.6, 3.2))
    with mounted(folder, f"size={size}k") as out:
        return _tried(folder, chance, f"a disk of {size} kB", lambda: None, out)


def read_only(folder: Path, chance: random.Random) -> Case:
    with mounted(folder, "size=50m") as out:
        interrupted(folder, out)
        subprocess.run(["mount", "-o", "remount,ro", str(out)], check=True)
        return _tried(folder, chance, "a disk that is read-only", lambda: None, out)


def _tried(
    folder: Path, chance: random.Random, what: str, before: Callable[[], object], out: Path | None = None
) -> Case:
    out = out or _fresh(folder)
    try:
        interrupted(folder, out)
    except (OSError, shutil.Error):  # where there is not room for that, there is no run to go on with
        shutil.rmtree(out / "interrupted", ignore_errors=True)
    command = chance.choice(commands(folder, out))
    done = forked(*command, cwd=folder, before=before)
    return f"{what}: {command[0]} {command[1][-40:]}", verdict(done, out)


def _fresh(folder: Path) -> Path:
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    return out


def _limit(what: int, number: int) -> None:
    resource.setrlimit(what, (number, resource.getrlimit(what)[1]))


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small file system of its own."""
    place = folder / "mounted"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@functools.cache
def can_mount(folder: Path) -> bool:
    try:
        with mounted(folder, "size=100k"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


if __name__ == "__main__":
    main(run)
