"""The ROC curve of a split's pairs, the area under it, and the band in which it lies."""

import numpy as np

from shoepair.metrics.bootstrap import LEVEL
from shoepair.metrics.predictions import Predictions

NUM_CURVES = 200  # of which a band is made; the curve of each takes longer than an accuracy


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


def true_positive_rates(label: np.ndarray, logit: np.ndarray, false_positive_rates: np.ndarray) -> np.ndarray:
    """The ROC curve at given false positive rates, straight between the points that the pairs give."""
    order = np.argsort(-logit, kind="stable")
    last_of_ties = np.append(np.diff(logit[order]) != 0, True)
    positives = np.cumsum(label[order] == 1)[last_of_ties] / max(1, (label == 1).sum())
    negatives = np.cumsum(label[order] == 0)[last_of_ties] / max(1, (label == 0).sum())
    rates: np.ndarray = np.interp(false_positive_rates, np.append(0, negatives), np.append(0, positives))
    return rates


def resampled_band(predictions: Predictions, false_positive_rates: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """What the middle 95 % of the curves of people drawn with replacement lie between; see bootstrap.py.

    Returns:
        (lowest, highest) true positive rates, one for each false positive rate; None below two people, and if no set of
        people has pairs of both kinds.
    """
    label, logit = predictions.label, predictions.logit
    _, person, num_pairs = np.unique(np.asarray(predictions.person), return_inverse=True, return_counts=True)
    if len(num_pairs) < 2:
        return None
    pairs_of = np.split(np.argsort(person, kind="stable"), np.cumsum(num_pairs)[:-1])
    random = np.random.default_rng(0)
    curves = []
    for _ in range(NUM_CURVES):
        drawn = np.concatenate([pairs_of[p] for p in random.integers(len(pairs_of), size=len(pairs_of))])
        if len(np.unique(label[drawn])) == 2:
            curves.append(true_positive_rates(label[drawn], logit[drawn], false_positive_rates))
    if not curves:
        return None
    low, high = np.quantile(curves, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
