"""Approach 1: the network sees one image of both shoes."""

import torch
from torch import Tensor

from shoepair.config.approaches import NetworkSettings, SingleSettings
from shoepair.models.ensemble import Ensemble, comparer
from shoepair.models.networks import PairNetwork
from shoepair.models.siamese import ConvolutionSiamese
from shoepair.models.stages import StackedCNN


def one_above_the_other(left: Tensor, right: Tensor) -> Tensor:
    """The image that the network sees: (B, C, H, W) each -> (B, C, 2H, W), the left shoe above the right one."""
    return torch.cat([left, right], dim=2)


class SingleImageCNN(PairNetwork):
    """One image with both shoes in it: linear layers see all of its last feature maps (fusion=stack, as the original),
    or their upper half is compared with the lower one (fusion=compare, local), as DualImageCNN compares two images.
    """

    comparer = "halves"

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        own = settings.approach
        assert isinstance(own, SingleSettings)
        # Not called `siamese`: the seam is seen from both sides, so that no shoe has an embedding of its own.
        self.halves = None if own.fusion == "stack" else comparer(own)
        channels, side = (3, settings.image_size) if own.cutout is None else (4, own.cutout)
        self.stacked = StackedCNN(channels, 2 * side**2, own) if own.fusion == "stack" else None

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        image = one_above_the_other(left, right)
        if self.stacked is not None:
            outputs: Tensor = self.stacked(image)
            return outputs.unsqueeze(0)
        assert self.halves is not None
        own = self.halves.members[0] if isinstance(self.halves, Ensemble) else self.halves
        assert isinstance(own, ConvolutionSiamese)
        upper, lower = zip(*(maps.chunk(2, dim=2) for maps in own.look(image)), strict=True)
        return self.halves.compare_by_head(own.describe(upper, left), own.describe(lower, right))

    def combine(self, heads: Tensor) -> Tensor:
        return heads[0] if self.halves is None else self.halves.combine(heads)
