"""Approach 2: the network sees two images."""

import torch
from torch import Tensor

from shoepair.config.approaches import DualSettings, NetworkSettings
from shoepair.models.ensemble import comparer
from shoepair.models.networks import PairNetwork
from shoepair.models.stages import StackedCNN


class DualImageCNN(PairNetwork):
    """Two images, stacked as six channels (fusion=stack, as the original) or each encoded by the same stages and then
    compared (fusion=compare, local), so that it makes no difference where in the image a shoe lies, nor which of the
    two comes first.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        own = settings.approach
        assert isinstance(own, DualSettings)
        channels, side = (3, settings.image_size) if own.cutout is None else (4, own.cutout)
        self.stacked = StackedCNN(2 * channels, side**2, own) if own.fusion == "stack" else None
        self.siamese = None if own.fusion == "stack" else comparer(own)

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        if self.stacked is not None:
            outputs: Tensor = self.stacked(torch.cat([left, right], dim=1))  # one behind the other
            return outputs.unsqueeze(0)
        assert self.siamese is not None
        return self.siamese.heads(left, right)

    def combine(self, heads: Tensor) -> Tensor:
        return heads[0] if self.siamese is None else self.siamese.combine(heads)
