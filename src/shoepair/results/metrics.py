"""From the logits of a split's pairs to its figures, with an interval that respects who took the photos."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from shoepair.results.bootstrap import interval, resampled_ratios, sums_by_person


@dataclass(frozen=True)
class Predictions:
    """What a network said of every pair of one split.

    Attributes:
        person: whose shoes they are; all pairs of one person belong together.
        left, right: names of the two shoes.
        label: (num_pairs,) 1 for the same pair, 0 for different pairs.
        logit: (num_pairs,) positive means "same pair".
    """

    person: Sequence[str]
    left: Sequence[str]
    right: Sequence[str]
    label: np.ndarray
    logit: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """(num_pairs,) bool."""
        return (self.logit > 0) == (self.label == 1)


def probability(logit: np.ndarray) -> np.ndarray:
    """The logistic function: how probable the same pair is, from 0 to 1."""
    return 0.5 * (1 + np.tanh(0.5 * logit))  # never overflows


def cross_entropy(predictions: Predictions) -> float:
    """The mean loss over all pairs."""
    sign = np.where(predictions.label == 1, -1.0, 1.0)
    return float(np.logaddexp(0, sign * predictions.logit).mean())


def measure(predictions: Predictions) -> dict[str, Any]:
    """Accuracy, apart for same and different pairs, loss, AUROC, and a 95 % interval of the accuracy.

    Returns:
        accuracy, accuracy_same, accuracy_different, loss, auroc (None where undefined), num_pairs and
        interval [low, high].
    """
    correct, same = predictions.correct, predictions.label == 1
    return {
        "accuracy": float(correct.mean()),
        "accuracy_same": float(correct[same].mean()) if same.any() else None,
        "accuracy_different": float(correct[~same].mean()) if (~same).any() else None,
        "loss": cross_entropy(predictions),
        "auroc": _auroc(predictions),
        "num_pairs": len(correct),
        "interval": interval(resampled_accuracies(predictions)),
    }


def measure_mean(splits: Mapping[str, Predictions]) -> dict[str, Any]:
    """The mean of the figures of several test sets, each counting alike; its interval resamples within each set."""
    figures = [measure(predictions) for predictions in splits.values()]
    return {
        **{
            name: _mean([f[name] for f in figures])
            for name in ("accuracy", "accuracy_same", "accuracy_different", "loss", "auroc")
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
    """One row for each pair: split, person, left, right, label, logit."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["split", "person", "left", "right", "label", "logit"])
        for split, p in splits.items():
            rows = zip(p.person, p.left, p.right, p.label.tolist(), p.logit.tolist(), strict=True)
            writer.writerows([split, *row] for row in rows)


def _auroc(predictions: Predictions) -> float | None:
    import torch  # here, since `shoepair compare` needs the rest of this module but not torch
    from torchmetrics.functional.classification import binary_auroc

    label = torch.from_numpy(predictions.label)
    if label.min() == label.max() or not np.isfinite(predictions.logit).all():
        return None
    # Ranks are all that counts, so float64 without a sigmoid, which would make large logits equal.
    ranks = torch.from_numpy(np.unique(predictions.logit, return_inverse=True)[1]).double()
    return float(binary_auroc(ranks / max(1.0, float(ranks.max())), label))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
