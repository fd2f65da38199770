"""The two networks as bare nn.Modules: two images in, two outputs out. Training them stands in classifiers.py."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.models.comparison import Comparison, channels_last
from shoepair.models.histogram import HistogramComparison
from shoepair.models.pretrained import PretrainedNetwork
from shoepair.models.stages import NormReluPool, ReluPool


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


class StackedCNN(nn.Module):
    """Convolution stages and a linear head on one stacked input: what both approaches of the original have in common.

    Args:
        in_channels: 3 (one image) or 6 (two images).
        num_pixels: height times width of the input; each divisible by 2**stages.
        norm: "batch" or "none", after the convolutions and the first linear layer.
        kernel_size: odd.
    """

    def __init__(
        self,
        in_channels: int,
        num_pixels: int,
        *,
        norm: str,
        kernel_size: int = 5,
        width: int = 4,
        stages: int = 4,
        pooling: str = "max",
        hidden_units: int = 100,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stages = convolution_stages(
            in_channels, norm=norm, kernel_size=kernel_size, width=width, stages=stages, pooling=pooling
        )
        features = width * 2 ** (stages - 1) * num_pixels // 4**stages
        self.head = linear_head(features, norm=norm, hidden_units=hidden_units, dropout=dropout)

    def forward(self, stacked: Tensor) -> Tensor:
        return self.head(self.stages(channels_last(stacked)).flatten(1))


class SingleImageCNN(nn.Module):
    """Approach 1: one image with both shoes in it, the left one above the right one.

    The defaults are the original's network, 1,272,182 parameters.

    Args:
        fusion: "stack", as the original: linear layers see the whole image's last feature maps. "compare": the upper
            and the lower half of these maps are averaged to one vector each, and the head compares the two as
            DualImageCNN does.
        settings: of StackedCNN.
    """

    def __init__(self, image_size: int = 224, norm: str = "batch", fusion: str = "stack", **settings: Any) -> None:
        super().__init__()
        # Not called `classifier` where it compares: the seam is seen from both sides, so that no shoe has a vector of
        # its own.
        self.halves = ComparingCNN(norm=norm, **settings) if fusion == "compare" else None
        self.classifier = StackedCNN(3, 2 * image_size**2, norm=norm, **settings) if fusion == "stack" else None

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        image = torch.cat([left, right], dim=2)  # (B, 3, 2H, W): one above the other
        if self.classifier is not None:
            return self.classifier(image)
        assert self.halves is not None
        upper, lower = self.halves.encoder(channels_last(image)).chunk(2, dim=2)  # (B, C, H / 2**stages, W / 2**stages)
        return self.halves.compare(upper.mean(dim=(2, 3)), lower.mean(dim=(2, 3)))


class DualImageCNN(nn.Module):
    """Approach 2: two images, stacked as six channels or each encoded by the same stages and then compared.

    The defaults are the original's network, 644,962 parameters.

    Args:
        fusion: "stack", as the original, or "compare". To compare, each shoe's last feature maps are averaged over
            the image to one vector; the head sees the absolute difference and the product of the two vectors, so it
            makes no difference where in the image a shoe lies, nor which of the two comes first.
        settings: of StackedCNN.
    """

    def __init__(self, image_size: int = 224, norm: str = "none", fusion: str = "stack", **settings: Any) -> None:
        super().__init__()
        self.classifier: StackedCNN | ComparingCNN
        if fusion == "stack":
            self.classifier = StackedCNN(6, image_size**2, norm=norm, **settings)
        else:
            self.classifier = ComparingCNN(norm=norm, **settings)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        if isinstance(self.classifier, ComparingCNN):
            return self.classifier(left, right)
        return self.classifier(torch.cat([left, right], dim=1))  # (B, 6, H, W): one behind the other


class ComparingCNN(Comparison):
    """One encoder for both shoes, and a head that compares the two vectors; see DualImageCNN."""

    def __init__(
        self,
        *,
        norm: str,
        kernel_size: int = 5,
        width: int = 4,
        stages: int = 4,
        pooling: str = "max",
        hidden_units: int = 100,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = convolution_stages(
            3, norm=norm, kernel_size=kernel_size, width=width, stages=stages, pooling=pooling
        )
        self.head = linear_head(width * 2**stages, norm=norm, hidden_units=hidden_units, dropout=dropout)

    def encode(self, images: Tensor) -> Tensor:
        return super().encode(images).mean(dim=(2, 3))

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return self.head(torch.cat([(one - other).abs(), one * other], dim=1))


NETWORKS: dict[str, type[nn.Module]] = {
    "single": SingleImageCNN,
    "dual": DualImageCNN,
    "pretrained": PretrainedNetwork,
    "histogram": HistogramComparison,
}


def build_network(approach: str, **settings: Any) -> nn.Module:
    """The bare network of an approach; without settings, the original's.

    Args:
        approach: "single", "dual", "pretrained" or "histogram".
        settings: of the networks image_size, fusion (of dual), kernel_size, width, stages, norm, pooling, hidden_units,
            dropout; of the histogram bins and dropout; of pretrained those of PretrainedNetwork.
    Raises:
        ValueError: if there is no such approach.
    """
    if approach not in NETWORKS:
        raise ValueError(f"approach={approach}: expected one of {', '.join(NETWORKS)}")
    return NETWORKS[approach](**settings).to(memory_format=torch.channels_last)


def without_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of build_network for weights that a checkpoint will bring: none are downloaded or read before."""
    return {key: None if key == "weights" else value for key, value in settings.items()}
