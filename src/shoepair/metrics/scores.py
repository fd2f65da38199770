"""From the logits of a split's pairs to its metrics, with an interval that respects who took the photos."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shoepair.metrics.bootstrap import interval, interval_over_people, resampled_ratios, sums_by_person, widened
from shoepair.metrics.predictions import Predictions
from shoepair.metrics.roc import auroc


def probability(logit: np.ndarray) -> np.ndarray:
    """The logistic function: how probable the same pair is, from 0 to 1."""
    return 0.5 * (1 + np.tanh(0.5 * logit))  # never overflows


def probability_of(logit: float) -> float:
    """As probability(), of a single logit."""
    return float(probability(np.array(logit)))


def logit_of(probability: float) -> float:
    """The other way round; of 0 and 1, which no network means, that of a probability very near to them."""
    inside = min(max(probability, 1e-12), 1 - 1e-12)
    return math.log(inside / (1 - inside))


def probability_in_percent(probability: float | None, under_one: str = "under 1 %") -> str:
    """What a network says of a pair: whole percent, rounded down, and never 100, since a network is never certain.

    Args:
        under_one: what is said below one percent.
    """
    if probability is None:
        return "-"
    percent = min(math.floor(100 * probability + 1e-9), 99)  # 100 * 0.58 is a little less than 58
    return f"{percent} %" if percent else under_one


def rounded_probability(probability: float, digits: int) -> float:
    """To so many decimals, and as above never 1, nor 0 where it is none."""
    smallest = 10.0**-digits
    return round(min(max(probability, smallest), 1 - smallest), digits) if probability else 0.0


def cross_entropy(predictions: Predictions) -> float:
    """The mean loss over all pairs."""
    sign = np.where(predictions.label == 1, -1.0, 1.0)
    return float(np.logaddexp(0, sign * predictions.logit).mean())


def measure(predictions: Predictions, temperature: float | None = None) -> dict[str, Any]:
    """Accuracy, apart for same and different pairs, loss, AUROC, a 95 % interval of the accuracy; and these by kind.

    Args:
        temperature: of the network's calibration; None if it has none.
    Returns:
        accuracy, accuracy_same, accuracy_different, loss, loss_calibrated (only with a temperature), auroc (None where
        undefined), num_pairs and interval [low, high] (None below two people); where kinds are known, kinds {kind of
        the left shoe: the same metrics}; where those of the right shoes are known too, num_mixed, the number of pairs
        of two kinds.
    """
    metrics, kind, right_kind = _metrics(predictions, temperature), predictions.kind, predictions.right_kind
    if any(kind):
        metrics["kinds"] = {k: _metrics(predictions.of_kind(k), temperature) for k in sorted(set(kind))}
    if any(kind) and any(right_kind):
        known = [both for both in zip(kind, right_kind, strict=True) if all(both)]
        metrics["num_mixed"] = sum(left != right for left, right in known)
    return metrics


def _metrics(predictions: Predictions, temperature: float | None) -> dict[str, Any]:
    correct, same = predictions.correct, predictions.label == 1
    return {
        "accuracy": float(correct.mean()),
        "accuracy_same": float(correct[same].mean()) if same.any() else None,
        "accuracy_different": float(correct[~same].mean()) if (~same).any() else None,
        "loss": cross_entropy(predictions),
        **({} if temperature is None else {"loss_calibrated": cross_entropy(predictions.divided_by(temperature))}),
        "auroc": auroc(predictions.label, predictions.logit),
        "num_pairs": len(correct),
        "interval": interval_over_people(*sums_by_person(predictions.person, predictions.correct)),
    }


def measure_mean(splits: Mapping[str, Predictions], temperature: float | None = None) -> dict[str, Any]:
    """The mean of the metrics of several test sets, each counting alike; its interval resamples within each set.

    Without kinds: the sets are by kind already.
    """
    metrics = [_metrics(predictions, temperature) for predictions in splits.values()]
    return {
        **{
            name: _mean([m[name] for m in metrics])
            for name in ("accuracy", "accuracy_same", "accuracy_different", "loss", "loss_calibrated", "auroc")
            if name in metrics[0]
        },
        "num_pairs": sum(m["num_pairs"] for m in metrics),
        "interval": _interval_of_mean(list(splits.values())),
    }


def _interval_of_mean(splits: Sequence[Predictions]) -> list[float] | None:
    num_people = [len(set(predictions.person)) for predictions in splits]
    if min(num_people) < 2:
        return None
    means = np.mean([resampled_accuracies(p, seed=i) for i, p in enumerate(splits)], axis=0)
    if np.ptp(means) < 1e-12:
        return widened(float(means[0]), len(splits) * min(num_people))  # exact if each set has as many people
    return interval(means)


def resampled_accuracies(predictions: Predictions, seed: int = 0) -> np.ndarray:
    """The accuracy on sets of people drawn with replacement; see bootstrap.py.

    Returns:
        (NUM_RESAMPLES,) accuracies.
    """
    return resampled_ratios(*sums_by_person(predictions.person, predictions.correct), seed=seed)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
