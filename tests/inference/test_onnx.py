"""A trained network as an ONNX file: the same probabilities, without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import TINY, Command
from settings import network_settings
from torch import nn

from shoepair.data.photos import read_square
from shoepair.errors import UserError
from shoepair.inference.network import TrainedNetwork, load_trained
from shoepair.inference.onnx import export, largest_difference, write_onnx
from shoepair.metrics.calibration import Calibration
from shoepair.models.fused import NormReluPool
from shoepair.models.networks import build_network
from shoepair.runs.folder import best_checkpoint


def test_an_exported_network_runs_without_torch(shoepair: Command, trained: Path, tmp_path: Path) -> None:
    outcome = shoepair("export", "--checkpoint", str(trained), "--out", "models/shoes.onnx")
    assert outcome.code == 0 and outcome.out.startswith("Written models/shoes.onnx, "), outcome.err
    assert [path.name for path in Path("models").iterdir()] == ["shoes.onnx"]
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 32, 32), dtype=np.uint8)
    np.save("images.npy", images)
    code = """
import json, sys
sys.modules["torch"] = None  # importing it would fail
import numpy, onnxruntime
session = onnxruntime.InferenceSession("models/shoes.onnx")
left, right = numpy.load("images.npy")
(probability,) = session.run(None, {"left": left, "right": right})
print(json.dumps([probability.tolist(), session.get_modelmeta().custom_metadata_map]))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    found, facts = json.loads(said.stdout)
    left, right = (torch.from_numpy(side) for side in images)
    expected = torch.sigmoid(load_trained(trained / "checkpoints" / "best.ckpt").score(left, right))
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert (facts["approach"], facts["image_size"], facts["threshold"]) == ("dual", "32", "0.5")
    temperature = json.loads((trained / "results.json").read_text())["temperature"]
    assert float(facts["temperature"]) == temperature != 1
    raw = torch.logit(expected) * temperature
    assert not np.allclose(found, torch.sigmoid(raw).numpy(), atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"approach": "single", "norm": "batch"},
        {"approach": "dual", "fusion": "stack", "pooling": "average"},
        {"approach": "dual", "fusion": "compare", "norm": "batch", "dropout": 0.5},
        {"approach": "dual", "fusion": "local", "norm": "batch", "stages": 2},
        {"approach": "single", "fusion": "local", "stages": 2},
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_every_approach_exports_to_the_same_probabilities(
    settings: dict[str, Any], temperature: float, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = build_network(network_settings(**settings, image_size=16)).eval()
    with torch.no_grad():
        for stage in network.modules():
            if isinstance(stage, NormReluPool):  # some channels with a negative scale
                for value in (stage.weight, stage.get_buffer("running_mean"), stage.get_buffer("running_var")):
                    value.normal_()
                stage.get_buffer("running_var").abs_().add_(0.1)
    images = np.random.default_rng(0).integers(0, 256, (2, 30, 3, 1, 1), dtype=np.uint8).repeat(16, 3).repeat(16, 4)
    trained = TrainedNetwork(network, network_settings(**settings, image_size=16), {}, Calibration(temperature, (), ()))
    logits = temperature * trained.score(*(torch.from_numpy(side) for side in images))
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():  # logits around 0, or all probabilities would be 0 or 1
        for scaled in last.parameters():
            scaled.div_(logits.std())
        last.get_parameter("bias")[1] -= logits.mean() / logits.std()
    write_onnx(trained, tmp_path / "shoes.onnx")
    assert largest_difference(trained, tmp_path / "shoes.onnx") < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "shoes.onnx"))
    (found,) = session.run(None, {"left": images[0], "right": images[1]})
    expected = torch.sigmoid((logits - logits.mean()) / logits.std() / temperature)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


def test_a_folder_is_no_file_to_export_to(shoepair: Command) -> None:
    outcome = shoepair("export", "--out", ".")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == "shoepair: --out .: this is a folder; expected the name of a file."


def test_a_network_that_sees_cut_outs_is_exported_with_the_segmenter(shoepair: Command, drawn_photos: Path) -> None:
    assert shoepair(*TINY, "data.image_size=112", "approach.cutout=32", "hydra.run.dir=outputs/run").code == 0
    outcome = shoepair("export", "--checkpoint", "outputs/run", "--out", "shoes.onnx")
    assert outcome.code == 0, outcome.err
    trained = load_trained("outputs/run/checkpoints/best.ckpt")
    photos = np.stack([read_square(path, 112) for path in sorted((drawn_photos / "train").iterdir())])
    left, right = photos[::2], photos[1::2]
    session = onnxruntime.InferenceSession("shoes.onnx")
    assert [output.name for output in session.get_outputs()] == ["probability"]
    (found,) = session.run(None, {"left": left, "right": right})
    seen = (trained.see(torch.from_numpy(np.ascontiguousarray(side))) for side in (left, right))
    np.testing.assert_allclose(found, torch.sigmoid(trained.score(*seen)).numpy(), atol=1e-3)
    assert found.std() > 1e-4


@pytest.mark.parametrize(
    ("wrong", "accepted"), [("nothing", True), ("one byte", True), ("one by 2", False), ("bytes", False)]
)
def test_cut_outs_are_compared_too(wrong: str, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"norm": "batch", "stages": 2, "cutout": 32, "image_size": 56, "earlier_stage": True}
    settings = network_settings(approach="dual", fusion="local", **asked)
    trained = TrainedNetwork(build_network(settings).eval(), settings, {}, None)
    write_onnx(trained, tmp_path / "shoes.onnx")
    see = TrainedNetwork.see

    def seen(self: TrainedNetwork, photos: torch.Tensor) -> torch.Tensor:
        found = see(self, photos).clone()
        if wrong in ("one byte", "one by 2"):
            found[0, 0, 0, 0] += 1 if wrong == "one byte" else 2
        elif wrong == "bytes":
            found[:, 0, 0, :] += 1
        return found

    monkeypatch.setattr(TrainedNetwork, "see", seen)
    assert (largest_difference(trained, tmp_path / "shoes.onnx") < 1e-5) == accepted


def test_a_file_that_differs_from_torch_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoepair.inference.onnx.largest_difference", lambda *_: 0.2)
    with pytest.raises(UserError, match=r"shoes\.onnx was not written: .* by up to 0\.2"):
        export(trained / "checkpoints" / "best.ckpt", tmp_path / "shoes.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_extra_it_says_what_to_install(
    shoepair: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    outcome = shoepair("export", "--checkpoint", str(trained / "checkpoints" / "best.ckpt"))
    assert outcome.code == 2 and outcome.err == "shoepair: onnxscript is not installed: pip install 'shoepair[onnx]'\n"


def test_the_default_place_is_beside_the_checkpoint(shoepair: Command) -> None:
    assert shoepair("train", *TINY, "hydra.run.dir=outputs/run").code == 0
    outcome = shoepair("export")
    assert outcome.code == 0 and "Written outputs/run/checkpoints/best.onnx" in outcome.out
    assert Path("outputs/run/checkpoints/best.onnx").is_file()


def test_nothing_of_somebody_elses_is_written_over(shoepair: Command, trained: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.ckpt"
    shutil.copy(best_checkpoint(trained), mine)
    (tmp_path / "other.onnx").write_bytes(b"model")
    for typed in (["--out", "mine.ckpt"], ["--out", "other.onnx"]):
        outcome = shoepair("export", "--checkpoint", "mine.ckpt", *typed)
        assert outcome.code == 2 and "choose another name" in outcome.err and outcome.err.count("\n") == 1
    assert mine.read_bytes() == best_checkpoint(trained).read_bytes()
    for _ in range(2):
        assert shoepair("export", "--checkpoint", "mine.ckpt").code == 0  # over its own
    (tmp_path / "site").mkdir()
    (tmp_path / "site/index.html").write_text("mine")
    outcome = shoepair("export", "--checkpoint", "mine.ckpt", "--page", "site", "--onnxruntime-web", "nowhere")
    assert outcome.code == 2 and (tmp_path / "site/index.html").read_text() == "mine"
