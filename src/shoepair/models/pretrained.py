"""The network that compares two shoes by what a pretrained encoder sees of them; the encoder stands in encoders.py."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.config.approaches import NetworkSettings, PretrainedSettings
from shoepair.models.encoders import PretrainedEncoder
from shoepair.models.ensemble import Ensemble
from shoepair.models.networks import PairNetwork, build_network
from shoepair.models.siamese import (
    SiameseNetwork,
    local_descriptors,
    match_local_features,
    standardised_head,
)
from shoepair.models.stages import channels_last


class PretrainedSiamese(SiameseNetwork):
    """One or two heads: by an encoder's embeddings, their absolute difference and their cosine, and, where it gives
    maps, by these, place by place, as LocalSiameseCNN does.

    A shoe's embedding is the encoder's and the local descriptors of its maps.

    Args:
        hidden_units, dropout: of each head.
    """

    encoder: PretrainedEncoder

    def __init__(self, encoder: PretrainedEncoder, *, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = standardised_head(encoder.num_features + 1, hidden_units=hidden_units, dropout=dropout)
        self.places = None
        if encoder.num_channels:
            self.places = LocalHead(encoder.num_channels, hidden_units=hidden_units, dropout=dropout)
            self.num_heads, self.needs_reranking = 2, True

    def encode(self, images: Tensor) -> Tensor:
        embeddings, maps = self.encoder.look(channels_last(images))
        if self.places is None or maps is None:
            return embeddings
        return torch.cat([embeddings, self.places.describe(maps)], dim=1)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """The encoder's embeddings."""
        return embeddings[:, : self.encoder.num_features]

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """The mean of what the heads say."""
        return self.compare_by_head(one, other).mean(dim=0)

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        global_one, global_other = self.global_descriptor(one), self.global_descriptor(other)
        cosine = (global_one * global_other).sum(dim=1, keepdim=True)
        outputs = [self.head(torch.cat([(global_one - global_other).abs(), cosine], dim=1))]
        if self.places is not None:
            outputs.append(self.places.compare(*(shoe[:, self.encoder.num_features :] for shoe in (one, other))))
        return torch.stack(outputs)


class LocalHead(nn.Module):
    """Compares two shoes by feature maps of another network, reduced to fewer channels, place by place.

    Args:
        in_channels: of the maps.
    """

    def __init__(self, in_channels: int, channels: int = 64, *, hidden_units: int, dropout: float) -> None:
        super().__init__()
        self.channels = channels
        self.reduce = nn.Sequential(nn.Conv2d(in_channels, channels, 1), nn.BatchNorm2d(channels), nn.ReLU())
        self.projection = nn.Conv2d(channels, channels, 1)
        self.logit_scale = nn.Parameter(torch.tensor(10.0))
        self.head = standardised_head(2 * channels, hidden_units=hidden_units, dropout=dropout)

    def describe(self, maps: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 2 * channels * H * W)."""
        return local_descriptors(self.reduce(maps), self.projection)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of what describe gives: (B, 2)."""
        return self.head(torch.cat(match_local_features(one, other, self.channels, self.logit_scale), dim=1))


class PretrainedNetwork(PairNetwork):
    """The dual approach with a pretrained encoder: both shoes' embeddings, and heads that compare them. A network of
    the dual approach that is trained further beside it is one more head.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        assert isinstance(settings.approach, PretrainedSettings)
        self.settings = settings.approach
        beside = None if settings.member is None else build_network(settings.member).siamese
        encoder = PretrainedEncoder(self.settings, settings.image_size)
        own = PretrainedSiamese(encoder, hidden_units=self.settings.hidden_units, dropout=self.settings.dropout)
        self.siamese = own
        if settings.member is not None and beside is not None:
            self.siamese = Ensemble([(own, settings.image_size), (beside, settings.member.image_size)])
        elif own.num_heads > 1:
            self.siamese = Ensemble([(own, settings.image_size)])

    def load_member(self, weights: Mapping[str, Any]) -> None:
        own = {name.removeprefix("siamese."): value for name, value in weights.items()}
        self._members[1].load_state_dict(own)

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        """As PairNetwork.heads; left and right may also be embeddings, each (B, C)."""
        assert self.siamese is not None
        num_pairs = left.shape[0]
        both = torch.cat([left, right])
        if left.ndim != 2:
            both = self.siamese.encode(both)
        return self.siamese.compare_by_head(both[:num_pairs], both[num_pairs:])

    def combine(self, heads: Tensor) -> Tensor:
        return self.siamese.combine(heads) if isinstance(self.siamese, Ensemble) else heads[0]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """The heads, and with learning rates of their own the encoder, as far as it is trained, and the member."""
        own, *beside = self._members
        encoder: Any = own.get_submodule("encoder")
        heads = [value for name, value in own.named_parameters() if not name.startswith("encoder.")]
        groups = [{"params": heads, "lr": lr}]
        if not self.settings.frozen:
            trained = [value for value in encoder.parameters() if value.requires_grad]
            groups.append({"params": trained, "lr": lr * self.settings.encoder_lr_scale})
        scale = self.settings.ensemble_lr_scale
        groups += [{"params": list(network.parameters()), "lr": lr * scale} for network in beside]
        return groups

    @property
    def _members(self) -> list[nn.Module]:
        return list(self.siamese.members) if isinstance(self.siamese, Ensemble) else [self.siamese]  # type: ignore[list-item]
