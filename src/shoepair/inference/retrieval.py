"""Which shoes of a gallery may be pairs: each shoe's nearest neighbours by descriptors, found before anything is looked
at closely. Numbers only.

Search is exact, in blocks; a library made for it (faiss, pip install 'shoepair[index]') takes less than half of the
time. Among more than EXACT_UP_TO shoes its graph is asked (HNSW; Malkov and Yashunin, 2016), which finds nearly all.
"""

import importlib.util
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from shoepair.progress import progress

COMPONENTS = 64  # of a descriptor that are searched
SHOES_A_COMPONENT = 8  # fewer shoes than this for each component, and the components would be chance
FITTED = 20_000  # shoes from which the components are learned
QUERIES_AT_ONCE = 500
LIBRARY_FROM = 2_000  # shoes among which neighbours are searched: importing it takes as long as searching fewer
# Among 50,000, a query takes 0.40 ms of a core by torch, 0.16 ms by faiss, exactly, and 1.2 ms by its graph, which
# finds 92 % of the neighbours and is built in 13 s: it pays where exact search takes eight times as long.
EXACT_UP_TO = 300_000
LINKS, BUILD_EFFORT = 32, 100  # of faiss's graph: neighbours that it keeps, and that it looks at to find them
SEARCH_EFFORT = 4  # nodes that it looks at, of the length of the shortlists


def shortlist_length(num_shoes: int) -> int:
    """How many candidates of each shoe are compared closely: 30 of 2,000 shoes, 98 of 100,000.

    Of 2,000 drawn shoes (default run), the partner is one of the 30 likeliest for all, and among more shoes the same
    part of them is a longer list. What it costs grows less than reading and encoding do.
    """
    return max(30, round(3.1 * math.pow(num_shoes, 0.3)))


def whitened(descriptors: np.ndarray) -> np.ndarray:
    """Descriptors in which no direction counts more than another: principal components, of variance 1, of length 1.

    Of a convolutional network, many channels say the same. As they are, the partner is the likeliest of 861 candidates
    for 68 % of drawn shoes, whitened for 96 %.

    Args:
        descriptors: (num_shoes, c).
    Returns:
        (num_shoes, k) float32 with k <= COMPONENTS; the larger the inner product, the more two shoes are alike.
    """
    num_shoes = len(descriptors)
    chosen = np.arange(num_shoes)
    if num_shoes > FITTED:
        chosen = np.sort(np.random.default_rng(0).choice(num_shoes, FITTED, replace=False))
    sample = descriptors[chosen].astype(np.float64)
    mean, scale = sample.mean(0), sample.std(0) + 1e-8
    covariance = np.atleast_2d(np.cov((sample - mean) / scale, rowvar=False, bias=True))
    variances, directions = np.linalg.eigh(covariance)
    num = max(1, min(COMPONENTS, num_shoes // SHOES_A_COMPONENT, int((variances > 1e-6 * variances[-1]).sum())))
    turn = (directions[:, -num:] / np.sqrt(np.maximum(variances[-num:], 1e-12))).astype(np.float32)
    points = ((descriptors - mean) / scale).astype(np.float32) @ turn
    of_length_one: np.ndarray = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-8)
    return of_length_one


def shortlisted_pairs(
    sides: np.ndarray, points: np.ndarray, length: int, anchors: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs in which one shoe is among the `length` that are most like the other.

    Args:
        sides: (num_shoes,) 1 left, -1 right, 0 unknown; two shoes of one known side are no pair.
        points: (num_shoes, k), as whitened() gives them.
        anchors: (num_shoes,) bool, the shoes whose shortlists count; None: all.
    Returns:
        (num_pairs, 2) indices, the lower one first, in their order; and (num_pairs,) the place of one on the other's
        shortlist, from 0 on, the lower one if both have such places.
    """
    found, places = [np.empty((0, 2), dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    for side in (1, -1, 0):
        asking = sides == side if anchors is None else (sides == side) & anchors
        queries, keys = np.flatnonzero(asking), np.flatnonzero(possible_partners(sides, side))
        if len(queries) == 0 or len(keys) == 0:
            continue
        itself = int(side == 0)  # is its own nearest neighbour
        nearest = keys[neighbours(points[queries], points[keys], min(length + itself, len(keys)))]
        pairs = np.stack([np.repeat(queries, nearest.shape[1]), nearest.ravel()], axis=1)
        place = np.tile(np.arange(nearest.shape[1]) - itself, len(queries))
        other = pairs[:, 0] != pairs[:, 1]
        found.append(pairs[other])
        places.append(np.maximum(place[other], 0))  # another one with the same descriptor may come before itself
    pairs, place = np.concatenate(found), np.concatenate(places)
    order = np.argsort(place, kind="stable")
    numbers, first = np.unique(_numbers(pairs[order], len(sides)), return_index=True)
    return _numbered_pairs(numbers, len(sides)), place[order][first]


def all_pairs(sides: np.ndarray, anchors: np.ndarray | None = None) -> np.ndarray:
    """Every pair that is possible by the sides, the lower index first, in their order: (num_pairs, 2)."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for shoe in np.flatnonzero(np.ones(len(sides), bool) if anchors is None else anchors):
        others = np.flatnonzero(possible_partners(sides, sides[shoe]))
        others = others[others > shoe] if anchors is None else others[others != shoe]
        found.append(np.stack([np.full(len(others), shoe), others], axis=1))
    return unique_pairs(np.concatenate(found), len(sides))


def possible_partners(sides: np.ndarray, side: int) -> np.ndarray:
    """(num_shoes,) bool: who may be the partner of a shoe of this side."""
    return np.ones(len(sides), dtype=bool) if side == 0 else sides != side


def unique_pairs(pairs: np.ndarray, num_shoes: int) -> np.ndarray:
    """(num_pairs, 2) indices in any order: each pair once, the lower index first, in their order."""
    return _numbered_pairs(np.unique(_numbers(pairs, num_shoes)), num_shoes)


def _numbers(pairs: np.ndarray, num_shoes: int) -> np.ndarray:
    """One number for each pair, in whichever order; sorted, as the pairs would be."""
    numbers: np.ndarray = pairs.min(axis=1) * num_shoes + pairs.max(axis=1)
    return numbers


def _numbered_pairs(numbers: np.ndarray, num_shoes: int) -> np.ndarray:
    return np.stack(np.divmod(numbers, max(1, num_shoes)), axis=1)


def neighbours(queries: np.ndarray, keys: np.ndarray, length: int) -> np.ndarray:
    """The `length` keys with the largest inner product with each query, from that on: (num_queries, length) indices."""
    if len(keys) > LIBRARY_FROM and importlib.util.find_spec("faiss") is not None:
        return _by_library(queries, keys, length)
    transposed = torch.from_numpy(np.ascontiguousarray(keys)).T
    found = np.empty((len(queries), length), dtype=np.int64)
    for rows in _in_blocks(len(queries)):
        found[rows] = (torch.from_numpy(queries[rows]) @ transposed).topk(length).indices.numpy()
    return found


def _by_library(queries: np.ndarray, keys: np.ndarray, length: int) -> np.ndarray:
    import faiss

    index: Any
    if len(keys) <= EXACT_UP_TO:
        index = faiss.IndexFlatIP(keys.shape[1])
        index.add(keys)
    else:
        index = faiss.IndexHNSWFlat(keys.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
        index.hnsw.efSearch = SEARCH_EFFORT * length
        for start in progress(range(0, len(keys), 10_000), "Index", "block"):
            index.add(keys[start : start + 10_000])
    found = np.empty((len(queries), length), dtype=np.int64)
    for rows in _in_blocks(len(queries)):
        found[rows] = index.search(queries[rows], length)[1]
    missing = (found < 0).any(axis=1)  # a part of the graph that no way leads to
    if missing.any():
        exact = torch.from_numpy(queries[missing]) @ torch.from_numpy(keys).T
        found[missing] = exact.topk(length).indices.numpy()
    return found


def _in_blocks(num_queries: int) -> Iterable[slice]:
    starts: Iterator[int] = iter(progress(range(0, num_queries, QUERIES_AT_ONCE), "Shortlists", "block"))
    return (slice(start, start + QUERIES_AT_ONCE) for start in starts)
