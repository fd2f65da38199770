"""Random changes of whole batches of training pairs, on the device they are on. They never change a label."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample


class Augmentation:
    """Random mirroring, exchange of sides, placement and colour.

    Placement is drawn for each shoe, since two photos are never framed alike; brightness, contrast and saturation for
    each pair, as of photos that are taken in the same light; light for each shoe, as of photos that are not.

    Args:
        settings: the keys of data.augment, explained in conf/train.yaml.
    """

    def __init__(self, settings: Mapping[str, float]) -> None:
        self.settings = dict(settings)

    def __call__(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Change a batch.

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            Two of the same shape and range.
        """
        s = self.settings
        if s["swap"]:
            chosen = _chance(s["swap"], left)
            left, right = torch.where(chosen, right, left), torch.where(chosen, left, right)
        if s["mirror"]:
            chosen = _chance(s["mirror"], left)
            left, right = (torch.where(chosen, x.flip(-1), x) for x in (left, right))
        if s["rotate"] or s["shift"] or s["scale"]:
            left, right = self._place(left), self._place(right)
        if s["brightness"] or s["contrast"] or s["saturation"]:
            left, right = self._colour(torch.stack([left, right])).unbind()  # (2, B, 3, H, W)
        if s["light"]:
            left, right = self._light(left), self._light(right)
        return left, right

    def choose_views(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Mirroring and exchange of sides where shoes are vectors of their views, (B, num_views, C) each -> (B, C).

        The second view, where there is one, is that of the mirror image.
        """
        s, views = self.settings, torch.zeros(len(left), dtype=torch.long, device=left.device)
        if s["mirror"]:
            views = _chance(s["mirror"], left).flatten().long()
        rows = torch.arange(len(left), device=left.device)
        left, right = left[rows, views], right[rows, views]
        if s["swap"]:
            chosen = _chance(s["swap"], left).view(-1, 1)
            left, right = torch.where(chosen, right, left), torch.where(chosen, left, right)
        return left, right

    def _place(self, images: Tensor) -> Tensor:
        """Turn, shift and scale every image; what comes in from outside repeats the edge."""
        s, num = self.settings, len(images)
        angle = _uniform(num, images) * math.radians(s["rotate"])
        scale = (1 + s["scale"]) ** _uniform(num, images)
        shift = _uniform((num, 2, 1), images) * 2 * s["shift"]  # grid coordinates run from -1 to 1
        cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
        turn = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)  # (B, 2, 2)
        grid = affine_grid(torch.cat([turn, shift], -1), list(images.shape), align_corners=False)
        return grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _colour(self, pairs: Tensor) -> Tensor:
        s, shape = self.settings, (pairs.shape[1], 1, 1, 1)
        saturation, contrast, brightness = (
            _uniform(shape, pairs) * s[name] for name in ("saturation", "contrast", "brightness")
        )
        grey = pairs.mean(dim=2, keepdim=True)
        pairs = grey + (pairs - grey) * (1 + saturation)
        pairs = pairs * (1 + contrast) + brightness
        return pairs.clamp(-0.5, 0.5)

    def _light(self, images: Tensor) -> Tensor:
        """Another exposure and, half as strong, more red and less blue or the other way round, of every image. Light
        that is g times as strong makes an sRGB value about g ** (1 / 2.2) times as large."""
        exposure, warmth = (_uniform((len(images), 1, 1, 1), images) for _ in range(2))
        warmer = warmth * images.new_tensor([0.5, 0.0, -0.5]).view(1, 3, 1, 1)
        gain = (1 + self.settings["light"]) ** (exposure + warmer)
        return ((images + 0.5) * gain - 0.5).clamp(-0.5, 0.5)


def _uniform(shape: int | tuple[int, ...], like: Tensor) -> Tensor:
    """Uniform in [-1, 1)."""
    return torch.rand(shape, device=like.device, dtype=like.dtype) * 2 - 1


def _chance(probability: float, like: Tensor) -> Tensor:
    """(B, 1, 1, 1) bool, true with this probability."""
    return torch.rand((len(like), 1, 1, 1), device=like.device) < probability
