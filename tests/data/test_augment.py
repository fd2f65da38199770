import io

import numpy as np
import pytest
import torch
from PIL import Image
from settings import augment_settings

from shoepair.config.schema import AugmentSettings
from shoepair.data.augment import Augmentation, Camera, compressed


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.rand(2, 5, 3, 16, 16, generator=generator) - 0.5
    return left, right


@pytest.mark.parametrize("nothing", [augment_settings(), None])
def test_nothing_asked_for_changes_nothing(
    pair: tuple[torch.Tensor, torch.Tensor], nothing: AugmentSettings | None
) -> None:
    left, right = Augmentation(nothing)(*pair)
    assert torch.equal(left, pair[0]) and torch.equal(right, pair[1])


@pytest.mark.parametrize("changes", [{}, {"occlude": 1e-9}])
def test_the_soft_edges_of_cut_outs_stay_as_they_are(
    pair: tuple[torch.Tensor, torch.Tensor], changes: dict[str, float]
) -> None:
    cover = torch.randint(255, (5, 1, 16, 16)) / 254
    cut_outs = torch.cat([pair[0] * cover, cover], 1)
    left, right = Augmentation(augment_settings(**changes))(cut_outs, cut_outs)
    torch.testing.assert_close(left, cut_outs)
    torch.testing.assert_close(right, cut_outs)


@pytest.mark.parametrize("changes", [{"exposure": 0.5}, {"brightness": 0.2}, {"gradient": 0.5}, {"contrast": 0.3}])
def test_a_cut_out_is_changed_as_the_photo_that_it_is_cut_out_of(
    pair: tuple[torch.Tensor, torch.Tensor], changes: dict[str, float]
) -> None:
    augmentation, cover = Augmentation(augment_settings(**changes)), torch.randint(255, (5, 1, 16, 16)) / 254
    torch.manual_seed(3)
    photos = augmentation(*pair)
    torch.manual_seed(3)
    cut_outs = augmentation(*(torch.cat([photo * cover, cover], 1) for photo in pair))
    for photo, cut_out in zip(photos, cut_outs, strict=True):
        torch.testing.assert_close(cut_out, torch.cat([photo * cover, cover], 1), atol=1e-5, rtol=0)


def test_swap_exchanges_the_two_shoes(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = Augmentation(augment_settings(swap=1.0))(*pair)
    assert torch.equal(left, pair[1]) and torch.equal(right, pair[0])


def test_copies_are_made_on_the_device_of_the_photos() -> None:
    """Cameras are drawn on the CPU, so that a seed gives the same ones everywhere."""
    augmentation = Augmentation(augment_settings(degrade=0.5, exposure=0.2))
    cameras = augmentation.cameras(2)
    copies = augmentation.copies(torch.zeros(3, 3, 16, 16, device="meta"), cameras)
    assert [(copy.device.type, tuple(copy.shape)) for copy in copies] == [("meta", (3, 3, 16, 16))] * 2


@pytest.mark.parametrize(
    ("copies", "degrade", "taken"), [(5, 0.4, 2), (5, 0.6, 3), (8, 0.4, 3), (5, 0.5, 3), (1, 0.2, 1), (3, 0.0, 0)]
)
def test_some_copy_is_made_worse_wherever_some_are_asked_for(copies: int, degrade: float, taken: int) -> None:
    cameras = Augmentation(augment_settings(degrade=degrade)).cameras(copies)
    assert len(cameras) == copies and sum(camera is not None for camera in cameras) == taken


def test_hflip_mirrors_both_shoes_of_a_pair_or_none(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = Augmentation(augment_settings(hflip=1.0))(*pair)
    assert torch.equal(left, pair[0].flip(-1)) and torch.equal(right, pair[1].flip(-1))
    torch.manual_seed(0)
    left, right = Augmentation(augment_settings(hflip=0.5))(*pair)
    flipped = [torch.equal(left[i], pair[0][i].flip(-1)) for i in range(5)]
    assert flipped == [torch.equal(right[i], pair[1][i].flip(-1)) for i in range(5)]
    assert 0 < sum(flipped) < 5


def test_half_a_turn_turns_by_at_most_half_a_turn() -> None:
    torch.manual_seed(0)
    image = torch.zeros(64, 3, 33, 33)
    image[:, :, 16, 28] = 1.0  # a dot 12 pixels right of the middle
    turned, _ = Augmentation(augment_settings(rotation_deg=30.0))(image, image)
    rows, columns = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    weight = turned[:, 0] / turned[:, 0].sum((1, 2), keepdim=True)
    angle = torch.rad2deg(torch.atan2((weight * rows).sum((1, 2)) - 16, (weight * columns).sum((1, 2)) - 16))
    assert angle.abs().max() <= 31 and angle.min() < -20 and angle.max() > 20


def test_translate_moves_by_at_most_the_given_part_of_the_side() -> None:
    torch.manual_seed(0)
    image = torch.zeros(64, 3, 40, 40)
    image[:, :, 19:21, 19:21] = 1.0
    shifted, _ = Augmentation(augment_settings(translate=0.2))(image, image)
    column = (shifted[:, 0].sum(1) * torch.arange(40.0)).sum(1) / shifted[:, 0].sum((1, 2)) - 19.5
    assert 6 < column.abs().max() <= 8.01


def test_colour_changes_both_shoes_of_a_pair_alike(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    change = Augmentation(augment_settings(brightness=0.2, contrast=0.3, saturation=0.5))
    left, right = change(pair[0], pair[0])
    assert torch.equal(left, right) and not torch.equal(left, pair[0])
    assert left.min() >= -0.5 and left.max() <= 0.5


def test_exposure_changes_each_shoe_for_itself(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(0)
    grey = torch.full((200, 3, 2, 2), -0.1)  # 0.4 of the full range
    left, right = (shoes[:, :, 0, 0] + 0.5 for shoes in Augmentation(augment_settings(exposure=0.2))(grey, grey))
    red, green, blue = left.unbind(1)
    exposure, warmth = (torch.log(x) / torch.log(torch.tensor(1.2)) for x in (green / 0.4, red / green))
    torch.testing.assert_close(red / green, green / blue)
    assert exposure.abs().max() <= 1.001 and exposure.min() < -0.9 and exposure.max() > 0.9
    assert warmth.abs().max() <= 0.501 and warmth.min() < -0.45 and warmth.max() > 0.45
    assert torch.corrcoef(torch.stack([left[:, 1], right[:, 1]]))[0, 1].abs() < 0.2
    changed = Augmentation(augment_settings(exposure=1.0))(*pair)
    assert all(shoes.min() >= -0.5 and shoes.max() <= 0.5 for shoes in changed)


def test_rot180_turns_both_shoes_of_a_pair_or_none(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = Augmentation(augment_settings(rot180=1.0))(*pair)
    assert torch.equal(left, pair[0].flip((-2, -1))) and torch.equal(right, pair[1].flip((-2, -1)))


@pytest.mark.parametrize(
    "changes",
    [
        {"exposure": 0.5},
        {"gradient": 0.5},
        {"degrade": 1.0},
        {"occlude": 1.0},
        {"brightness": 0.3, "contrast": 0.3},
        {"rotation_deg": 30.0, "shear": 0.1, "scale": 0.2},
    ],
)
def test_beside_the_shoe_a_cut_out_stays_empty(changes: dict[str, float]) -> None:
    torch.manual_seed(0)
    cover = torch.zeros(16, 1, 32, 32)
    cover[:, :, 8:24, 8:24] = 1.0
    shoes = torch.cat([(torch.rand(16, 3, 32, 32) - 0.5) * cover, cover], 1)
    changed, other = Augmentation(augment_settings(**changes))(shoes, shoes.clone())
    assert changed.shape == shoes.shape and not torch.allclose(changed, shoes)
    assert torch.allclose(changed, other) == ("brightness" in changes)  # which is that of a pair
    nowhere = (changed[:, 3:] == 0).expand(-1, 3, -1, -1)
    assert nowhere.any() and changed[:, :3][nowhere].abs().max() == 0
    assert changed[:, :3].abs().max() <= 0.5 and changed[:, 3].min() >= 0 and changed[:, 3].max() <= 1
    moves = "shear" in changes or "occlude" in changes
    assert torch.equal(changed[:, 3:], cover) != moves  # where the shoe is changes with it only


def test_light_from_one_side_leaves_the_middle_as_it_was() -> None:
    torch.manual_seed(0)
    image = torch.full((64, 3, 31, 31), -0.1)
    lit, _ = Augmentation(augment_settings(gradient=0.5))(image, image)
    torch.testing.assert_close(lit[:, :, 15, 15], image[:, :, 15, 15])
    corners = lit[:, 0, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert corners.max() > 0.02 and corners.min() < -0.15 and corners.max() <= 0.4 * 1.5 - 0.5 + 1e-6


def test_copies_are_changed_each_for_itself_and_never_mirrored() -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 3, 16, 16) - 0.5
    augmentation = Augmentation(augment_settings(hflip=1.0, swap=1.0, rot180=1.0, exposure=0.3))
    (copies,) = augmentation.copies(images, [None])
    assert not torch.allclose(copies, images)
    for copy, image in zip(copies, images, strict=True):
        likeness = [
            torch.corrcoef(torch.stack([copy.flatten(), other.flatten()]))[0, 1]
            for other in (image, image.flip(-1), image.flip((-2, -1)))
        ]
        assert likeness[0] > 0.8 > max(likeness[1:])


def test_views_are_chosen_alike_for_both_and_copies_each_for_itself() -> None:
    torch.manual_seed(0)
    views = torch.arange(5.0).view(1, 5, 1).expand(400, 5, 1)  # the photo, its mirror image, three copies
    left, right, chosen = Augmentation(augment_settings(hflip=0.5)).choose_views(
        views, views + 10, num_copies=3, cut_outs=False
    )
    left, right = left.flatten(), right.flatten() - 10
    assert torch.equal(torch.stack([left, right], dim=1), chosen.float())
    mirrored = left == 1
    assert torch.equal(mirrored, right == 1) and 0.15 < mirrored.float().mean() < 0.25
    assert {*left[~mirrored].tolist()} == {*right[~mirrored].tolist()} == {0, 2, 3, 4}
    copied = left > 1
    assert torch.equal(copied, right > 1) and 0.5 < copied.float().mean() < 0.7
    assert 0.5 < (left == right)[copied].float().mean() < 0.72  # five of twelve, and of the others a third by chance
    left, right, _ = Augmentation(augment_settings(hflip=1.0)).choose_views(
        views[:, :1], views[:, :1], num_copies=0, cut_outs=False
    )
    assert left.eq(0).all() and right.eq(0).all()
    for cut_outs, chance in (
        (False, {"hflip": 1.0}),
        (True, {"rot180": 1.0}),
    ):  # the second view is turned, or mirrored
        left, *_ = Augmentation(augment_settings(**chance)).choose_views(views, views, num_copies=3, cut_outs=cut_outs)
        assert not left.eq(0).any()
        left, *_ = Augmentation(augment_settings(**chance)).choose_views(
            views, views, num_copies=3, cut_outs=not cut_outs
        )
        assert not left.eq(1).any()


@pytest.mark.parametrize("quality", [15, 30, 75])
def test_compression_is_that_of_jpeg(quality: int) -> None:
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 6, 7)
    photo = torch.nn.functional.interpolate(coarse, (61, 83), mode="bicubic") * 0.6 + 0.2
    photo = (photo + 0.03 * torch.randn_like(photo)).clamp(0, 1).mul(255).round()
    file = io.BytesIO()
    Image.fromarray(photo[0].permute(1, 2, 0).byte().numpy()).save(file, "JPEG", quality=quality, subsampling=0)
    expected = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None].float()
    found = compressed(photo / 255 - 0.5, torch.full((1, 1, 1, 1), float(quality)))
    error, lost = ((found + 0.5) * 255 - expected).abs().mean(), (photo - expected).abs().mean()
    assert error < 1.5 and error < lost / 4  # where a wave lies between two steps, libjpeg may round it otherwise


def test_of_photos_of_one_camera_all_are_worse_alike() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(augment_settings(degrade=0.5))
    camera, none = augmentation.cameras(2)
    assert camera is not None and none is None
    photos = torch.rand(8, 3, 32, 32) - 0.5
    worse, same = augmentation.copies(photos, [camera, None])
    assert torch.equal(same, photos)
    lost = (worse - photos).square().mean((1, 2, 3))
    assert lost.min() > 0.5 * lost.max() > 0
    left, right = Augmentation(augment_settings(degrade=1.0))(photos.repeat(50, 1, 1, 1), photos.repeat(50, 1, 1, 1))
    changed = [(x != photos.repeat(50, 1, 1, 1)).flatten(1).any(1) for x in (left, right)]
    assert (changed[0] | changed[1]).all()  # of half of the pairs both
    assert 0.4 < (changed[0] & changed[1]).float().mean() < 0.6 and 0.6 < changed[0].float().mean() < 0.9


def test_what_a_camera_takes_is_else_as_it_was_where_that_is_asked_for() -> None:
    torch.manual_seed(0)
    augmentation = Augmentation(augment_settings(exposure=0.5))
    photos = torch.rand(8, 3, 32, 32) - 0.5
    still = Camera(1.0, *(torch.full((1, 1, 1, 1), value) for value in (0.0, 0.0, 100.0)))  # loses next to nothing
    taken, changed = augmentation.copies(photos, [still, None], by_camera_alone=True)
    assert (taken - photos).abs().mean() < 0.01 < (changed - photos).abs().mean()
    both, _ = augmentation.copies(photos, [still, None])
    assert (both - photos).abs().mean() > 0.01


def test_of_half_of_the_cut_outs_with_a_part_hidden_no_shoe_is_found_there() -> None:
    torch.manual_seed(0)
    shoes = torch.cat([torch.full((200, 3, 32, 32), 0.3), torch.ones(200, 1, 32, 32)], 1)
    hidden, _ = Augmentation(augment_settings(occlude=1.0))(shoes, shoes)
    missing = (hidden[:, 3] == 0).flatten(1).any(1)
    assert 0.35 < missing.float().mean() < 0.65
    assert (hidden[:, :3] * (hidden[:, 3:] == 0)).eq(0).all()  # and nothing is seen of it
    assert ((hidden[:, :3] - 0.3).abs() > 0.05).any(1).flatten(1).any(1)[~missing].float().mean() > 0.9


def test_of_cut_outs_and_their_copies_some_are_chosen_and_moved_no_further() -> None:
    """Each view is of one value; the first, of the photo as it is, is that of 60 % and more."""
    torch.manual_seed(0)
    num, views = 2000, torch.tensor([10, 20, 30], dtype=torch.uint8)
    shoes = views.view(1, 3, 1, 1, 1).expand(num, 3, 4, 2, 2)
    augmentation = Augmentation(augment_settings(rotation_deg=20.0, occlude=1.0, exposure=0.5, rot180=1.0, swap=0.0))
    left, right = augmentation.choose_copies(shoes, shoes)
    assert left.shape == (num, 4, 2, 2) and left.dtype == torch.uint8
    values = left[:, 0, 0, 0], right[:, 0, 0, 0]
    assert all(0.55 < (value == 10).float().mean() < 0.65 for value in values)
    assert all((value == copy).float().mean() > 0.15 for value in values for copy in (20, 30))
    assert 0.9 < (values[0] == values[1]).float().mean() < 0.95 and ((values[0] == 10) == (values[1] == 10)).all()
    marked = torch.rand(5, 4, 8, 8)
    assert all(torch.equal(moved, marked.flip((-2, -1))) for moved in augmentation.as_cut_outs(marked, marked))
    assert Augmentation(None).as_cut_outs(marked, marked)[0] is marked
