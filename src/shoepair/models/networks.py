"""What every network has in common, whatever its approach. Training it stands in module.py."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.config.approaches import NetworkSettings, approach_named
from shoepair.models.cutout import CutOut, turned
from shoepair.models.siamese import EarlierPlaces, SiameseNetwork

LINEAR_LR_SCALE = 10.0  # of a linear head on standardised figures, whose weights have further to go
_COMPARER = re.compile(r"^(siamese|halves)\.")


class PairNetwork(nn.Module):
    """Scores pairs: two images in, two outputs out, index 1 for "same pair".

    A subclass is built from NetworkSettings alone and defines forward(). One with several heads, each of which is to
    learn by itself, defines heads() and combine() instead.

    Attributes:
        cut_out: what makes cut-outs of photos; None if the network sees whole photos.
        siamese: what encodes each shoe by itself; None if the network sees pairs only.
        exportable: whether `shoepair export` can write it.
    """

    exportable = True
    comparer = "siamese"  # the attribute that holds what compares two shoes; its weights may come from another approach

    def __init__(self) -> None:
        super().__init__()
        self.cut_out: CutOut | None = None
        self.siamese: SiameseNetwork | None = None

    def prepared(self, photos: Tensor) -> Tensor:
        """What the network sees of photos, RGB in [-0.5, 0.5], (B, 3, H, W): these, or cut-outs; see CutOut."""
        return photos if self.cut_out is None else self.cut_out(photos)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair.

        Args:
            left, right: what prepared() gives, each (B, 3 or 4, H, W).
        Returns:
            (B, 2).
        """
        return self.combine(self.heads(left, right))

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        """As forward, the outputs of every head: (num_heads, B, 2)."""
        outputs: Tensor = self(left, right)
        return outputs.unsqueeze(0)

    def figures(self, left: Tensor, right: Tensor) -> Tensor:
        """All that heads are given of pairs of embeddings, where nothing of it is trained: (B, C) each -> (B, F)."""
        raise NotImplementedError(f"{type(self).__name__} trains more than heads on figures")

    def heads_of_figures(self, figures: Tensor) -> Tensor:
        """As heads, of what figures() gives."""
        raise NotImplementedError(f"{type(self).__name__} trains more than heads on figures")

    def penalty(self) -> Tensor | float:
        """What weights add to the training loss."""
        return 0.0

    def combine(self, heads: Tensor) -> Tensor:
        """From what heads gives to what forward gives."""
        return heads[0]

    def measure(self, images: Tensor) -> None:
        """Before training, take from cut-outs of training shoes what is not learned by gradients.

        Args:
            images: (B, 4, H, W). Of a network that sees whole photos nothing is measured.
        """

    @property
    def learns_classes(self) -> bool:
        """Whether learn_classes() is for it."""
        return False

    def learn_classes(self, views: Tensor, classes: Tensor) -> None:
        """Before training, take from embeddings of training shoes what is learned of pairs as classes, at once.

        Args:
            views: of every shoe, (num_shoes, num_views, C).
            classes: the number of each one's pair, (num_shoes,); less than 0: nothing is learned from it.
        """

    def quicken(self) -> None:
        """Compute the same in less time from now on; the network must be in evaluation mode, and stay as it is."""

    def score(self, left: Tensor, right: Tensor, *, hflip: bool) -> Tensor:
        """(B,) logits of pairs of what prepared() gives: of all views together.

        Photos may be seen as mirror images as well (test-time augmentation): the mean counts. Cut-outs lie along one
        axis, but toe and heel may be exchanged: both are tried, each the mean of two views, and the better one counts.
        """
        if self.siamese is not None:  # each shoe is encoded once
            num_pairs = left.shape[0]
            both = self.encode_views(torch.cat([left, right]), hflip=hflip)
            return self.compare_views(both[:num_pairs], both[num_pairs:])
        one, other = self._views(left, hflip=hflip), self._views(right, hflip=hflip)
        return self._ways(lambda i, j: logit(self(one[i], other[j])), len(one)).amax(0)

    def encode(self, images: Tensor) -> Tensor:
        """(B, 3 or 4, H, W) -> (B, C): embeddings of a siamese network, of one view."""
        assert self.siamese is not None
        return self.siamese.encode(images)

    def encode_views(self, images: Tensor, *, hflip: bool) -> Tensor:
        """(B, 3 or 4, H, W) -> (B, num_views, C): embeddings of a siamese network, as compare_views wants them."""
        views, num = self._views(images, hflip=hflip), images.shape[0]  # not len(images), as in SiameseNetwork.forward
        embeddings = self.encode(torch.cat(views) if len(views) > 1 else images)
        return torch.stack([embeddings[view * num : (view + 1) * num] for view in range(len(views))], dim=1)

    def compare_views(self, one: Tensor, other: Tensor) -> Tensor:
        """(B,) logits of what encode_views gives, as score() finds them."""
        return self.compare_ways(one, other).amax(0)

    def compare_ways(self, one: Tensor, other: Tensor) -> Tensor:
        """The logits of what encode_views gives for each way in which the shoes may lie: as they are and, of cut-outs,
        one of the two turned. (num_ways, B)."""
        siamese = self.siamese
        assert siamese is not None
        return self._ways(lambda i, j: logit(siamese.compare(one[:, i], other[:, j])), one.shape[1])

    def num_views(self, *, hflip: bool) -> int:
        return 2 if hflip or self.cut_out is not None else 1

    def _views(self, images: Tensor, *, hflip: bool) -> list[Tensor]:
        if self.cut_out is not None:
            return [images, turned(images)]
        return [images, images.flip(-1)] if hflip else [images]

    def _ways(self, compare: Callable[[int, int], Tensor], num_views: int) -> Tensor:
        """As compare_ways.

        Args:
            compare: the logits of a view of the one shoes and a view of the others.
        """
        ways = [torch.stack([compare(view, view) for view in range(num_views)]).mean(0)]
        if self.cut_out is not None:
            ways.append((compare(0, 1) + compare(1, 0)) / 2)
        return torch.stack(ways)

    def start_from(self, weights: Mapping[str, Any]) -> None:
        """Take the weights of a trained network with the same layers; one image or two makes no difference to these.

        Raises:
            RuntimeError: if it has others.
        """
        self.load_state_dict({_COMPARER.sub(f"{self.comparer}.", name): value for name, value in weights.items()})

    def load_member(self, weights: Mapping[str, Any]) -> None:
        """Take the weights of the network that is trained further beside this one."""
        raise NotImplementedError(f"{type(self).__name__} has no network beside it")

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimizer is to train, each group with its learning rate; the first one has `lr`."""
        linear = [value for part in self.modules() if isinstance(part, EarlierPlaces) for value in part.parameters()]
        others = [value for value in self.parameters() if not any(value is one for one in linear)]
        groups = [{"params": others, "lr": lr}]
        if linear:
            groups.append({"params": linear, "lr": lr * LINEAR_LR_SCALE})
        return groups


def logit(outputs: Tensor) -> Tensor:
    """One logit from two outputs, whose cross-entropy is the binary one of their difference: (..., 2) -> (...)."""
    return outputs[..., 1] - outputs[..., 0]


def build_network(settings: NetworkSettings) -> PairNetwork:
    """The bare network of an approach.

    Raises:
        UserError: if there is no such approach, or weights that it names cannot be used.
    """
    network: PairNetwork = approach_named(settings.approach.name).build_network(settings)
    side = settings.approach.cutout_side
    if side is not None:
        network.cut_out = CutOut(side)
    return network.to(memory_format=torch.channels_last)
