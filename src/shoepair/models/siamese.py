"""Siamese networks: one encoder turns each shoe into an embedding, a head compares two of them."""

from typing import Any

import torch
from torch import Tensor, nn

from shoepair.config.approaches import ConvolutionSettings
from shoepair.models.stages import channels_last, convolution_stages, linear_head


class SiameseNetwork(nn.Module):
    """One encoder for both shoes, and heads that see the two embeddings only.

    A gallery of shoes is scored by encoding each of them once; see `shoepair match`.
    """

    encoder: nn.Module
    head: nn.Module
    num_heads = 1  # that compare_by_head asks
    needs_reranking = False  # whether comparing two embeddings takes much longer than two global descriptors

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair: (B, 3, H, W) each -> (B, 2)."""
        both = self.encode(torch.cat([left, right]))  # (2B, C): both shoes in one pass
        num_pairs = left.shape[0]  # not len(left), which an exporter would take for a constant
        return self.compare(both[:num_pairs], both[num_pairs:])

    def encode(self, images: Tensor) -> Tensor:
        """An embedding of each shoe: (B, 3, H, W) in [-0.5, 0.5] -> (B, C)."""
        return self.describe(self.encoder(channels_last(images)))

    def describe(self, encoded: Tensor) -> Tensor:
        """The embeddings of what the encoder gives."""
        return encoded

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """What shoes are retrieved by, (B, C) -> (B, c): those of quite unlike shoes lie far apart."""
        return embeddings

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of embeddings, (B, C) each -> (B, 2); the same when they change places."""
        raise NotImplementedError

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        """As compare, the outputs of every head: (num_heads, B, 2)."""
        return self.compare(one, other).unsqueeze(0)


class ConvolutionSiamese(SiameseNetwork):
    """A siamese network whose encoder is convolution_stages(); its last feature maps have `channels` channels."""

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__()
        self.channels = settings.width * 2 ** (settings.stages - 1)
        self.encoder = convolution_stages(3, settings)


class SiameseCNN(ConvolutionSiamese):
    """Compares the means of the last feature maps (fusion=compare)."""

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__(settings)
        self.head = linear_head(2 * self.channels, settings)

    def describe(self, encoded: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, C)."""
        return encoded.mean(dim=(2, 3))

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return self.head(torch.cat([(one - other).abs(), one * other], dim=1))


class LocalSiameseCNN(ConvolutionSiamese):
    """Compares local features as well (fusion=local): each place of one shoe with the places of the other like it.

    A shoe's embedding is its local descriptors: the last feature maps and, for the search, a projection of them, of
    length 1 at each place.
    """

    needs_reranking = True

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__(settings)
        self.projection = nn.Conv2d(self.channels, self.channels, 1)
        self.logit_scale = nn.Parameter(torch.tensor(10.0))
        self.norm = nn.BatchNorm1d(self.channels, affine=False) if settings.norm == "batch" else nn.Identity()
        self.head = linear_head(4 * self.channels, settings)

    def describe(self, encoded: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, 2 * C * H * W)."""
        return local_descriptors(encoded, self.projection)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """The means of the maps."""
        return embeddings.unflatten(1, (2, self.channels, -1))[:, 0].mean(dim=2)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        difference, product = match_local_features(one, other, self.channels, self.logit_scale)
        maps_one, maps_other = (embedding.unflatten(1, (2, self.channels, -1))[:, 0] for embedding in (one, other))
        means = self.norm(torch.cat([maps_one, maps_other]).mean(dim=2))
        mean_one, mean_other = means[: one.shape[0]], means[one.shape[0] :]
        return self.head(torch.cat([difference, product, (mean_one - mean_other).abs(), mean_one * mean_other], dim=1))


SIAMESE: dict[str, Any] = {"compare": SiameseCNN, "local": LocalSiameseCNN}  # by approach.fusion


def local_descriptors(maps: Tensor, projection: nn.Module) -> Tensor:
    """What match_local_features needs of a shoe: its feature maps and, for the search, their projection, of length 1 at
    each place: (B, C, H, W) -> (B, 2 * C * H * W)."""
    searched = nn.functional.normalize(projection(maps).float(), dim=1)
    return torch.cat([maps.float(), searched], dim=1).flatten(1)


def match_local_features(one: Tensor, other: Tensor, channels: int, logit_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Compare each place of one shoe with what the other has where it looks most like it, and the other way round:
    cross-attention between local features.

    Args:
        one, other: what local_descriptors gives, (B, 2 * channels * places) each.
        logit_scale: of the search, an inverse temperature: the larger, the fewer places count.
    Returns:
        The means over the places of the absolute difference and of the product, (B, channels) each.
    """
    maps_one, search_one = one.unflatten(1, (2, channels, -1)).unbind(1)  # (B, C, places) each
    maps_other, search_other = other.unflatten(1, (2, channels, -1)).unbind(1)
    alike = logit_scale * (search_one.transpose(1, 2) @ search_other)  # (B, places of one, places of the other)
    from_other = maps_other @ alike.softmax(dim=2).transpose(1, 2)  # (B, C, places of one)
    from_one = maps_one @ alike.softmax(dim=1)  # (B, C, places of the other)
    difference = (maps_one - from_other).abs().mean(dim=2) + (maps_other - from_one).abs().mean(dim=2)
    product = (maps_one * from_other).mean(dim=2) + (maps_other * from_one).mean(dim=2)
    return difference, product


class Standardise(nn.BatchNorm1d):
    """Batch norm without scale and shift, whose running statistics start with those of the first batch.

    torch's start with 0 and 1. Differences of embeddings of length 1 have variances of 1e-5, which a running variance
    that begins with 1 does not come near in some hundred steps: in evaluation hardly anything would be left of them.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=1e-8, affine=False)
        self.usual_momentum = self.momentum or 0.1

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            assert self.num_batches_tracked is not None
            self.momentum = max(self.usual_momentum, 1 / (int(self.num_batches_tracked) + 1))
        return super().forward(x)


def standardised_head(num_features: int, *, hidden_units: int, dropout: float) -> nn.Sequential:
    """Two outputs from features of any scale: (B, num_features) -> (B, 2). Dropout before each linear layer."""
    return nn.Sequential(
        Standardise(num_features),
        nn.Dropout(dropout),
        nn.Linear(num_features, hidden_units),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden_units, 2),
    )
