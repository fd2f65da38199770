"""What docs/performance.md says about training: `make bench`. Everything that is compared is measured alternately in
one process, since the speed of shared machines drifts; only the ratios mean anything.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from processes import measured
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shoepair.config.read import read_train_settings
from shoepair.config.schema import TrainSettings
from shoepair.data.cache import cached_images
from shoepair.data.datamodule import GatheredPairs, ShoePairDataModule
from shoepair.data.layout import LEFT, RIGHT
from shoepair.data.pairs import EvaluationBatches, TrainingBatches
from shoepair.data.shoes import Shoe, ShoeSet, normalise
from shoepair.files import default_cache_dir
from shoepair.launch.preflight import plain_values
from shoepair.training.callbacks import quiet_lightning
from shoepair.training.checkpoint import build_module
from shoepair.training.environment import keep_freed_memory, versions

ADAM = {"lr": 1e-3, "weight_decay": 1e-4}


def original(approach: str, *overrides: str) -> TrainSettings:
    """The original's settings on 113 drawn people: 540 training and 138 validation pairs."""
    typed = (f"experiment=original_{approach}", "data.num_test_people=0", "data.hardness=0.9", *overrides)
    with initialize_config_module("shoepair.conf"):
        return read_train_settings(plain_values(compose("train", list(typed))))


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
            outputs: Tensor
            if self.plain:
                outputs = self.network(torch.cat([left, right], dim=2 if self.plain == "single" else 1))
            else:
                outputs = self.network(left, right)
            return outputs.float()

    def epoch(self) -> float:
        started = time.perf_counter()
        self.network.train()
        for left, right, label in self.batches:
            self.optimizer.zero_grad()
            cross_entropy(self.forward(left, right), label).backward()
            self.optimizer.step()
        self.network.eval()
        with torch.inference_mode():
            for left, right, _ in self.val:
                self.forward(left, right)
        return time.perf_counter() - started


class OurEpoch(Callback):
    """One epoch after the other of our LightningModule in Lightning's Trainer, without log and checkpoints, each timed
    from start to end."""

    def __init__(self, approach: str, datamodule: ShoePairDataModule, precision: Any) -> None:
        self.datamodule = datamodule
        self.module = build_module(original(approach))
        self.trainer = Trainer(
            max_epochs=0, callbacks=[self], accelerator="cpu", devices=1, logger=False, precision=precision,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        )  # fmt: skip

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seconds = time.perf_counter() - self.started

    def epoch(self) -> float:
        self.trainer.fit_loop.max_epochs = (self.trainer.fit_loop.max_epochs or 0) + 1
        self.trainer.fit(self.module, datamodule=self.datamodule)
        return self.seconds


def measure_epochs(approach: str, num_epochs: int) -> dict[str, dict[str, float]]:
    """Seconds of an epoch (the median), and its ratio to the bare loop on torch's own layers in float32.

    A second ratio of shoepair's epochs is that to the bare loop on the same network in the same precision.
    """
    datamodule = ShoePairDataModule(original(approach).data, seed=0)
    datamodule.setup()

    def ready(sampler: Any) -> list[Any]:
        images = datamodule.shoes["train"].images.contiguous()  # not channels-last: a plain loop would not know of it
        return [(normalise(images[p.left]), normalise(images[p.right]), torch.from_numpy(p.label)) for p in sampler]

    batches, val = ready(datamodule.training_batches), ready(EvaluationBatches(datamodule.pairs["val"], 42))

    def bare(network: nn.Module, **settings: Any) -> Callable[[], float]:
        return BareLoop(network, batches, val, **settings).epoch

    contenders = {
        "bare loop, torch's layers": bare(plain_network(approach), bf16=False, plain=approach),
        "bare loop, torch's layers, bf16": bare(plain_network(approach), bf16=True, plain=approach),
        "bare loop, our network": bare(build_module(original(approach)).network, bf16=False),
        "bare loop, our network, bf16": bare(build_module(original(approach)).network, bf16=True),
        "shoepair": OurEpoch(approach, datamodule, "32-true").epoch,
        "shoepair, bf16": OurEpoch(approach, datamodule, "bf16-mixed").epoch,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(num_epochs + 1):
        for name, epoch in contenders.items():
            seconds[name].append(epoch())
    medians = {name: statistics.median(values[1:]) for name, values in seconds.items()}  # the first warms up
    figures = {
        name: {"seconds": round(median, 3), "ratio": round(median / medians["bare loop, torch's layers"], 3)}
        for name, median in medians.items()
    }
    for end in ("", ", bf16"):
        ratio = medians[f"shoepair{end}"] / medians[f"bare loop, our network{end}"]
        figures[f"shoepair{end}"]["to the bare loop, our network"] = round(ratio, 3)
    return figures


def measure_data() -> dict[str, float]:
    """Seconds until drawn shoes are ready, first and from the cache."""
    with tempfile.TemporaryDirectory() as cache:
        seconds = {}
        for name in ("drawn", "from the cache"):
            started = time.perf_counter()
            settings = original("dual", "data.num_test_people=10", f"data.cache_dir={cache}")
            ShoePairDataModule(settings.data, seed=0).setup()
            seconds[name] = round(time.perf_counter() - started, 3)
    return seconds


# Prints when every step of an optimizer ended, on the clock that files are dated by, besides what the command does.
STEPS_TIMED = """
import sys, time
from torch.optim.optimizer import register_optimizer_step_post_hook
register_optimizer_step_post_hook(lambda *_: print(f"step {time.time()}", file=sys.stderr))
sys.argv = ["shoepair", *sys.argv[1:]]
from shoepair.cli import program
program()
"""


def measure_commands() -> dict[str, float]:
    """Seconds of --help, of a start, of a sweep beside its training loops; peak memory in MB of the original's runs."""
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
            took = measured([*program, *words], cwd=Path(folder))
            figures[f"peak memory in MB, original_{approach}"] = round(took.memory_mb)

        sweep = ["-m", "optimizer.lr=3e-4,1e-3", "approach.kernel_size=3,5", "approach.width=4,8", "data.num_people=60"]
        sweep.append("trainer.max_epochs=15")
        subprocess.run(
            [*program, "trainer.max_epochs=1", "data.num_people=60"], check=True, capture_output=True, cwd=folder
        )
        started, clock = time.perf_counter(), time.time()
        timed = subprocess.run(
            [sys.executable, "-c", STEPS_TIMED, *sweep, "hydra.sweep.dir=sweep"],
            check=True, capture_output=True, text=True, cwd=folder,
        )  # fmt: skip
        whole = time.perf_counter() - started
        steps = [float(line.split()[1]) for line in timed.stderr.splitlines() if line.startswith("step ")]
        runs = sorted(Path(folder, "sweep").glob("*/results.json"), key=lambda path: path.stat().st_mtime)
        loops = sum(json.loads(path.read_text())["seconds"] for path in runs)
        first_ended = runs[0].with_name("status.json").stat().st_mtime
        figures["from the command to the first step"] = round(steps[0] - clock, 2)
        figures["from a job's end to the next one's first step"] = round(
            min(s for s in steps if s > first_ended) - first_ended, 2
        )
        figures[f"sweep of {len(runs)} runs"] = round(whole, 1)
        figures["its training loops"] = round(loops, 1)
        figures["ratio of the two"] = round(whole / loops, 3)
    return figures


def measure_growth(num_shoes: int, cache_dir: str) -> dict[str, float]:
    """Pairs a second gathered and turned to floats from a collection of random bytes, and memory of our own in MB."""

    def fill(images: np.ndarray) -> dict[str, Any]:
        random = np.random.default_rng(0)
        for image in images:
            image[:] = random.integers(0, 256, image.shape, dtype=np.uint8)
        return {}

    images, _ = cached_images(cache_dir, f"random-{num_shoes}", num_shoes, 224, fill)
    people = num_shoes // 6
    names = [(f"u{i // 6:06d}", str(i % 6 // 2 + 1), (LEFT, RIGHT)[i % 2]) for i in range(6 * people)]
    shoes = ShoeSet(images[: 6 * people], tuple(Shoe(*name, "m", "-".join(name)) for name in names))
    batches = TrainingBatches(
        shoes, shoes.people, negatives="resampled", batch_size=42, balanced=True, drop_last=False, seed=0
    )
    gathered = GatheredPairs(shoes)
    started, num_pairs = time.perf_counter(), 0
    for pairs in batches:
        left, right, label = gathered[pairs]
        normalise(left), normalise(right)
        num_pairs += len(label)
        if time.perf_counter() - started > 20:
            break
    seconds = time.perf_counter() - started
    own = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return {"pairs a second": round(num_pairs / seconds), "anonymous memory in MB": int(own.split()[1]) // 1024}


def grow_alone(num_shoes: int) -> dict[str, Any]:
    """measure_growth in a process of its own, twice, so that the second finds the collection made."""
    default_cache_dir().mkdir(parents=True, exist_ok=True)  # on a disk, unlike some /tmp
    with tempfile.TemporaryDirectory(dir=default_cache_dir()) as cache:
        code = "import bench, json, sys; print(json.dumps(bench.measure_growth(int(sys.argv[1]), sys.argv[2])))"
        for _ in range(2):
            command = [sys.executable, "-c", code, str(num_shoes), cache]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5, help="timed epochs of each (default: 5)")
    parser.add_argument("--json", type=Path, default=Path("outputs/bench.json"), help="where the figures go")
    parser.add_argument(
        "--growth", action="store_true", help="measure collections of up to 79,800 shoes (12 GB of disk)"
    )
    options = parser.parse_args()
    quiet_lightning()
    keep_freed_memory()
    figures: dict[str, Any] = {"machine": {"processor": platform.processor() or platform.machine(),
                                           "threads": torch.get_num_threads()}, "versions": versions()}  # fmt: skip
    measures: dict[str, Callable[[], dict[str, Any]]] = {
        "data": measure_data,
        "commands": measure_commands,
        "epoch, single": lambda: measure_epochs("single", options.epochs),
        "epoch, dual": lambda: measure_epochs("dual", options.epochs),
    }
    if options.growth:
        measures = {}
        for times in (1, 10, 100):
            measures[f"{798 * times:,} shoes"] = partial(grow_alone, 798 * times)
    for name, measure in measures.items():
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
