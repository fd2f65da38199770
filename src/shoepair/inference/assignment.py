"""From scores of candidate pairs to the best set of pairs as a whole, in which every shoe stands once or stays single.

Numbers only: which shoe is compared with which, and how, stands in scoring.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from shoepair.data.layout import LEFT, RIGHT
from shoepair.progress import progress

CANDIDATES = 10  # with unknown sides, so many best candidates of each shoe are considered
DENSE_UP_TO = 300  # shoes that hang together: their assignment is solved as a square array
CLEAR = 3.0  # logits: of two verdicts that differ by so much, the likelier one is twenty times as likely
TOGETHER = 1_000  # shoes of several components that one integer program solves: each costs some milliseconds to begin


@dataclass(frozen=True)
class Match:
    """Two shoes that were put together.

    Attributes:
        left, right: indices of the shoes.
        logit: how well they fit.
        runner_up: index of the shoe that fits one of the two best after the other, and may; None if there is no other
            candidate.
        runner_up_logit: how well it fits; -inf without a runner_up.
        confirmed: a person said that they are a pair.
    """

    left: int
    right: int
    logit: float
    runner_up: int | None
    runner_up_logit: float
    confirmed: bool = False

    @property
    def margin(self) -> float:
        """How much better they fit than the runner_up does."""
        return self.logit - self.runner_up_logit

    def distance(self, threshold: float) -> float:
        """How far the pair is from being another one or none; the less, the more doubtful."""
        if self.confirmed:
            return np.inf
        return min(self.margin, self.logit - threshold)


def best_pairs(scores: csr_array, sides: Sequence[str | None], threshold: float) -> list[tuple[int, int]]:
    """The set of pairs with the largest sum of (logit - threshold), each pair above the threshold.

    Pairs that belong to a best set whatever the others do are taken first. What is left falls into components that
    nothing connects: where all sides are known an assignment of left to right shoes, otherwise a matching in a graph,
    among the CANDIDATES best candidates of each shoe.

    Args:
        scores: (num_shoes, num_shoes), symmetric; what is not stored cannot be a pair.
        sides: "left", "right" or None (unknown) of each shoe.
    Returns:
        Index pairs (left, right), in the order of the left shoes; where sides are unknown, the lower index first.
    """
    edges, gains = _edges(scores, threshold, None if None not in sides else CANDIDATES)
    taken, edges, gains = _settled(edges, gains, scores.shape[0])
    solved = list(taken)
    for part, gain in _parts(edges, gains, scores.shape[0], sides):
        known = all(sides[shoe] is not None for shoe in np.unique(part))
        solved += (_by_assignment if known else _by_integer_program)(part, gain, sides)
    return sorted((b, a) if sides[a] == RIGHT or sides[b] == LEFT else (a, b) for a, b in solved)


def _edges(scores: csr_array, threshold: float, most: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The pairs above the threshold, (num_edges, 2), the lower index first, and what each of them gains.

    Args:
        most: so many of the best of each shoe; None: all.
    """
    rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
    columns, gains = scores.indices, scores.data.astype(np.float64) - threshold
    good = gains > 0
    if most is None:
        good &= rows < columns
    else:
        order = np.lexsort((-gains, rows))
        rank = np.empty(len(rows), dtype=np.int64)
        rank[order] = np.arange(len(rows)) - scores.indptr[rows[order]]
        good &= rank < most
    edges = np.stack([np.minimum(rows, columns), np.maximum(rows, columns)], axis=1)[good].astype(np.int64)
    _, once = np.unique(edges @ [scores.shape[0], 1], return_index=True)
    return edges[once], gains[good][once]


def _settled(
    edges: np.ndarray, gains: np.ndarray, num_shoes: int
) -> tuple[list[tuple[int, int]], np.ndarray, np.ndarray]:
    """Take each pair that gains as much as the next best pairs of its two shoes do together: put into any set of pairs
    in their place, it makes that set no worse. Again, until there is none.

    Returns:
        The pairs, and the edges and gains that are left.
    """
    taken: list[tuple[int, int]] = []
    while len(edges):
        mutual, second = _mutually_best(edges, gains, num_shoes)
        sure = mutual & (gains >= second.sum(1))
        if not sure.any():
            break
        taken += [(int(a), int(b)) for a, b in edges[sure]]
        gone = np.zeros(num_shoes, dtype=bool)
        gone[edges[sure]] = True
        left = ~gone[edges].any(axis=1)
        edges, gains = edges[left], gains[left]
    return taken, edges, gains


def _mutually_best(edges: np.ndarray, gains: np.ndarray, num_shoes: int) -> tuple[np.ndarray, np.ndarray]:
    """Which edges are the best of both of their shoes, (num_edges,) bool, and what the second best edge of each of the
    two gains, (num_edges, 2), 0 where there is none."""
    second, partner = np.zeros(num_shoes), np.full(num_shoes, -1)
    shoes, others, both = edges.ravel(), edges[:, ::-1].ravel(), np.repeat(gains, 2)
    order = np.lexsort((others, -both, shoes))
    shoes, others, both = shoes[order], others[order], both[order]
    first = np.r_[True, shoes[1:] != shoes[:-1]]
    partner[shoes[first]] = others[first]
    next_ = np.r_[False, first[:-1]] & ~first
    second[shoes[next_]] = both[next_]
    return (partner[edges] == edges[:, ::-1]).all(1), second[edges]


def clearly_paired(scores: csr_array, threshold: float) -> np.ndarray:
    """(num_shoes,) bool: which shoes are in a pair that is above the threshold and above every other pair of its two
    shoes, each by CLEAR."""
    edges, gains = _edges(scores, threshold, None)
    clear = np.zeros(scores.shape[0], dtype=bool)
    if len(edges):
        mutual, second = _mutually_best(edges, gains, len(clear))
        clear[edges[mutual & (gains >= second.max(1) + CLEAR)]] = True
    return clear


def _parts(
    edges: np.ndarray, gains: np.ndarray, num_shoes: int, sides: Sequence[str | None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The edges and gains of shoes that nothing connects with the rest; small components together."""
    if len(edges) == 0:
        return
    from scipy.sparse.csgraph import connected_components  # here, as below: often nothing is left by then

    graph = csr_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(num_shoes, num_shoes))
    component = connected_components(graph, directed=False)[1][edges[:, 0]]
    order = np.argsort(component, kind="stable")
    cuts = np.flatnonzero(np.diff(component[order])) + 1
    waiting: list[np.ndarray] = []
    for part in progress(np.split(order, cuts), "Assignment", "component"):
        if all(sides[shoe] is not None for shoe in np.unique(edges[part])):
            yield edges[part], gains[part]
            continue
        waiting.append(part)
        if sum(map(len, waiting)) >= TOGETHER:
            together = np.concatenate(waiting)
            yield edges[together], gains[together]
            waiting.clear()
    if waiting:
        together = np.concatenate(waiting)
        yield edges[together], gains[together]


def _by_assignment(edges: np.ndarray, gains: np.ndarray, sides: Sequence[str | None]) -> list[tuple[int, int]]:
    """Of shoes whose sides are known."""
    from scipy.optimize import linear_sum_assignment
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    swapped = np.array([sides[one] == RIGHT for one in edges[:, 0]])
    left, rows = np.unique(np.where(swapped, edges[:, 1], edges[:, 0]), return_inverse=True)
    right, columns = np.unique(np.where(swapped, edges[:, 0], edges[:, 1]), return_inverse=True)
    if len(left) + len(right) <= DENSE_UP_TO:
        gain = np.zeros((len(left), len(right)))
        gain[rows, columns] = gains
        chosen = linear_sum_assignment(gain, maximize=True)
        real = gain[chosen] > 0
        return [(int(left[i]), int(right[j])) for i, j in zip(chosen[0][real], chosen[1][real], strict=True)]
    # A full matching is asked for: each left shoe may also have a partner of its own, who gains nothing.
    nobody = np.arange(len(left))
    highest = gains.max() + 1  # weights of 0 would not count as edges
    weights = np.concatenate([highest - gains, np.full(len(left), highest)])
    where = np.concatenate([rows, nobody]), np.concatenate([columns, len(right) + nobody])
    graph = csr_array((weights, where), shape=(len(left), len(right) + len(left)))
    return [
        (int(left[i]), int(right[j]))
        for i, j in zip(*min_weight_full_bipartite_matching(graph), strict=True)
        if j < len(right)
    ]


def _by_integer_program(edges: np.ndarray, gains: np.ndarray, sides: Sequence[str | None]) -> list[tuple[int, int]]:
    """HiGHS takes a second for 2,000 shoes where a blossom algorithm in Python takes a minute."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    shoes, numbered = np.unique(edges, return_inverse=True)
    number = np.repeat(np.arange(len(edges)), 2)
    in_edge = csr_array((np.ones(edges.size), (numbered.ravel(), number)), shape=(len(shoes), len(edges)))
    solved = milp(
        -gains,
        constraints=LinearConstraint(in_edge, -np.inf, 1),  # each shoe in one pair at most
        integrality=np.ones(len(edges)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0},
    )
    assert solved.x is not None, solved.message
    return [(int(one), int(other)) for one, other in edges[solved.x > 0.5]]


def find_matches(
    scores: csr_array,
    sides: Sequence[str | None],
    threshold: float,
    *,
    right: Iterable[tuple[int, int]] = (),
    wrong: Iterable[tuple[int, int]] = (),
) -> list[Match]:
    """The best pairs with their runners-up, most doubtful first. Arguments: see best_pairs.

    Args:
        right: pairs that a person confirmed, whatever their scores are; each must be stored.
        wrong: two shoes each that are no pair.
    """
    right = list(right)
    possible = still_possible(scores, right, wrong)
    matches = [match_of(possible, *pair) for pair in best_pairs(possible, sides, threshold)]
    matches += [match_of(scores, *pair, confirmed=True) for pair in right]
    return sorted(matches, key=lambda match: match.distance(threshold))


def still_possible(scores: csr_array, right: Sequence[tuple[int, int]], wrong: Iterable[tuple[int, int]]) -> csr_array:
    """The scores of what a person said nothing of: without shoes that are in a pair that is right, and without pairs
    that are wrong."""
    num_shoes = scores.shape[0]
    settled = np.zeros(num_shoes, dtype=bool)
    settled[np.array(right, dtype=np.int64).ravel()] = True
    no_pair = np.array(list(wrong), dtype=np.int64).reshape(-1, 2)
    rows, columns = np.repeat(np.arange(num_shoes), np.diff(scores.indptr)), scores.indices.astype(np.int64)
    refused = np.isin(rows * num_shoes + columns, np.concatenate([no_pair, no_pair[:, ::-1]]) @ [num_shoes, 1])
    kept = ~(settled[rows] | settled[columns] | refused)
    return csr_array((scores.data[kept], (rows[kept], columns[kept])), shape=scores.shape)


def match_of(scores: csr_array, left: int, right: int, *, confirmed: bool = False) -> Match:
    """A pair whose score is stored, and its runner-up."""
    logit, best = -np.inf, (-np.inf, 0)
    for shoe, partner in ((left, right), (right, left)):
        others, logits = candidates_of(scores, shoe)
        if (others == partner).any():
            logit = float(logits[others == partner][0])
        other = others != partner
        if other.any():
            highest = int(np.argmax(logits[other]))
            best = max(best, (float(logits[other][highest]), -int(others[other][highest])))
    found = np.isfinite(best[0])
    return Match(left, right, logit, -best[1] if found else None, best[0], confirmed)


def nearest(scores: csr_array, shoe: int) -> tuple[int, float] | None:
    """The shoe that fits best, and its logit; None if there is no candidate."""
    others, logits = candidates_of(scores, shoe)
    if len(others) == 0:
        return None
    best = int(np.argmax(logits))
    return int(others[best]), float(logits[best])


def candidates_of(scores: csr_array, shoe: int) -> tuple[np.ndarray, np.ndarray]:
    """Which shoes a shoe was compared with, and the logits."""
    row = slice(scores.indptr[shoe], scores.indptr[shoe + 1])
    return scores.indices[row], scores.data[row]
