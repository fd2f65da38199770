"""The two networks as bare nn.Modules: two images in, two outputs out. Training them stands in classifiers.py."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.models.histogram import HistogramComparison
from shoepair.models.pretrained import PretrainedNetwork
from shoepair.models.siamese import COMPARISONS, Comparison
from shoepair.models.stages import channels_last, convolution_stages, linear_head


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
        fusion: "stack", as the original: linear layers see the whole image's last feature maps. "compare" or "local":
            the upper and the lower half of these maps are compared, as DualImageCNN compares those of two images.
        settings: of StackedCNN.
    """

    def __init__(self, image_size: int = 224, norm: str = "batch", fusion: str = "stack", **settings: Any) -> None:
        super().__init__()
        # Not called `classifier` where it compares: the seam is seen from both sides, so that no shoe has a vector of
        # its own.
        self.halves = None if fusion == "stack" else COMPARISONS[fusion](norm=norm, **settings)
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
        upper, lower = self.halves.encoder(channels_last(image)).chunk(2, dim=2)
        return self.halves.compare(self.halves.describe(upper), self.halves.describe(lower))


class DualImageCNN(nn.Module):
    """Approach 2: two images, stacked as six channels or each encoded by the same stages and then compared.

    The defaults are the original's network, 644,962 parameters.

    Args:
        fusion: "stack", as the original, "compare" or "local". To compare, each shoe's last feature maps are averaged
            over the image to one vector; the head sees the absolute difference and the product of the two vectors, so
            it makes no difference where in the image a shoe lies, nor which of the two comes first. "local" compares
            place by place as well: each place of one shoe's maps with what the other shoe has where it looks most
            like it (attention); the head sees the means over the places.
        settings: of StackedCNN.
    """

    def __init__(self, image_size: int = 224, norm: str = "none", fusion: str = "stack", **settings: Any) -> None:
        super().__init__()
        self.classifier: StackedCNN | Comparison
        if fusion == "stack":
            self.classifier = StackedCNN(6, image_size**2, norm=norm, **settings)
        else:
            self.classifier = COMPARISONS[fusion](norm=norm, **settings)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        if isinstance(self.classifier, Comparison):
            return self.classifier(left, right)
        return self.classifier(torch.cat([left, right], dim=1))  # (B, 6, H, W): one behind the other


NETWORKS: dict[str, type[nn.Module]] = {
    "single": SingleImageCNN,
    "dual": DualImageCNN,
    "pretrained": PretrainedNetwork,
    "histogram": HistogramComparison,
}


def build_network(approach: str, beside: Mapping[str, Any] | None = None, **settings: Any) -> nn.Module:
    """The bare network of an approach; without settings, the original's.

    Args:
        approach: "single", "dual", "pretrained" or "histogram".
        settings: of the networks image_size, fusion (of dual), kernel_size, width, stages, norm, pooling, hidden_units,
            dropout; of the histogram bins and dropout; of pretrained those of PretrainedNetwork.
        beside: of pretrained, the settings of build_network for the dual network beside it.
    Raises:
        ValueError: if there is no such approach.
    """
    if approach not in NETWORKS:
        raise ValueError(f"approach={approach}: expected one of {', '.join(NETWORKS)}")
    if beside is not None:
        settings |= {"beside": build_network(**beside).classifier, "beside_size": beside["image_size"]}
    return NETWORKS[approach](**settings).to(memory_format=torch.channels_last)


def without_weights(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of build_network for weights that a checkpoint will bring: none are downloaded or read before."""
    return {key: None if key == "weights" else value for key, value in settings.items()}
