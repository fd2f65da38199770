"""Checkpoints that are broken, or somebody else's: one line, and no code that they name is run.

PYTHONPATH=tests python -m torture.checkpoints 80 0
"""

import copy
import io
import os
import pickle
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import torch

from torture.counts import Counts, judged, main
from torture.folders import changed
from torture.world import forked, world


class Trap:
    """Would write a file if somebody unpickled it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.path}'",)


def bad_tensors(chance: random.Random, like: torch.Tensor) -> torch.Tensor:
    """What a weight must not be."""
    kind = chance.randrange(11)
    if kind < 3:
        broken = like.float().clone()
        broken.view(-1)[0 if broken.numel() else slice(0)] = (torch.nan, torch.inf, -torch.inf)[kind]
        return broken
    return (
        like.to(torch.complex64), like.to(torch.int64) + 7, like.float().flatten()[:1].repeat(3), like.float()[None],
        torch.zeros(1).expand(10**6, 10**6), torch.empty(10**6, 10**6, device="meta"),
        torch.eye(3).to_sparse(), torch.full_like(like.float(), 3e38),
    )[kind - 3]  # fmt: skip


def broken_content(content: dict[str, Any], chance: random.Random) -> tuple[str, Any]:
    """A checkpoint's content with one thing wrong with it. Returns what, and the content."""
    content = copy.deepcopy(content)
    kind = chance.choice(["tensor", "tensor", "tensor", "key", "config", "config", "network", "network", "calibration",
                          "epoch", "other", "state", "circle"])  # fmt: skip
    if kind == "tensor":
        name = chance.choice(list(content["state_dict"]))
        content["state_dict"][name] = bad = bad_tensors(chance, content["state_dict"][name])
        kind = f"{name} {bad.dtype} {tuple(bad.shape)}"
    elif kind == "key":
        key = chance.choice(list(content))
        del content[key]
        kind = f"without {key}"
    elif kind == "config":
        content["config"] = changed(content["config"], chance)
    elif kind == "network":
        network = content["hyper_parameters"]["network"]
        if chance.random() < 0.5:
            content["hyper_parameters"]["network"] = changed(network, chance)
        else:
            key, value = chance.choice([("width", 1024), ("stages", 8), ("hidden_units", 65_536), ("kernel_size", 101)])
            network["approach"][key] = value
            network["image_size"] = chance.choice([network["image_size"], 4096])
            kind = f"{key}={value}, {network['image_size']} pixels"
    elif kind == "calibration":
        content["calibration"] = changed(content.get("calibration", {}), chance)
    elif kind == "epoch":
        content["epoch"] = chance.choice([-1, 1.5, "3", None, 10**30, float("nan"), [1], True])
    elif kind == "other":
        others: list[Any] = [{}, [], 5, torch.zeros(3), {"state_dict": content["state_dict"]}, {"config": {}}]
        return kind, chance.choice(others)
    elif kind == "state":
        names = [name for name in content if name not in ("state_dict", "config", "hyper_parameters")]
        name = chance.choice(names)
        content[name] = changed(content[name], chance)
        kind = f"{name} changed"
    else:
        content["config"]["data"]["itself"] = content["config"]
    return kind, content


def broken_file(path: Path, content: dict[str, Any], chance: random.Random, trap: Path) -> str:
    """Write a broken checkpoint. Returns what is wrong with it."""
    kind = chance.choice(["content"] * 6 + ["cut off", "flipped", "empty", "text", "pickle", "trap", "zip", "packed"])
    whole = path.read_bytes()
    if kind == "content":
        kind, broken = broken_content(content, chance)
        torch.save(broken, path)
    elif kind == "cut off":
        path.write_bytes(whole[: chance.randrange(len(whole))])
    elif kind == "flipped":
        flipped = bytearray(whole)
        for _ in range(chance.choice([1, 20])):
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": {}, "model": "somebody else's"}))
    elif kind == "trap":
        content = copy.deepcopy(content)
        content[chance.choice(["callbacks", "config", "extra"])] = Trap(trap)
        torch.save(content, path) if chance.random() < 0.5 else path.write_bytes(pickle.dumps(Trap(trap)))
    elif kind in ("zip", "packed"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as goal, zipfile.ZipFile(path) as source:
            for part in source.namelist():
                goal.writestr(part, source.read(part) if kind == "packed" else b"0" * 10_000_000)
        path.write_bytes(packed.getvalue())
    else:
        path.write_bytes(b"" if kind == "empty" else b"not a checkpoint at all")
    return kind


def run(count: int, seed: int) -> Counts:
    counts, chance = Counts("checkpoints"), random.Random(seed)
    with world("checkpoints") as folder:
        trap = folder / "trapped"
        left, right = sorted(folder.glob("heap/*"))[:2]
        for number in range(count):
            place = folder / "broken"
            shutil.copytree(folder / "outputs" / "run", place)
            resuming = number % 4 == 3
            path = place / "checkpoints" / ("last.ckpt" if resuming else "best.ckpt")
            content = torch.load(path, map_location="cpu", weights_only=True)
            what = broken_file(path, content, chance, trap)
            commands: list[tuple[str, ...]] = [
                ("predict", str(left), str(right), "--checkpoint", "broken"),
                ("evaluate", "checkpoint=broken", "hydra.run.dir=broken/evaluated"),
                ("match", "heap", "--checkpoint", "broken", "--out", "broken/match"),
                ("export", "--checkpoint", "broken", "--out", "broken/shoes.onnx"),
                ("train", "init_from=broken", "data.num_people=6", "data.image_size=32", "approach.width=2",
                 "trainer.max_epochs=1", "data.num_test_people=0", "hydra.run.dir=broken/new"),
            ]  # fmt: skip
            if resuming:
                (place / "results.json").unlink()
            command = ("train", "resume=broken") if resuming else chance.choice(commands)
            ended = judged(forked(*command, cwd=folder, seconds=300))
            if trap.exists():
                ended = "code of the file was run"
            if ended == "right" and any(word in what for word in ("nan", "inf", "trap", "pickle", "zip")):
                ended = "it was taken for right"
            counts.add(f"{command[0]} {command[1][:20]}: {what}", ended)
            shutil.rmtree(place)
            trap.unlink(missing_ok=True)
    return counts


if __name__ == "__main__":
    main(run)
