import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from shoepair.metrics.bootstrap import resampled_ratios
from shoepair.metrics.predictions import Predictions
from shoepair.metrics.scores import (
    measure,
    measure_mean,
    probability_in_percent,
    resampled_accuracies,
    rounded_probability,
)
from shoepair.reports.tables import splits_table


def predictions(person: str, label: list[int], logit: list[float]) -> Predictions:
    names = [f"shoe{i}" for i in range(len(label))]
    return Predictions(list(person), names, names, np.array(label), np.array(logit))


def test_metrics_by_hand() -> None:
    metrics = measure(predictions("aaabbb", [1, 1, 1, 0, 0, 0], [2.0, 1.0, -1.0, -3.0, -0.5, 0.5]))
    assert metrics["accuracy"] == pytest.approx(4 / 6)
    assert metrics["accuracy_same"] == pytest.approx(2 / 3)
    assert metrics["accuracy_different"] == pytest.approx(2 / 3)
    # Of the 9 comparisons of a same with a different pair, 7 are right: -1 loses against -0.5 and 0.5.
    assert metrics["auroc"] == pytest.approx(7 / 9)
    assert metrics["num_pairs"] == 6


def test_nothing_in_metrics_needs_torch() -> None:
    code = """
import sys
for name in ("torch", "torchmetrics", "lightning"):
    sys.modules[name] = None  # importing it would fail
import numpy as np
from shoepair.metrics import bootstrap, calibration, predictions, scores
label, logit = np.array([1, 0, 1, 0]), np.array([2.0, -1.0, 0.5, 0.7])
sample = predictions.Predictions(["a", "a", "b", "b"], ["l"] * 4, ["r"] * 4, label, logit)
print(scores.measure(sample, calibration.calibrate(logit, label).temperature)["auroc"])
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(said.stdout) == 0.75


def test_one_kind_of_pair_leaves_the_other_undefined() -> None:
    metrics = measure(predictions("ab", [1, 1], [1.0, -1.0]))
    assert metrics["accuracy_different"] is None and metrics["auroc"] is None and metrics["accuracy_same"] == 0.5


def test_interval_follows_people_not_pairs() -> None:
    # Ten people: for five everything is right, for five everything wrong. Drawing 60 independent pairs would give
    # 0.5 +- 1.96 * sqrt(0.25 / 60) = +- 0.13; drawing ten people gives about +- 1.96 * sqrt(0.25 / 10) = +- 0.31.
    together = predictions("".join(c * 6 for c in "abcdefghij"), [1] * 60, [1.0] * 30 + [-1.0] * 30)
    low, high = measure(together)["interval"]
    assert 0.15 <= low <= 0.25 and 0.75 <= high <= 0.85


def test_resampling_matches_a_slow_second_implementation() -> None:
    sample = predictions("aabbbcccc", [1] * 9, [1.0, -1, 1, 1, -1, 1, 1, 1, -1])
    people = {"a": [1, 0], "b": [1, 1, 0], "c": [1, 1, 1, 0]}
    random = np.random.default_rng(1)
    slow = []
    for _ in range(10_000):
        drawn = [pair for name in random.choice(list(people), 3) for pair in people[name]]
        slow.append(np.mean(drawn))
    fast = resampled_accuracies(sample)
    assert fast.mean() == pytest.approx(np.mean(slow), abs=0.003)
    assert fast.std() == pytest.approx(np.std(slow), abs=0.003)


def test_the_same_sets_are_drawn_in_blocks() -> None:
    """Of 700 people 10,000 resamples are several blocks; of the same seed they are those of one."""
    random = np.random.default_rng(0)
    numerator, denominator = random.integers(0, 7, 700), np.full(700, 6)
    draws = np.random.default_rng(3).multinomial(700, np.full(700, 1 / 700), size=10_000)
    assert np.array_equal(resampled_ratios(numerator, denominator, seed=3), (draws @ numerator) / (draws @ denominator))


@pytest.mark.parametrize("people", ["ab", "abc", "abcdefghijklmnopqrst"])
def test_people_who_are_all_right_are_no_certainty(people: str) -> None:
    """The true rate at which so many people are all right with a probability of 2.5 % ends the interval."""
    for logit, right in ((1.0, True), (-1.0, False)):
        low, high = measure(predictions(people * 2, [1] * 2 * len(people), [logit] * 2 * len(people)))["interval"]
        assert (high if right else low) == (1 if right else 0)
        assert (low if right else 1 - high) ** len(people) == pytest.approx(0.025)
    low, high = measure(predictions("aabbcc", [1] * 6, [1.0, -1.0] * 3))["interval"]  # all alike, but not all right
    assert low == pytest.approx(0.5 * 0.025 ** (1 / 3)) and high == pytest.approx(1 - low)
    sample = predictions(people, [1] * len(people), [1.0] * len(people))
    low, high = measure_mean({"test_m": sample, "test_w": sample})["interval"]
    assert low ** (2 * len(people)) == pytest.approx(0.025) and high == 1


def test_of_one_person_there_is_no_interval() -> None:
    alone, two = predictions("aa", [1, 0], [1.0, 1.0]), predictions("ab", [1, 0], [1.0, 1.0])
    assert measure(alone)["interval"] is None and measure(two)["interval"] is not None
    assert measure_mean({"test_m": alone, "test_w": two})["interval"] is None
    table = splits_table({"val": measure(alone)})
    assert table.splitlines()[-1].split() == ["val", "50.0", "%", "-", "100.0", "%", "0.0", "%", "0.500", "0.813", "2"]


def test_mean_of_tests_counts_each_set_alike() -> None:
    one = predictions("ab", [1, 0], [1.0, -1.0])
    other = predictions("abcd", [1, 0, 1, 0], [-1.0, 1.0, -1.0, -1.0])
    mean = measure_mean({"test_m": one, "test_w": other})
    assert mean["accuracy"] == pytest.approx((1.0 + 0.25) / 2)
    assert mean["num_pairs"] == 6
    assert mean["interval"][0] >= 0.5 and mean["interval"][1] <= 1.0


def test_metrics_by_kind_of_the_left_shoe() -> None:
    sample = predictions("aaab", [1, 0, 1, 0], [2.0, 1.0, -1.0, -3.0])
    metrics = measure(replace(sample, kind=["m", "m", "w", "w"], right_kind=["m", "w", "w", "w"]))
    assert metrics["num_mixed"] == 1 and list(metrics["kinds"]) == ["m", "w"]
    men, women = metrics["kinds"].values()
    assert (men["accuracy"], men["accuracy_same"], men["accuracy_different"]) == (0.5, 1.0, 0.0)
    assert (women["accuracy"], women["accuracy_same"], women["accuracy_different"]) == (0.5, 0.0, 1.0)
    assert men["num_pairs"] == women["num_pairs"] == 2 and "kinds" not in men
    assert "kinds" not in measure(sample)
    unknown = replace(sample, kind=[""] * 4, right_kind=[""] * 4)
    assert measure(unknown) == measure(sample)
    some = measure(replace(sample, kind=["m", "", "w", "w"], right_kind=["m", "w", "", "m"]))
    assert some["num_mixed"] == 1 and list(some["kinds"]) == ["", "m", "w"]


def test_calibrated_loss_is_that_of_divided_logits() -> None:
    sample = predictions("ab", [1, 0], [2.0, -4.0])
    metrics = measure(sample, temperature=2.0)
    assert metrics["loss"] == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(-4))) / 2)
    assert metrics["loss_calibrated"] == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2)
    assert metrics["accuracy"] == measure(sample)["accuracy"] and "loss_calibrated" not in measure(sample)
    assert measure_mean({"test_m": sample}, 2.0)["loss_calibrated"] == pytest.approx(metrics["loss_calibrated"])


def test_a_network_is_never_certain() -> None:
    said = [probability_in_percent(value) for value in (0.0, 0.004, 0.5, 0.679, 0.996, 1.0, None)]
    assert said == ["under 1 %", "under 1 %", "50 %", "67 %", "99 %", "99 %", "-"]
    assert [rounded_probability(value, 4) for value in (1.0, 0.99996, 0.99994, 0.5, 0.00004, 0.0)] == [
        0.9999, 0.9999, 0.9999, 0.5, 0.0001, 0.0,
    ]  # fmt: skip


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_whole_percent_is_that_percent(percent: int) -> None:
    assert probability_in_percent(percent / 100) == f"{percent} %"
