"""Colours of places, against loops over pixels, and what light and a shoe of one colour do to them."""

import colorsys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from shoepair.models.colours import DARKEST, LEAST_SPREAD, NUM_COLOURS, colour_agreement, place_colours
from shoepair.models.local import SHARPNESS, LocalFeatures, covered_places, similarities

SIDE, PX = 4, 16


def some_cut_outs(num: int) -> Tensor:
    """Whose pixels are covered in part, or hardly, or not at all, anywhere; some are brighter than colours can be."""
    random = torch.Generator().manual_seed(0)
    cover = torch.tensor([0.0, 0.3, 0.6, 1.0])[torch.randint(4, (num, 1, PX, PX), generator=random)]
    rgb = torch.rand(num, 3, PX, PX, generator=random) * 1.2 - 0.5
    return torch.cat([rgb * cover.clamp_min(0.2), cover], 1)  # outside, too, something stands


def linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_colours_are_what_loops_over_pixels_find() -> None:
    shoes = some_cut_outs(2)
    found = place_colours(shoes, SIDE).view(2, NUM_COLOURS, SIDE, SIDE)
    for row, column in ((0, 0), (1, 0), (2, 3)):
        light = []
        for channel in range(3):
            values = [
                linear(min(max(float(shoes[1, channel, y, x]) / float(shoes[1, 3, y, x]) + 0.5, 0.0), 1.0))
                for y in range(4 * row, 4 * row + 4)
                for x in range(4 * column, 4 * column + 4)
                if shoes[1, 3, y, x] > 0.5
            ]
            light.append(np.log(np.mean(values) + DARKEST))
        red, green, blue = light
        expected = [(red + green + blue) / 3, red - green, (red + green) / 2 - blue]
        np.testing.assert_allclose(found[1, :, row, column], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("colour", [-0.5, 0.5])
@pytest.mark.parametrize("num_pixels", [0, 1, PX * PX])
def test_odd_cut_outs_have_finite_figures(num_pixels: int, colour: float) -> None:
    shoes = torch.zeros(2, 4, PX, PX)
    shoes.flatten(2)[..., :num_pixels] = torch.tensor([colour, colour, colour, 1.0])[:, None]
    colours, counts = place_colours(shoes, SIDE), covered_places(shoes, SIDE) > 0
    assert colours.isfinite().all()
    searched = normalize(torch.ones(2, 5, SIDE**2), dim=1)
    one = LocalFeatures(colours, searched, counts)
    found = colour_agreement(one, one, similarities(one, one))
    torch.testing.assert_close(found, torch.zeros(2, NUM_COLOURS), rtol=0, atol=1e-3)


def shoe_of(colours: Tensor) -> LocalFeatures:
    """(NUM_COLOURS, places): whose places are all unlike each other, and found where they are."""
    places = torch.eye(colours.shape[1])[None]
    return LocalFeatures(colours[None], places, torch.ones(1, colours.shape[1], dtype=torch.bool))


def agreed(one: LocalFeatures, other: LocalFeatures) -> Tensor:
    return colour_agreement(one, other, similarities(one, other))[0]


def test_another_light_hardly_changes_anything() -> None:
    """A stop brighter, and warmer: as much more in the logarithms of all places. Drawn, not computed from the code."""
    cover = torch.ones(1, PX, PX)
    drawn = np.random.default_rng(0).uniform(size=(SIDE, SIDE, 2))
    rgb = np.array([[colorsys.hsv_to_rgb(hue, 0.6, 0.2 + 0.4 * value) for hue, value in row] for row in drawn])
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) * [2.0, 1.7, 1.4]
    brighter = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    assert brighter.max() < 1
    seen = [
        torch.cat([torch.tensor(np.kron(one.transpose(2, 0, 1), np.ones((4, 4)))).float() - 0.5, cover])
        for one in (rgb, brighter)
    ]
    one, other = (shoe_of(place_colours(shoe[None], SIDE)[0]) for shoe in seen)
    assert (one.maps - other.maps).abs().mean() > 0.1
    assert (agreed(one, other) > 0.95).all()
    mixed = shoe_of(other.maps[0].flip(1))
    assert (agreed(one, mixed) < 0.6).all()


def test_a_shoe_of_one_colour_goes_with_nothing() -> None:
    plain = shoe_of(torch.full((NUM_COLOURS, 9), -1.3))
    many = shoe_of(torch.randn(NUM_COLOURS, 9))
    assert agreed(plain, many).abs().max() == pytest.approx(0, abs=1e-4)
    assert agreed(plain, plain).abs().max() == pytest.approx(0, abs=1e-4)


def test_agreement_is_what_loops_over_pairs_of_places_find() -> None:
    torch.manual_seed(0)
    counts = torch.rand(2, 9) < 0.7
    shoes = [
        LocalFeatures(torch.randn(1, NUM_COLOURS, 9), normalize(torch.randn(1, 4, 9), dim=1), there[None])
        for there in counts
    ]
    a, b = ([i for i in range(9) if there[i]] for there in counts)
    alike = (shoes[0].searched[0].T @ shoes[1].searched[0]).numpy()[np.ix_(a, b)]
    power = np.exp(SHARPNESS * alike)
    weight = (power / power.sum(1, keepdims=True)) * (power / power.sum(0, keepdims=True))
    weight /= weight.sum()
    for colour in range(NUM_COLOURS):
        x, y = shoes[0].maps[0, colour].numpy()[a], shoes[1].maps[0, colour].numpy()[b]
        mean_x = sum(weight[i, j] * x[i] for i in range(len(a)) for j in range(len(b)))
        mean_y = sum(weight[i, j] * y[j] for i in range(len(a)) for j in range(len(b)))
        sums = np.zeros(3)
        for i in range(len(a)):
            for j in range(len(b)):
                dx, dy = x[i] - mean_x, y[j] - mean_y
                sums += weight[i, j] * np.array([dx * dy, dx * dx, dy * dy])
        expected = sums[0] / (np.sqrt(sums[1] * sums[2]) + LEAST_SPREAD[colour])
        for pair in (shoes, shoes[::-1]):
            assert float(agreed(*pair)[colour]) == pytest.approx(expected, abs=1e-5)


def test_places_that_do_not_count_say_nothing() -> None:
    one, other = shoe_of(torch.randn(NUM_COLOURS, 9)), shoe_of(torch.randn(NUM_COLOURS, 9))
    here = torch.tensor([[True] * 5 + [False] * 4])
    part, moved = (LocalFeatures(maps, one.searched, here) for maps in (one.maps, one.maps + ~here * 100))
    torch.testing.assert_close(agreed(part, other), agreed(moved, other))
