"""What the README says about speed: `make bench`. Everything that is compared is measured alternately in one process,
since the speed of shared machines drifts; only the ratios mean anything.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shoepair.data.datamodule import ShoePairDataModule
from shoepair.data.pairs import EvaluationBatches
from shoepair.data.shoes import normalise
from shoepair.environment import keep_freed_memory, versions
from shoepair.models import build_network
from shoepair.models.classifiers import CLASSIFIERS
from shoepair.progress import quiet_lightning

NO_AUGMENTATION = dict.fromkeys(
    ("mirror", "swap", "rotate", "shift", "scale", "brightness", "contrast", "saturation"), 0.0
)
# 113 drawn people: the original's 540 training and 138 validation pairs.
DATA: dict[str, Any] = {
    "name": "synthetic", "num_people": 113, "num_test_people": 0, "seed": 0, "image_size": 224, "batch_size": 42,
    "balanced": True, "drop_last": True, "negatives": "cyclic", "train_fraction": 0.8, "folds": 5, "fold": None,
    "cache_dir": None, "validate_on_train": False, "num_workers": 0, "augment": NO_AUGMENTATION,
}  # fmt: skip
ADAM = {"lr": 1e-3, "weight_decay": 1e-4}


def plain_network(approach: str) -> nn.Module:
    """The original's network of torch's own layers, in contiguous memory format: what the ratios refer to."""
    norm = approach == "single"
    layers: list[nn.Module] = []
    for before, after in zip((3 if norm else 6, 4, 8, 16), (4, 8, 16, 32), strict=True):
        layers += [nn.Conv2d(before, after, 5, padding=2)]
        layers += [nn.BatchNorm2d(after)] if norm else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(32 * 14 * (28 if norm else 14), 100)]
    layers += [nn.BatchNorm1d(100)] if norm else []
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(100, 2))


class BareLoop:
    """Forward, backward, Adam and the validation pass over tensors that are ready, and nothing else."""

    def __init__(self, network: nn.Module, batches: list[Any], val: list[Any], *, bf16: bool, plain: str = "") -> None:
        self.network, self.bf16, self.plain = network, bf16, plain
        self.optimizer = torch.optim.Adam(network.parameters(), lr=ADAM["lr"], weight_decay=ADAM["weight_decay"])
        self.batches, self.val = batches, val

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            if self.plain:
                return self.network(torch.cat([left, right], dim=2 if self.plain == "single" else 1)).float()
            return self.network(left, right).float()

    def epoch(self) -> None:
        self.network.train()
        for left, right, label in self.batches:
            self.optimizer.zero_grad()
            cross_entropy(self.forward(left, right), label).backward()
            self.optimizer.step()
        self.network.eval()
        with torch.inference_mode():
            for left, right, _ in self.val:
                self.forward(left, right)


class Alternately(Callback):
    """Times our epochs, and after each of them an epoch of every bare loop."""

    def __init__(self, loops: dict[str, Callable[[], None]]) -> None:
        self.loops = loops
        self.seconds: dict[str, list[float]] = {"shoepair": [], **{name: [] for name in loops}}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds["shoepair"].append(time.perf_counter() - self.started)
        for name, epoch in self.loops.items():
            started = time.perf_counter()
            epoch()
            self.seconds[name].append(time.perf_counter() - started)


def measure_epochs(approach: str, num_epochs: int) -> dict[str, dict[str, float]]:
    """Seconds of an epoch (the median), and its ratio to the bare loop on torch's own layers in float32."""
    datamodule = ShoePairDataModule(DATA, seed=0)
    datamodule.setup()

    def ready(sampler: Any) -> list[Any]:
        images = datamodule.shoes["train"].images
        return [(normalise(images[p.left]), normalise(images[p.right]), torch.from_numpy(p.label)) for p in sampler]

    batches, val = ready(datamodule.training_batches), ready(EvaluationBatches(datamodule.pairs["val"], 42))
    classifier = CLASSIFIERS[approach](
        {"image_size": 224},
        {"_target_": "torch.optim.Adam", **ADAM},
        {"_target_": "torch.optim.lr_scheduler.ConstantLR", "interval": "epoch", "factor": 1.0},
    )
    loops = {
        "bare loop, torch's layers": BareLoop(plain_network(approach), batches, val, bf16=False, plain=approach),
        "bare loop, torch's layers, bf16": BareLoop(plain_network(approach), batches, val, bf16=True, plain=approach),
        "bare loop, our network": BareLoop(build_network(approach), batches, val, bf16=False),
        "bare loop, our network, bf16": BareLoop(build_network(approach), batches, val, bf16=True),
    }
    timer = Alternately({name: loop.epoch for name, loop in loops.items()})
    trainer = Trainer(
        max_epochs=num_epochs + 1, callbacks=[timer], accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(classifier, datamodule=datamodule)
    medians = {name: statistics.median(seconds[1:]) for name, seconds in timer.seconds.items()}  # the first warms up
    reference = medians["bare loop, torch's layers"]
    figures = {
        name: {"seconds": round(seconds, 3), "ratio": round(seconds / reference, 3)}
        for name, seconds in medians.items()
    }
    figures["shoepair"]["ratio to the bare loop, our network"] = round(
        medians["shoepair"] / medians["bare loop, our network"], 3
    )
    return figures


def measure_data() -> dict[str, float]:
    """Seconds until drawn shoes are ready, first and from the cache."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = {}
        for name in ("drawn", "from the cache"):
            started = time.perf_counter()
            ShoePairDataModule({**DATA, "num_test_people": 10, "cache_dir": cache}, seed=0).setup()
            seconds[name] = round(time.perf_counter() - started, 3)
    return seconds


def measure_commands() -> dict[str, float]:
    """Seconds of --help, and of a whole run of one epoch of the original with its peak memory in MB."""
    program = [sys.executable, "-m", "shoepair"]
    with tempfile.TemporaryDirectory() as folder:
        help_seconds = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([*program, "--help"], check=True, capture_output=True, cwd=folder)
            help_seconds.append(time.perf_counter() - started)
        figures = {"--help": round(statistics.median(help_seconds), 3)}
        for approach in ("single", "dual"):
            words = [f"experiment=original_{approach}", "trainer.max_epochs=1", "test=false"]
            started = time.perf_counter()
            process = subprocess.Popen([*program, *words], cwd=folder, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(process.pid, 0)
            assert status == 0
            figures[f"run of one epoch, original_{approach}"] = round(time.perf_counter() - started, 2)
            figures[f"peak memory in MB, original_{approach}"] = round(usage.ru_maxrss / 1024)
    return figures


def measure_predictions(approach: str) -> dict[str, float]:
    """Pairs a second through the network, one by one and in batches of 64."""
    network = build_network(approach).eval()
    figures = {}
    for size in (1, 64):
        left, right = torch.rand(size, 3, 224, 224) - 0.5, torch.rand(size, 3, 224, 224) - 0.5
        with torch.inference_mode():
            network(left, right)
            started, num_calls = time.perf_counter(), 0
            while time.perf_counter() - started < 2:
                network(left, right)
                num_calls += 1
        figures[f"pairs a second, {size} at once"] = round(num_calls * size / (time.perf_counter() - started), 1)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each (default: 5)")
    parser.add_argument("--json", type=Path, default=Path("outputs/bench.json"), help="where the figures go")
    options = parser.parse_args()
    quiet_lightning()
    keep_freed_memory()
    figures: dict[str, Any] = {"machine": {"processor": platform.processor() or platform.machine(),
                                           "threads": torch.get_num_threads()}, "versions": versions()}  # fmt: skip
    for name, measure in (
        ("data", measure_data),
        ("commands", measure_commands),
        ("epoch, single", lambda: measure_epochs("single", options.epochs)),
        ("epoch, dual", lambda: measure_epochs("dual", options.epochs)),
        ("predictions, single", lambda: measure_predictions("single")),
        ("predictions, dual", lambda: measure_predictions("dual")),
    ):
        figures[name] = measure()
        print(f"\n{name}")
        for key, value in figures[name].items():
            shown = "  ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
            print(f"  {key:36} {shown}")
    figures["peak memory of this process in MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\nAs JSON: {options.json}")


if __name__ == "__main__":
    main()
