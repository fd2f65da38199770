import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from shoepair.metrics.predictions import Predictions
from shoepair.metrics.scores import auroc, measure, measure_mean, resampled_accuracies
from shoepair.reports.tables import splits_table


def predictions(person: str, label: list[int], logit: list[float]) -> Predictions:
    names = [f"shoe{i}" for i in range(len(label))]
    return Predictions(list(person), names, names, np.array(label), np.array(logit))


def test_figures_by_hand() -> None:
    figures = measure(predictions("aaabbb", [1, 1, 1, 0, 0, 0], [2.0, 1.0, -1.0, -3.0, -0.5, 0.5]))
    assert figures["accuracy"] == pytest.approx(4 / 6)
    assert figures["accuracy_same"] == pytest.approx(2 / 3)
    assert figures["accuracy_different"] == pytest.approx(2 / 3)
    # Of the 9 comparisons of a same with a different pair, 7 are right: -1 loses against -0.5 and 0.5.
    assert figures["auroc"] == pytest.approx(7 / 9)
    assert figures["num_pairs"] == 6


def test_auroc_counts_ties_half_and_large_logits_exactly() -> None:
    assert measure(predictions("aaaa", [1, 1, 0, 0], [1.0, 0.0, 0.0, -1.0]))["auroc"] == pytest.approx(3.5 / 4)
    assert measure(predictions("aa", [1, 0], [200.0, 100.0]))["auroc"] == 1.0


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
    figures = measure(predictions("ab", [1, 1], [1.0, -1.0]))
    assert figures["accuracy_different"] is None and figures["auroc"] is None and figures["accuracy_same"] == 0.5


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


def test_certainty_has_no_spread() -> None:
    assert measure(predictions("abc", [1, 1, 1], [1.0, 1.0, 1.0]))["interval"] == [1.0, 1.0]


def test_mean_of_tests_counts_each_set_alike() -> None:
    one = predictions("ab", [1, 0], [1.0, -1.0])
    other = predictions("abcd", [1, 0, 1, 0], [-1.0, 1.0, -1.0, -1.0])
    mean = measure_mean({"test_m": one, "test_w": other})
    assert mean["accuracy"] == pytest.approx((1.0 + 0.25) / 2)
    assert mean["num_pairs"] == 6
    assert mean["interval"][0] >= 0.5 and mean["interval"][1] <= 1.0


def test_figures_by_kind_of_the_left_shoe() -> None:
    sample = predictions("aaab", [1, 0, 1, 0], [2.0, 1.0, -1.0, -3.0])
    figures = measure(replace(sample, kind=["m", "m", "w", "w"], right_kind=["m", "w", "w", "w"]))
    assert figures["num_mixed"] == 1 and list(figures["kinds"]) == ["m", "w"]
    men, women = figures["kinds"].values()
    assert (men["accuracy"], men["accuracy_same"], men["accuracy_different"]) == (0.5, 1.0, 0.0)
    assert (women["accuracy"], women["accuracy_same"], women["accuracy_different"]) == (0.5, 0.0, 1.0)
    assert men["num_pairs"] == women["num_pairs"] == 2 and "kinds" not in men
    lines = splits_table({"val": figures}).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["val", "men's", "women's"]
    assert lines[5] == "Pairs of two kinds count as their left shoe's: 1 of val."
    one = measure(replace(sample, kind=["m"] * 4, right_kind=["m"] * 4))
    assert len(splits_table({"val": one}).splitlines()) == 3 and "kinds" not in measure(sample)


def test_calibrated_loss_is_that_of_divided_logits() -> None:
    sample = predictions("ab", [1, 0], [2.0, -4.0])
    figures = measure(sample, temperature=2.0)
    assert figures["loss"] == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(-4))) / 2)
    assert figures["loss_calibrated"] == pytest.approx((math.log1p(math.exp(-1)) + math.log1p(math.exp(-2))) / 2)
    assert figures["accuracy"] == measure(sample)["accuracy"] and "loss_calibrated" not in measure(sample)
    assert measure_mean({"test_m": sample}, 2.0)["loss_calibrated"] == pytest.approx(figures["loss_calibrated"])
