"""The area under the ROC curve, the curve itself and its band."""

import numpy as np
import pytest

from shoepair.metrics.predictions import Predictions
from shoepair.metrics.roc import auroc, resampled_band, true_positive_rates


def test_auroc_counts_ties_half_and_large_logits_exactly() -> None:
    assert auroc(np.array([1, 1, 0, 0]), np.array([1.0, 0.0, 0.0, -1.0])) == 3.5 / 4
    assert auroc(np.array([1, 0]), np.array([200.0, 100.0])) == 1.0


@pytest.mark.parametrize("num_values", [2, 5, 1000])
def test_auroc_is_the_part_of_comparisons_that_a_same_pair_wins(num_values: int) -> None:
    random = np.random.default_rng(num_values)
    for num_pairs in (2, 3, 10, 200):
        label = random.integers(0, 2, num_pairs)
        label[:2] = 0, 1
        logit = random.integers(0, num_values, num_pairs) / 7 - 20  # the fewer values, the more ties
        won = [
            1.0 if same > different else 0.5 if same == different else 0.0
            for same in logit[label == 1]
            for different in logit[label == 0]
        ]
        assert auroc(label, logit) == pytest.approx(np.mean(won), abs=1e-12)


def test_auroc_is_undefined_with_one_kind_of_pair_or_a_logit_that_is_not_finite() -> None:
    logit = np.array([1.0, 2.0])
    assert auroc(np.array([1, 1]), logit) is auroc(np.array([0, 0]), logit) is None
    for value in (np.nan, np.inf, -np.inf):
        assert auroc(np.array([1, 0]), np.array([1.0, value])) is None


def test_the_curve_by_hand() -> None:
    label, logit = np.array([1, 1, 0, 1, 0]), np.array([4.0, 2.0, 2.0, 1.0, 0.0])
    # From above: one same pair; one same and one different at a time; one same; one different.
    assert true_positive_rates(label, logit, np.array([0.25, 0.5, 1.0])) == pytest.approx([0.5, 1.0, 1.0])


def test_the_area_under_the_curve_is_auroc() -> None:
    random = np.random.default_rng(0)
    label = np.array([0] * 40 + [1] * 60)
    logit = np.round(random.normal(size=100) + label, 1)  # with ties
    grid = np.linspace(0, 1, 40 * 50 + 1)
    area = np.trapezoid(true_positive_rates(label, logit, grid), grid)
    assert area == pytest.approx(auroc(label, logit), abs=1e-3)


def sample(num_people: int) -> Predictions:
    random = np.random.default_rng(num_people)
    person = [f"u{i}" for i in range(num_people) for _ in range(6)]
    label = np.tile([1, 1, 1, 0, 0, 0], num_people)
    return Predictions(person, person, person, label, random.normal(size=len(label)) + 2 * label)


def test_a_band_has_the_curve_inside_and_narrows_with_more_people() -> None:
    grid = np.linspace(0, 1, 21)[1:-1]
    widths = []
    for num_people in (10, 160):
        predictions = sample(num_people)
        band = resampled_band(predictions, grid)
        assert band is not None
        low, high = band
        curve = true_positive_rates(predictions.label, predictions.logit, grid)
        assert (low <= curve + 1e-9).all() and (curve <= high + 1e-9).all() and (low >= 0).all() and (high <= 1).all()
        widths.append(np.mean(high - low))
    assert widths[1] < widths[0] / 2


def test_without_both_kinds_of_pair_there_is_no_band() -> None:
    alone = Predictions(["a", "b"], ["l", "l"], ["r", "r"], np.array([1, 1]), np.array([1.0, 2.0]))
    assert resampled_band(alone, np.linspace(0, 1, 5)) is None
    one = Predictions(["a", "a"], ["l", "l"], ["r", "r"], np.array([1, 0]), np.array([1.0, 2.0]))
    assert resampled_band(one, np.linspace(0, 1, 5)) is None


def test_the_band_is_that_of_people_found_one_by_one() -> None:
    mixed = sample(12)
    order = np.random.default_rng(1).permutation(len(mixed.label))
    person = [mixed.person[i] for i in order]
    shuffled = Predictions(person, person, person, mixed.label[order], mixed.logit[order])
    pairs_of = [[i for i, found in enumerate(person) if found == name] for name in sorted(set(person))]
    random, grid, curves = np.random.default_rng(0), np.linspace(0, 1, 11), []
    for _ in range(200):
        drawn = [i for p in random.integers(12, size=12) for i in pairs_of[p]]
        curves.append(true_positive_rates(shuffled.label[drawn], shuffled.logit[drawn], grid))
    band = resampled_band(shuffled, grid)
    assert band is not None and np.allclose(band, np.quantile(curves, [0.025, 0.975], axis=0), rtol=0, atol=1e-12)
