"""Place-by-place comparison, against loops over pairs and places."""

import numpy as np
import pytest
import torch

from shoepair.models.local import (
    LocalFeatures,
    agreement,
    coarser,
    covered_places,
    extents,
    local_descriptors,
    match_local_features,
    similarities,
    unpacked,
)

CHANNELS, SIDE = 6, 4


def some_shoes(num: int, seed: int, *, counts: bool) -> LocalFeatures:
    """As they come out of unpacked()."""
    random = torch.Generator().manual_seed(seed)
    maps, searched = (torch.randn(num, CHANNELS, SIDE, SIDE, generator=random) for _ in range(2))
    there = (torch.rand(num, SIDE**2, generator=random) < 0.5).float() if counts else None
    return unpacked(local_descriptors(maps, searched, there), CHANNELS, covers=counts)


def agreed(one: LocalFeatures, other: LocalFeatures, *quantiles: float) -> torch.Tensor:
    return agreement(one, other, similarities(one, other), quantiles)


def test_agreement_is_what_loops_over_places_find() -> None:
    one, other = some_shoes(5, 0, counts=True), some_shoes(5, 1, counts=True)
    found = agreed(one, other, 0.5, 0.0).numpy()
    assert one.counts is not None and other.counts is not None
    for pair in range(5):
        a = one.searched[pair][:, one.counts[pair]].numpy().T
        b = other.searched[pair][:, other.counts[pair]].numpy().T
        alike = a @ b.T
        best_a, best_b = alike.max(1), alike.max(0)
        mutual = [i for i, j in enumerate(alike.argmax(1)) if alike.argmax(0)[j] == i]
        by_row = np.exp(20 * alike) / np.exp(20 * alike).sum(1, keepdims=True)
        by_column = np.exp(20 * alike) / np.exp(20 * alike).sum(0, keepdims=True)
        expected = [
            (best_a.mean() + best_b.mean()) / 2,
            best_a[mutual].mean(),
            2 * len(mutual) / (len(a) + len(b)),
            (by_row * by_column).sum() / np.sqrt(alike.size),
            (np.sort(best_a)[len(a) // 10] + np.sort(best_b)[len(b) // 10]) / 2,
            (np.sort(best_a)[len(a) // 2] + np.sort(best_b)[len(b) // 2]) / 2,
            (best_a.min() + best_b.min()) / 2,
        ]
        np.testing.assert_allclose(found[pair], expected, rtol=1e-4)


def test_coarser_places_are_what_loops_over_places_find() -> None:
    shoes = some_shoes(3, 0, counts=True)
    found = coarser(LocalFeatures(shoes.searched, shoes.searched, shoes.counts))
    assert shoes.counts is not None and found.counts is not None
    maps, counts = (values.unflatten(-1, (SIDE, SIDE)) for values in (shoes.searched, shoes.counts))
    for shoe in range(3):
        for place in range(4):
            rows, columns = (slice(2 * i, 2 * i + 2) for i in divmod(place, 2))
            there = counts[shoe, rows, columns]
            total = maps[shoe, :, rows, columns][:, there].sum(1)
            expected = total / total.norm().clamp_min(1e-12)
            torch.testing.assert_close(found.searched[shoe, :, place], expected)
            assert bool(found.counts[shoe, place]) == (int(there.sum()) >= 2)


def test_of_an_odd_side_no_place_is_left_out() -> None:
    """And some place always counts."""
    counts = torch.zeros(1, 9, dtype=torch.bool)
    counts[0, 8] = True
    maps = torch.nn.functional.normalize(torch.randn(1, CHANNELS, 9), dim=1)
    found = coarser(LocalFeatures(maps, maps, counts))
    assert found.counts is not None and found.counts.tolist() == [[False, False, False, True]]
    torch.testing.assert_close(found.maps[0, :, 3], maps[0, :, 8])


def test_extents_are_the_covered_parts_added_and_compared() -> None:
    one, other = some_shoes(3, 0, counts=True), some_shoes(3, 1, counts=True)
    assert one.counts is not None and other.counts is not None
    for pair, (total, difference) in enumerate(extents(one, other).tolist()):
        a, b = (float(shoes.counts[pair].float().mean()) for shoes in (one, other) if shoes.counts is not None)
        assert (total, difference) == pytest.approx((a + b, abs(a - b)))
    torch.testing.assert_close(extents(one, other), extents(other, one))


def test_two_shoes_agree_as_much_whichever_comes_first() -> None:
    one, other = some_shoes(5, 0, counts=True), some_shoes(5, 1, counts=True)
    torch.testing.assert_close(agreed(one, other), agreed(other, one))


def test_a_shoe_agrees_with_itself_wholly() -> None:
    one = some_shoes(5, 0, counts=True)
    torch.testing.assert_close(agreed(one, one)[:, [0, 1, 2, 4]], torch.ones(5, 4))


def test_places_that_do_not_count_change_nothing() -> None:
    one, other = some_shoes(4, 0, counts=True), some_shoes(4, 1, counts=True)
    scale = torch.tensor(7.0)
    found, product = match_local_features(one, other, similarities(one, other), scale)
    assert one.counts is not None and other.counts is not None
    for pair in range(4):
        left, right = (
            LocalFeatures(f.maps[pair : pair + 1, :, c], f.searched[pair : pair + 1, :, c], None)
            for f, c in ((one, one.counts[pair]), (other, other.counts[pair]))
        )
        expected = match_local_features(left, right, similarities(left, right), scale)
        torch.testing.assert_close(found[pair : pair + 1], expected[0])
        torch.testing.assert_close(product[pair : pair + 1], expected[1])
    noisy = LocalFeatures(one.maps + ~one.counts[:, None] * 100, one.searched, one.counts)
    torch.testing.assert_close(match_local_features(noisy, other, similarities(noisy, other), scale)[0], found)


@pytest.mark.parametrize(
    ("cover", "expected"), [(0.0, [True] * 4), (0.3, [True, False, False, False]), (0.9, [True, False, False, False])]
)
def test_the_fullest_place_always_counts(cover: float, expected: list[bool]) -> None:
    cut_outs = torch.zeros(1, 4, 8, 8)
    cut_outs[0, 3, :4, :4] = cover
    assert covered_places(cut_outs, 2)[0].bool().tolist() == expected
