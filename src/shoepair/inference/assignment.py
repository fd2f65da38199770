"""From scores of candidate pairs to the best set of pairs as a whole, in which every shoe stands once or stays single.

Numbers only: which shoe is compared with which, and how, stands in gallery.py.
"""

from dataclasses import dataclass

import numpy as np

from shoepair.data.layout import LEFT, RIGHT

CANDIDATES = 10  # with unknown sides, so many best candidates of each shoe are considered


@dataclass(frozen=True)
class Match:
    """Two shoes that were put together.

    Attributes:
        left, right: indices of the shoes.
        logit: how well they fit.
        runner_up: index of the shoe that fits one of the two best after the other; None if there is no other candidate.
        runner_up_logit: how well it fits; -inf without a runner_up.
    """

    left: int
    right: int
    logit: float
    runner_up: int | None
    runner_up_logit: float

    @property
    def margin(self) -> float:
        """How much better they fit than the runner_up does."""
        return self.logit - self.runner_up_logit

    def distance(self, threshold: float) -> float:
        """How far the pair is from being another one or none; the less, the more doubtful."""
        return min(self.margin, self.logit - threshold)


def best_pairs(logits: np.ndarray, sides: list[str | None], threshold: float) -> list[tuple[int, int]]:
    """The set of pairs with the largest sum of (logit - threshold), each pair above the threshold.

    With all sides known it is an assignment of left to right shoes; otherwise a matching in a graph, among the
    CANDIDATES best candidates of each shoe.

    Args:
        logits: (num_shoes, num_shoes), symmetric; -inf where two shoes cannot be a pair.
        sides: "left", "right" or None (unknown) of each shoe.
    Returns:
        Index pairs (left, right), in the order of the left shoes; where sides are unknown, the lower index first.
    """
    if any(side is None for side in sides):
        return _pairs_in_graph(logits, sides, threshold)
    return _pairs_by_assignment(logits, sides, threshold)


def _pairs_by_assignment(logits: np.ndarray, sides: list[str | None], threshold: float) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    left, right = (np.array([i for i, s in enumerate(sides) if s == side], dtype=int) for side in (LEFT, RIGHT))
    # What is not above the threshold counts as nothing, so that it never keeps a better pair apart.
    gain = np.maximum(logits[np.ix_(left, right)] - threshold, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(left[i]), int(right[j])) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]


def _pairs_in_graph(logits: np.ndarray, sides: list[str | None], threshold: float) -> list[tuple[int, int]]:
    # As an integer program: HiGHS takes a second for 2,000 shoes where a blossom algorithm in Python takes a minute.
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    num_shoes = len(logits)
    num_candidates = min(CANDIDATES, num_shoes)
    best = np.argpartition(-logits, num_candidates - 1, axis=1)[:, :num_candidates].ravel()
    shoe = np.repeat(np.arange(num_shoes), num_candidates)
    good = logits[shoe, best] > threshold
    edges = np.unique(np.sort(np.stack([shoe[good], best[good]], axis=1)), axis=0)  # (num_edges, 2)
    if len(edges) == 0:
        return []
    gain = logits[edges[:, 0], edges[:, 1]] - threshold
    in_edge = csr_array(
        (np.ones(edges.size), (edges.ravel(), np.repeat(np.arange(len(edges)), 2))), shape=(num_shoes, len(edges))
    )
    solved = milp(
        -gain.astype(np.float64),
        constraints=LinearConstraint(in_edge, -np.inf, 1),  # each shoe in one pair at most
        integrality=np.ones(len(edges)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    assert solved.x is not None, solved.message
    pairs = []
    for one, other in edges[solved.x > 0.5].tolist():
        swapped = sides[one] == RIGHT or sides[other] == LEFT
        pairs.append((other, one) if swapped else (one, other))
    return pairs


def find_matches(logits: np.ndarray, sides: list[str | None], threshold: float) -> list[Match]:
    """The best pairs with their runners-up, most doubtful first. Arguments: see best_pairs."""
    matches = []
    for left, right in best_pairs(logits, sides, threshold):
        others = np.maximum(logits[left], logits[right])
        others[[left, right]] = -np.inf
        runner_up = int(others.argmax())
        found = bool(np.isfinite(others[runner_up]))
        matches.append(
            Match(left, right, float(logits[left, right]), runner_up if found else None, float(others[runner_up]))
        )
    return sorted(matches, key=lambda match: match.distance(threshold))
