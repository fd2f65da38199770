"""From a gallery to pairs: candidates, scores, the best set of pairs; against dense ways of finding the same."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from settings import network_settings

from shoepair.inference import retrieval, scoring
from shoepair.inference.assignment import best_pairs, find_matches, nearest, still_possible
from shoepair.inference.gallery import Gallery
from shoepair.inference.network import TrainedNetwork
from shoepair.inference.retrieval import shortlisted_pairs, whitened
from shoepair.inference.scoring import score_gallery, symmetric
from shoepair.metrics.calibration import Calibration
from shoepair.models.networks import build_network


def sparse(logits: np.ndarray) -> csr_array:
    """Of a square array with -inf where two shoes are no candidates."""
    first, second = np.nonzero(np.triu(np.isfinite(logits), 1))
    return symmetric(np.stack([first, second], axis=1), logits[first, second], len(logits))


def dense(scores: csr_array) -> np.ndarray:
    logits = np.full(scores.shape, -np.inf)
    rows = np.repeat(np.arange(len(logits)), np.diff(scores.indptr))
    logits[rows, scores.indices] = scores.data
    return logits


def random_logits(num_shoes: int, seed: int) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(-1, 2, (num_shoes, num_shoes))
    logits = logits + logits.T
    np.fill_diagonal(logits, -np.inf)
    return logits


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_no_other_set_of_pairs_is_better(seed: int, known: str) -> None:
    """A second implementation: the blossom algorithm of networkx."""
    logits, random = random_logits(15, seed), np.random.default_rng(seed)
    sides = [None if known == "none" or (known == "some" and random.random() < 0.5) else side
             for side in random.choice(["left", "right"], 15).tolist()]  # fmt: skip
    for i, j in np.ndindex(15, 15):
        if sides[i] is not None and sides[i] == sides[j]:
            logits[i, j] = -np.inf
    for threshold in (0.0, 1.0):
        graph = networkx.Graph()
        for i, j in zip(*np.where(logits > threshold), strict=True):
            graph.add_edge(i, j, weight=logits[i, j] - threshold)
        expected = sum(logits[i, j] - threshold for i, j in networkx.max_weight_matching(graph))
        pairs = best_pairs(sparse(logits), sides, threshold)
        assert sum(logits[i, j] - threshold for i, j in pairs) == pytest.approx(expected)
        assert len({shoe for pair in pairs for shoe in pair}) == 2 * len(pairs)
        assert all(sides[left] != "right" and sides[right] != "left" for left, right in pairs)
        assert all(logits[i, j] > threshold for i, j in pairs)


def test_the_best_pair_gives_way_where_all_together_are_better() -> None:
    logits = np.full((4, 4), -np.inf)
    for i, j, value in ((0, 2, 5.0), (0, 3, 4.0), (1, 2, 4.0), (1, 3, -1.0)):
        logits[i, j] = logits[j, i] = value
    assert best_pairs(sparse(logits), ["left", "left", "right", "right"], 0.0) == [(0, 3), (1, 2)]
    assert best_pairs(sparse(logits), [None] * 4, 0.0) == [(0, 3), (1, 2)]
    assert best_pairs(sparse(logits), [None] * 4, 3.9) == [(0, 2)]  # of the others, together 0.2 is left
    assert best_pairs(sparse(logits), [None] * 4, 6.0) == []


def test_most_doubtful_pairs_come_first_with_their_rivals() -> None:
    logits = np.full((5, 5), -np.inf)
    for i, j, value in ((0, 1, 6.0), (2, 3, 5.0), (2, 4, 4.5)):
        logits[i, j] = logits[j, i] = value
    first, second = find_matches(sparse(logits), [None] * 5, 0.0)
    assert (first.left, first.right, first.runner_up, first.margin) == (2, 3, 4, 0.5)
    assert (second.left, second.right, second.runner_up, second.margin) == (0, 1, None, np.inf)


def test_a_heap_of_one_shoe_has_no_pair() -> None:
    for sides in ([None], ["left"]):
        assert find_matches(sparse(np.full((1, 1), -np.inf)), sides, 0.0) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"approach": "dual", "fusion": "local", "stages": 2},
        {"approach": "dual", "fusion": "compare"},
        {"approach": "dual", "fusion": "stack"},
        {"approach": "single"},
        {"approach": "single", "fusion": "local", "stages": 2},
    ],
)
@pytest.mark.parametrize("hflip", [0.0, 0.5])
def test_every_candidate_has_the_score_of_the_whole_network(settings: dict[str, Any], hflip: float) -> None:
    torch.manual_seed(0)
    network = build_network(network_settings(**settings, image_size=16, norm="none")).eval()
    trained = TrainedNetwork(
        network,
        network_settings(**settings, image_size=16),
        {"data": {"augment": {"hflip": hflip}}},
        Calibration(0.5, (), ()),
    )
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    sides: list[str | None] = ["right", "left", None, None, "left"]
    seen = trained.encode(images) if trained.siamese else images
    logits = dense(score_gallery(Gallery([Path(str(i)) for i in range(5)], sides, [b""] * 5, seen), trained))

    def whole(left: int, right: int) -> float:
        """Of one pair; of a network that was trained on mirrored pairs, the mean of it and its mirror image."""
        one, other = (images[i : i + 1] for i in (left, right))
        mirrored = trained.score(one.flip(-1), other.flip(-1)) if hflip else trained.score(one, other)
        return float(trained.score(one, other) + mirrored) / 2

    one, other = images[1:2], images[:1]
    assert float(trained.score(one, other)) == pytest.approx(
        2 * float(replace(trained, calibration=None).score(one, other))
    )
    assert logits[1, 4] == logits[0, 0] == -np.inf and np.array_equal(logits, logits.T)
    assert logits[0, 1] == pytest.approx(whole(1, 0), abs=1e-5)
    assert logits[0, 2] == pytest.approx(whole(2, 0), abs=1e-5)
    assert logits[2, 4] == pytest.approx(whole(4, 2), abs=1e-5)
    assert logits[2, 3] == pytest.approx((whole(2, 3) + whole(3, 2)) / 2, abs=1e-5)


def test_a_descriptor_may_be_one_number() -> None:
    points = whitened(np.random.default_rng(0).normal(size=(50, 1)))
    assert points.shape == (50, 1) and np.isfinite(points).all()


@pytest.mark.parametrize("known", ["all", "some", "none"])
def test_each_shoe_is_compared_closely_with_those_that_are_most_like_it(known: str) -> None:
    random = np.random.default_rng(0)
    partner = np.arange(200).reshape(100, 2)[:, ::-1].ravel()  # 0 and 1 are a pair, 2 and 3, ...
    descriptors = random.normal(size=(100, 8)).repeat(2, axis=0) + 0.1 * random.normal(size=(200, 8))
    descriptors = descriptors @ random.normal(size=(8, 20)) * 10.0 ** random.integers(-4, 4, 20)
    side = np.tile([1, -1], 100)
    side[random.random(200) < {"all": 0, "some": 0.5, "none": 1}[known]] = 0
    points = whitened(descriptors)
    listed = np.zeros((200, 200), bool)
    listed[tuple(shortlisted_pairs(side, points, length=5)[0].T)] = True
    assert not listed[np.tril_indices(200)].any()
    listed |= listed.T
    possible = ((side[:, None] != side) | (side == 0)) & ~np.eye(200, dtype=bool)
    assert not (listed & ~possible).any() and listed[np.arange(200), partner].all()
    alike = np.where(possible, points @ points.T, -np.inf)
    best = np.zeros_like(listed)
    np.put_along_axis(best, np.argsort(-alike, axis=1)[:, :5], True, axis=1)
    assert np.array_equal(listed, (best | best.T) & possible)
    assert len(shortlisted_pairs(side, points, length=500)[0]) == np.triu(possible).sum()
    some = random.random(200) < 0.3
    asked = np.zeros_like(listed)
    asked[tuple(shortlisted_pairs(side, points, length=5, anchors=some)[0].T)] = True
    assert np.array_equal(asked | asked.T, best & some[:, None] | (best & some[:, None]).T)


@pytest.mark.parametrize(
    "settings",
    [
        {"approach": "dual", "fusion": "compare"},
        {"approach": "dual", "fusion": "local"},
        {"approach": "pretrained", "encoder": "torchvision/mobilenet_v3_small", "weights": None, "frozen": False,
         "local_layer": "features.3", "member": network_settings("dual", image_size=32, fusion="local")},
    ],
)  # fmt: skip
@pytest.mark.parametrize("num_left", [30, 60])
def test_in_a_large_heap_the_closest_look_is_for_the_likeliest(settings: dict[str, Any], num_left: int) -> None:
    """Two photos of one shoe are on each other's shortlist; a network that compares vectors only looks at all."""
    torch.manual_seed(0)
    of = network_settings(**settings, image_size=32)
    trained = TrainedNetwork(build_network(of).eval(), of, {})
    images = torch.randint(0, 256, (num_left, 3, 32, 32), dtype=torch.uint8)
    images = torch.cat([images, images[: 61 - num_left]])
    assert trained.siamese is not None
    sides: list[str | None] = [*["left"] * num_left, *["right"] * (len(images) - num_left)]
    nothing: list[str | None] = [None] * len(images)
    seen = trained.encode(images)
    heap = Gallery(
        [Path(str(i)) for i in range(len(images))], sides, [b""] * len(images), seen,
        descriptors=trained.descriptor(seen).numpy(),
    )  # fmt: skip
    for known in (sides, nothing):
        heap = replace(heap, sides=known)
        quick, whole = (dense(score_gallery(heap, trained, length=length)) for length in (5, len(images)))
        scored = np.isfinite(quick)
        np.testing.assert_allclose(quick[scored], whole[scored], atol=1e-4)
        assert all(scored[i, num_left + i] for i in range(len(images) - num_left))
        if settings.get("fusion") == "compare":
            assert np.array_equal(scored, np.isfinite(whole))
        elif num_left == 30:
            assert 0.05 < scored.sum() / np.isfinite(whole).sum() < 0.4


@pytest.mark.parametrize("known", ["all", "none"])
def test_shoes_that_are_clearly_a_pair_are_compared_with_no_others(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 shoes in 60 kinds, a third of them single: half as many comparisons, and the same pairs."""
    random = np.random.default_rng(0)
    kinds = 0.7 * random.normal(size=(60, 12)).repeat(10, axis=0)
    seen = np.empty((600, 12), dtype=np.float32)
    seen[::2] = (kinds + 0.5 * random.normal(size=(600, 12)))[::2]
    seen[1::2] = seen[::2] + 0.1 * random.normal(size=(300, 12))
    seen[1::4] = (kinds + 0.5 * random.normal(size=(600, 12)))[1::4]  # those have no partner
    sides: list[str | None] = ["left", "right"] * 300 if known == "all" else [None] * 600
    heap = Gallery([Path(str(i)) for i in range(600)], sides, [b""] * 600, torch.from_numpy(seen), descriptors=seen)
    compared: list[np.ndarray] = []

    def score_pairs(gallery: Gallery, trained: Any, pairs: np.ndarray) -> np.ndarray:
        compared.append(pairs)
        scores: np.ndarray = 9 - 12 * np.linalg.norm(seen[pairs[:, 0]] - seen[pairs[:, 1]], axis=1)
        return scores.astype(np.float32)

    monkeypatch.setattr(scoring, "score_pairs", score_pairs)
    monkeypatch.setattr(scoring, "CLEAR_FIRST_FROM", 500)
    trained: Any = SimpleNamespace(siamese=SimpleNamespace(needs_reranking=True))

    def found(threshold: float | None, **said: list[tuple[int, int]]) -> set[tuple[int, int]]:
        compared.clear()
        scores = score_gallery(
            heap, trained, threshold=threshold, wanted=said.get("right", []), wrong=said.get("wrong", [])
        )
        every = np.sort(np.concatenate(compared)) @ [600, 1]
        assert len(np.unique(every)) == len(every) == scores.nnz / 2
        return {(match.left, match.right) for match in find_matches(scores, sides, threshold or 0.0, **said)}

    whole, num_whole = found(None), sum(map(len, compared))
    assert 150 <= len(whole) < 200
    assert found(0.0) == whole
    assert sum(map(len, compared)) < 0.6 * num_whole and len(compared) == 2
    # What a person said: two that look like a pair are none, so that their other candidates count; and two unlike ones
    # are one, so that their likeliest partners need others.
    looks = max(whole, key=lambda pair: -float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])))
    asked = found(0.0, wrong=[looks[::-1]])
    assert looks not in asked and asked == found(None, wrong=[looks[::-1]])
    told: dict[str, list[tuple[int, int]]] = {"right": [(0, 599)], "wrong": [looks]}
    assert found(0.0, **told) == found(None, **told) and (0, 599) in found(0.0, **told)
    assert found(8.0) == {pair for pair in found(None) if 9 - 12 * np.linalg.norm(seen[pair[0]] - seen[pair[1]]) > 8}


@pytest.mark.parametrize("exact_up_to", [10**6, 0])
def test_the_library_finds_the_neighbours_that_exact_search_finds(
    exact_up_to: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    keys = random.normal(size=(3000, 16)).astype(np.float32)
    queries = keys[:50] + 0.1 * random.normal(size=(50, 16)).astype(np.float32)
    monkeypatch.setattr(retrieval, "LIBRARY_FROM", 10**6)
    expected = retrieval.neighbours(queries, keys, 20)
    monkeypatch.setattr(retrieval, "LIBRARY_FROM", 100)
    monkeypatch.setattr(retrieval, "EXACT_UP_TO", exact_up_to)
    found = retrieval.neighbours(queries, keys, 20)
    same = [len(set(a) & set(b)) / 20 for a, b in zip(expected.tolist(), found.tolist(), strict=True)]
    assert min(same) == 1 if exact_up_to else np.mean(same) > 0.95


def clustered_logits(num_pairs: int, seed: int) -> np.ndarray:
    """Left shoes, then their right ones; most know their partner, some have many that might be it."""
    random = np.random.default_rng(seed)
    logits = random.normal(-6, 1, (num_pairs, num_pairs))
    kind = random.integers(0, num_pairs // 8 + 1, num_pairs)
    logits += np.where(kind[:, None] == kind, 5.5, 0) + 6 * np.eye(num_pairs) * (random.random(num_pairs) < 0.7)
    logits = logits.astype(np.float32)
    nothing = np.full_like(logits, -np.inf)
    return np.block([[nothing, logits], [logits.T, nothing]])


@pytest.mark.parametrize(("num_pairs", "threshold"), [(150, 0.0), (150, -2.0), (1000, 0.0), (400, -7.0)])
def test_large_heaps_have_the_pairs_of_the_dense_assignment(num_pairs: int, threshold: float) -> None:
    logits = clustered_logits(num_pairs, 0)
    gain = np.maximum(logits[:num_pairs, num_pairs:].astype(float) - threshold, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    expected = [(i, num_pairs + j) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]
    sides: list[str | None] = [*["left"] * num_pairs, *["right"] * num_pairs]
    assert best_pairs(sparse(logits), sides, threshold) == expected


def test_what_a_person_said_of_pairs_stays_and_the_rest_is_matched_anew() -> None:
    logits = np.full((6, 6), -np.inf)
    for i, j, value in ((0, 3, 5.0), (0, 4, 4.0), (1, 3, 3.0), (1, 4, 2.0), (2, 5, -4.0), (2, 3, 1.5)):
        logits[i, j] = logits[j, i] = value
    sides: list[str | None] = [*["left"] * 3, *["right"] * 3]

    def pairs(**said: list[tuple[int, int]]) -> set[tuple[int, int]]:
        return {(match.left, match.right) for match in find_matches(sparse(logits), sides, 0.0, **said)}

    assert pairs() == {(0, 3), (1, 4)} or pairs() == {(0, 4), (1, 3)}
    assert pairs(wrong=[(4, 1)]) == {(0, 4), (1, 3)}
    assert pairs(wrong=[(1, 4), (3, 1)]) == {(0, 4), (2, 3)}
    assert pairs(right=[(2, 5)]) == pairs() | {(2, 5)}
    assert pairs(right=[(2, 3)]) == {(2, 3), (0, 4)}
    confirmed = find_matches(sparse(logits), sides, 0.0, right=[(2, 5)])[-1]
    assert (confirmed.left, confirmed.logit, confirmed.runner_up, confirmed.confirmed) == (2, -4.0, 3, True)
    # What a person ruled out is nobody's rival, and no single shoe's nearest.
    found = {match.left: match for match in find_matches(sparse(logits), sides, 0.0, wrong=[(0, 3)])}
    assert found[0].right == 4 and found[0].runner_up == 1 and found[1].runner_up == 4
    found = {match.left: match for match in find_matches(sparse(logits), sides, 0.0, right=[(1, 4)])}
    assert found[0].right == 3 and found[0].runner_up == 2
    assert nearest(still_possible(sparse(logits), [(0, 3)], [(1, 4)]), 1) is None


def test_the_nearest_of_the_others() -> None:
    logits = np.full((4, 4), -np.inf)
    for i, j, value in ((0, 1, -3.0), (0, 2, 0.0)):
        logits[i, j] = logits[j, i] = value
    assert nearest(sparse(logits), 0) == (2, 0.0) and nearest(sparse(logits), 3) is None
