"""From the logits of a split's pairs to its figures, with an interval that respects who took the photos."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shoepair.metrics.bootstrap import interval, resampled_ratios, sums_by_person


@dataclass(frozen=True)
class Predictions:
    """What a network said of every pair of one split.

    Attributes:
        person: whose shoes they are; all pairs of one person belong together.
        left, right: names of the two shoes.
        label: (num_pairs,) 1 for the same pair, 0 for different pairs.
        logit: (num_pairs,) positive means "same pair".
        kind, right_kind: of the left and of the right shoe, "m" (men's) or "w" (women's); empty where it is not known.
    """

    person: Sequence[str]
    left: Sequence[str]
    right: Sequence[str]
    label: np.ndarray
    logit: np.ndarray
    kind: Sequence[str] = ()
    right_kind: Sequence[str] = ()

    @property
    def correct(self) -> np.ndarray:
        """(num_pairs,) bool."""
        return (self.logit > 0) == (self.label == 1)

    def of_kind(self, kind: str) -> "Predictions":
        """The pairs whose left shoe is of one kind."""
        rows = [i for i, found in enumerate(self.kind) if found == kind]
        person, left, right, kinds, right_kinds = (
            [names[i] for i in rows] for names in (self.person, self.left, self.right, self.kind, self.right_kind)
        )
        return Predictions(person, left, right, self.label[rows], self.logit[rows], kinds, right_kinds)

    def divided_by(self, temperature: float) -> "Predictions":
        """With calibrated logits."""
        return replace(self, logit=self.logit / temperature)


def probability(logit: np.ndarray) -> np.ndarray:
    """The logistic function: how probable the same pair is, from 0 to 1."""
    return 0.5 * (1 + np.tanh(0.5 * logit))  # never overflows


def probability_of(logit: float) -> float:
    """As probability(), of a single logit."""
    return float(probability(np.array(logit)))


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
        undefined), num_pairs and interval [low, high]; and where kinds are known, kinds {kind of the left shoe: the
        same figures} and num_mixed, the number of pairs of which the right shoe is of another kind.
    """
    figures = _figures(predictions, temperature)
    if len(predictions.kind) == 0:
        return figures
    return figures | {
        "kinds": {k: _figures(predictions.of_kind(k), temperature) for k in sorted(set(predictions.kind))},
        "num_mixed": sum(k != other for k, other in zip(predictions.kind, predictions.right_kind, strict=True)),
    }


def _figures(predictions: Predictions, temperature: float | None) -> dict[str, Any]:
    correct, same = predictions.correct, predictions.label == 1
    return {
        "accuracy": float(correct.mean()),
        "accuracy_same": float(correct[same].mean()) if same.any() else None,
        "accuracy_different": float(correct[~same].mean()) if (~same).any() else None,
        "loss": cross_entropy(predictions),
        **({} if temperature is None else {"loss_calibrated": cross_entropy(predictions.divided_by(temperature))}),
        "auroc": auroc(predictions.label, predictions.logit),
        "num_pairs": len(correct),
        "interval": interval(resampled_accuracies(predictions)),
    }


def measure_mean(splits: Mapping[str, Predictions], temperature: float | None = None) -> dict[str, Any]:
    """The mean of the figures of several test sets, each counting alike; its interval resamples within each set.

    Without kinds: the sets are by kind already.
    """
    figures = [_figures(predictions, temperature) for predictions in splits.values()]
    return {
        **{
            name: _mean([f[name] for f in figures])
            for name in ("accuracy", "accuracy_same", "accuracy_different", "loss", "loss_calibrated", "auroc")
            if name in figures[0]
        },
        "num_pairs": sum(f["num_pairs"] for f in figures),
        "interval": interval(np.mean([resampled_accuracies(p, seed=i) for i, p in enumerate(splits.values())], axis=0)),
    }


def resampled_accuracies(predictions: Predictions, seed: int = 0) -> np.ndarray:
    """The accuracy on sets of people drawn with replacement; see bootstrap.py.

    Returns:
        (NUM_RESAMPLES,) accuracies.
    """
    return resampled_ratios(*sums_by_person(predictions.person, predictions.correct), seed=seed)


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """One row for each pair: split, person, left, right, label, logit (not calibrated), kind of the left shoe."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "person", "left", "right", "label", "logit", "kind"])
        for split, p in splits.items():
            kind = p.kind or [""] * len(p.person)
            rows = zip(p.person, p.left, p.right, p.label.tolist(), p.logit.tolist(), kind, strict=True)
            writer.writerows([split, *row] for row in rows)


def auroc(label: np.ndarray, logit: np.ndarray) -> float | None:
    """How probable it is that a same pair has a higher logit than a different pair; a tie counts half.

    That is the area under the ROC curve, from the sum of the ranks of the same pairs (Mann and Whitney 1947).

    Args:
        label, logit: (num_pairs,) each.
    Returns:
        None without pairs of both kinds, or where a logit is not finite.
    """
    same = label == 1
    num_same, num_different = int(same.sum()), int((~same).sum())
    if not num_same or not num_different or not np.isfinite(logit).all():
        return None
    _, place, num_equal = np.unique(logit, return_inverse=True, return_counts=True)
    midrank = np.cumsum(num_equal) - (num_equal - 1) / 2  # of equal logits the mean of their ranks, from 1
    wins = midrank[place[same]].sum() - num_same * (num_same + 1) / 2
    return float(wins / (num_same * num_different))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
