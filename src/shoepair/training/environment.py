"""What a run ran on and with: the device and the versions that decide its figures."""

import ctypes
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from lightning import Trainer

from shoepair.config.schema import TrainSettings


def keep_freed_memory() -> None:
    """Let the C library (glibc) keep what a training step frees for the next one.

    By default it gives large blocks back to the system at once, and a step on the CPU spends a sixth of its time on
    getting the same pages again (numbers: `make bench`). Elsewhere this does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 32 * 2**20)  # the most that glibc takes; without any limit the peak grows by 100 MB


def choose_precision(settings: TrainSettings) -> TrainSettings:
    """For trainer.precision=auto, with what the device is fastest in; anything else as it is."""
    trainer = settings.trainer
    if trainer.precision != "auto":
        return settings
    precision = fastest_precision(trainer.accelerator)
    return settings.model_copy(update={"trainer": trainer.model_copy(update={"precision": precision})})


def fastest_precision(accelerator: str) -> str:
    """bf16-mixed where the device computes in bfloat16, else 32-true.

    On a CPU without such instructions torch emulates them, which takes longer than float32.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    elif accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available()):
        flags = {flag for line in _cpu_lines() if line.startswith("flags") for flag in line.split()}
        has_bfloat16 = bool(flags & {"avx512_bf16", "amx_bf16"})
    else:
        has_bfloat16 = False
    return "bf16-mixed" if has_bfloat16 else "32-true"


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
