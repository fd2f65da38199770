"""Intervals that respect who took the photos: people are resampled, not pairs (a cluster bootstrap)."""

from collections.abc import Sequence

import numpy as np

NUM_RESAMPLES = 10_000
LEVEL = 0.95
BLOCK = 1_000_000  # draws at once: of many people all of them would take gigabytes


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
    random, chances = np.random.default_rng(seed), np.full(num_people, 1 / num_people)
    rows = max(1, BLOCK // num_people)
    ratios = []
    for start in range(0, NUM_RESAMPLES, rows):
        # (some resamples, num_people): how often each person was drawn
        draws = random.multinomial(num_people, chances, size=min(rows, NUM_RESAMPLES - start))
        ratios.append((draws @ numerator) / (draws @ denominator))
    return np.concatenate(ratios)


def interval(values: np.ndarray) -> list[float]:
    """[low, high]: what the middle 95 % lie between."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]


def interval_over_people(numerator: np.ndarray, denominator: np.ndarray, seed: int = 0) -> list[float] | None:
    """[low, high] of sum(numerator) / sum(denominator), by resampled_ratios.

    Where all people are alike, such as all right, every resample is the same, which is no certainty: see widened().

    Returns:
        None below two people, of whom nothing can be told.
    """
    if len(denominator) < 2:
        return None
    rates = numerator / denominator
    if np.ptp(rates) < 1e-12:
        return widened(float(rates[0]), len(rates))
    return interval(resampled_ratios(numerator, denominator, seed))


def widened(rate: float, num_people: int) -> list[float]:
    """[low, high] around a rate that all of some people have.

    People of another rate may be so many that none of them is met with a probability of 2.5 %: of those met, all are
    alike, so that the part of others is up to 1 - 0.025 ** (1 / num_people). Their rate may be 0, or 1.
    """
    others = 1 - ((1 - LEVEL) / 2) ** (1 / num_people)
    return [rate - others * rate, rate + others * (1 - rate)]


def sums_by_person(person: Sequence[str], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(sum of the values of each person, number of them), each (num_people,), people by name."""
    _, index = np.unique(np.asarray(person), return_inverse=True)
    return np.bincount(index, weights=values), np.bincount(index)
