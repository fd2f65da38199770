"""What drawn shoes teach an encoder: the norms behind its maps, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoepair.config.approaches import OF_CUT_OUTS, PretrainedSettings
from shoepair.data.augment import Augmentation
from shoepair.data.shoes import normalise
from shoepair.models.cutout import mirrored
from shoepair.models.encoders import TAUGHT, PretrainedEncoder
from shoepair.models.stages import channels_last
from shoepair.training import teach

timm = pytest.importorskip("timm")
BEHIND = ("blocks.5.", "blocks.6.", "bn2.")  # of blocks.4 of EfficientNet-Lite0


@pytest.fixture(scope="module")
def cut_outs() -> Tensor:
    return teach.draw(2, 64)


@pytest.fixture(scope="module")
def untaught(cut_outs: Tensor, tmp_path_factory: pytest.TempPathFactory) -> PretrainedSettings:
    """Of an encoder with random weights, whose norms know how large what they see is."""
    torch.manual_seed(0)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(normalise(cut_outs)[:, :3] * 2)
    weights = tmp_path_factory.mktemp("weights") / "lite0.pt"
    torch.save(model.state_dict(), weights)
    return teach.settings_of(str(weights))


def test_only_norms_behind_the_maps_learn(untaught: PretrainedSettings, cut_outs: Tensor) -> None:
    torch.manual_seed(0)
    changes = teach.learn(untaught, cut_outs, 2)
    norms = {
        name for name, module in PretrainedEncoder(untaught, 64).body.named_modules() if "bn" in name.split(".")[-1]
    }
    expected = {f"{name}.{part}" for name in norms if f"{name}.".startswith(BEHIND) for part in ("weight", "bias")}
    assert changes.keys() == expected and len(expected) == 2 * 16
    assert all(change.abs().max() > 0 for change in changes.values())


def test_vectors_of_photos_taken_otherwise_come_nearer_to_the_teachers(
    untaught: PretrainedSettings, cut_outs: Tensor
) -> None:
    encoder = PretrainedEncoder(untaught, 64)
    wanted = teach.vectors_of(encoder, cut_outs)[:, 0]

    def distance() -> float:
        torch.manual_seed(5)
        sharp = normalise(cut_outs)
        with torch.no_grad():
            seen = [encoder(Augmentation(teach.TAKEN)(sharp, sharp)[0][:, :3]) for _ in range(8)]
        return float(1 - (torch.stack(seen) * wanted).sum(2).mean())

    before = distance()
    changes = teach.learn(untaught, cut_outs, 100)
    with torch.no_grad():
        for name, change in changes.items():
            encoder.body.get_parameter(name).add_(change)
    assert before > 0.1 and distance() < 0.85 * before


def test_the_teacher_takes_a_shoe_and_its_mirror_image_for_one(untaught: PretrainedSettings, cut_outs: Tensor) -> None:
    encoder = PretrainedEncoder(untaught, 64)
    images = teach.views_of(cut_outs)[:, 0, 0]
    with torch.no_grad():
        one, other = (encoder(channels_last(seen[:, :3])) for seen in (images, mirrored(images)))
    expected = torch.nn.functional.normalize(one + other, dim=1)
    torch.testing.assert_close(teach.vectors_of(encoder, cut_outs)[:, 0], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(teach.vectors_of(encoder, mirrored(cut_outs))[:, 0], expected, atol=1e-5, rtol=0)


def test_the_command_writes_a_file_that_an_encoder_takes(
    untaught: PretrainedSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "taught.pt"
    typed = ["teach", str(out), "--weights", str(untaught.weights), "--people", "1", "--steps", "2"]
    monkeypatch.setattr("sys.argv", typed)
    teach.main()
    monkeypatch.setattr("shoepair.models.encoders.TAUGHT", out)
    before, after = (
        PretrainedEncoder(untaught.model_copy(update={"taught": taught}), 64).body.state_dict()
        for taught in (False, True)
    )
    changes = torch.load(out)
    assert len(changes) == 2 * 16
    for name, change in changes.items():
        torch.testing.assert_close(after[name], before[name] + change)


def test_what_travels_with_the_package_changes_vectors_and_no_maps(untaught: PretrainedSettings) -> None:
    assert TAUGHT.stat().st_size < 100_000
    before = PretrainedEncoder(untaught, 64)
    taught = PretrainedEncoder(untaught.model_copy(update={"taught": True}), 64)
    changed = {
        name
        for name, value in taught.body.state_dict().items()
        if not torch.equal(value, before.body.state_dict()[name])
    }
    assert changed and all(name.startswith(BEHIND) for name in changed)
    images = torch.rand(2, 3, 64, 64) - 0.5
    (one, [maps]), (other, [same]) = before.look(images), taught.look(images)
    assert torch.equal(maps, same) and not torch.allclose(one, other, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"encoder": "timm/tf_efficientnet_lite1"},
            "approach.taught=true: expected false, since what drawn shoes have",
        ),
        (
            OF_CUT_OUTS | {"cutout": None, "local_layer": None, "hidden_units": 8},
            "approach.taught=true: expected false, since approach.cutout=null",
        ),
    ],
)
def test_it_is_refused_where_it_does_not_belong(
    untaught: PretrainedSettings, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(Exception, match=said):
        untaught.model_copy(update=changes | {"taught": True}).check()
