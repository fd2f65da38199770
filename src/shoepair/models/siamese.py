"""Siamese networks: one encoder turns each shoe into an embedding, a head compares two of them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.config.approaches import ConvolutionSettings
from shoepair.models.local import (
    AGREEMENTS,
    LocalFeatures,
    Usual,
    agreement,
    covered_places,
    extents,
    local_descriptors,
    match_local_features,
    similarities,
    unpacked,
    unpacked_places,
    without_uncovered,
)
from shoepair.models.stages import channels_last, convolution_stages, linear_head

LEAST_STD = 1e-3  # of similarities that are to be shaded: where all pairs of the training were as alike
QUANTILES = (0.25, 0.5, 0.75)  # of how like each of the places of the earlier stage is to the one most like it


class SiameseNetwork(nn.Module):
    """One encoder for both shoes, and heads that see the two embeddings only.

    A gallery of shoes is scored by encoding each of them once; see `shoepair match`. A subclass defines compare(), or
    compare_by_head() if it has several heads.
    """

    encoder: nn.Module
    head: nn.Module
    in_channels = 3  # of the images that it sees; 4: cut-outs
    num_heads = 1  # that compare_by_head asks
    head_weights: Sequence[float] | None = None  # what each of them counts in an ensemble; None: all alike
    needs_reranking = False  # whether comparing two embeddings takes much longer than two global descriptors

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        """What every head says of every pair of photos or cut-outs: (B, 3 or 4, H, W) each -> (num_heads, B, 2)."""
        both = self.encode(torch.cat([left, right]))  # (2B, C): both shoes in one pass
        num_pairs = left.shape[0]  # not len(left), which an exporter would take for a constant
        return self.compare_by_head(both[:num_pairs], both[num_pairs:])

    def encode(self, images: Tensor) -> Tensor:
        """An embedding of each shoe: photos, (B, 3, H, W) in [-0.5, 0.5], or cut-outs, (B, 4, H, W) -> (B, C)."""
        embeddings: Tensor = self.encoder(channels_last(images))
        return embeddings

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """What shoes are retrieved by, (B, C) -> (B, c): those of quite unlike shoes lie far apart."""
        return embeddings

    def shown_places(self, embeddings: Tensor) -> tuple[LocalFeatures, Usual] | None:
        """The finest of the places that are compared, for people to look at; None if none are."""
        return None

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of embeddings, (B, C) each -> (B, 2); the same when they change places."""
        return self.combine(self.compare_by_head(one, other))

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        """As compare, the outputs of every head: (num_heads, B, 2)."""
        return self.compare(one, other).unsqueeze(0)

    def combine(self, heads: Tensor) -> Tensor:
        """What compare gives, of what compare_by_head gave."""
        return heads.mean(dim=0)


class ConvolutionSiamese(SiameseNetwork):
    """A siamese network whose encoder is convolution_stages(); its last feature maps have `channels` channels."""

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__()
        self.sees_cut_outs = settings.cutout is not None
        self.channels = settings.width * 2 ** (settings.stages - 1)
        self.in_channels = 4 if self.sees_cut_outs else 3
        self.encoder = convolution_stages(self.in_channels, settings)

    def encode(self, images: Tensor) -> Tensor:
        return self.describe(self.look(images), images)

    def look(self, images: Tensor) -> list[Tensor]:
        """The feature maps that describe() wants: of the last stage, (B, channels, H, W), then of others, if any."""
        return [self.encoder(channels_last(images))]

    def describe(self, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        """The embeddings of what look() gives of images."""
        raise NotImplementedError


class SiameseCNN(ConvolutionSiamese):
    """Compares the means of the last feature maps (fusion=compare), of cut-outs where the shoe is."""

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__(settings)
        self.head = linear_head(2 * self.channels, settings)

    def describe(self, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, C)."""
        last = maps[0]
        if not self.sees_cut_outs:
            return last.mean(dim=(2, 3))
        counts = covered_places(images, last.shape[-1])[:, None]
        return (last.flatten(2) * counts).sum(2) / counts.sum(2)

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        outputs: Tensor = self.head(torch.cat([(one - other).abs(), one * other], dim=1))
        return outputs


class LocalSiameseCNN(ConvolutionSiamese):
    """Compares local features as well (fusion=local): each place of one shoe with the places of the other like it.

    A shoe's embedding is its local descriptors: the last feature maps and, for the search, a projection of them, of
    length 1 at each place; of cut-outs also which places count.
    """

    needs_reranking = True

    def __init__(self, settings: ConvolutionSettings) -> None:
        super().__init__(settings)
        self.projection = nn.Conv2d(self.channels, self.channels, 1)
        self.logit_scale = nn.Parameter(torch.tensor(10.0))
        self.norm = nn.BatchNorm1d(self.channels, affine=False) if settings.norm == "batch" else nn.Identity()
        num_features = 4 * self.channels
        if self.sees_cut_outs:
            self.agreement_norm = Standardise(AGREEMENTS) if settings.norm == "batch" else nn.Identity()
            num_features += AGREEMENTS
        self.head = linear_head(num_features, settings)
        self.earlier = EarlierPlaces(self.channels // 2) if settings.earlier_stage else None
        if self.earlier is not None:
            self.num_heads = 2

    def look(self, images: Tensor) -> list[Tensor]:
        if self.earlier is None:
            return super().look(images)
        assert isinstance(self.encoder, nn.Sequential)
        before = self.encoder[:-2](channels_last(images))
        return [self.encoder[-2:](before), before]

    def describe(self, maps: Sequence[Tensor], images: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) -> (B, 2 * C * H * W), of cut-outs (B, (2 * C + 1) * H * W), and after these, with
        earlier_stage=true, what EarlierPlaces.describe gives.
        """
        last = maps[0]
        counts = covered_places(images, last.shape[-1]) if self.sees_cut_outs else None
        descriptors = local_descriptors(last, self.projection(last), counts)
        if self.earlier is None:
            return descriptors
        return torch.cat([descriptors, self.earlier.describe(maps[1], images)], dim=1)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """Over the places, means and standard deviations of what is compared and of what is searched: (B, 4 * C).

        The means of the maps alone leave twice as many partners off a shortlist.
        """
        features = self.local_features(embeddings)
        moments = []
        for values in (features.maps, features.searched):
            mean = features.mean(values)
            spread = features.mean(values.square()) - mean.square()
            moments += [mean, spread.clamp_min(0).sqrt()]
        return torch.cat(moments, dim=1)

    def local_features(self, embeddings: Tensor) -> LocalFeatures:
        return unpacked(self._split(embeddings)[0], self.channels, covers=self.sees_cut_outs)

    def shown_places(self, embeddings: Tensor) -> tuple[LocalFeatures, Usual] | None:
        if self.earlier is not None:
            return self.earlier.shown_places(self._split(embeddings)[1])
        if not self.sees_cut_outs:
            return None
        return self.local_features(embeddings), usual_of(self.agreement_norm)

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        (one, earlier_one), (other, earlier_other) = self._split(one), self._split(other)
        left, right = (
            without_uncovered(unpacked(shoe, self.channels, covers=self.sees_cut_outs)) for shoe in (one, other)
        )
        alike = similarities(left, right)
        difference, product = match_local_features(left, right, alike, self.logit_scale)
        means = self.norm(torch.cat([left.mean(left.maps), right.mean(right.maps)]))
        mean_one, mean_other = means[: one.shape[0]], means[one.shape[0] :]
        features = [difference, product, (mean_one - mean_other).abs(), mean_one * mean_other]
        if self.sees_cut_outs:
            features.append(self.agreement_norm(agreement(left, right, alike)))
        outputs = [self.head(torch.cat(features, dim=1))]
        if self.earlier is not None:
            outputs.append(self.earlier.compare(earlier_one, earlier_other))
        return torch.stack(outputs)

    def _split(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """What is of the last stage, and what EarlierPlaces gave."""
        length = embeddings.shape[1]
        if self.earlier is not None:  # of four times as many places
            places = length // (2 * self.channels + 1 + 4 * (self.earlier.channels + 1))
            length = places * (2 * self.channels + 1)
        return embeddings[:, :length], embeddings[:, length:]


class EarlierPlaces(nn.Module):
    """Compares cut-outs by how well the places of the last stage but one agree, with a linear head.

    What it is given is not trained by it: what is learned of some shoes, or of drawn ones, says less of others than
    what any shoe's places have. Where a part of a shoe is hidden it errs least (docs/results/see_the_shoe.md).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        # Some channels are far larger than others, and would alone decide which places are alike.
        self.norm = Standardise(channels)
        self.head = standardised_head(AGREEMENTS + len(QUANTILES) + 2, hidden_units=None, dropout=0.0)

    def describe(self, maps: Tensor, images: Tensor) -> Tensor:
        """The places, of length 1, and which of them count: (B, channels, H, W) and (B, 4, ., .) ->
        (B, (channels + 1) * H * W).
        """
        counts = covered_places(images, maps.shape[-1])
        values = maps.detach().float().flatten(2).transpose(1, 2)
        if self.training:
            self.norm(values[counts > 0])
        assert self.norm.running_mean is not None and self.norm.running_var is not None
        places = (values - self.norm.running_mean) / (self.norm.running_var + self.norm.eps).sqrt()
        places = nn.functional.normalize(places, dim=2).transpose(1, 2)
        return torch.cat([places.flatten(1), counts], dim=1)

    def shown_places(self, described: Tensor) -> tuple[LocalFeatures, Usual]:
        return unpacked_places(described, self.channels), usual_of(self.head[0])

    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """Two outputs for every pair of what describe gives: (B, 2)."""
        left, right = (unpacked_places(shoe, self.channels) for shoe in (one, other))
        covered = extents(left, right)
        left, right = without_uncovered(left), without_uncovered(right)
        agreements = agreement(left, right, similarities(left, right), QUANTILES)
        outputs: Tensor = self.head(torch.cat([agreements, covered], dim=1))
        return outputs


SIAMESE: dict[str, Any] = {"compare": SiameseCNN, "local": LocalSiameseCNN}  # by approach.fusion


class Standardise(nn.BatchNorm1d):
    """Batch norm without scale and shift, whose running statistics start with those of the first batch.

    torch's start with 0 and 1. Differences of embeddings of length 1 have variances of 1e-5, which a running variance
    that begins with 1 does not come near in some hundred steps: in evaluation hardly anything would be left of them.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, eps=1e-8, affine=False)
        self.usual_momentum = self.momentum or 0.1
        self.is_settled = False  # then nothing is asked of the device any more

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.is_settled:
            assert self.num_batches_tracked is not None
            self.momentum = max(self.usual_momentum, 1 / (int(self.num_batches_tracked) + 1))
            self.is_settled = self.momentum == self.usual_momentum
        return super().forward(x)


def usual_of(norm: nn.Module) -> Usual:
    """Of what standardises, among others, agreement()'s figures, which must come first."""
    if not isinstance(norm, Standardise):
        return Usual()
    assert norm.running_mean is not None and norm.running_var is not None
    return Usual(float(norm.running_mean[0]), max(float(norm.running_var[0].sqrt()), LEAST_STD))


def standardised_head(num_features: int, *, hidden_units: int | None, dropout: float) -> nn.Sequential:
    """Two outputs from features of any scale: (B, num_features) -> (B, 2). Dropout before each linear layer.

    Args:
        hidden_units: None: no hidden layer.
    """
    layers: list[nn.Module] = [Standardise(num_features), nn.Dropout(dropout)]
    if hidden_units is not None:
        layers += [nn.Linear(num_features, hidden_units), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(hidden_units or num_features, 2))
