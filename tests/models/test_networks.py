import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from settings import network_settings
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shoepair.config.approaches import ConvolutionSettings, approach_named
from shoepair.errors import UserError
from shoepair.models.histogram import histograms
from shoepair.models.local import covered_places, unpacked_places
from shoepair.models.module import DualImageModule, PairModule, SingleImageModule
from shoepair.models.networks import PairNetwork, build_network
from shoepair.models.siamese import LocalSiameseCNN
from shoepair.training.environment import fastest_precision

ORIGINAL_SHAPES = {
    # By hand from the original's table: four stages of 5 x 5 convolutions, two linear layers, norm where there is one.
    "dual": [
        (4, 6, 5, 5), (4,), (8, 4, 5, 5), (8,), (16, 8, 5, 5), (16,), (32, 16, 5, 5), (32,),
        (100, 32 * 14 * 14), (100,), (2, 100), (2,),
    ],
    "single": [
        (4, 3, 5, 5), (4,), *[(4,)] * 4, (), (8, 4, 5, 5), (8,), *[(8,)] * 4, (),
        (16, 8, 5, 5), (16,), *[(16,)] * 4, (), (32, 16, 5, 5), (32,), *[(32,)] * 4, (),
        (100, 32 * 28 * 14), (100,), *[(100,)] * 4, (), (2, 100), (2,),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("approach", "num_parameters"), [("single", 1_272_182), ("dual", 644_962)])
def test_original_networks_have_the_original_parameters(approach: str, num_parameters: int) -> None:
    network = build_network(network_settings(approach))
    assert sum(p.numel() for p in network.parameters()) == num_parameters
    assert [tuple(value.shape) for value in network.state_dict().values()] == ORIGINAL_SHAPES[approach]


@pytest.mark.parametrize("approach", ["single", "dual"])
def test_network_computes_what_the_original_computes(approach: str) -> None:
    """A second implementation, written from the description of the original, with the same weights."""
    network = build_network(network_settings(approach, image_size=32)).eval()
    for value in network.state_dict().values():  # running statistics other than 0 and 1, or norm would do nothing
        if value.is_floating_point():
            value.uniform_(0.01, 0.3)
    left, right = torch.rand(2, 3, 32, 32) - 0.5, torch.rand(2, 3, 32, 32) - 0.5
    values: Iterator[Tensor] = iter(network.state_dict().values())
    x = torch.cat([left, right], 2 if approach == "single" else 1)

    def norm(x: Tensor) -> Tensor:
        if approach == "dual":
            return x
        weight, bias, mean, variance, _ = (next(values) for _ in range(5))
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt() * weight.view(shape) + bias.view(shape)

    for _ in range(4):
        x = torch.conv2d(x, next(values), next(values), padding=2)
        x = torch.max_pool2d(torch.relu(norm(x)), 2)
    x = x.reshape(2, -1)
    x = torch.relu(norm(x @ next(values).T + next(values)))
    x = x @ next(values).T + next(values)
    torch.testing.assert_close(network(left, right), x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("approach", "shape"), [("single", (1, 3, 64, 32)), ("dual", (1, 6, 32, 32))])
def test_left_comes_above_or_before_right(approach: str, shape: tuple[int, ...]) -> None:
    network = build_network(network_settings(approach, image_size=32))
    seen: list[Tensor] = []
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    network.eval()(torch.full((1, 3, 32, 32), 0.1), torch.full((1, 3, 32, 32), 0.2))
    assert seen[0].shape == shape
    half = (slice(None), slice(None), slice(0, 32)) if approach == "single" else (slice(None), slice(0, 3))
    assert (seen[0][half] == torch.tensor(0.1)).all()
    assert (seen[0] == torch.tensor(0.2)).sum() == 3 * 32 * 32


@pytest.mark.parametrize("approach", ["single", "dual"])
@pytest.mark.parametrize(
    "settings",
    [{"kernel_size": 3}, {"width": 6}, {"stages": 2}, {"norm": "none"}, {"norm": "batch"}, {"pooling": "average"},
     {"hidden_units": 7}, {"dropout": 0.5}, {"fusion": "compare"}, {"fusion": "local", "stages": 2}],
)  # fmt: skip
def test_every_setting_builds_a_network_with_two_outputs(approach: str, settings: dict[str, Any]) -> None:
    network = build_network(network_settings(approach, image_size=16, **settings))
    assert network(torch.zeros(3, 3, 16, 16), torch.zeros(3, 3, 16, 16)).shape == (3, 2)


def test_unknown_approach_is_refused() -> None:
    with pytest.raises(UserError, match="approach=triple: expected one of single, dual"):
        approach_named("triple")


@pytest.mark.parametrize("approach", ["single", "dual"])
def test_loss_is_the_originals_cross_entropy(approach: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module: PairModule = approach_named(approach).build_module(network_settings(approach, image_size=16).plain())
    left, right, label = torch.rand(6, 3, 16, 16), torch.rand(6, 3, 16, 16), torch.tensor([1.0, 1, 1, 0, 0, 0])
    untouched = copy.deepcopy(module.network)  # batch norm changes its statistics as it is used
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)  # there is no Trainer to log to
    monkeypatch.setattr(module, "log_dict", lambda *args, **kwargs: None)
    loss = module.training_step((left, right, label), 0)
    torch.testing.assert_close(loss, cross_entropy(untouched(left, right), label.long()))


def dual_module(negative_weight: float = 1.0) -> DualImageModule:
    return DualImageModule(network_settings("dual", image_size=16).plain(), negative_weight=negative_weight)


def test_different_pairs_weigh_what_they_are_given() -> None:
    logits, label = torch.tensor([2.0, -1.0, 0.5, 3.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    losses = torch.nn.functional.softplus(torch.tensor([-2.0, 1.0, 0.5, 3.0]))  # log(1 + e^x), by hand for each label
    weighed = dual_module(negative_weight=3.0).training_loss(logits, label)
    torch.testing.assert_close(weighed, (losses * torch.tensor([1.0, 1.0, 3.0, 3.0])).sum() / 8)
    plain = dual_module().training_loss(logits, label)
    torch.testing.assert_close(plain, losses.mean())


def test_one_image_can_be_compared_half_by_half() -> None:
    """The network sees one image; where nothing reaches across the seam, it computes what the dual one does."""
    network = build_network(
        network_settings("single", image_size=64, fusion="compare", kernel_size=1, norm="batch")
    ).eval()
    left, right = torch.rand(2, 3, 64, 64) - 0.5, torch.rand(2, 3, 64, 64) - 0.5
    seen: list[Tensor] = []
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    torch.testing.assert_close(network(left, right), network(right, left))
    assert torch.equal(seen[0], torch.cat([left, right], dim=2))
    dual = build_network(network_settings("dual", image_size=64, fusion="compare", kernel_size=1, norm="batch")).eval()
    dual.siamese.load_state_dict(network.halves.state_dict())  # type: ignore[union-attr]
    torch.testing.assert_close(network(left, right), dual(left, right))


def convolutions(approach: str, **changes: Any) -> ConvolutionSettings:
    settings = network_settings(approach, **changes).approach
    assert isinstance(settings, ConvolutionSettings)
    return settings


def test_places_are_compared_with_the_places_that_look_like_them() -> None:
    """Against loops over pairs and places, written from the description."""
    torch.manual_seed(0)
    network = LocalSiameseCNN(convolutions("dual", norm="batch", width=2, stages=2)).eval()
    maps = torch.rand(2, 3, 4, 3, 2)  # two sides, three pairs, channels, places
    seen: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    one, other = (network.describe([side], side) for side in maps)
    found = network.compare(one, other)
    torch.testing.assert_close(network.compare(other, one), found)  # the same when they change places

    for pair in range(3):
        places = [[side[pair].flatten(1)[:, place] for place in range(6)] for side in maps]
        weight, bias = network.projection.weight[:, :, 0, 0], network.projection.bias
        search = [[(lambda v: v / v.norm())(weight @ place + bias) for place in side] for side in places]
        difference, product = torch.zeros(4), torch.zeros(4)
        for mine, theirs in ((0, 1), (1, 0)):
            for place in range(6):
                alike = torch.stack([10 * search[mine][place] @ search[theirs][p] for p in range(6)]).softmax(0)
                there = sum(alike[p] * places[theirs][p] for p in range(6))
                difference += (places[mine][place] - there).abs() / 6
                product += places[mine][place] * there / 6
        torch.testing.assert_close(seen[0][pair, :4], difference)
        torch.testing.assert_close(seen[0][pair, 4:8], product)


def cut_outs(num: int, side: int) -> Tensor:
    cover = torch.zeros(num, 1, side, side)
    cover[:, :, side // 4 : side // 4 * 3] = 1.0
    return torch.cat([(torch.rand(num, 3, side, side) - 0.5) * cover, cover], 1)


EARLIER_STAGE = {"cutout": 32, "norm": "batch", "fusion": "local", "stages": 3, "earlier_stage": True}


def earlier_stage(approach: str, **changes: Any) -> PairNetwork:
    return build_network(network_settings(approach, image_size=64, **{**EARLIER_STAGE, **changes}))


def test_places_of_the_stage_before_are_compared_by_a_head_of_their_own() -> None:
    """By hand from the maps of that stage: standardised by the shoes' places, of length 1; it trains no encoder."""
    torch.manual_seed(0)
    network = earlier_stage("dual").train()
    own = network.siamese.members[0]  # type: ignore[union-attr, index]
    assert isinstance(own, LocalSiameseCNN) and own.earlier is not None
    left, right = cut_outs(5, 32), cut_outs(5, 32)
    last, before = own.look(torch.cat([left, right]))
    assert (last.shape[-1], before.shape[-1]) == (4, 8)
    shoes = own.describe([last, before], torch.cat([left, right]))
    values, counts = before.flatten(2), covered_places(left, 8)[:1].flatten() > 0
    mean, std = values[:, :, counts].mean((0, 2)), values[:, :, counts].std((0, 2))
    expected = nn.functional.normalize((values - mean[:, None]) / std[:, None], dim=1)
    found = unpacked_places(own._split(shoes)[1], own.earlier.channels)
    torch.testing.assert_close(found.maps, expected, rtol=1e-2, atol=1e-2)
    assert found.counts is not None and torch.equal(found.counts, counts.expand(10, -1))

    heads = network.heads(left, right)
    assert heads.shape == (2, 5, 2)
    heads[1, :, 1].sum().backward()
    trained = {name for name, value in network.named_parameters() if value.grad is not None and value.grad.any()}
    assert trained == {f"siamese.members.0.earlier.head.2.{name}" for name in ("weight", "bias")}
    network.eval()
    torch.testing.assert_close(network(left, right), network(right, left), rtol=1e-4, atol=1e-5)
    # Optimizers keep what they know of weights by their places: these must be the same when a run goes on.
    slow, quick = network.parameter_groups(lr=0.1)
    assert [value.shape for value in quick["params"]] == [(2, 10), (2,)] and quick["lr"] == pytest.approx(1.0)
    assert len(slow["params"]) + 2 == len(list(network.parameters()))


def test_one_image_is_compared_by_both_stages_half_by_half() -> None:
    single, dual = (earlier_stage(approach, kernel_size=1).eval() for approach in ("single", "dual"))
    dual.start_from(single.state_dict())
    left, right = cut_outs(3, 32), cut_outs(3, 32)
    torch.testing.assert_close(single(left, right), dual(left, right))


@pytest.mark.parametrize("wrong", [{"cutout": None}, {"fusion": "compare"}, {"stages": 1}])
def test_a_stage_before_needs_places(wrong: dict[str, Any]) -> None:
    settings = convolutions("dual", **{**EARLIER_STAGE, **wrong})
    with pytest.raises(UserError, match=r"approach.earlier_stage=true: expected an approach.cutout, .*fusion=local"):
        settings.check()


def test_without_norm_no_network_keeps_statistics() -> None:
    for approach in ("single", "dual"):
        for fusion in ("stack", "compare", "local"):
            network = build_network(network_settings(approach, image_size=32, fusion=fusion, norm="none"))
            assert not any("running" in name for name in network.state_dict()), (approach, fusion)


def test_score_is_output_one_minus_output_zero() -> None:
    module = dual_module().eval()
    left, right = torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)
    outputs = module.network(left, right)
    assert torch.equal(module(left, right), outputs[:, 1] - outputs[:, 0])
    probability = torch.softmax(outputs, 1)[:, 1]
    torch.testing.assert_close(torch.sigmoid(module(left, right)), probability)


def test_a_module_that_cuts_out_takes_photos_and_says_what_is_reported() -> None:
    module = DualImageModule(network_settings("dual", image_size=64, fusion="local", cutout=32).plain()).eval()
    left, right = torch.rand(2, 3, 64, 64) - 0.5, torch.rand(2, 3, 64, 64) - 0.5
    seen = module.network.prepared(left), module.network.prepared(right)
    torch.testing.assert_close(module(left, right), module.network.score(*seen, hflip=False))


def test_two_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected the same shape"):
        SingleImageModule(network_settings("single", image_size=16).plain())(
            torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 32)
        )


@pytest.mark.skipif(fastest_precision("cpu") != "bf16-mixed", reason="this processor does not compute in bfloat16")
@pytest.mark.parametrize(
    "settings",
    [
        {"approach": "single"},
        {"approach": "dual"},
        {"approach": "dual", "fusion": "compare", "norm": "batch", "width": 8},
        {"approach": "dual", "fusion": "local", "norm": "batch", "width": 8},
    ],
)
def test_mixed_precision_learns_what_float32_learns(settings: dict[str, Any]) -> None:
    """The default precision on devices that compute in bfloat16: loss within 2 %, probabilities within 0.05."""
    losses, probabilities = [], []
    for bf16 in (False, True):
        torch.manual_seed(0)
        network = build_network(network_settings(image_size=64, **settings))
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        label = torch.arange(16) % 2
        left = torch.rand(16, 3, 64, 64) - 0.5
        right = torch.where(label.view(-1, 1, 1, 1) == 1, left, torch.rand(16, 3, 64, 64) - 0.5)
        for _ in range(10):
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = cross_entropy(network(left, right), label)
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16), torch.inference_mode():
            probabilities.append(network(left, right).float().softmax(1)[:, 1])
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    torch.testing.assert_close(probabilities[1], probabilities[0], rtol=0, atol=0.05)


def test_histograms_count_what_is_there() -> None:
    images = torch.full((2, 3, 4, 4), -0.5)  # black
    images[1, 0, :2] = 0.5  # the upper half red
    found = histograms(images, 4)
    assert found.shape == (2, 64)
    assert found[0].nonzero().flatten().tolist() == [0] and found[0, 0] == 1
    assert found[1, 0] == 0.5 and found[1, 3 * 16] == 0.5
    turned = images.flip(-1).transpose(2, 3)
    assert torch.equal(histograms(turned, 4), found)  # where a colour stands does not count
