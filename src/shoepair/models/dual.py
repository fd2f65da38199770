"""Approach 2: the network sees two images."""

import torch
from torch import Tensor

from shoepair.config.approaches import DualSettings, NetworkSettings
from shoepair.models.networks import PairNetwork
from shoepair.models.siamese import SIAMESE
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
        self.siamese = None if own.fusion == "stack" else SIAMESE[own.fusion](own)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        outputs: Tensor
        if self.stacked is not None:
            outputs = self.stacked(torch.cat([left, right], dim=1))  # one behind the other
        else:
            assert self.siamese is not None
            outputs = self.siamese(left, right)
        return outputs
