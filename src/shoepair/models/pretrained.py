"""The network that compares two shoes by what a pretrained encoder sees of them; the encoder stands in encoders.py."""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from shoepair.config.approaches import NetworkSettings, PretrainedSettings
from shoepair.models.colours import COLOUR_WEIGHT, NUM_COLOURS, colour_agreement, place_colours
from shoepair.models.encoders import PretrainedEncoder
from shoepair.models.ensemble import Ensemble
from shoepair.models.local import (
    AGREEMENTS,
    LocalFeatures,
    Usual,
    agreement,
    coarser,
    covered_places,
    extents,
    local_descriptors,
    match_local_features,
    similarities,
    unpacked,
    without_uncovered,
)
from shoepair.models.networks import PairNetwork, build_network
from shoepair.models.plda import NUM_SCORES, PLDA
from shoepair.models.pooling import shrunk
from shoepair.models.siamese import SiameseNetwork, standardised_head, usual_of
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
        if self.places is None:
            return embeddings
        return torch.cat([embeddings, self.places.describe(maps[0])], dim=1)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """The encoder's embeddings."""
        return embeddings[:, : self.encoder.num_features]

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
        reduced = self.reduce(maps)
        return local_descriptors(reduced, self.projection(reduced))

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of what describe gives: (B, 2)."""
        left, right = (unpacked(shoe, self.channels, covers=False) for shoe in (one, other))
        found = match_local_features(left, right, similarities(left, right), self.logit_scale)
        outputs: Tensor = self.head(torch.cat(found, dim=1))
        return outputs


class CutOutSiamese(SiameseNetwork):
    """Compares cut-outs by what an encoder that is not trained sees of them, with linear heads: by its embeddings and
    the means of its maps where the shoe is, their differences or, with plda, its scores; by how well the places of the
    two shoes agree; with earlier_layer, how well those of that layer do, and the scores again; and, with colours, how
    well the places' colours do.

    Args:
        settings: dropout is that of the first head's features; local_weight and earlier_weight, what the heads on
            places count where the first one counts 1 and that on colours COLOUR_WEIGHT.
    """

    encoder: PretrainedEncoder
    in_channels = 4
    needs_reranking = True
    map_mean: Tensor
    map_std: Tensor

    def __init__(self, encoder: PretrainedEncoder, settings: PretrainedSettings) -> None:
        super().__init__()
        self.encoder = encoder
        self.settings = settings
        self.num_global = encoder.num_features + encoder.num_channels
        # Some channels are far larger than others, and would alone decide which places are alike.
        self.register_buffer("map_mean", torch.zeros(1, encoder.num_channels, 1, 1))
        self.register_buffer("map_std", torch.ones(1, encoder.num_channels, 1, 1))
        num_agreements = AGREEMENTS + len(settings.quantiles)
        num_extents = 2 if settings.extents else 0
        # Of the encoder's vector, and of the mean of its maps where the shoe is.
        self.plda = nn.ModuleList(
            PLDA(dims, settings.plda) for dims in (encoder.num_features, encoder.num_channels) if settings.plda
        )
        num_scores = NUM_SCORES * len(self.plda)
        num_of_vectors = num_scores or self.num_global + 2
        self.lengths = [num_of_vectors + 2, settings.scales * num_agreements + 2 + num_extents]
        self.head = standardised_head(self.lengths[0], hidden_units=None, dropout=settings.dropout)
        self.local_head = standardised_head(self.lengths[1], hidden_units=None, dropout=0.0)
        self.head_weights = [1.0, settings.local_weight]
        if encoder.num_earlier:
            self.register_buffer("earlier_mean", torch.zeros(1, encoder.num_earlier, 1, 1))
            self.register_buffer("earlier_std", torch.ones(1, encoder.num_earlier, 1, 1))
            self.lengths.append(num_agreements + num_extents + num_scores)
            self.earlier_head = standardised_head(self.lengths[2], hidden_units=None, dropout=0.0)
            self.head_weights.append(settings.earlier_weight)
        if settings.colours:
            self.lengths.append(NUM_COLOURS)
            self.colour_head = standardised_head(NUM_COLOURS, hidden_units=None, dropout=0.0)
            self.head_weights.append(COLOUR_WEIGHT)
        self.num_heads = len(self.lengths)

    @torch.no_grad()
    def measure(self, images: Tensor) -> None:
        """Find out by some cut-outs, (B, 4, H, W), how large each channel of the maps is."""
        seen = [self._look(batch)[1] for batch in images.split(32)]
        for (mean, std), maps in zip(self._statistics, zip(*seen, strict=True), strict=True):
            values = torch.cat([one.transpose(0, 1).flatten(1) for one in maps], dim=1)
            mean.copy_(values.mean(1).view_as(mean))
            std.copy_(values.std(1).view_as(std).clamp_min(1e-8))

    def learn_classes(self, views: Tensor, classes: Tensor) -> None:
        vectors = self.global_descriptor(views.flatten(0, 1)).unflatten(0, views.shape[:2])[classes >= 0]
        classes = classes[classes >= 0].repeat_interleave(views.shape[1])
        for plda, own in zip(self.plda, vectors.flatten(0, 1).split(self._num_dims, dim=1), strict=True):
            cast(PLDA, plda).fit(own, classes)

    def encode(self, images: Tensor) -> Tensor:
        """Two vectors of length 1, how sharp the cut-out is, of each layer the places, which of these count, and their
        colours.
        """
        embeddings, maps = self._look(images)
        side = maps[0].shape[-1]
        counts = covered_places(images, side)
        inside = (maps[0].flatten(2) * counts[:, None]).sum(2) / counts.sum(1, keepdim=True)
        inside = nn.functional.normalize(inside, dim=1)
        layers = zip(maps, self._statistics, strict=True)
        places = [nn.functional.normalize((values - mean) / std, dim=1).flatten(1) for values, (mean, std) in layers]
        colours = [place_colours(images, side).flatten(1)] if self.settings.colours else []
        return torch.cat([embeddings, inside, sharpness(images)[:, None], *places, counts, *colours], dim=1)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        return embeddings[:, : self.num_global]

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        return self.judge(self.figures(one, other))

    def judge(self, figures: Tensor) -> Tensor:
        """The outputs of all heads: what figures() gives -> (num_heads, B, 2)."""
        parts = figures.split(self.lengths, dim=1)
        return torch.stack([head(part) for head, part in zip(self._heads, parts, strict=True)])

    def figures(self, one: Tensor, other: Tensor) -> Tensor:
        """All that the heads are given of pairs of embeddings; nothing of it is trained: (B, C) each -> (B, F)."""
        # Blurred shoes look alike, and a sharp one unlike a blurred one: what may be expected of the others.
        sharp_one, sharp_other = one[:, self.num_global], other[:, self.num_global]
        expected = torch.stack([sharp_one + sharp_other, (sharp_one - sharp_other).abs()], dim=1)
        vectors = self._compare_vectors(self.global_descriptor(one), self.global_descriptor(other))
        layers = list(zip(self._places(one), self._places(other), strict=True))
        left, right = layers[0]
        covered = [extents(left, right)] if self.settings.extents else []
        seen = _with_similarities(left, right)
        of_places = [agreement(*seen, self.settings.quantiles), expected, *covered]
        colours = [colour_agreement(*seen)] if self.settings.colours else []
        for _ in range(self.settings.scales - 1):
            left, right = coarser(left), coarser(right)
            of_places.append(self._agreement(left, right))
        for earlier in layers[1:]:
            of_places += [self._agreement(*earlier), *covered, *([vectors] if self.settings.plda else [])]
        return torch.cat([vectors, expected, *of_places, *colours], dim=1)

    def penalty(self) -> Tensor:
        """What weights, as far as they make a logit, add to the loss."""
        squares = []
        for head in (self.head, self.local_head):
            linear = head.get_submodule("2")
            assert isinstance(linear, nn.Linear)
            squares.append((linear.weight[1] - linear.weight[0]).square().sum())
        return self.settings.penalty * squares[0] + self.settings.local_penalty * squares[1]

    def shown_places(self, embeddings: Tensor) -> tuple[LocalFeatures, Usual]:
        return self._places(embeddings)[0], usual_of(self.local_head[0])

    def _look(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As the encoder does; maps of the earlier layer are averaged to as many places as local_layer's."""
        embeddings, maps = self.encoder.look(channels_last(images[:, :3]))
        side = maps[0].shape[-1]
        return embeddings, [shrunk(of_layer.float(), side) for of_layer in maps]

    def _places(self, embeddings: Tensor) -> list[LocalFeatures]:
        """Of each layer; maps of the first are its places' colours, if these are asked for."""
        rest = embeddings[:, self.num_global + 1 :]
        channels = [mean.shape[1] for mean, _ in self._statistics]
        num_colours = NUM_COLOURS if self.settings.colours else 0
        num_places = rest.shape[1] // (sum(channels) + 1 + num_colours)
        *layers, counts = rest[:, : num_places * (sum(channels) + 1)].split(
            [num_places * each for each in (*channels, 1)], dim=1
        )
        searched = [layer.unflatten(1, (each, num_places)) for layer, each in zip(layers, channels, strict=True)]
        maps = list(searched)
        if num_colours:
            maps[0] = rest[:, -num_places * num_colours :].unflatten(1, (num_colours, num_places))
        return [LocalFeatures(*both, counts > 0) for both in zip(maps, searched, strict=True)]

    def _compare_vectors(self, one: Tensor, other: Tensor) -> Tensor:
        """Of global descriptors, plda's scores; without it, the differences and two cosines."""
        parts = list(zip(one.split(self._num_dims, dim=1), other.split(self._num_dims, dim=1), strict=True))
        if self.settings.plda:
            return torch.cat([cast(PLDA, plda).scores(*both) for plda, both in zip(self.plda, parts, strict=True)], 1)
        cosines = [(left * right).sum(1, keepdim=True) for left, right in parts]
        return torch.cat([(one - other).abs(), *cosines], dim=1)

    def _agreement(self, one: LocalFeatures, other: LocalFeatures) -> Tensor:
        return agreement(*_with_similarities(one, other), self.settings.quantiles)

    @property
    def _num_dims(self) -> list[int]:
        """Of the two vectors of a global descriptor."""
        return [self.encoder.num_features, self.encoder.num_channels]

    @property
    def _heads(self) -> list[nn.Module]:
        asked = {"earlier_head": self.encoder.num_earlier > 0, "colour_head": self.settings.colours}
        return [self.head, self.local_head, *(getattr(self, name) for name, is_there in asked.items() if is_there)]

    @property
    def _statistics(self) -> list[tuple[Tensor, Tensor]]:
        """Of each layer, the mean and the standard deviation of its channels: (1, C, 1, 1)."""
        own = [(self.map_mean, self.map_std)]
        if self.encoder.num_earlier:
            own.append((self.get_buffer("earlier_mean"), self.get_buffer("earlier_std")))
        return own


def _with_similarities(one: LocalFeatures, other: LocalFeatures) -> tuple[LocalFeatures, LocalFeatures, Tensor]:
    one, other = without_uncovered(one), without_uncovered(other)
    return one, other, similarities(one, other)


def sharpness(cut_outs: Tensor) -> Tensor:
    """The logarithm of the mean difference between neighbouring pixels of a shoe: (B, 4, H, W) -> (B,)."""
    grey, cover = cut_outs[:, :3].mean(1), cut_outs[:, 3] > 0.9
    across, down = (grey.diff(dim=dim).abs() for dim in (2, 1))
    inside = [cover[:, :, 1:] & cover[:, :, :-1], cover[:, 1:] & cover[:, :-1]]
    total = (across * inside[0]).sum((1, 2)) + (down * inside[1]).sum((1, 2))
    num = inside[0].sum((1, 2)) + inside[1].sum((1, 2))
    return torch.log(total / num.clamp_min(1) + 1e-3)


class PretrainedNetwork(PairNetwork):
    """The dual approach with a pretrained encoder: both shoes' embeddings, and heads that compare them. A network of
    the dual approach that is trained further beside it is one more head.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        assert isinstance(settings.approach, PretrainedSettings)
        self.settings = settings.approach
        if self.settings.cutout is not None:
            encoder = PretrainedEncoder(self.settings, self.settings.cutout)
            self.siamese = Ensemble([(CutOutSiamese(encoder, self.settings), self.settings.cutout)])
            return
        encoder = PretrainedEncoder(self.settings, settings.image_size)
        assert self.settings.hidden_units is not None
        own = PretrainedSiamese(encoder, hidden_units=self.settings.hidden_units, dropout=self.settings.dropout)
        self.siamese = own
        if settings.member is not None:
            beside = build_network(settings.member).siamese
            assert beside is not None
            self.siamese = Ensemble([(own, settings.image_size), (beside, settings.member.image_size)])
        elif own.num_heads > 1:
            self.siamese = Ensemble([(own, settings.image_size)])

    def measure(self, images: Tensor) -> None:
        own = self._members[0]
        if isinstance(own, CutOutSiamese):
            own.measure(images)

    @property
    def learns_classes(self) -> bool:
        return self.settings.plda > 0

    def learn_classes(self, views: Tensor, classes: Tensor) -> None:
        own = self._members[0]
        assert isinstance(own, CutOutSiamese)
        own.learn_classes(views, classes)

    def quicken(self) -> None:
        encoder: Any = self._members[0].get_submodule("encoder")
        encoder.fold_norms()

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

    def figures(self, left: Tensor, right: Tensor) -> Tensor:
        own = self._members[0]
        assert isinstance(own, CutOutSiamese)
        return own.figures(left, right)

    def heads_of_figures(self, figures: Tensor) -> Tensor:
        own = self._members[0]
        assert isinstance(own, CutOutSiamese) and isinstance(self.siamese, Ensemble)
        with torch.autocast(figures.device.type, enabled=False):  # which a line search would see the steps of
            return self.siamese.noted(own.judge(figures.float()))

    def penalty(self) -> Tensor | float:
        own = self._members[0]
        return own.penalty() if isinstance(own, CutOutSiamese) else 0.0

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
