"""What turns each shoe into one vector and judges a pair by its two vectors."""

import torch
from torch import Tensor, nn


class Comparison(nn.Module):
    """One encoder for both shoes, and a head that sees the two vectors only.

    A heap of shoes is scored by encoding each of them once; see `shoepair match`.
    """

    encoder: nn.Module
    head: nn.Module

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair: (B, 3, H, W) each -> (B, 2)."""
        both = self.encode(torch.cat([left, right]))  # (2B, C): both shoes in one pass
        num_pairs = left.shape[0]  # not len(left), which an exporter would take for a constant
        return self.compare(both[:num_pairs], both[num_pairs:])

    def encode(self, images: Tensor) -> Tensor:
        """One vector for each shoe: (B, 3, H, W) in [-0.5, 0.5] -> (B, C)."""
        return self.encoder(channels_last(images))

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of vectors, (B, C) each -> (B, 2); the same when they change places."""
        raise NotImplementedError


class UnitVectorComparison(Comparison):
    """Compares vectors of length 1 by their absolute difference and their cosine, each standardised.

    Args:
        encoder: (B, 3, H, W) -> (B, num_features), of length 1.
        dropout: before each of the head's two linear layers.
    """

    def __init__(self, encoder: nn.Module, num_features: int, *, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.BatchNorm1d(num_features + 1, affine=False),
            nn.Dropout(dropout),
            nn.Linear(num_features + 1, hidden_units),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden_units, 2),
        )

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        cosine = (one * other).sum(dim=1, keepdim=True)
        return self.head(torch.cat([(one - other).abs(), cosine], dim=1))


def channels_last(images: Tensor) -> Tensor:
    """The memory format in which convolutions with few channels are fastest, on CPUs and GPUs."""
    return images.contiguous(memory_format=torch.channels_last)
