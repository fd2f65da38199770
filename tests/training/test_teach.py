"""What drawn shoes teach an encoder: the norms behind its maps, and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch
from settings import train_settings
from torch import Tensor, nn

from shoepair.config.approaches import OF_CUT_OUTS, PretrainedSettings
from shoepair.data.augment import Augmentation
from shoepair.data.shoes import normalise
from shoepair.errors import UserError
from shoepair.models.cutout import mirrored
from shoepair.models.encoders import TAUGHT, PretrainedEncoder
from shoepair.models.stages import channels_last
from shoepair.training import teach

timm = pytest.importorskip("timm")
# Behind blocks.4 of EfficientNet-Lite0, which has four blocks in stage 5 and one in stage 6.
BLOCKS = (*(f"blocks.5.{i}" for i in range(4)), "blocks.6.0")
NORMS = {
    f"{norm}.{part}"
    for norm in (*(f"{block}.bn{i}" for block in BLOCKS for i in (1, 2, 3)), "bn2")
    for part in ("weight", "bias")
}


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


def test_the_students_are_the_encoders_of_best_pretrained() -> None:
    own, used = teach.settings_of("default"), train_settings("experiment=best_pretrained").approach
    assert isinstance(used, PretrainedSettings) and used.taught and not own.taught
    for key in ("encoder", "weights", "cutout", "local_layer", "frozen"):
        assert getattr(own, key) == getattr(used, key)


def test_only_norms_behind_the_maps_learn(untaught: PretrainedSettings, cut_outs: Tensor) -> None:
    encoder = PretrainedEncoder(untaught, 64)
    norms = teach.norms_from(encoder, teach.FIRST_TAUGHT)
    assert norms.keys() == NORMS
    trained = {name for name, value in encoder.body.named_parameters() if value.requires_grad}
    assert trained == NORMS
    changes = teach.learn(untaught, cut_outs, 2)
    assert changes.keys() == NORMS and all(change.abs().max() > 0 for change in changes.values())


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


def test_a_network_that_is_read_is_not_taught_twice(untaught: PretrainedSettings) -> None:
    settings = untaught.model_copy(update={"taught": True, "encoder": f"{untaught.encoder}.in1k"})
    settings.check()
    trained, read = PretrainedEncoder(settings, 64), PretrainedEncoder(settings.without_weights(), 64)
    read.load_state_dict(trained.state_dict())
    images = torch.rand(2, 3, 64, 64) - 0.5
    assert torch.equal(trained(images), read(images))


def test_what_travels_with_the_package_changes_vectors_and_no_maps(untaught: PretrainedSettings) -> None:
    assert TAUGHT.stat().st_size < 100_000
    before = PretrainedEncoder(untaught, 64)
    taught = PretrainedEncoder(untaught.model_copy(update={"taught": True}), 64)
    changed = {
        name
        for name, value in taught.body.state_dict().items()
        if not torch.equal(value, before.body.state_dict()[name])
    }
    assert changed == NORMS and sum(value.numel() for value in torch.load(TAUGHT).values()) == 25_856
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
    with pytest.raises(UserError, match=said):
        untaught.model_copy(update=changes | {"taught": True}).check()
