"""Several siamese networks that judge each pair together."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from shoepair.config.approaches import ConvolutionSettings
from shoepair.models.local import LocalFeatures, Usual
from shoepair.models.siamese import SIAMESE, ConvolutionSiamese, SiameseNetwork

STD_MOMENTUM = 0.1  # of a running mean, as in batch norm
SMALLEST_STD = 1e-3


class Ensemble(SiameseNetwork):
    """The mean of what its members' heads say.

    Before the mean, each head's outputs are divided by the standard deviation that its logits had in training: one that
    is surer than the others, which says nothing of how often it is right, must not outvote them.

    Args:
        members: siamese networks, each with the side, in pixels, of the square images that it is to see.
    """

    def __init__(self, members: Sequence[tuple[SiameseNetwork, int]]) -> None:
        super().__init__()
        self.members = nn.ModuleList(member for member, _ in members)
        self.image_sizes = [image_size for _, image_size in members]
        self.logit_std: Tensor  # of each head
        self.num_heads = sum(member.num_heads for member, _ in members)
        self.needs_reranking = any(member.needs_reranking for member, _ in members)
        self.register_buffer("logit_std", torch.ones(self.num_heads))
        each = [member.head_weights or [1.0] * member.num_heads for member, _ in members]
        weights = [weight for of_member in each for weight in of_member]
        self.head_shares: Tensor
        # No tensors are divided here: on the meta device, where shapes are checked, that loads torch's compiler.
        self.register_buffer(
            "head_shares", torch.tensor([weight / sum(weights) for weight in weights]), persistent=False
        )
        self.lengths: list[int] = []  # of the members' embeddings, where there are several
        for member, image_size in members if len(members) > 1 else ():
            with torch.no_grad():
                images = torch.zeros(1, member.in_channels, image_size, image_size)
                self.lengths.append(member.eval().encode(images).shape[1])
            member.train()

    def encode(self, images: Tensor) -> Tensor:
        """The members' embeddings, one after the other."""
        sized = (resized(images, image_size) for image_size in self.image_sizes)
        return torch.cat([member.encode(image) for member, image in zip(self._networks, sized, strict=True)], dim=1)

    def global_descriptor(self, embeddings: Tensor) -> Tensor:
        """The first member's."""
        return self._networks[0].global_descriptor(self._split(embeddings)[0])

    def shown_places(self, embeddings: Tensor) -> tuple[LocalFeatures, Usual] | None:
        """The first member's."""
        return self._networks[0].shown_places(self._split(embeddings)[0])

    def compare_by_head(self, one: Tensor, other: Tensor) -> Tensor:
        parts = zip(self._networks, self._split(one), self._split(other), strict=True)
        return self.noted(torch.cat([member.compare_by_head(*both).float() for member, *both in parts]))

    def noted(self, outputs: Tensor) -> Tensor:
        """The outputs of all heads, (num_heads, B, 2), as they are; in training, how far their logits spread."""
        if self.training:
            logits = (outputs[..., 1] - outputs[..., 0]).detach()
            self.logit_std.lerp_(logits.std(dim=1, correction=0).clamp_min(SMALLEST_STD), STD_MOMENTUM)
        return outputs

    def combine(self, heads: Tensor) -> Tensor:
        """Their mean by head_weights, as far from 0 as theirs are on average."""
        shares = (self.head_shares / self.logit_std).view(-1, 1, 1)
        return (heads * shares).sum(dim=0) * self.logit_std.mean()

    def _split(self, embeddings: Tensor) -> Sequence[Tensor]:
        """Those of each member."""
        return embeddings.split(self.lengths, dim=1) if self.lengths else [embeddings]

    @property
    def _networks(self) -> list[SiameseNetwork]:
        return cast(list[SiameseNetwork], list(self.members))


def comparer(settings: ConvolutionSettings) -> SiameseNetwork:
    """What compares two shoes by the settings' fusion; if it has several heads, the ensemble of these."""
    own: ConvolutionSiamese = SIAMESE[settings.fusion](settings)
    if own.num_heads == 1:
        return own
    assert settings.cutout is not None  # the only ones that ask several
    return Ensemble([(own, settings.cutout)])


def resized(images: Tensor, image_size: int) -> Tensor:
    """Square images of another size, (B, 3, H, H) -> (B, 3, image_size, image_size)."""
    if images.shape[-1] == image_size:
        return images
    return nn.functional.interpolate(images, (image_size, image_size), mode="bilinear", align_corners=False)
