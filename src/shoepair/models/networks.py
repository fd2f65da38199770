"""What every network has in common, whatever its approach. Training it stands in module.py."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.config.approaches import NetworkSettings, approach_named
from shoepair.models.siamese import SiameseNetwork


class PairNetwork(nn.Module):
    """Scores pairs: two images in, two outputs out, index 1 for "same pair".

    A subclass is built from NetworkSettings alone and defines forward(). One with several heads, each of which is to
    learn by itself, defines heads() and combine() instead.

    Attributes:
        siamese: what encodes each shoe by itself; None if the network sees pairs only.
        exportable: whether `shoepair export` can write it.
    """

    exportable = True

    def __init__(self) -> None:
        super().__init__()
        self.siamese: SiameseNetwork | None = None

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair.

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B, 2).
        """
        return self.combine(self.heads(left, right))

    def heads(self, left: Tensor, right: Tensor) -> Tensor:
        """As forward, the outputs of every head: (num_heads, B, 2)."""
        return self(left, right).unsqueeze(0)

    def combine(self, heads: Tensor) -> Tensor:
        """From what heads gives to what forward gives."""
        return heads[0]

    def load_member(self, weights: Mapping[str, Any]) -> None:
        """Take the weights of the network that is trained further beside this one."""
        raise NotImplementedError(f"{type(self).__name__} has no network beside it")

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimizer is to train, each group with its learning rate; the first one has `lr`."""
        return [{"params": list(self.parameters()), "lr": lr}]


def logit(outputs: Tensor) -> Tensor:
    """One logit from two outputs, whose cross-entropy is the binary one of their difference: (..., 2) -> (...)."""
    return outputs[..., 1] - outputs[..., 0]


def build_network(settings: NetworkSettings) -> PairNetwork:
    """The bare network of an approach.

    Raises:
        UserError: if there is no such approach, or weights that it names cannot be used.
    """
    network = approach_named(settings.approach.name).build_network(settings)
    return network.to(memory_format=torch.channels_last)
