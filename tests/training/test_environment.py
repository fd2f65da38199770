"""What is chosen by what the machine has."""

import pytest
import torch
from settings import train_settings

from shoepair.training import environment


@pytest.mark.parametrize(
    ("flags", "precision"),
    [("fpu avx2 avx512f", "32-true"), ("fpu avx512f avx512_bf16", "bf16-mixed"), ("amx_tile amx_bf16", "bf16-mixed")],
)
def test_cpu_gets_mixed_precision_if_it_computes_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, flags: str, precision: str
) -> None:
    monkeypatch.setattr(environment, "_cpu_lines", lambda: ["model name\t: Abacus", f"flags\t\t: {flags}"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert environment.fastest_precision("auto") == precision
    assert environment.fastest_precision("cpu") == precision
    chosen = environment.choose_precision(train_settings("trainer.accelerator=cpu"))
    assert chosen.trainer.precision == precision
    fixed = train_settings("trainer.precision=32-true")
    assert environment.choose_precision(fixed) == fixed


@pytest.mark.parametrize(("supported", "precision"), [(True, "bf16-mixed"), (False, "32-true")])
def test_gpu_gets_mixed_precision_if_it_computes_in_bfloat16(
    monkeypatch: pytest.MonkeyPatch, supported: bool, precision: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    for accelerator in ("auto", "gpu", "cuda"):
        assert environment.fastest_precision(accelerator) == precision
