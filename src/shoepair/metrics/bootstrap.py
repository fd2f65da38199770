"""Intervals that respect who took the photos: people are resampled, not pairs (a cluster bootstrap)."""

from collections.abc import Sequence

import numpy as np

NUM_RESAMPLES = 10_000
LEVEL = 0.95


def resampled_ratios(numerator: np.ndarray, denominator: np.ndarray, seed: int = 0) -> np.ndarray:
    """sum(numerator) / sum(denominator) on NUM_RESAMPLES sets of people drawn with replacement.

    People are drawn, not pairs: one person's pairs share a floor, a light and shoes, so they go right or wrong
    together, and an interval over pairs would be too narrow.

    Args:
        numerator, denominator: (num_people,), such as each person's correct pairs and all of them.
    Returns:
        (NUM_RESAMPLES,) ratios. The same seed and number of people draw the same sets.
    """
    num_people = len(denominator)
    draws = np.random.default_rng(seed).multinomial(
        num_people, np.full(num_people, 1 / num_people), size=NUM_RESAMPLES
    )  # (NUM_RESAMPLES, num_people): how often each person was drawn
    ratios: np.ndarray = (draws @ numerator) / (draws @ denominator)
    return ratios


def interval(values: np.ndarray) -> list[float]:
    """[low, high]: what the middle 95 % lie between."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def sums_by_person(person: Sequence[str], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sum of the values of each person, number of them), each (num_people,), people by name."""
    _, index = np.unique(np.asarray(person), return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index)
