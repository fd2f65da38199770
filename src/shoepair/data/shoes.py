"""ShoeSet: every shoe of a collection, wherever it came from. Pairing and splitting stand in pairs.py."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from shoepair.data.layout import LEFT, RIGHT

CUT_OUT_STEPS = 254


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
    def rows_of(self) -> dict[str, list[int]]:
        """The shoes of each person, by index."""
        rows: dict[str, list[int]] = {}
        for index, shoe in enumerate(self.shoes):
            rows.setdefault(shoe.person, []).append(index)
        return rows

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
    """uint8 to float32, (..., C, H, W): RGB of photos to [-0.5, 0.5], as the original did; cut-outs: see to_bytes."""
    if images.shape[-3] == 3:
        return images.float().div_(255).sub_(0.5)
    images = images.float()
    images[..., :3, :, :].sub_(127)
    return images.div_(CUT_OUT_STEPS)


def to_bytes(cut_outs: Tensor) -> Tensor:
    """Cut-outs as they are kept: (..., 4, H, W), float32 as models.cutout.CutOut gives them, to uint8.

    0, which is where no shoe is, stays 0: of RGB, it is 127.
    """
    kept = cut_outs * CUT_OUT_STEPS
    kept[..., :3, :, :].add_(127)
    return kept.round_().to(torch.uint8)
