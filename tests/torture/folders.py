"""Run folders that are broken, or that somebody else made: the others are shown, and the broken one is named.

PYTHONPATH=tests python -m torture.folders 80 0
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torture.counts import Counts, judged, main
from torture.world import forked, remove, world

FILES = ("config.json", "status.json", "results.json", "predictions.csv", ".hydra/config.yaml", ".hydra/overrides.yaml",
         ".hydra/hydra.yaml", "checkpoints/best.ckpt")  # fmt: skip


def values(chance: random.Random) -> Any:
    """What nobody expects."""
    deep: Any = 0
    for _ in range(chance.choice([3, 30, 300])):
        deep = [deep] if chance.random() < 0.5 else {"a": deep}
    return chance.choice([
        None, True, [], {}, [1, "a", None], {"a": {"b": [1]}}, "", "text", "a\nb\x1b[31m", "=1+1", "ü\u202e", "9" * 400,
        -1, 0, 1, 10**400, 2**63, 1e308, -1e308, float("nan"), float("inf"), "nan", "latest", "../../..", "x" * 5000,
        [["a"]], [float("nan")], {"": 1}, {"a.b": 1}, {"accuracy": "high"}, ["seed=1", 5], deep,
    ])  # fmt: skip


def changed(node: Any, chance: random.Random) -> Any:
    """The same with one part replaced, removed or doubled."""
    if isinstance(node, dict) and node and chance.random() < 0.8:
        key = chance.choice(list(node))
        if chance.random() < 0.15:
            return {name: value for name, value in node.items() if name != key}
        return node | {key: changed(node[key], chance)}
    if isinstance(node, list) and node and chance.random() < 0.5:
        place = chance.randrange(len(node))
        return [*node[:place], changed(node[place], chance), *node[place + 1 :]]
    return values(chance)


def break_file(path: Path, chance: random.Random) -> str:
    """Break one file of a run. Returns how."""
    before = path.read_bytes() if path.is_file() else b"{}"
    kinds: dict[str, Callable[[], bytes]] = {
        "empty": lambda: b"",
        "cut off": lambda: before[: chance.randrange(max(1, len(before)))],
        "not UTF-8": lambda: before.replace(b"e", b"\xe9", 3) + b"\xff\xfe",
        "with NUL": lambda: before.replace(b"\n", b"\0", 2),
        "nested": lambda: b"[" * 50_000,
        "nested in itself": lambda: b"a: &a [" + b"*a, " * 3 + b"]\n",
        "names for names": lambda: b"".join(
            b"k%d: &k%d [%s]\n" % (n, n, b", ".join([b"*k%d" % (n - 1)] * 9) if n else b"1") for n in range(9)
        ),
        "another kind": lambda: b"[1, 2]" if path.suffix != ".csv" else b"\x89PNG\r\n",
        "random": lambda: chance.randbytes(300),
        "a digit too many": lambda: before.replace(b"0.", b"0.." if chance.random() < 0.5 else b"9" * 5000 + b".", 2),
    }
    odd = ["removed", "a folder", "a link to itself", "a dead link", "a pipe", "a link to a device"]
    kind = chance.choice([*kinds, *odd, *(["values"] * 12 if path.suffix == ".json" else [])])
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind in odd:
        path.unlink(missing_ok=True)
    if kind == "a folder":
        path.mkdir()
    elif kind == "a link to itself":
        path.symlink_to(path.name)
    elif kind == "a dead link":
        path.symlink_to("nowhere")
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "values":
        record = json.loads(before)
        for _ in range(chance.randint(1, 3)):
            record = changed(record, chance)
        path.write_text(json.dumps(record))
        return f"values {json.dumps(record)[:60]}"
    elif kind != "removed":
        path.write_bytes(kinds[kind]())
    return kind


def odd_places(folder: Path, chance: random.Random) -> str:
    """Beside the runs: folders without end, loops, odd names."""
    kind = chance.choice(["deep", "loop", "odd name", "many"])
    place = folder / "beside"
    place.mkdir()
    if kind == "deep":
        here = os.getcwd()  # noqa: PTH109 - the path becomes longer than any call takes
        os.chdir(place)
        for _ in range(1500):
            os.mkdir("deeper")  # noqa: PTH102
            os.chdir("deeper")
        os.chdir(here)
    elif kind == "loop":
        (place / "up").symlink_to("..")
        (place / "self").symlink_to("self")
    elif kind == "odd name":
        os.mkdir(os.fsencode(place) + b"/\xff\n\x1b[31m")  # noqa: PTH102
        Path(os.fsdecode(os.fsencode(place) + b"/\xff\n\x1b[31m"), "status.json").write_text("{}")
    else:
        for number in range(300):
            (place / f"{number}").mkdir()
            (place / f"{number}" / "status.json").write_text("")
    return kind


def run(count: int, seed: int) -> Counts:
    counts, chance = Counts("run folders"), random.Random(seed)
    with world("folders") as folder:
        whole = folder / "outputs" / "sweep"
        left, right = sorted(folder.glob("heap/*"))[:2]
        for number in range(count):
            place = folder / "seen"
            shutil.copytree(whole, place / "sweep")
            jobs = sorted(path.name for path in (place / "sweep").iterdir() if path.is_dir() and path.name[0].isdigit())
            if number % 10 == 9:
                what = odd_places(place, chance)
            else:
                broken = place / chance.choice(["a_first", "z_last"])
                shutil.copytree(whole / jobs[0], broken)
                names = [chance.choice(FILES) for _ in range(chance.choice([1, 1, 2]))]
                what = ", ".join(f"{name} {break_file(broken / name, chance)}" for name in dict.fromkeys(names))
            commands: list[tuple[str, ...]] = [
                ("compare", "seen"),
                ("compare", "seen", "--test", "--markdown"),
                ("predict", str(left), str(right), "--checkpoint", "seen"),
                ("evaluate", "checkpoint=seen", "hydra.run.dir=seen/evaluated"),
                ("evaluate", "checkpoint=latest", "output_dir=seen", "hydra.run.dir=seen/evaluated"),
            ]
            command = commands[0] if number % 3 == 0 else chance.choice(commands)
            done = forked(*command, cwd=folder, seconds=120)
            ended = judged(done)
            if command[0] == "compare":
                shown = done.stdout.count("Not read:") + done.stdout.count("seen") > 0
                if ended == "one line" or not shown:
                    ended = f"the others were not shown: {done.stderr[-200:]}"
            if ended == "one line" and "latest" not in " ".join(command) and "best.ckpt" not in what:
                ended = f"it hid the others: {done.stderr[-200:]}"
            counts.add(f"{' '.join(command[:2])}: {what}", ended)
            remove(place)
        resumed(folder, chance, count // 4, counts)
    return counts


def resumed(folder: Path, chance: random.Random, count: int, counts: Counts) -> None:
    """Going on in such folders: whole in the end, or one line."""
    for _ in range(count):
        place = folder / "goes-on"
        shutil.copytree(folder / "outputs" / "run", place)
        (place / "results.json").unlink()
        name = chance.choice([*FILES[:2], *FILES[4:7]])
        what = f"{name} {break_file(place / name, chance)}"
        counts.add(f"resume: {what}", judged(forked("train", "resume=goes-on", cwd=folder, seconds=300)))
        remove(place)


if __name__ == "__main__":
    main(run)
