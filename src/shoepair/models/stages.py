"""What networks are made of: convolution stages, and a linear head."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from shoepair.models.fused import NormReluPool, ReluPool


def convolution_stages(
    in_channels: int, *, norm: str, kernel_size: int, width: int, stages: int, pooling: str
) -> nn.Sequential:
    """Stages of [convolution with same padding -> norm -> ReLU -> 2 x 2 pooling]; stage i has width * 2**i channels.

    (B, in_channels, H, W) -> (B, width * 2**(stages - 1), H / 2**stages, W / 2**stages).
    """
    channels = [in_channels, *(width * 2**stage for stage in range(stages))]
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
            NormReluPool(after, pooling) if norm == "batch" else ReluPool(pooling),
        ]
    return nn.Sequential(*layers)


def linear_head(in_features: int, *, norm: str, hidden_units: int, dropout: float) -> nn.Sequential:
    """[linear -> norm -> ReLU -> linear], with dropout before each linear layer: (B, in_features) -> (B, 2)."""
    return nn.Sequential(
        nn.Dropout(dropout),
        nn.Linear(in_features, hidden_units),
        nn.BatchNorm1d(hidden_units) if norm == "batch" else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_units, 2),
    )


def channels_last(images: Tensor) -> Tensor:
    """The memory format in which convolutions with few channels are fastest, on CPUs and GPUs."""
    return images.contiguous(memory_format=torch.channels_last)
