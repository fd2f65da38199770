"""Cut-outs: where the shoe is, how it lies, and that it looks alike however it was photographed."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from shoepair.data.shoes import CUT_OUT_STEPS, normalise, to_bytes
from shoepair.data.synthetic.collection import draw_anyhow
from shoepair.models.cutout import AXIS, MASK_PX, SEEN_PX, SPREAD, CutOut, largest_piece, pose_of, turned


def photo_of_an_ellipse(angle: float, size: float, x: float, y: float) -> tuple[torch.Tensor, torch.Tensor]:
    """An ellipse, one half of it red and the other blue, on a green floor, and its mask."""
    places = (torch.arange(224) + 0.5) / 112 - 1
    across, down = places[None] - x, places[:, None] - y
    along = (across * math.cos(angle) + down * math.sin(angle)) / size
    beside = (-across * math.sin(angle) + down * math.cos(angle)) / (0.4 * size)
    mask = ((along**2 + beside**2) < 1).float()
    front = (along > 0).float()
    photo = torch.stack([mask * front, 1 - mask, mask * (1 - front)]) - 0.5
    return photo[None], adaptive_avg_pool2d(mask[None, None], MASK_PX)


@pytest.mark.parametrize(
    ("angle", "size", "x", "y"), [(-0.8, 0.7, 0, 0), (-0.3, 0.5, 0.2, -0.1), (-2.0, 0.45, -0.3, 0.3), (-1.2, 0.9, 0, 0)]
)
def test_however_a_shoe_lies_its_cut_out_is_the_same(angle: float, size: float, x: float, y: float) -> None:
    cut_out = CutOut(64)
    expected = cut_out.lay(*photo_of_an_ellipse(AXIS, 1.08, 0, 0))
    found = cut_out.lay(*photo_of_an_ellipse(angle, size, x, y))
    same = [(candidate - expected).abs().mean() for candidate in (found, turned(found))]
    assert min(same) < 0.03 < 0.1 < max(same)
    assert found.shape == (1, 4, 64, 64)
    # No green is left, and where no shoe is, there is nothing.
    nowhere = found[:, 3] < 0.01
    assert nowhere.float().mean() > 0.4 and found[:, :3].permute(0, 2, 3, 1)[nowhere].abs().max() < 0.01


def test_the_pose_is_that_of_the_ellipse() -> None:
    angles = torch.linspace(-1.5, 1.5, 7)
    masks = torch.cat([photo_of_an_ellipse(float(angle), 0.8, 0.1, -0.05)[1] for angle in angles])
    pose = pose_of(masks)
    torch.testing.assert_close(pose.axis, angles, atol=0.02, rtol=0)
    torch.testing.assert_close(pose.x, torch.full((7,), 0.1), atol=0.01, rtol=0)
    torch.testing.assert_close(pose.y, torch.full((7,), -0.05), atol=0.01, rtol=0)
    torch.testing.assert_close(pose.spread, torch.full((7,), 0.4), atol=0.01, rtol=0)  # half of the half axis


def test_a_pose_does_not_hang_on_the_last_bits_of_a_mask() -> None:
    masks = torch.cat([photo_of_an_ellipse(0.1 * number, 0.7, 0.1, -0.05)[1] for number in range(15)])
    noise = 2e-6 * torch.rand(masks.shape, generator=torch.Generator().manual_seed(0))
    poses = [pose_of(each) for each in (0.99 * masks, 0.99 * masks + noise)]
    for name in ("x", "y", "axis", "spread"):
        exact, noisy = (getattr(pose, name) for pose in poses)
        assert (exact == noisy).float().mean() > 0.8, name  # some lie between two steps


def test_only_the_largest_piece_is_left() -> None:
    random = torch.Generator().manual_seed(0)
    blots = interpolate(torch.rand(20, 1, 5, 5, generator=random), (MASK_PX, MASK_PX), mode="bicubic").clamp(0, 1)
    for mask, kept in zip(blots[:, 0] > 0.5, largest_piece(blots)[:, 0], strict=True):
        pieces = pieces_of(mask.numpy())
        found = {(int(row), int(column)) for row, column in (kept > 0.5).nonzero()}
        assert found in pieces
        assert len(found) >= 0.7 * max(map(len, pieces))  # the one with most around a place, nearly always the largest


def test_an_exported_graph_leaves_the_same_piece() -> None:
    class Largest(torch.nn.Module):
        def forward(self, masks: torch.Tensor) -> torch.Tensor:
            return largest_piece(masks)

    random = torch.Generator().manual_seed(1)
    blots = interpolate(torch.rand(20, 1, 6, 6, generator=random), (MASK_PX, MASK_PX), mode="bicubic").clamp(0, 1)
    exported = torch.export.export(Largest(), (blots,)).module()
    assert torch.equal(exported(blots), largest_piece(blots))


def pieces_of(covered: np.ndarray) -> list[set[tuple[int, int]]]:
    """Sets of places of which each is at most two places from another one."""
    left = {(int(row), int(column)) for row, column in np.argwhere(covered)}
    pieces = []
    while left:
        edge = [left.pop()]
        piece = set(edge)
        while edge:
            row, column = edge.pop()
            near = {(row + i, column + j) for i in range(-2, 3) for j in range(-2, 3)} & left
            left -= near
            piece |= near
            edge += near
        pieces.append(piece)
    return pieces


def test_a_photo_without_a_shoe_has_an_empty_cut_out() -> None:
    found = CutOut(32).lay(torch.rand(2, 3, 112, 112), torch.zeros(2, 1, MASK_PX, MASK_PX))
    assert torch.equal(found, torch.zeros_like(found))
    assert pose_of(torch.zeros(1, 1, MASK_PX, MASK_PX)).spread.item() == pytest.approx(SPREAD)


def test_shoes_are_found_wherever_they_lie() -> None:
    """Drawn ones that it did not learn from."""
    drawn = [draw_anyhow(number, seed=99, hardness=0.9) for number in range(24)]
    photos = torch.stack([torch.tensor(d.picture).permute(2, 0, 1).float() / 255 - 0.5 for d in drawn])
    truth = torch.stack([torch.tensor(d.mask).float() / 255 for d in drawn])[:, None]
    found = CutOut(112).masks(photos) > 0.5
    there = adaptive_avg_pool2d(truth, MASK_PX) > 0.5
    overlap = (found & there).sum((1, 2, 3)) / (found | there).sum((1, 2, 3))
    assert overlap.mean() > 0.88 and overlap.median() > 0.9


@pytest.mark.parametrize("side", [56, 112, 224, 300])
def test_photos_of_any_size_are_cut_out(side: int) -> None:
    photo, _ = photo_of_an_ellipse(-0.5, 0.6, 0, 0)
    images = interpolate(photo, (side, side), mode="bilinear")
    cut_out = CutOut(48)
    assert cut_out.masks(images).shape == (1, 1, MASK_PX, MASK_PX)
    assert cut_out(images).shape == (1, 4, 48, 48)
    assert SEEN_PX == 2 * MASK_PX


def test_cut_outs_are_kept_as_bytes_and_nothing_stays_nothing() -> None:
    torch.manual_seed(0)
    found = torch.cat([torch.rand(2, 3, 48, 48) - 0.5, torch.rand(2, 1, 48, 48)], 1)
    found[:, :, :4] = 0.0
    kept = to_bytes(found)
    assert kept.dtype == torch.uint8 and torch.equal(to_bytes(normalise(kept)), kept)
    torch.testing.assert_close(normalise(kept), found, atol=0.51 / CUT_OUT_STEPS, rtol=0)
    assert torch.equal(normalise(kept)[:, :, :4], found[:, :, :4])


def test_it_is_never_trained() -> None:
    cut_out = CutOut(32).train()
    assert not cut_out.training and not any(m.training for m in cut_out.modules())
    assert not any(p.requires_grad for p in cut_out.parameters())
