"""The two networks as bare nn.Modules: two images in, two outputs out. Training them stands in classifiers.py."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

NORMS = {"batch": (nn.BatchNorm2d, nn.BatchNorm1d), "none": (nn.Identity, nn.Identity)}
POOLINGS = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}


def convolutional_classifier(
    in_channels: int,
    height: int,
    width_px: int,
    *,
    norm: str,
    kernel_size: int = 5,
    width: int = 4,
    stages: int = 4,
    pooling: str = "max",
    hidden_units: int = 100,
    dropout: float = 0.0,
) -> nn.Sequential:
    """Convolution stages on one stacked input, then two linear layers: what both approaches have in common.

    A stage is [convolution with same padding -> norm -> ReLU -> 2 x 2 pooling]; stage i has width * 2**i channels.
    The defaults are the original's.

    Args:
        in_channels: 3 (one image) or 6 (two images).
        height, width_px: size of the input in pixels, each divisible by 2**stages.
        norm: "batch" or "none", after the convolutions and the first linear layer.
        kernel_size: odd.
    """
    norm_2d, norm_1d = NORMS[norm]
    channels = [in_channels, *(width * 2**stage for stage in range(stages))]
    layers: list[nn.Module] = []
    for before, after in pairwise(channels):
        layers += [
            nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
            norm_2d(after),
            nn.ReLU(),
            POOLINGS[pooling](2),
        ]
    features = channels[-1] * (height // 2**stages) * (width_px // 2**stages)
    return nn.Sequential(
        *layers,
        nn.Flatten(),  # (B, channels, height / 2**stages, width_px / 2**stages) -> (B, features)
        nn.Dropout(dropout),
        nn.Linear(features, hidden_units),
        norm_1d(hidden_units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_units, 2),
    )


class SingleImageCNN(nn.Module):
    """Approach 1: one image with both shoes in it, the left one above the right one.

    The defaults are the original's network, 1,272,182 parameters. Other settings: see convolutional_classifier.
    """

    def __init__(self, image_size: int = 224, norm: str = "batch", **settings: Any) -> None:
        super().__init__()
        self.classifier = convolutional_classifier(3, 2 * image_size, image_size, norm=norm, **settings)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        return self.classifier(torch.cat([left, right], dim=2))  # (B, 3, 2H, W): one above the other


class DualImageCNN(nn.Module):
    """Approach 2: two images, stacked as six channels.

    The defaults are the original's network, 644,962 parameters. Other settings: see convolutional_classifier.
    """

    def __init__(self, image_size: int = 224, norm: str = "none", **settings: Any) -> None:
        super().__init__()
        self.classifier = convolutional_classifier(6, image_size, image_size, norm=norm, **settings)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        return self.classifier(torch.cat([left, right], dim=1))  # (B, 6, H, W): one behind the other


NETWORKS: dict[str, type[nn.Module]] = {"single": SingleImageCNN, "dual": DualImageCNN}


def build_network(approach: str, **settings: Any) -> nn.Module:
    """The bare network of an approach; without settings, the original's.

    Args:
        approach: "single" or "dual".
        settings: image_size, kernel_size, width, stages, norm, pooling, hidden_units, dropout.
    Raises:
        ValueError: if there is no such approach.
    """
    if approach not in NETWORKS:
        raise ValueError(f"approach={approach}: expected one of {', '.join(NETWORKS)}")
    return NETWORKS[approach](**settings)
