"""Local features: each place of one shoe is compared with the places of the other.

After matchers of local features such as SuperGlue (Sarlin et al., 2020) and LoFTR (Sun et al., 2021), without their
networks: mutual nearest neighbours and a dual softmax, of which only figures are used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from shoepair.models.pooling import shrunk

COVERED = 0.5  # so much of a place the shoe must cover, or it does not count
AGREEMENTS = 5  # figures that agreement() gives besides quantiles that it is asked for
LOWEST = 0.1  # the quantile of the best similarities: what the least alike places have
SHARPNESS = 20.0  # of the dual softmax
HALF = 0.49  # of four places two, whatever is lost in adding them
NOWHERE = 1e4  # more than similarities differ by, of which the softmax is 0


@dataclass(frozen=True)
class Usual:
    """How alike the places of two shoes are, as agreement()'s first figure says, over the pairs of the training.

    Attributes:
        mean, std: half of the pairs are the same pair, so that the mean lies between what these have and the others.
    """

    mean: float = 0.8  # as `ready` has them in its last stage: networks without batch norm note nothing
    std: float = 0.09


@dataclass(frozen=True)
class LocalFeatures:
    """What is known of each place of some shoes.

    Attributes:
        maps: (B, C, places), what is compared.
        searched: (B, C', places), of length 1 at each place, by what places that look alike are found.
        counts: (B, places) bool: the shoe is there; None: all places count.
    """

    maps: Tensor
    searched: Tensor
    counts: Tensor | None

    @cached_property
    def weight(self) -> Tensor:
        """(B, places), of sum 1."""
        if self.counts is None:
            return torch.full_like(self.maps[:, 0], 1 / self.maps.shape[2])
        return self.counts / self.counts.sum(1, keepdim=True)

    def mean(self, values: Tensor) -> Tensor:
        """Over the places that count: (B, C, places) -> (B, C)."""
        if self.counts is None:
            return values.mean(dim=2)
        return (values * self.weight[:, None]).sum(2)

    @cached_property
    def handicap(self) -> Tensor:
        """(B, places): 0 for those that count, far below any similarity for others, which then are nowhere near."""
        assert self.counts is not None
        return (self.counts.float() - 1) * NOWHERE


def covered_places(cut_outs: Tensor, side: int) -> Tensor:
    """Which of side x side places the shoe of each cut-out covers: (B, 4, H, W) -> (B, side**2), 1.0 or 0.0.

    Where it covers no place by half, the fullest one counts; without a shoe all do.
    """
    cover = shrunk(cut_outs[:, 3:], side).flatten(1)
    return ((cover > COVERED) | (cover >= cover.amax(1, keepdim=True))).to(cut_outs.dtype)


def local_descriptors(maps: Tensor, searched: Tensor, counts: Tensor | None = None) -> Tensor:
    """What unpacked() needs of a shoe as one vector.

    Args:
        maps: (B, C, H, W).
        searched: as many channels; divided by its length at each place.
        counts: (B, H * W), 1.0 or 0.0; None: all places count.
    """
    parts = [maps.float().flatten(1), normalize(searched.float(), dim=1).flatten(1)]
    return torch.cat(parts if counts is None else [*parts, counts], dim=1)


def unpacked(descriptors: Tensor, channels: int, *, covers: bool) -> LocalFeatures:
    """What local_descriptors() packed: (B, 2 * channels * places), with covers=True and `places` more."""
    places = descriptors.shape[1] // (2 * channels + int(covers))
    maps, searched = descriptors[:, : 2 * channels * places].unflatten(1, (2, channels, places)).unbind(1)
    return LocalFeatures(maps, searched, descriptors[:, 2 * channels * places :] > 0 if covers else None)


def unpacked_places(descriptors: Tensor, channels: int) -> LocalFeatures:
    """Of places that are compared as they are searched, (B, channels * places), and then which count, (B, places)."""
    num_places = descriptors.shape[1] // (channels + 1)
    places = descriptors[:, : channels * num_places].unflatten(1, (channels, num_places))
    return LocalFeatures(places, places, descriptors[:, channels * num_places :] > 0)


def without_uncovered(features: LocalFeatures) -> LocalFeatures:
    """The same without most places that do not count, in the same order: as many are left as the fullest shoe has.

    Shoes cover three of ten places of their cut-outs, and every place is compared with every other one: on a CPU a pair
    of photos takes 0.44 of the time so by best_pretrained, 0.38 by ready. A graph that is exported, and other devices,
    which would have to be waited for, keep them all.
    """
    counts = features.counts
    if counts is None or counts.device.type != "cpu" or torch.compiler.is_compiling():
        return features
    first = counts.sort(dim=1, descending=True, stable=True).indices[:, : int(counts.sum(1).max())]
    maps, searched = (
        values.gather(2, first[:, None].expand(-1, values.shape[1], -1))
        for values in (features.maps, features.searched)
    )
    return LocalFeatures(maps, maps if features.searched is features.maps else searched, counts.gather(1, first))


def similarities(one: LocalFeatures, other: LocalFeatures) -> Tensor:
    """How alike each place of one shoe is to each of the other, cosines: (B, places of one, places of the other)."""
    return one.searched.transpose(1, 2) @ other.searched


def match_local_features(
    one: LocalFeatures, other: LocalFeatures, alike: Tensor, logit_scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Compare each place of one shoe with what the other has where it looks most like it, and the other way round:
    cross-attention between local features.

    Args:
        alike: what similarities() gives.
        logit_scale: of the search, an inverse temperature: the larger, the fewer places count.
    Returns:
        The means over the places of the absolute difference and of the product, (B, channels) each.
    """
    alike = logit_scale * alike
    rows, columns = alike, alike
    if one.counts is not None and other.counts is not None:
        rows, columns = alike + other.handicap[:, None], alike + one.handicap[:, :, None]
    from_other = other.maps @ rows.softmax(dim=2).transpose(1, 2)  # (B, C, places of one)
    from_one = one.maps @ columns.softmax(dim=1)  # (B, C, places of the other)
    difference = one.mean((one.maps - from_other).abs()) + other.mean((other.maps - from_one).abs())
    product = one.mean(one.maps * from_other) + other.mean(other.maps * from_one)
    return difference, product


def agreement(one: LocalFeatures, other: LocalFeatures, alike: Tensor, quantiles: Sequence[float] = ()) -> Tensor:
    """How well the places of two shoes go together, the same when they change places: (B, AGREEMENTS + len(quantiles)).

    The mean similarity of each place to the one most like it; that of places that are most like each other; the part of
    the places that are; the mass of the dual softmax; the similarity that nine of ten places reach; and `quantiles`.

    Args:
        alike: what similarities() gives.
        quantiles: further ones of the similarity of each place to the one most like it, below 1. Where a part of a shoe
            is hidden, few places are unlike, and the others as alike as ever.
    """
    assert one.counts is not None and other.counts is not None
    alike = alike.float() + one.handicap[:, :, None] + other.handicap[:, None]
    (best_one, at_other), (best_other, at_one) = alike.max(2), alike.max(1)
    own = torch.arange(alike.shape[1], device=alike.device)
    mutual = (at_one.gather(1, at_other) == own) & one.counts
    mass = dual_softmax(alike).sum((1, 2))
    num_one, num_other, num_mutual = one.counts.sum(1), other.counts.sum(1), mutual.sum(1)
    asked = (LOWEST, *quantiles)
    figures = torch.stack(
        [
            ((best_one * one.weight).sum(1) + (best_other * other.weight).sum(1)) / 2,
            (best_one * mutual).sum(1) / num_mutual.clamp_min(1),
            2 * num_mutual / (num_one + num_other),
            mass / (num_one * num_other).sqrt(),
        ],
        dim=1,
    )
    ordered = (_quantiles(best_one, one.counts, asked) + _quantiles(best_other, other.counts, asked)) / 2
    return torch.cat([figures, ordered], dim=1)


def dual_softmax(alike: Tensor) -> Tensor:
    """How far two places are each most like the other, from 0 to 1: of similarities, (B, places of one, of the other),
    far below any other where a place does not count, as many numbers.
    """
    shares = SHARPNESS * alike
    return shares.softmax(2) * shares.softmax(1)


def similar_places(one: LocalFeatures, other: LocalFeatures) -> tuple[Tensor, Tensor]:
    """Of one pair of shoes, for people to look at.

    Returns:
        (2, side, side): of each place the similarity to the one most like it, nan where it does not count; and
        (num, 3): a place of one, one of the other, of those that are most like each other, and their similarity.
    """
    assert one.counts is not None and other.counts is not None
    here, there = one.counts[0], other.counts[0]
    alike = (one.searched[0].T @ other.searched[0]).masked_fill(~(here[:, None] & there[None]), -2.0)
    (best_one, at_other), (best_other, at_one) = alike.max(1), alike.max(0)
    own = torch.arange(len(here), device=alike.device)
    mutual = torch.nonzero((at_one[at_other] == own) & here).flatten()
    links = torch.stack([mutual.float(), at_other[mutual].float(), best_one[mutual]], dim=1)
    side = math.isqrt(len(here))
    best = torch.stack([best_one.masked_fill(~here, torch.nan), best_other.masked_fill(~there, torch.nan)])
    return best.view(2, side, side), links[links[:, 2].argsort(descending=True)]


def coarser(features: LocalFeatures) -> LocalFeatures:
    """Of each two by two places, as they are searched, the mean as one of length 1; it counts where half of them do."""
    assert features.counts is not None
    side = math.isqrt(features.counts.shape[1])
    counts = features.counts.to(features.maps.dtype)
    share = _halved(counts[:, None], side)[:, 0]
    places = normalize(_halved(features.searched * counts[:, None], side), dim=1)
    return LocalFeatures(places, places, (share >= HALF) | (share >= share.amax(1, keepdim=True)))


def extents(one: LocalFeatures, other: LocalFeatures) -> Tensor:
    """How much of its cut-out each of two shoes covers, both together and by how much they differ: (B, 2)."""
    assert one.counts is not None and other.counts is not None
    covered_one, covered_other = (shoes.to(one.maps.dtype).mean(1) for shoes in (one.counts, other.counts))
    return torch.stack([covered_one + covered_other, (covered_one - covered_other).abs()], dim=1)


def _halved(values: Tensor, side: int) -> Tensor:
    """(B, C, side * side) -> (B, C, places of half the side, rounded up)."""
    return avg_pool2d(values.unflatten(2, (side, side)), 2, ceil_mode=True).flatten(2)


def _quantiles(best: Tensor, counts: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Of the places that count: (B, places) -> (B, len(quantiles))."""
    ordered = best.masked_fill(~counts, 9.0).sort(dim=1).values
    rank = (counts.sum(1, keepdim=True) * best.new_tensor(quantiles)).long()
    return ordered.gather(1, rank)
