"""How sure a network may be: a temperature for its logits, and a threshold for a wanted false match rate.

Both come from validation pairs. Numbers only: which pairs are scored stands in training/predictions.py.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from shoepair.errors import UserError

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
ANSWERED = 0.9  # of pairs, the surest: of the others a network says that it is not sure
CONFIDENCE = 0.95  # that the false match rate is no higher than was wanted, one-sided


@dataclass(frozen=True)
class Calibration:
    """What the validation pairs of a checkpoint say of its logits.

    Attributes:
        temperature: what a logit is divided by, so that its logistic function is a probability.
        different, same: the logits of validation's different and same pairs, not divided, lowest first; each is a left
            and a right shoe of one person. One that was no number is infinite, on the wrong side.
        design_effect: how many of the different pairs say as much as one that has nothing to do with the others; see
            design_effect(). Older checkpoints say nothing of it: 1.
    """

    temperature: float
    different: tuple[float, ...]
    same: tuple[float, ...]
    design_effect: float = field(default=1.0, kw_only=True)

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> "Calibration":
        """From what as_plain() gave. Raises KeyError, TypeError or ValueError if it is something else."""
        temperature = float(values["temperature"])
        if not LOWEST_TEMPERATURE <= temperature <= HIGHEST_TEMPERATURE:
            raise ValueError(f"a temperature of {temperature}")
        different, same = (tuple(sorted(map(float, values[name]))) for name in ("different", "same"))
        if any(math.isnan(logit) for logit in (*different, *same)):
            raise ValueError("a logit that is no number")
        effect = float(values.get("design_effect", 1.0))
        if not 1 <= effect < math.inf:
            raise ValueError(f"a design effect of {effect}")
        return cls(temperature, different, same, design_effect=effect)

    def as_plain(self) -> dict[str, Any]:
        return {
            "temperature": self.temperature,
            "different": list(self.different),
            "same": list(self.same),
            "design_effect": self.design_effect,
        }

    def threshold(self, max_fmr: float) -> float:
        """The lowest calibrated logit above which at most the part `max_fmr` of different pairs lies.

        That is, of the different pairs of validation so few lie above it that the upper end of the one-sided 95 %
        interval of their part (Clopper and Pearson 1934) is at most `max_fmr`. People are assumed to be independent of
        one another, the pairs of one person are not: each counts as 1 / design_effect of a pair.

        Args:
            max_fmr: of pairs that are different, the part called the same; from 0 to 1, both excluded.
        Raises:
            UserError: if it is no such number, or there are too few different pairs to support it.
        """
        if not 0 < max_fmr < 1:
            raise UserError(f"a false match rate of {max_fmr}: expected a rate between 0 and 1, such as 0.05.")
        num_pairs = len(self.different)
        allowed = most_false_matches(num_pairs, max_fmr, self.design_effect)
        if allowed is None:
            supported = float(highest_rates(num_pairs, self.design_effect)[0])
            independent = num_pairs / self.design_effect
            raise UserError(
                f"a false match rate of {max_fmr:g}: validation had {num_pairs} different pairs, "
                + (f"as good as {independent:.0f} independent ones, " if round(independent) < num_pairs else "")
                + (
                    f"which support a rate of {math.ceil(1e4 * supported) / 1e4:g} at best"
                    if num_pairs
                    else "which support none"
                )
                + "; more people in validation (data.train_fraction, data.folds) would support a lower one."
            )
        limit = self.different[num_pairs - 1 - allowed]  # above it lie `allowed` of them, or fewer
        if not math.isfinite(limit):
            raise UserError(
                f"a false match rate of {max_fmr:g}: the network gave too many of validation's {num_pairs} different "
                "pairs no finite score; train it again with a lower optimizer.lr."
            )
        return limit / self.temperature

    def margin(self, answered: float = ANSWERED) -> float:
        """The calibrated logit, either way, that the surest part of validation's pairs reach, same and different pairs
        alike in sum: for refusing the others. 0 where one of the two kinds has no pair.

        Args:
            answered: this part; from 0 to 1.
        """
        if not self.different or not self.same:
            return 0.0
        both = (self.different, self.same)
        sureness = np.abs(np.concatenate([np.asarray(logits, dtype=float) for logits in both])) / self.temperature
        weight = np.concatenate([np.full(len(logits), 0.5 / len(logits)) for logits in both])
        order = np.argsort(sureness)
        first = int(np.searchsorted(np.cumsum(weight[order]), 1 - answered, side="right"))
        return float(np.nan_to_num(sureness[order[min(first, len(order) - 1)]], posinf=0.0))

    def called_same(self, threshold: float) -> tuple[int, int]:
        """How many of validation's different and of its same pairs lie above a calibrated logit."""
        different, same = (
            sum(logit / self.temperature > threshold for logit in logits) for logits in (self.different, self.same)
        )
        return different, same


def calibrate(logits: np.ndarray, labels: np.ndarray, person: Sequence[str] | None = None) -> Calibration:
    """From validation pairs.

    Args:
        logits, labels: (num_pairs,), 1 for the same pair.
        person: whose shoes each pair is of; None: each of somebody else's.
    """
    effect = 1.0 if person is None else design_effect(logits[labels != 1], np.asarray(person)[labels != 1])
    same, different = logits[labels == 1].astype(float), logits[labels != 1].astype(float)
    temperature = fit_temperature(same, different)
    same, different = np.where(np.isnan(same), -np.inf, same), np.where(np.isnan(different), np.inf, different)
    return Calibration(
        temperature, tuple(np.sort(different).tolist()), tuple(np.sort(same).tolist()), design_effect=effect
    )


def design_effect(logits: np.ndarray, person: np.ndarray) -> float:
    """How many pairs say as much as one would if no person had several (Kish 1965): 1 + (m - 1) * ICC.

    One person's pairs are made of the same few shoes, so that they are called the same together. ICC is the correlation
    of two pairs of one person, from a one-way analysis of variance of the logits. m is how many pairs a pair's person
    has, in the mean over pairs. Logits that are no finite number are left out.

    Args:
        logits, person: (num_pairs,) each.
    Returns:
        From 1 to m: m where one person has them all, of which nothing can be told.
    """
    finite = np.isfinite(logits)
    logits = logits[finite].astype(float)
    names, index = np.unique(person[finite], return_inverse=True)
    sizes = np.bincount(index, minlength=len(names))
    num_pairs, num_people = len(logits), len(names)
    if num_people == num_pairs:  # none at all, too
        return 1.0
    mean_size = float((sizes**2).sum() / num_pairs)
    if num_people == 1:
        return mean_size
    means = np.bincount(index, weights=logits) / sizes
    between = float((sizes * (means - logits.mean()) ** 2).sum()) / (num_people - 1)
    within = float(((logits - means[index]) ** 2).sum()) / (num_pairs - num_people)
    size = (num_pairs - mean_size) / (num_people - 1)
    total = between + (size - 1) * within
    icc = (between - within) / total if total > 0 else 0.0
    return 1 + (mean_size - 1) * min(max(icc, 0.0), 1.0)


def fit_temperature(same: Sequence[float] | np.ndarray, different: Sequence[float] | np.ndarray) -> float:
    """The temperature with the lowest cross-entropy of logit / temperature, same and different pairs alike in sum.

    The targets are Platt's (1999), (n + 1) / (n + 2) of n pairs instead of 1: n pairs that are all right are no reason
    to be surer than that, while plain targets would make a network that happens to separate a small validation set
    as sure as the limits allow. On photos, fitted on some validation people and measured on the others, they gave the
    lower loss too (0.330, plain targets 0.335; where logits were doubled 0.325 and 0.329, without calibration 0.425).

    Args:
        same, different: logits; those that are no finite number are left out.
    Returns:
        From 0.05 to 20; 1 where one of the two kinds has no pair, which leaves the logits as they are.
    """
    from scipy.optimize import minimize_scalar  # here, since not all that import this module fit

    right = [np.asarray(same, dtype=float), -np.asarray(different, dtype=float)]  # positive where the network is right
    right = [logits[np.isfinite(logits)] for logits in right]
    if any(len(logits) == 0 for logits in right):
        return 1.0

    def loss(log_temperature: float) -> float:
        total = 0.0
        for logits in right:
            scaled, target = logits * math.exp(-log_temperature), (len(logits) + 1) / (len(logits) + 2)
            total += float((np.logaddexp(0, -scaled) + (1 - target) * scaled).mean())
        return total

    # Convex in 1 / temperature, so that there is one minimum.
    bounds = (math.log(LOWEST_TEMPERATURE), math.log(HIGHEST_TEMPERATURE))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.clip(math.exp(found.x), LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE))


def highest_rates(num_pairs: int, design_effect: float = 1.0) -> np.ndarray:
    """The upper ends of the one-sided 95 % intervals (Clopper and Pearson 1934) of a false match rate.

    With a design effect, pairs and false matches are divided by it (Korn and Graubard 1998).

    Returns:
        (num_pairs + 1,), rising to 1: where 0, 1, ..., num_pairs of the different pairs were called the same.
    """
    from scipy.special import betaincinv  # here, since importing it takes longer than all else of this module

    num_matches = np.arange(num_pairs) / design_effect
    return np.append(betaincinv(num_matches + 1, num_pairs / design_effect - num_matches, CONFIDENCE), 1.0)


def most_false_matches(num_pairs: int, rate: float, design_effect: float = 1.0) -> int | None:
    """Of so many different pairs, how many may be called the same so that the upper end is at most `rate`.

    Args:
        rate: below 1.
    Returns:
        None if not even none is few enough.
    """
    num_few_enough = int(np.searchsorted(highest_rates(num_pairs, design_effect), rate, side="right"))
    return num_few_enough - 1 if num_few_enough else None
