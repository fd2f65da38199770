"""What a run ran on and with: the device and the versions that decide its figures."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch
from lightning import Trainer


def device_name(trainer: Trainer) -> str:
    """What it runs on, in words: the GPU's name, or the processor's and the number of threads."""
    if trainer.strategy.root_device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(trainer.strategy.root_device)}"
    if trainer.strategy.root_device.type != "cpu":
        return str(trainer.strategy.root_device)
    name = next(
        (line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    return f"cpu ({name}, {torch.get_num_threads()} threads)"


def versions() -> dict[str, str]:
    """Versions of what decides a run's figures."""
    packages = (
        "shoepair",
        "torch",
        "torchvision",
        "lightning",
        "torchmetrics",
        "hydra-core",
        "omegaconf",
        "pillow",
    )
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def _cpu_lines() -> list[str]:
    info = Path("/proc/cpuinfo")
    return info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
