"""Checkpoints that are broken, crafted or somebody else's are refused in one line where they are read."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from settings import network_settings, train_settings
from torture.checkpoints import broken_file

from shoepair.errors import UserError
from shoepair.inference.network import load_trained
from shoepair.inference.onnx import export
from shoepair.models.module import DualImageModule
from shoepair.runs.checkpoint import read_checkpoint


def content() -> dict[str, Any]:
    """What a run of a tiny network would write."""
    module = DualImageModule(network_settings("dual", 32, width=2).plain())
    module.config = train_settings("data.image_size=32", "approach.width=2").plain()
    hyper_parameters = dict(module.hparams)
    checkpoint: dict[str, Any] = {"state_dict": module.state_dict(), "epoch": 0, "hyper_parameters": hyper_parameters}
    module.on_save_checkpoint(checkpoint)
    return checkpoint | {"calibration": {"temperature": 1.0, "different": [-1.0], "same": [1.0]}}


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    return content()


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def test_what_a_run_writes_is_read(tmp_path: Path, whole: dict[str, Any]) -> None:
    assert load_trained(saved(tmp_path / "best.ckpt", whole)).image_size == 32


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_refused_also_by_export(
    tmp_path: Path, whole: dict[str, Any], value: float
) -> None:
    broken = copy.deepcopy(whole)
    name = next(reversed([name for name, found in broken["state_dict"].items() if found.is_floating_point()]))
    broken["state_dict"][name].view(-1)[-1] = value
    path = saved(tmp_path / "best.ckpt", broken)
    with pytest.raises(UserError, match=f"not all finite numbers, {name} for one"):
        read_checkpoint(path)
    with pytest.raises(UserError, match="not all finite numbers"):
        export(path, tmp_path / "shoes.onnx")
    assert not (tmp_path / "shoes.onnx").exists()


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path, whole: dict[str, Any]) -> None:
    huge = copy.deepcopy(whole)
    for tensor in huge["state_dict"].values():
        if tensor.is_floating_point():
            tensor.fill_(3e38)
    trained = load_trained(saved(tmp_path / "best.ckpt", huge))
    photos = torch.full((1, 3, 32, 32), 200, dtype=torch.uint8)
    with pytest.raises(UserError, match="no finite numbers"):
        trained.score(photos, photos)


def peak_memory_kb() -> int:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a peak of memory anew")
@pytest.mark.parametrize(
    ("key", "value"), [("width", 1024), ("hidden_units", 65_536), ("stages", 5), ("kernel_size", 101)]
)
def test_sizes_that_the_weights_do_not_have_ask_for_no_memory(
    tmp_path: Path, whole: dict[str, Any], key: str, value: int
) -> None:
    absurd = copy.deepcopy(whole)
    absurd["hyper_parameters"]["network"]["approach"][key] = value
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, at what is resident now
    before = peak_memory_kb()
    with pytest.raises(UserError, match="no checkpoint of shoepair"):
        load_trained(saved(tmp_path / "best.ckpt", absurd))
    assert peak_memory_kb() - before < 100_000


@pytest.mark.parametrize("number", range(60))
def test_whatever_is_wrong_is_one_line_and_runs_nothing(tmp_path: Path, whole: dict[str, Any], number: int) -> None:
    path, trap = saved(tmp_path / "best.ckpt", whole), tmp_path / "trapped"
    broken_file(path, whole, random.Random(number), trap)
    try:
        load_trained(path)
    except UserError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    assert not trap.exists()
