"""Scores the candidate pairs of a gallery: which they are by retrieval, how well each of them fits by the network."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.sparse import csr_array

from shoepair.data.layout import LEFT, RIGHT
from shoepair.inference.assignment import clearly_paired, still_possible
from shoepair.inference.cores import one_core_each
from shoepair.inference.gallery import Gallery
from shoepair.inference.network import TrainedNetwork
from shoepair.inference.retrieval import all_pairs, shortlist_length, shortlisted_pairs, unique_pairs, whitened
from shoepair.progress import progress

VALUES_AT_ONCE = 500_000  # of the embeddings of one side of these pairs: 2 MB, which a core's cache may hold
# Shoes from which on clear pairs are looked for among a few candidates first: FIRST on each shortlist. Of 8,004 drawn
# shoes that leaves 27 % of the comparisons, of 6,061, a third single and no side known, 47 %. In these heaps, in 2,000
# at 224 pixels and in the course's 558 photos not a single pair that is found is another one.
CLEAR_FIRST_FROM, FIRST = 1_000, 8
COMPARE_ALL_UP_TO = 2_000  # shoes, where a close look at two of them is cheap, or the only one


def score_gallery(
    gallery: Gallery,
    trained: TrainedNetwork,
    length: int | None = None,
    *,
    threshold: float | None = None,
    anchors: np.ndarray | None = None,
    wanted: Sequence[tuple[int, int]] = (),
    wrong: Sequence[tuple[int, int]] = (),
) -> csr_array:
    """The calibrated logits of the candidate pairs: (num_shoes, num_shoes) float32, symmetric; others are not stored.

    Each is the mean over the views of the pair: on validation people, it finds more than one view. Where no side is
    known and the network tells left from right, both orders are scored and averaged.

    Args:
        length: of each shoe's shortlist; None: shortlist_length() of the gallery.
        threshold: the logit from which two shoes may be a pair. With it, in a large gallery, shoes that are clearly a
            pair among their first candidates are compared with no others.
        anchors: (num_shoes,) bool, the shoes whose candidates are scored; None: all.
        wanted: further pairs, which a person confirmed.
        wrong: pairs that are none, as a person said.
    """
    num_shoes = len(gallery.paths)
    found, place = candidates(gallery, trained, length, anchors=anchors)
    more = np.array(wanted, dtype=np.int64).reshape(-1, 2)
    later = np.zeros(len(found), dtype=bool)
    if threshold is not None and place is not None and num_shoes >= CLEAR_FIRST_FROM:
        later = (place >= FIRST) & ~np.isin(found @ [num_shoes, 1], np.sort(more) @ [num_shoes, 1])
    pairs = unique_pairs(np.concatenate([found[~later], more]), num_shoes)
    logits = score_pairs(gallery, trained, pairs)
    if threshold is not None and later.any():
        clear = clearly_paired(still_possible(symmetric(pairs, logits, num_shoes), wanted, wrong), threshold)
        rest = found[later & ~clear[found].any(axis=1)]
        logits = np.concatenate([logits, score_pairs(gallery, trained, rest)])
        pairs = np.concatenate([pairs, rest])
    return symmetric(pairs, logits, num_shoes)


def score_pairs(gallery: Gallery, trained: TrainedNetwork, pairs: np.ndarray) -> np.ndarray:
    """(num_pairs,) float32 calibrated logits of pairs of shoes, (num_pairs, 2); see score_gallery."""
    side = as_numbers(gallery.sides)
    at_once = trained.batch_size
    if trained.siamese is not None:
        at_once = max(at_once, VALUES_AT_ONCE // max(1, gallery.seen.shape[-1]))
    score: Callable[..., np.ndarray] = _score_images if trained.siamese is None else _score_embeddings

    def scored(block: np.ndarray) -> np.ndarray:
        first, second = block.T
        flipped = (side[first] == -1) | (side[second] == 1)
        left, right = np.where(flipped, second, first), np.where(flipped, first, second)
        found = score(gallery, left, right, trained)
        unknown = (side[first] == 0) & (side[second] == 0)
        if trained.siamese is None and unknown.any():
            found[unknown] = (found[unknown] + score(gallery, right[unknown], left[unknown], trained)) / 2
        return found

    blocks = [pairs[start : start + at_once] for start in range(0, len(pairs), at_once)]
    found = progress(one_core_each(scored, blocks), "Pairs", "block", len(blocks))
    # Not kept block by block: small arrays between large ones hold the memory of these.
    logits = np.empty(len(pairs), dtype=np.float32)
    for block, values in enumerate(found):
        logits[block * at_once : block * at_once + len(values)] = values
    return logits


def symmetric(pairs: np.ndarray, logits: np.ndarray, num_shoes: int) -> csr_array:
    """(num_shoes, num_shoes) of what is known of pairs, (num_pairs, 2), each of them once."""
    rows, columns = pairs.astype(np.int32).T
    where = np.concatenate([rows, columns]), np.concatenate([columns, rows])
    scores = csr_array((np.concatenate([logits, logits]), where), shape=(num_shoes, num_shoes))
    scores.sort_indices()
    return scores


def candidates(
    gallery: Gallery, trained: TrainedNetwork, length: int | None = None, *, anchors: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Which two shoes may be a pair: not of the same known side and, where comparing all takes long, not quite unlike
    at a glance. Arguments: see score_gallery.

    Returns:
        (num_pairs, 2) indices, the lower one first, in their order; and of candidates that were retrieved their places
        on shortlists, as shortlisted_pairs gives them.
    """
    side, num_shoes = as_numbers(gallery.sides), len(gallery.paths)
    cheap = trained.siamese is None or not trained.siamese.needs_reranking
    if cheap and num_shoes <= COMPARE_ALL_UP_TO:
        return all_pairs(side, anchors), None
    length = shortlist_length(num_shoes) if length is None else length
    if num_shoes <= length:
        return all_pairs(side, anchors), None
    assert gallery.descriptors is not None
    return shortlisted_pairs(side, whitened(gallery.descriptors), length, anchors)


def as_numbers(sides: Sequence[str | None]) -> np.ndarray:
    return np.array([{LEFT: 1, RIGHT: -1, None: 0}[side] for side in sides], dtype=np.int8)


def _score_embeddings(gallery: Gallery, left: np.ndarray, right: np.ndarray, trained: TrainedNetwork) -> np.ndarray:
    return trained.compare(*(gallery.rows(side).float() for side in (left, right))).numpy()


def _score_images(gallery: Gallery, left: np.ndarray, right: np.ndarray, trained: TrainedNetwork) -> np.ndarray:
    """Every pair goes through the whole network."""
    if len(left) == 0:
        return np.empty(0, dtype=np.float32)
    return trained.score(gallery.rows(left), gallery.rows(right)).numpy()
