"""How sure a network may be: the temperature, and the threshold for a rate of false matches."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binom

from shoepair.errors import UserError
from shoepair.metrics.calibration import (
    Calibration,
    calibrate,
    design_effect,
    fit_temperature,
    highest_rates,
    most_false_matches,
)


def drawn_logits(num: int, temperature: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (same, different) of a network that is `temperature` times too sure."""
    random = np.random.default_rng(seed)
    true = random.normal(0, 2, num)
    is_same = random.random(num) < 1 / (1 + np.exp(-true))
    return temperature * true[is_same], temperature * true[~is_same]


def plain_loss(same: np.ndarray, different: np.ndarray, temperature: float) -> float:
    """The cross-entropy, same and different pairs alike in sum."""
    losses = [np.log1p(np.exp(-sign * logits / temperature)) for sign, logits in ((1, same), (-1, different))]
    return float(sum(loss.mean() for loss in losses))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    for seed in range(3):
        assert fit_temperature(*drawn_logits(20_000, temperature, seed)) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_lower_cross_entropy() -> None:
    same, different = drawn_logits(20_000, 3.0)
    grid = np.geomspace(0.05, 20, 2_000)
    best = grid[np.argmin([plain_loss(same, different, value) for value in grid])]
    assert fit_temperature(same, different) == pytest.approx(best, rel=0.01)


def test_same_and_different_pairs_count_alike_in_sum() -> None:
    same, different = drawn_logits(4_000, 2.0)
    # Repeated, the different pairs change nothing but Platt's target, which is 1 in the limit.
    assert fit_temperature(same, np.tile(different, 5)) == pytest.approx(fit_temperature(same, different), rel=0.01)


@pytest.mark.parametrize("distance", [1e-3, 1.0, 10.0, 1e4])
def test_a_separated_set_makes_nobody_surer_than_its_size_allows(distance: float) -> None:
    """All of 57 same and of 114 different pairs at one distance from 0: Laplace's rule, 58/59 and 115/116."""
    temperature = fit_temperature(np.full(57, distance), np.full(114, -distance))
    assert 0.05 <= temperature <= 20
    if distance in (1.0, 10.0):
        sure = 1 / (1 + math.exp(-distance / temperature))
        assert 58 / 59 < sure < 115 / 116


def test_a_network_that_is_always_wrong_is_believed_least() -> None:
    assert fit_temperature(np.array([-3.0, -2.0]), np.array([2.0, 3.0])) == pytest.approx(20, rel=1e-3)


def test_logits_that_are_no_numbers_do_not_count_for_the_temperature_but_as_wrong_for_the_threshold() -> None:
    same, different = drawn_logits(200, 2.0)
    spoilt = np.concatenate([same, different, [np.nan, np.inf, np.nan]])
    labels = np.concatenate([np.ones(len(same)), np.zeros(len(different)), [1, 1, 0]]).astype(int)
    calibration = calibrate(spoilt, labels)
    assert calibration.temperature == fit_temperature(same, different)
    assert calibration.same[0] == -np.inf and calibration.same[-1] == calibration.different[-1] == np.inf
    assert calibrate(np.array([np.nan, np.nan]), np.array([1, 0])).temperature == 1
    assert math.isfinite(calibration.threshold(0.2))
    lost = calibrate(np.full(100, np.nan), np.zeros(100, dtype=int))
    with pytest.raises(UserError, match="no finite score"):
        lost.threshold(0.1)


def test_one_kind_of_pair_alone_leaves_the_logits_as_they_are() -> None:
    assert fit_temperature([1.0, 2.0], []) == fit_temperature([], [1.0, 2.0]) == 1


def test_what_is_kept_is_plain_and_comes_back() -> None:
    calibration = calibrate(np.array([3.0, -1.0, 0.5]), np.array([1, 0, 0]))
    plain = calibration.as_plain()
    assert plain["different"] == [-1.0, 0.5] and plain["same"] == [3.0]
    assert all(type(value) is float for value in [plain["temperature"], *plain["different"], *plain["same"]])
    assert Calibration.from_plain(plain) == calibration and plain["design_effect"] == 1
    older = {name: value for name, value in plain.items() if name != "design_effect"}
    assert Calibration.from_plain(older) == calibration
    assert Calibration.from_plain(plain | {"design_effect": 2.5}).design_effect == 2.5
    for effect in (0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match="a design effect"):
            Calibration.from_plain(plain | {"design_effect": effect})
    for broken in ({}, plain | {"temperature": 0.0}, plain | {"temperature": math.nan}, plain | {"same": "ab"}):
        with pytest.raises((KeyError, ValueError)):
            Calibration.from_plain(broken)


@pytest.mark.parametrize("num_pairs", [1, 2, 12, 114, 558])
def test_the_upper_end_is_the_rate_at_which_so_few_matches_have_five_percent(num_pairs: int) -> None:
    rates = highest_rates(num_pairs)
    assert binom.cdf(range(num_pairs), num_pairs, rates[:-1]) == pytest.approx(0.05)
    assert len(rates) == num_pairs + 1 and rates[-1] == 1 and (np.diff(rates) > 0).all()


@pytest.mark.parametrize("num_pairs", [0, 5, 58, 59, 114, 1000])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2, 0.7])
def test_so_many_false_matches_are_allowed_and_no_more(num_pairs: int, rate: float) -> None:
    """If the true rate were above the wanted one, so few would be seen in less than 5 % of cases."""
    allowed = [k for k in range(num_pairs) if binom.cdf(k, num_pairs, rate) <= 0.05]
    assert most_false_matches(num_pairs, rate) == (max(allowed) if allowed else None)


@pytest.mark.parametrize("num_pairs", [0, 1, 2, 3, 10, 58, 59, 114, 558, 3000])
def test_bisection_allows_as_many_false_matches(num_pairs: int) -> None:
    """A second implementation that looks at one interval of scipy.stats at a time, as this one did at first."""

    def upper_end(num_matches: int) -> float:
        return float(beta.ppf(0.95, num_matches + 1, num_pairs - num_matches)) if num_matches < num_pairs else 1.0

    for rate in [0.001, 0.0259, 0.026, 0.05, 0.1, 0.5, 0.95, 0.999, *np.random.default_rng(num_pairs).random(20)]:
        few, many = -1, num_pairs
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (middle, many) if upper_end(middle) <= rate else (few, middle)
        assert most_false_matches(num_pairs, rate) == (few if few >= 0 else None), rate


@pytest.mark.parametrize("temperature", [0.7, 3.0])
def test_the_threshold_is_the_lowest_that_keeps_the_rate(temperature: float) -> None:
    different = np.random.default_rng(0).normal(-3, 2, 300).round(1)  # with ties
    calibration = Calibration(temperature, tuple(np.sort(different).tolist()), (1.0, 50.0))
    thresholds = []
    for rate in (0.01, 0.02, 0.05, 0.1, 0.3, 0.9):
        threshold = calibration.threshold(rate)
        num_matches = calibration.called_same(threshold)[0]
        assert num_matches == np.sum(different / temperature > threshold)
        assert binom.cdf(num_matches, 300, rate) <= 0.05
        lower = np.nextafter(threshold, -np.inf)  # the pair at the threshold itself would be called the same as well
        assert binom.cdf(calibration.called_same(lower)[0], 300, rate) > 0.05
        thresholds.append(threshold)
    assert thresholds == sorted(thresholds, reverse=True) and thresholds[0] > thresholds[-1]


def test_a_rate_that_the_pairs_cannot_support_is_refused_with_the_one_they_can() -> None:
    calibration = Calibration(1.0, tuple(np.linspace(-5, -1, 114).tolist()), (1.0,))
    with pytest.raises(UserError) as refused:
        calibration.threshold(0.02)
    assert str(refused.value) == (
        "a false match rate of 0.02: validation had 114 different pairs, which support a rate of 0.026 at best; more "
        "people in validation (data.train_fraction, data.folds) would support a lower one."
    )
    assert calibration.threshold(0.026) == -1.0
    with pytest.raises(UserError, match="validation had 0 different pairs, which support none;"):
        Calibration(1.0, (), (1.0,)).threshold(0.5)
    for rate in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(UserError, match="expected a rate between 0 and 1"):
            calibration.threshold(rate)


def correlated(random: np.random.Generator, sizes: list[int], icc: float) -> tuple[np.ndarray, np.ndarray]:
    """(num_pairs,) logits, standard normal, of which two of one person correlate by `icc`; and whose they are."""
    person = np.repeat(np.arange(len(sizes)), sizes)
    shared, own = random.normal(size=len(sizes))[person], random.normal(size=len(person))
    return math.sqrt(icc) * shared + math.sqrt(1 - icc) * own, person


@pytest.mark.parametrize("sizes", [[6] * 3000, [2, 6, 12] * 1000])
@pytest.mark.parametrize("icc", [0.0, 0.5, 1.0])
def test_the_design_effect_of_a_known_correlation(sizes: list[int], icc: float) -> None:
    logits, person = correlated(np.random.default_rng(0), sizes, icc)
    mean_size = np.mean([size for size in sizes for _ in range(size)])
    assert design_effect(logits, person) == pytest.approx(1 + (mean_size - 1) * icc, abs=0.15)


def test_the_design_effect_where_little_can_be_told() -> None:
    people = np.array(list("aabb"))
    assert design_effect(np.array([1.0, 2.0, 1.0, 2.0]), people) == 1  # less alike than chance
    assert design_effect(np.array([1.0, 1.0, 2.0, 2.0]), people) == 2
    assert design_effect(np.zeros(4), people) == 1
    assert design_effect(np.arange(4.0), np.array(list("abcd"))) == 1
    assert design_effect(np.arange(4.0), np.array(list("aaaa"))) == 4
    assert design_effect(np.array([1.0, np.nan, 2.0, np.inf]), people) == 1
    assert design_effect(np.array([]), np.array([])) == 1


def test_the_rate_holds_where_the_pairs_of_a_person_are_alike() -> None:
    """60 people of 6 different pairs each; taken as independent, the threshold would break the promise in over 10 %."""
    random = np.random.default_rng(0)
    kept: dict[str, list[bool]] = {"by person": [], "independent": []}
    for _ in range(300):
        logits, person = correlated(random, [6] * 60, 0.5)
        for name, people in (("by person", person.astype(str).tolist()), ("independent", None)):
            threshold = calibrate(logits, np.zeros(360, dtype=int), people).threshold(0.1)
            kept[name].append(0.5 * math.erfc(threshold / math.sqrt(2)) <= 0.1)
    assert np.mean(kept["by person"]) >= 0.95 > 0.9 > np.mean(kept["independent"])


def test_pairs_that_are_alike_support_a_higher_rate_only() -> None:
    logits = tuple(np.linspace(-5, -1, 118).tolist())
    assert Calibration(1.0, logits, (1.0,)).threshold(0.026) == Calibration(
        1.0, logits, (1.0,), design_effect=2.0
    ).threshold(0.05)
    with pytest.raises(UserError) as refused:
        Calibration(1.0, logits, (1.0,), design_effect=2.0).threshold(0.03)
    assert "118 different pairs, as good as 59 independent ones, which support a rate of 0.0496" in str(refused.value)


def test_the_rate_holds_for_pairs_that_nobody_looked_at() -> None:
    """Of many validation sets, about 95 % give a threshold whose true rate is at most the wanted one."""
    random = np.random.default_rng(0)
    kept = []
    for _ in range(400):
        different = np.sort(random.normal(size=114))
        threshold = Calibration(1.0, tuple(different.tolist()), ()).threshold(0.1)
        kept.append(0.5 * math.erfc(threshold / math.sqrt(2)) <= 0.1)
    assert 0.93 <= np.mean(kept) <= 0.99


@pytest.mark.parametrize("answered", [0.5, 0.9, 1.0])
def test_the_margin_lets_the_surest_pairs_through(answered: float) -> None:
    random = np.random.default_rng(3)
    same, different = random.normal(3, 2, 50), random.normal(-2, 1, 200)
    calibration = Calibration(1.7, tuple(np.sort(different)), tuple(np.sort(same)))
    margin = calibration.margin(answered)

    def part(limit: float) -> float:
        return float(np.mean([np.mean(np.abs(logits) / 1.7 >= limit) for logits in (same, different)]))

    assert part(margin) >= answered - 1e-9
    higher = min((x for x in np.abs(np.r_[same, different]) / 1.7 if x > margin), default=math.inf)
    assert part(higher) < answered


def test_without_pairs_of_both_kinds_there_is_no_margin() -> None:
    assert Calibration(1.0, (), (1.0,)).margin() == Calibration(1.0, (-1.0,), ()).margin() == 0.0
