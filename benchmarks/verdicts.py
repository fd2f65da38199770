"""What verdicts on all left with all right shoes of each person are worth, of which more are of different pairs."""

from typing import Any

import numpy as np

from shoepair.metrics.bootstrap import interval, resampled_ratios, widened


def scored(right: np.ndarray, label: np.ndarray, person: np.ndarray) -> dict[str, Any]:
    """The mean of the accuracies on same and on different pairs, and its interval over people.

    Args:
        right, label, person: (num_verdicts,): whether each is right, whether the pair is the same, whose it is.
    """
    people, index = np.unique(person, return_inverse=True)

    def by_person(values: np.ndarray, kind: bool) -> np.ndarray:
        return np.bincount(index, weights=values * (label == kind), minlength=len(people))

    parts = {kind: (by_person(right, kind), by_person(np.ones(len(right)), kind)) for kind in (True, False)}
    same, different = (float(correct.sum() / num.sum()) for correct, num in parts.values())
    resampled = np.mean([resampled_ratios(*part) for part in parts.values()], axis=0)  # of the same people both times
    is_one = np.ptp(resampled) < 1e-12
    return {
        "accuracy": (same + different) / 2,
        "interval": widened(float(resampled[0]), len(people)) if is_one else interval(resampled),
        "accuracy_same": same,
        "accuracy_different": different,
        "num_verdicts": len(right),
    }
