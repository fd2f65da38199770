"""ShoeSet: every shoe of a collection, wherever it came from. Pairing and splitting stand in pairs.py."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shoepair.data.layout import LEFT, RIGHT


@dataclass(frozen=True)
class Shoe:
    """Whose shoe it is, which of that person's pairs, which side, and what it is called in files and tables."""

    person: str
    pair: str
    side: str  # "left" or "right"
    kind: str  # "m" or "w": a men's or a women's shoe
    name: str


@dataclass(frozen=True)
class ShoeSet:
    """All shoes of one collection.

    Attributes:
        images: (num_shoes, 3, H, W) uint8, RGB, from the cache in channels-last memory format; or cut-outs, with a
            fourth channel: how much of each pixel the shoe covers.
        shoes: what is known of each, in the same order.
    """

    images: Tensor
    shoes: tuple[Shoe, ...]

    def __post_init__(self) -> None:
        assert self.images.dtype == torch.uint8 and self.images.ndim == 4, self.images.shape
        assert len(self.images) == len(self.shoes), (len(self.images), len(self.shoes))

    def gather(self, indices: Tensor) -> Tensor:
        """The images of (B,) shoes: (B, 3 or 4, H, W) uint8 in channels-last memory format."""
        # A third of the time of images[indices], which would copy value by value.
        return self.images.permute(0, 2, 3, 1).index_select(0, indices).permute(0, 3, 1, 2)

    @cached_property
    def pairs_of(self) -> dict[str, list[tuple[int, int]]]:
        """For each person, by name: (index of the left shoe, index of the right shoe) of each pair, by number."""
        sides: dict[tuple[str, str], dict[str, int]] = {}
        for index, shoe in enumerate(self.shoes):
            sides.setdefault((shoe.person, shoe.pair), {})[shoe.side] = index
        pairs: dict[str, list[tuple[int, int]]] = {}
        for person, pair in sorted(sides, key=lambda key: (key[0], len(key[1]), key[1])):  # 2 before 10
            both = sides[person, pair]
            if LEFT in both and RIGHT in both:
                pairs.setdefault(person, []).append((both[LEFT], both[RIGHT]))
        return pairs

    @cached_property
    def people(self) -> list[str]:
        """Everybody who has a complete pair, by name."""
        return sorted(self.pairs_of)


def normalise(images: Tensor) -> Tensor:
    """uint8 to float32: RGB to [-0.5, 0.5], as the original did, a fourth channel to [0, 1]. (..., C, H, W)."""
    images = images.float().div_(255)
    images[..., :3, :, :].sub_(0.5)
    return images


def to_bytes(images: Tensor) -> Tensor:
    """What normalise() made of these: float32 to uint8."""
    images = images.clone()
    images[..., :3, :, :].add_(0.5)
    return images.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
