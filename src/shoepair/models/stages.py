"""What the small networks are made of: convolution stages, and a linear head."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from shoepair.config.approaches import ConvolutionSettings
from shoepair.models.fused import NormReluPool, ReluPool


def convolution_stages(in_channels: int, settings: ConvolutionSettings) -> nn.Sequential:
    """Stages of [convolution with same padding -> norm -> ReLU -> 2 x 2 pooling]; stage i has width * 2**i channels.

    (B, in_channels, H, W) -> (B, width * 2**(stages - 1), H / 2**stages, W / 2**stages).
    """
    channels = [in_channels, *(settings.width * 2**stage for stage in range(settings.stages))]
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, settings.kernel_size, padding=settings.kernel_size // 2),
            NormReluPool(after, settings.pooling) if settings.norm == "batch" else ReluPool(settings.pooling),
        ]
    return nn.Sequential(*layers)


def linear_head(in_features: int, settings: ConvolutionSettings) -> nn.Sequential:
    """[linear -> norm -> ReLU -> linear], with dropout before each linear layer: (B, in_features) -> (B, 2)."""
    return nn.Sequential(
        nn.Dropout(settings.dropout),
        nn.Linear(in_features, settings.hidden_units),
        nn.BatchNorm1d(settings.hidden_units) if settings.norm == "batch" else nn.Identity(),
        nn.ReLU(),
        nn.Dropout(settings.dropout),
        nn.Linear(settings.hidden_units, 2),
    )


class StackedCNN(nn.Module):
    """Convolution stages and a linear head on one stacked input: what both approaches of the original have in common.

    Args:
        in_channels: 3 (one image) or 6 (two images).
        num_pixels: height times width of the input; each divisible by 2**stages.
    """

    def __init__(self, in_channels: int, num_pixels: int, settings: ConvolutionSettings) -> None:
        super().__init__()
        self.stages = convolution_stages(in_channels, settings)
        features = settings.width * 2 ** (settings.stages - 1) * num_pixels // 4**settings.stages
        self.head = linear_head(features, settings)

    def forward(self, stacked: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 2)."""
        outputs: Tensor = self.head(self.stages(channels_last(stacked)).flatten(1))
        return outputs


def channels_last(images: Tensor) -> Tensor:
    """The memory format in which convolutions with few channels are fastest, on CPUs and GPUs."""
    return images.contiguous(memory_format=torch.channels_last)
