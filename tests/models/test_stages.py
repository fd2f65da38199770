"""The fused stage computes what norm, ReLU and pooling compute one by one, within float32's rounding."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from shoepair.models.fused import NormReluPool, ReluPool

close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-5)


def plain(norm: nn.BatchNorm2d, pooling: str) -> nn.Sequential:
    copied = nn.BatchNorm2d(norm.num_features)
    copied.load_state_dict(norm.state_dict())
    return nn.Sequential(copied, nn.ReLU(), (nn.MaxPool2d if pooling == "max" else nn.AvgPool2d)(2))


def inputs(channels: int, size: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(6, channels, size, size) * 2 + torch.randn(channels, 1, 1) * 3
    one = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    return one, x.detach().clone().requires_grad_()


@pytest.mark.parametrize("pooling", ["max", "average"])
@pytest.mark.parametrize("channels", [1, 3, 4, 32, 48])
@pytest.mark.parametrize("size", [2, 6, 32])
def test_fused_stage_has_the_values_gradients_and_statistics_of_the_plain_one(
    pooling: str, channels: int, size: int
) -> None:
    torch.manual_seed(channels + size)
    fused = NormReluPool(channels, pooling)
    with torch.no_grad():
        fused.weight.normal_()  # some channels with a negative scale
        fused.bias.normal_()
    slow = plain(fused, pooling)
    for _ in range(3):
        x, y = inputs(channels, size)
        found, expected = fused(x), slow(y)
        close(found, expected)
        weights = torch.randn_like(expected)
        (found * weights).sum().backward()
        (expected * weights).sum().backward()
        assert x.grad is not None and y.grad is not None
        close(x.grad, y.grad)
    for (name, value), other in zip(fused.state_dict().items(), slow.state_dict().values(), strict=True):
        close(value, other, msg=name)
    torch.testing.assert_close(fused.weight.grad, slow[0].weight.grad, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(fused.bias.grad, slow[0].bias.grad, rtol=1e-3, atol=1e-3)
    fused.eval()
    slow.eval()
    close(fused(x), slow(y))


def test_pooling_before_relu_is_the_same() -> None:
    x = torch.randn(2, 4, 8, 8)
    for pooling, pool in (("max", nn.MaxPool2d(2)), ("average", nn.AvgPool2d(2))):
        assert torch.equal(ReluPool(pooling)(x), pool(torch.relu(x)))


@pytest.mark.parametrize("offset", [0.0, 5.0, 20.0])
def test_statistics_stay_in_float32_under_autocast(offset: float) -> None:
    x = (torch.randn(8, 4, 32, 32) + offset).contiguous(memory_format=torch.channels_last)
    fused = NormReluPool(4, "max")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        fused(x)
    close(fused.running_mean, 0.1 * x.mean((0, 2, 3)))
    torch.testing.assert_close(fused.running_var, 0.9 + 0.1 * x.var((0, 2, 3)), rtol=1e-3, atol=1e-3)


def test_fused_stage_works_in_bfloat16() -> None:
    x, y = inputs(4, 32)
    fused = NormReluPool(4, "max")
    slow = plain(fused, "max")
    torch.testing.assert_close(fused(x.bfloat16()).float(), slow(y), rtol=0.05, atol=0.05)
