"""Norm, ReLU and 2 x 2 pooling of a stage as one step, which computes what the three would compute one by one.

Why: with few channels, this is where a stage's time goes on a CPU, not the convolution. Batch norm alone takes 60 % of
a training step of the original's single-image network in channels-last memory format.

What it buys, on two cores, channels-last format included (`make bench`): an epoch of the original's single-image
network takes 0.47 of the time that torch's layers take, and 0.64 of the dual one, which has no norm; in bfloat16 0.37
instead of 0.66, and 0.42 instead of 0.98.

What it costs: a gradient written by hand, sums in another order than torch's (equal within float32's rounding
where a channel's mean is not a hundred times its spread, see tests/models/test_stages.py). A graph that is exported has
torch's own layers.

When it can go: when `make bench` is no slower with nn.BatchNorm2d, nn.ReLU and nn.MaxPool2d in convolution_stages.
"""

from typing import Any

import torch
from torch import Tensor, nn

from shoepair.models.pooling import max_pool

LANES = 32  # numbers side by side that the reductions below work on: several rows of few channels at once


class ReluPool(nn.Module):
    """2 x 2 pooling of ReLU. The largest of four is taken first where that is the same, on a quarter of the numbers."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        if self.pooling == "max":
            return torch.relu(max_pool(x))
        return nn.functional.avg_pool2d(torch.relu(x), 2)


class NormReluPool(nn.BatchNorm2d):
    """Batch norm, ReLU and 2 x 2 pooling; parameters and buffers are those of batch norm.

    On a CPU in channels-last memory format, max-pooling comes before the norm's scale and shift: for each channel
    these grow or fall steadily, so the largest (with a negative scale, the smallest) of four stays the largest.
    Mean and variance are those of all numbers, not of the pooled ones, so the function is the same.
    """

    def __init__(self, num_features: int, pooling: str) -> None:
        super().__init__(num_features)
        self.relu_pool = ReluPool(pooling)

    def forward(self, x: Tensor) -> Tensor:
        if (
            torch.compiler.is_compiling()
            or self.relu_pool.pooling != "max"
            or x.device.type != "cpu"
            or not x.is_contiguous(memory_format=torch.channels_last)
        ):
            plain: Tensor = self.relu_pool(super().forward(x))
            return plain
        mean, variance = self._statistics(x)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        pooled = max_pool(x)
        if (scale < 0).any():
            pooled = torch.where(scale.view(1, -1, 1, 1) < 0, -max_pool(-x), pooled)
        # In float32 also under autocast, as torch's own batch norm: these are a quarter of the numbers.
        scaled = torch.addcmul(shift.view(1, -1, 1, 1), pooled.float(), scale.view(1, -1, 1, 1))
        return torch.relu(scaled).to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of every channel: in training of this batch, which moves the running ones along."""
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        if not self.training:
            return self.running_mean, self.running_var
        mean, variance = _ChannelStatistics.apply(x)
        num_values = x.numel() // x.shape[1]
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (num_values / (num_values - 1)), self.momentum)  # unbiased, as torch does
        return mean, variance


class _ChannelStatistics(torch.autograd.Function):
    """Mean and (biased) variance of each channel of a channels-last (B, C, H, W) tensor, in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        channels = x.shape[1]
        num_values = x.numel() // channels
        side_by_side = 1
        while side_by_side * channels < LANES and num_values % (2 * side_by_side) == 0:
            side_by_side *= 2
        rows = _rows(x, side_by_side).float()  # (num_values / side_by_side, side_by_side * C)
        # Sums of squares are the diagonal of rows.T @ rows: a matrix product is much the fastest way to reduce here.
        # Not under autocast: of a product in bfloat16, the difference below would keep nothing.
        with torch.autocast("cpu", enabled=False):
            squares = (rows.T @ rows).diagonal().view(side_by_side, channels).sum(0)
        mean = rows.sum(0).view(side_by_side, channels).sum(0) / num_values
        variance = (squares / num_values - mean * mean).clamp_min(0)
        ctx.save_for_backward(x, mean)
        ctx.side_by_side = side_by_side
        return mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        x, mean = ctx.saved_tensors
        of_mean, of_variance = gradients
        batch, channels, height, width = x.shape
        num_values = x.numel() // channels
        # d mean / dx = 1 / n and d variance / dx = 2 (x - mean) / n: one multiplication and one addition for each x.
        slope = 2 * of_variance / num_values
        offset = of_mean / num_values - slope * mean
        slope, offset = (values.repeat(ctx.side_by_side).to(x.dtype) for values in (slope, offset))
        gradient = torch.addcmul(offset, _rows(x, ctx.side_by_side), slope)
        return gradient.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _rows(x: Tensor, side_by_side: int) -> Tensor:
    """A channels-last (B, C, H, W) tensor as (B * H * W / side_by_side, side_by_side * C), without copying."""
    return x.permute(0, 2, 3, 1).reshape(-1, side_by_side * x.shape[1])
