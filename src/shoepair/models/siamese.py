"""What turns each shoe into one vector and judges a pair by its two vectors."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from shoepair.models.stages import channels_last, convolution_stages, linear_head


class Comparison(nn.Module):
    """One encoder for both shoes, and a head that sees the two vectors only.

    A heap of shoes is scored by encoding each of them once; see `shoepair match`.
    """

    encoder: nn.Module
    head: nn.Module
    num_judges = 1  # that compare_each asks
    looks_closely = False  # whether comparing two vectors takes much longer than comparing their summaries

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair: (B, 3, H, W) each -> (B, 2)."""
        both = self.encode(torch.cat([left, right]))  # (2B, C): both shoes in one pass
        num_pairs = left.shape[0]  # not len(left), which an exporter would take for a constant
        return self.compare(both[:num_pairs], both[num_pairs:])

    def encode(self, images: Tensor) -> Tensor:
        """One vector for each shoe: (B, 3, H, W) in [-0.5, 0.5] -> (B, C)."""
        return self.describe(self.encoder(channels_last(images)))

    def describe(self, encoded: Tensor) -> Tensor:
        """The vectors of what the encoder gives."""
        return encoded

    def summary(self, vectors: Tensor) -> Tensor:
        """A global descriptor of each shoe, (B, C) -> (B, c): those of quite unlike shoes lie far apart."""
        return vectors

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of vectors, (B, C) each -> (B, 2); the same when they change places."""
        raise NotImplementedError

    def compare_each(self, one: Tensor, other: Tensor) -> Tensor:
        """As compare, the outputs of every judge there is: (num_judges, B, 2)."""
        return self.compare(one, other).unsqueeze(0)


class StagesComparison(Comparison):
    """A comparison whose encoder is convolution_stages(); its last feature maps have `channels` channels."""

    def __init__(
        self, *, norm: str, kernel_size: int = 5, width: int = 4, stages: int = 4, pooling: str = "max"
    ) -> None:
        super().__init__()
        self.channels = width * 2 ** (stages - 1)
        self.encoder = convolution_stages(
            3, norm=norm, kernel_size=kernel_size, width=width, stages=stages, pooling=pooling
        )


class ComparingCNN(StagesComparison):
    """One encoder for both shoes, and a head that compares the two vectors; see DualImageCNN."""

    def __init__(self, *, norm: str, hidden_units: int = 100, dropout: float = 0.0, **stages: Any) -> None:
        super().__init__(norm=norm, **stages)
        self.head = linear_head(2 * self.channels, norm=norm, hidden_units=hidden_units, dropout=dropout)

    def describe(self, encoded: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, C)."""
        return encoded.mean(dim=(2, 3))

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return self.head(torch.cat([(one - other).abs(), one * other], dim=1))


class LocalComparingCNN(StagesComparison):
    """One encoder for both shoes, and a head that compares them place by place; see DualImageCNN.

    A shoe's "vector" is its last feature maps and, for the search, a projection of them, of length 1 at each place.
    """

    looks_closely = True

    def __init__(self, *, norm: str, hidden_units: int = 100, dropout: float = 0.0, **stages: Any) -> None:
        super().__init__(norm=norm, **stages)
        self.projection = nn.Conv2d(self.channels, self.channels, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))  # of the search: the larger, the fewer places count
        self.norm = nn.BatchNorm1d(self.channels, affine=False) if norm == "batch" else nn.Identity()
        self.head = linear_head(4 * self.channels, norm=norm, hidden_units=hidden_units, dropout=dropout)

    def describe(self, encoded: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, 2 * C * H * W)."""
        return describe_places(encoded, self.projection)

    def summary(self, vectors: Tensor) -> Tensor:
        """The means of the maps."""
        return vectors.unflatten(1, (2, self.channels, -1))[:, 0].mean(dim=2)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        difference, product = compare_places(one, other, self.channels, self.sharpness)
        maps_one, maps_other = (vector.unflatten(1, (2, self.channels, -1))[:, 0] for vector in (one, other))
        means = self.norm(torch.cat([maps_one, maps_other]).mean(dim=2))
        mean_one, mean_other = means[: one.shape[0]], means[one.shape[0] :]
        return self.head(torch.cat([difference, product, (mean_one - mean_other).abs(), mean_one * mean_other], dim=1))


def describe_places(maps: Tensor, projection: nn.Module) -> Tensor:
    """What compare_places needs of a shoe: its feature maps and, for the search, their projection, of length 1 at each
    place: (B, C, H, W) -> (B, 2 * C * H * W)."""
    searched = nn.functional.normalize(projection(maps).float(), dim=1)
    return torch.cat([maps.float(), searched], dim=1).flatten(1)


def compare_places(one: Tensor, other: Tensor, channels: int, sharpness: Tensor) -> tuple[Tensor, Tensor]:
    """Compare each place of one shoe with what the other has where it looks most like it, and the other way round:
    cross-attention between local features.

    Args:
        one, other: what describe_places gives, (B, 2 * channels * places) each.
        sharpness: of the search, an inverse temperature: the larger, the fewer places count.
    Returns:
        The means over the places of the absolute difference and of the product, (B, channels) each.
    """
    maps_one, search_one = one.unflatten(1, (2, channels, -1)).unbind(1)  # (B, C, places) each
    maps_other, search_other = other.unflatten(1, (2, channels, -1)).unbind(1)
    alike = sharpness * (search_one.transpose(1, 2) @ search_other)  # (B, places of one, places of the other)
    from_other = maps_other @ alike.softmax(dim=2).transpose(1, 2)  # (B, C, places of one)
    from_one = maps_one @ alike.softmax(dim=1)  # (B, C, places of the other)
    difference = (maps_one - from_other).abs().mean(dim=2) + (maps_other - from_one).abs().mean(dim=2)
    product = (maps_one * from_other).mean(dim=2) + (maps_other * from_one).mean(dim=2)
    return difference, product


class Standardise(nn.BatchNorm1d):
    """Batch norm without scale and shift, whose running statistics start with those of the first batch.

    torch's start with 0 and 1. Differences of vectors of length 1 have variances of 1e-5, which a running variance that
    begins with 1 does not come near in some hundred steps: in evaluation hardly anything would be left of them.
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


SPREAD_MOMENTUM = 0.1  # of a running mean, as in batch norm
SMALLEST_SPREAD = 1e-3


class JointComparison(Comparison):
    """Several judges, each pair judged by every one for itself; the outputs are the means of theirs.

    Before the mean, each one's outputs are divided by the standard deviation that its logits had in training: one that
    is surer than the others, which says nothing of how often it is right, must not outvote them.

    Args:
        members: comparisons, of one judge or several, each with the side, in pixels, of the square images it is to see.
    """

    def __init__(self, members: Sequence[tuple[Comparison, int]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(member for member, _ in members)
        self.image_sizes = [image_size for _, image_size in members]
        self.spread: Tensor  # of each judge's logits
        self.num_judges = sum(member.num_judges for member, _ in members)
        self.looks_closely = any(member.looks_closely for member, _ in members)
        self.register_buffer("spread", torch.ones(self.num_judges))
        self.lengths = []  # of the members' vectors
        for member, image_size in members:
            with torch.no_grad():
                self.lengths.append(member.eval().encode(torch.zeros(1, 3, image_size, image_size)).shape[1])
            member.train()

    def encode(self, images: Tensor) -> Tensor:
        """The members' vectors, one after the other."""
        return torch.cat(
            [
                member.encode(scaled(images, size))
                for member, size in zip(self._comparisons, self.image_sizes, strict=True)
            ],
            dim=1,
        )

    def summary(self, vectors: Tensor) -> Tensor:
        """The first member's."""
        return self._comparisons[0].summary(vectors[:, : self.lengths[0]])

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        return self.agree(self.compare_each(one, other))

    def compare_each(self, one: Tensor, other: Tensor) -> Tensor:
        parts = zip(self._comparisons, one.split(self.lengths, dim=1), other.split(self.lengths, dim=1), strict=True)
        outputs = torch.cat([member.compare_each(*both).float() for member, *both in parts])
        if self.training:
            logits = (outputs[..., 1] - outputs[..., 0]).detach()
            self.spread.lerp_(logits.std(dim=1, correction=0).clamp_min(SMALLEST_SPREAD), SPREAD_MOMENTUM)
        return outputs

    def agree(self, outputs: Tensor) -> Tensor:
        """(num_judges, B, 2) -> (B, 2): their mean, as far from 0 as theirs are on average."""
        return (outputs / self.spread.view(-1, 1, 1)).mean(dim=0) * self.spread.mean()

    @property
    def _comparisons(self) -> list[Comparison]:
        return cast(list[Comparison], list(self.members))


def scaled(images: Tensor, image_size: int) -> Tensor:
    """Square images of another size, (B, 3, H, H) -> (B, 3, image_size, image_size)."""
    if images.shape[-1] == image_size:
        return images
    return nn.functional.interpolate(images, (image_size, image_size), mode="bilinear", align_corners=False)


COMPARISONS: dict[str, type[ComparingCNN] | type[LocalComparingCNN]] = {
    "compare": ComparingCNN,
    "local": LocalComparingCNN,
}
