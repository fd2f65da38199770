import pytest
import torch
from settings import augment_settings

from shoepair.config.schema import AugmentSettings
from shoepair.data.augment import Augmentation


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


def test_swap_exchanges_the_two_shoes(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    left, right = Augmentation(augment_settings(swap=1.0))(*pair)
    assert torch.equal(left, pair[1]) and torch.equal(right, pair[0])


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
