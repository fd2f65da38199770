"""Teaches the segmenter (models/cutout.py) where shoes are, on drawn shoes alone, whose masks are known.

python -m shoepair.training.segmenter src/shoepair/models/segmenter.pt      # some 15 minutes on two cores

What it must not learn is how drawn floors look, nor that there always is a shoe: a third of the shoes are laid on
random floors, smaller or cut off by the edge as well, and some floors are left empty.
"""

import argparse
import math
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from shoepair.data.synthetic.collection import draw_anyhow, on_all_cores
from shoepair.files import replacing
from shoepair.models.cutout import MASK_PX, SEEN_PX, Segmenter
from shoepair.terminal import say

SEED = 11
NUM_SHOES, NUM_TEST_SHOES = 6000, 300
BATCH = 32
RANDOM_FLOORS, EMPTY_FLOORS = BATCH // 3, BATCH // 32  # of a batch
MOVED, FARTHEST, NEAREST = 0.4, 2.0, 0.8  # on random floors: how many shoes, and by how much smaller they become
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 1e-2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="FILE.pt")
    parser.add_argument("--shoes", type=int, default=NUM_SHOES, help="drawn for training (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=16, help="default: %(default)s")
    options = parser.parse_args()
    images, masks = draw(NUM_TEST_SHOES + options.shoes)
    segmenter = learn(images[NUM_TEST_SHOES:], masks[NUM_TEST_SHOES:], options.epochs)
    overlap = intersection_over_union(segmenter, images[:NUM_TEST_SHOES], masks[:NUM_TEST_SHOES])
    with replacing(options.out) as partial_file:
        torch.save(segmenter.state_dict(), partial_file)
    say(f"Intersection over union with the masks of {NUM_TEST_SHOES} other drawn shoes: {overlap:.3f}")


def draw(num_shoes: int) -> tuple[Tensor, Tensor]:
    """RGB from 0 to 1, (num_shoes, 3, SEEN_PX, SEEN_PX), and masks, (num_shoes, 1, SEEN_PX, SEEN_PX)."""
    images, masks = torch.empty(num_shoes, 3, SEEN_PX, SEEN_PX), torch.empty(num_shoes, 1, SEEN_PX, SEEN_PX)
    for i, drawn in enumerate(on_all_cores(partial(draw_anyhow, seed=SEED, hardness=0.9), range(num_shoes))):
        planes = np.concatenate([drawn.picture, drawn.mask[..., None]], axis=-1).transpose(2, 0, 1)
        small = functional.adaptive_avg_pool2d(torch.from_numpy(planes).float() / 255, SEEN_PX)
        images[i], masks[i] = small[:3], small[3:]
    return images, masks


def learn(images: Tensor, masks: Tensor, epochs: int) -> Segmenter:
    """Minimise binary cross-entropy and the Dice loss (Milletari et al., V-Net, 2016)."""
    torch.manual_seed(SEED)
    segmenter = Segmenter().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(segmenter.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps)
    started = time.perf_counter()
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        for step in range(steps):
            chosen = order[step * BATCH : (step + 1) * BATCH]
            seen, truth = changed(images[chosen], masks[chosen])
            outputs = segmenter((seen - 0.5).contiguous(memory_format=torch.channels_last))
            loss = loss_of(outputs, functional.adaptive_avg_pool2d(truth, MASK_PX))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        say(f"Epoch {epoch + 1} of {epochs}: loss {loss:.3f}, {time.perf_counter() - started:.0f} s")
    return segmenter.eval()


def loss_of(outputs: Tensor, truth: Tensor) -> Tensor:
    found = outputs.sigmoid()
    shared, both = (found * truth).sum((1, 2, 3)), found.sum((1, 2, 3)) + truth.sum((1, 2, 3))
    dice = 1 - (2 * shared + 1) / (both + 1)
    return functional.binary_cross_entropy_with_logits(outputs, truth) + 0.5 * dice.mean()


def changed(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """A batch turned and mirrored, some shoes on other floors, some taken away, in other light, blurred."""
    if torch.rand(()) < 0.5:
        images, masks = images.flip(-1), masks.flip(-1)
    quarters = int(torch.randint(4, ()))
    images, masks = images.rot90(quarters, (2, 3)), masks.rot90(quarters, (2, 3))
    kept, left_out = images[RANDOM_FLOORS:], images[:EMPTY_FLOORS]
    laid, covers = on_random_floors(images[:RANDOM_FLOORS], masks[:RANDOM_FLOORS])
    kept, truth = kept[EMPTY_FLOORS:], masks[RANDOM_FLOORS + EMPTY_FLOORS :]
    empty = without_shoes(left_out, masks[:EMPTY_FLOORS])
    return degraded(relit(torch.cat([laid, empty, kept]))), torch.cat([covers, torch.zeros_like(empty[:, :1]), truth])


def on_random_floors(images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Shoes with soft shadows, some moved and smaller."""
    num = len(images)
    moved = torch.rand(num, 1) < MOVED
    scale = torch.exp(moved * torch.empty(num, 1).uniform_(math.log(NEAREST), math.log(FARTHEST)))
    shift = moved * 0.5 * scale * (2 * torch.rand(num, 2) - 1)
    from_where = torch.cat([torch.diag_embed(scale.expand(num, 2)), shift[..., None]], 2)
    grid = functional.affine_grid(from_where, [num, 4, SEEN_PX, SEEN_PX], align_corners=False)
    layer = functional.grid_sample(torch.cat([images * masks, masks], 1), grid, align_corners=False)
    shoes, covers = layer[:, :3], layer[:, 3:]
    shadow = _blurred(covers.roll(3, 2), 9) * 0.6 * torch.rand(num, 1, 1, 1)
    return shoes + random_floors(num) * (1 - covers) * (1 - shadow), covers


def without_shoes(images: Tensor, masks: Tensor) -> Tensor:
    """Floors alone: the quarter of each picture with the least of the shoe, twice as large; some random ones."""
    half = SEEN_PX // 2
    floors = random_floors(len(images))
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        corners = [(y, x) for y in (0, half) for x in (0, half)]
        shares = [float(mask[0, y : y + half, x : x + half].mean()) for y, x in corners]
        (y, x), share = min(zip(corners, shares, strict=True), key=lambda corner: corner[1])
        if share == 0:
            corner = image[None, :, y : y + half, x : x + half]
            floors[i] = functional.interpolate(corner, scale_factor=2, mode="bilinear")[0]
    return floors


def random_floors(num: int) -> Tensor:
    """Blots of all sizes and stripes, in any colours: (num, 3, SEEN_PX, SEEN_PX) from 0 to 1."""
    floors = (torch.rand(num, 3, 1, 1) * 0.9 + 0.05).expand(num, 3, SEEN_PX, SEEN_PX)
    for size in (4, 8, 16, 32, 64, SEEN_PX):
        blots = torch.randn(num, 3, size, size)
        grey = torch.rand(num, 1, 1, 1) < 0.7
        blots = torch.where(grey, blots.mean(1, keepdim=True) * math.sqrt(3), blots)
        strength = 0.35 * torch.rand(num, 1, 1, 1) ** 3
        floors = floors + strength * functional.interpolate(blots, (SEEN_PX, SEEN_PX), mode="bilinear")
    places = torch.linspace(0, 1, SEEN_PX)
    x, y = places.view(1, 1, -1), places.view(1, -1, 1)
    for _ in range(2):
        angle, phase, bend = (2 * math.pi * torch.rand(num, 1, 1) for _ in range(3))
        frequency = math.pi * (4 + 60 * torch.rand(num, 1, 1))
        along = x * angle.cos() + y * angle.sin()
        stripes = torch.sin(frequency * along + phase + torch.cos(bend) * torch.sin(3 * x + 5 * y))
        stripes = torch.where(torch.rand(num, 1, 1) < 0.4, stripes.sign(), stripes)
        strength = (torch.rand(num, 1, 1) < 0.35) * 0.25 * torch.rand(num, 1, 1)
        floors = floors + (strength * stripes)[:, None] * (0.5 + 0.5 * torch.rand(num, 3, 1, 1))
    warp, weft = (torch.sin(math.pi * (20 + 50 * torch.rand(num, 1, 1)) * at) for at in (x, y))
    weave = (torch.rand(num, 1, 1) < 0.15) * (0.3 * torch.rand(num, 1, 1)) * warp * weft
    return (floors + weave[:, None]).clamp(0, 1)


def relit(images: Tensor) -> Tensor:
    """In another exposure and white balance, with another contrast and saturation, and light from one side."""

    def within(strength: float, *shape: int) -> Tensor:
        return strength * (2 * torch.rand(len(images), *shape) - 1)

    images = images * torch.exp(within(0.12, 3, 1, 1) + within(0.42, 1, 1, 1))
    images = (images - 0.5) * torch.exp(within(0.3, 1, 1, 1)) + 0.5
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * 1.3 * torch.rand(len(images), 1, 1, 1)
    places, angle = torch.linspace(-1, 1, SEEN_PX), within(math.pi, 1, 1)
    side = places.view(1, 1, -1) * angle.cos() + places.view(1, -1, 1) * angle.sin()
    return (images.clamp(0, 1) * torch.exp(within(0.35, 1, 1, 1) * side[:, None])).clamp(0, 1)


def degraded(images: Tensor) -> Tensor:
    """Three of ten at half the resolution, with noise."""
    blurred = functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
    worse = blurred + 0.05 * torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)
    return torch.where(torch.rand(len(images), 1, 1, 1) < 0.3, worse, images).clamp(0, 1)


def intersection_over_union(segmenter: Segmenter, images: Tensor, masks: Tensor) -> float:
    """The mean over images, at MASK_PX places along each side."""
    with torch.inference_mode():
        found = torch.cat([segmenter(batch - 0.5) for batch in images.split(100)]) > 0
    truth = functional.adaptive_avg_pool2d(masks, MASK_PX) > 0.5
    return float(((found & truth).sum((1, 2, 3)) / (found | truth).sum((1, 2, 3))).mean())


def _blurred(masks: Tensor, size: int) -> Tensor:
    return functional.avg_pool2d(functional.pad(masks, [size // 2] * 4, mode="replicate"), size, 1)


if __name__ == "__main__":
    main()
