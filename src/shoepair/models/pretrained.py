"""The network that compares two shoes by what a pretrained encoder sees of them; the encoder stands in encoders.py."""

from typing import Any

import torch
from torch import Tensor, nn

from shoepair.models.encoders import PretrainedEncoder
from shoepair.models.siamese import (
    Comparison,
    JointComparison,
    compare_places,
    describe_places,
    standardised_head,
)
from shoepair.models.stages import channels_last


class PretrainedComparison(Comparison):
    """One or two judges: by the vectors of an encoder, their absolute difference and their cosine, and, where it gives
    maps, by these, place by place, as LocalComparingCNN does.

    A shoe's "vector" is the encoder's vector and what describe_places gives of its maps.

    Args:
        hidden_units, dropout: of each judge's head.
    """

    encoder: PretrainedEncoder

    def __init__(self, encoder: PretrainedEncoder, *, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = standardised_head(encoder.num_features + 1, hidden_units=hidden_units, dropout=dropout)
        self.places = None
        if encoder.num_channels:
            self.places = PlacesJudge(encoder.num_channels, hidden_units=hidden_units, dropout=dropout)
            self.num_judges, self.looks_closely = 2, True

    def encode(self, images: Tensor) -> Tensor:
        vectors, maps = self.encoder.look(channels_last(images))
        if self.places is None or maps is None:
            return vectors
        return torch.cat([vectors, self.places.describe(maps)], dim=1)

    def summary(self, vectors: Tensor) -> Tensor:
        """The encoder's vectors."""
        return vectors[:, : self.encoder.num_features]

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """The mean of what the judges say."""
        return self.compare_each(one, other).mean(dim=0)

    def compare_vectors(self, one: Tensor, other: Tensor) -> Tensor:
        """What the judge by vectors says: (B, num_features) each -> (B, 2)."""
        cosine = (one * other).sum(dim=1, keepdim=True)
        return self.head(torch.cat([(one - other).abs(), cosine], dim=1))

    def compare_each(self, one: Tensor, other: Tensor) -> Tensor:
        outputs = [self.compare_vectors(self.summary(one), self.summary(other))]
        if self.places is not None:
            maps = (vectors[:, self.encoder.num_features :] for vectors in (one, other))
            outputs.append(self.places.compare(*maps))
        return torch.stack(outputs)


class PlacesJudge(nn.Module):
    """Compares two shoes by feature maps of another network, reduced to fewer channels, place by place: local features
    matched by cross-attention.

    Args:
        in_channels: of the maps.
    """

    def __init__(self, in_channels: int, channels: int = 64, *, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.projection = nn.Conv2d(channels, channels, 1)
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.head = standardised_head(2 * channels, hidden_units=hidden_units, dropout=dropout)

    def describe(self, maps: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 2 * channels * H * W)."""
        return describe_places(self.reduce(maps), self.projection)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of what describe gives: (B, 2)."""
        return self.head(torch.cat(compare_places(one, other, self.channels, self.sharpness), dim=1))


class PretrainedNetwork(nn.Module):
    """The dual approach with a pretrained encoder: both shoes' vectors, and a head that compares them.

    Args:
        encoder, weights, frozen, train_from, maps_of, image_size: of PretrainedEncoder.
        encoder_lr, beside_lr: for the optimizer; see conf/approach/pretrained.yaml.
        hidden_units, dropout: of the head, or of each judge's.
        beside: a network of the dual approach that judges each pair as well; the outputs are the means of all judges'.
        beside_size: side of the images that it is to see, in pixels.
    """

    def __init__(
        self,
        image_size: int = 224,
        *,
        encoder: str,
        weights: str | None = "default",
        frozen: bool = True,
        train_from: str | None = None,
        maps_of: str | None = None,
        encoder_lr: float = 0.1,
        hidden_units: int = 32,
        dropout: float = 0.5,
        beside: Comparison | None = None,
        beside_size: int = 112,
        beside_lr: float = 0.3,
    ) -> None:
        super().__init__()
        self.frozen, self.encoder_lr, self.beside_lr = frozen, encoder_lr, beside_lr
        body = PretrainedEncoder(
            encoder, image_size, weights=weights, frozen=frozen, train_from=train_from, maps_of=maps_of
        )
        own = PretrainedComparison(body, hidden_units=hidden_units, dropout=dropout)
        self.classifier: PretrainedComparison | JointComparison = own
        if beside is not None or own.num_judges > 1:
            others = [] if beside is None else [(beside, beside_size)]
            self.classifier = JointComparison([(own, image_size), *others])

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W); or the shoes' vectors, each (B, C).
        Returns:
            (B, 2).
        """
        return self.agree(self.judge_each(left, right))

    def agree(self, judged: Tensor) -> Tensor:
        """From what judge_each gives to what forward gives."""
        return self.classifier.agree(judged) if isinstance(self.classifier, JointComparison) else judged[0]

    def judge_each(self, left: Tensor, right: Tensor) -> Tensor:
        """As forward, of every judge: (num_judges, B, 2)."""
        num_pairs = left.shape[0]
        both = torch.cat([left, right])
        if left.ndim != 2:
            both = self.classifier.encode(both)
        return self.classifier.compare_each(both[:num_pairs], both[num_pairs:])

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimizer is to train: the heads, and with learning rates of their own the encoder, as far as it is
        trained, and the network beside it."""
        own: Any
        beside: list[nn.Module] = []
        if isinstance(self.classifier, JointComparison):
            own, *beside = self.classifier.members
        else:
            own = self.classifier
        heads = [value for name, value in own.named_parameters() if not name.startswith("encoder.")]
        groups = [{"params": heads, "lr": lr}]
        if not self.frozen:
            trained = [value for value in own.encoder.parameters() if value.requires_grad]
            groups.append({"params": trained, "lr": lr * self.encoder_lr})
        groups += [{"params": list(network.parameters()), "lr": lr * self.beside_lr} for network in beside]
        return groups
