"""Batch norms become a part of the convolutions before them, and the network says the same."""

import pytest
import torch
from settings import network_settings
from torch import Tensor, nn
from torchvision import models

from shoepair.config.approaches import PretrainedSettings
from shoepair.models.encoders import PretrainedEncoder
from shoepair.models.folding import folded


def with_norms_of_its_own(network: nn.Module) -> nn.Module:
    """As trained: no norm leaves what comes in as it is."""
    torch.manual_seed(0)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            for values, lowest, highest in ((norm.running_mean, -0.1, 0.1), (norm.running_var, 0.5, 2.0)):
                assert values is not None
                nn.init.uniform_(values, lowest, highest)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.2)
    return network.eval()


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: pytest.importorskip("timm").create_model("tf_efficientnet_lite0"), 0),
        (lambda: pytest.importorskip("timm").create_model("regnetx_002"), 0),
        (lambda: models.resnet18(), 0),
        (lambda: models.densenet121(), 62),  # of its norms most come before their convolutions
    ],
)
def test_a_folded_network_gives_the_same_with_fewer_norms(make: object, left: int) -> None:
    network = with_norms_of_its_own(make())  # type: ignore[operator]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    quick = folded(network, lambda network: [network(torch.ones(1, 3, 64, 64))])
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(quick(images), network(images), rtol=1e-3, atol=1e-3)
    assert sum(isinstance(part, nn.BatchNorm2d) for part in quick.modules()) == left
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


class UsedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        return torch.relu(self.norm(maps) + maps).mean((2, 3))


def test_what_would_give_something_else_stays_as_it_is() -> None:
    for network in (UsedTwice(), nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))):
        assert folded(with_norms_of_its_own(network), lambda network: [network(torch.ones(1, 3, 8, 8))]) is network


@pytest.mark.parametrize(
    ("part", "is_folded"),
    [
        ("layer2", True),
        ("layer2.0.conv1", False),  # what it gives has no norm yet
        ("layer2.0.bn1", False),  # it would be gone
        ("layer2.0.relu", True),
    ],
)
def test_an_encoder_gives_the_same_maps_whichever_part_they_are_of(part: str, is_folded: bool) -> None:
    settings = network_settings(
        "pretrained", 64, encoder="torchvision/resnet18", weights=None, cutout=64, local_layer=part
    ).approach
    assert isinstance(settings, PretrainedSettings)
    encoder = PretrainedEncoder(settings, 64)
    with_norms_of_its_own(encoder.body)
    images = torch.rand(2, 3, 64, 64) - 0.5
    before = encoder.look(images)
    encoder.fold_norms()
    after = encoder.look(images)
    for one, other in zip(before, after, strict=True):
        assert one is not None and other is not None
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    assert (encoder.quick[0] is not encoder.body) == is_folded
