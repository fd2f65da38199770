from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoepair.data.pairs import (
    EvaluationBatches,
    Pairs,
    TrainingBatches,
    different_pairs,
    draw_different_pairs,
    fold_of_people,
    same_pairs,
    split_by_person,
)
from shoepair.data.shoes import Shoe, ShoeSet


def shoe_set(pairs_of: dict[str, int]) -> ShoeSet:
    """A set without pictures: so many pairs for each person, left before right."""
    shoes = tuple(
        Shoe(person, str(pair), side, "m", f"{person}_{pair}_{side}")
        for person, num_pairs in pairs_of.items()
        for pair in range(1, num_pairs + 1)
        for side in ("left", "right")
    )
    return ShoeSet(torch.zeros(len(shoes), 3, 1, 1, dtype=torch.uint8), shoes)


def triples(pairs: Pairs) -> list[tuple[int, int, int]]:
    return list(zip(pairs.left.tolist(), pairs.right.tolist(), pairs.label.tolist(), strict=True))


def test_pairs_of_two_people_by_hand() -> None:
    shoes = shoe_set({"a": 3, "b": 2})  # a: 0 1 | 2 3 | 4 5, b: 6 7 | 8 9
    assert triples(same_pairs(shoes, ["a", "b"])) == [(0, 1, 1), (2, 3, 1), (4, 5, 1), (6, 7, 1), (8, 9, 1)]
    assert triples(different_pairs(shoes, ["a", "b"])) == [(0, 3, 0), (2, 5, 0), (4, 1, 0), (6, 9, 0), (8, 7, 0)]
    assert triples(different_pairs(shoes, ["a"], "all")) == [
        (0, 3, 0), (0, 5, 0), (2, 1, 0), (2, 5, 0), (4, 1, 0), (4, 3, 0),
    ]  # fmt: skip


def test_a_person_with_one_pair_gives_no_different_pair() -> None:
    shoes = shoe_set({"a": 1})
    random = np.random.default_rng(0)
    assert len(same_pairs(shoes, ["a"])) == 1
    assert len(different_pairs(shoes, ["a"])) == len(different_pairs(shoes, ["a"], "all")) == 0
    assert len(draw_different_pairs(shoes, ["a"], random)) == 0


def test_pair_ten_comes_after_pair_two() -> None:
    shoes = shoe_set({"a": 10})
    assert triples(different_pairs(shoes, ["a"]))[-1] == (18, 1, 0)  # left of pair 10, right of pair 1


def test_every_drawn_different_pair_comes_from_one_person_and_two_pairs() -> None:
    shoes = shoe_set({"a": 3, "b": 2, "c": 5})
    seen = set()
    for seed in range(50):
        pairs = draw_different_pairs(shoes, shoes.people, np.random.default_rng(seed))
        assert len(pairs) == 10
        for left, right, label in triples(pairs):
            one, other = shoes.shoes[left], shoes.shoes[right]
            assert (one.person, one.side, other.side, label) == (other.person, "left", "right", 0)
            assert one.pair != other.pair
            seen.add((left, right))
    assert len(seen) == 3 * 2 + 2 * 1 + 5 * 4  # in time, every combination comes


def test_asked_for_some_different_pairs_are_of_one_side() -> None:
    shoes = shoe_set({"a": 3, "b": 2, "c": 1})
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(400):
        pairs = draw_different_pairs(shoes, shoes.people, np.random.default_rng(seed), same_side=0.4)
        assert len(pairs) == 5
        for left, right, label in triples(pairs):
            one, other = shoes.shoes[left], shoes.shoes[right]
            assert one.person == other.person and one.pair != other.pair and label == 0
            seen[one.side, other.side] += 1
    assert seen.keys() == {("left", "right"), ("left", "left"), ("right", "right")}
    assert seen["left", "right"] == pytest.approx(0.6 * 2000, abs=100)
    assert seen["left", "left"] == pytest.approx(0.2 * 2000, abs=80)


@pytest.mark.parametrize(("num_people", "num_train"), [(113, 90), (93, 74), (10, 8), (2, 1), (1, 1)])
def test_split_rounds_down(num_people: int, num_train: int) -> None:
    people = [f"u{i:03d}" for i in range(num_people)]
    train, val = split_by_person(people[::-1], 0.8)
    assert train == people[:num_train] and val == people[num_train:]


def test_seventy_percent_of_ten_people_are_seven() -> None:
    assert len(split_by_person([str(i) for i in range(10)], 0.7)[0]) == 7


@pytest.mark.parametrize("num_people", [5, 23, 93])
def test_folds_validate_everybody_once_and_nobody_stands_on_both_sides(num_people: int) -> None:
    people = [f"u{i:03d}" for i in range(num_people)]
    validated = []
    for fold in range(5):
        train, val = fold_of_people(people, 5, fold)
        assert not set(train) & set(val) and set(train) | set(val) == set(people)
        validated += val
        assert abs(len(val) - num_people / 5) < 1
    assert validated == people


@pytest.mark.parametrize("negatives", ["cyclic", "all", "resampled"])
def test_every_balanced_batch_is_half_same_and_half_different(negatives: str) -> None:
    shoes = shoe_set({f"u{i}": 3 for i in range(11)})  # 33 same pairs
    batches = TrainingBatches(
        shoes, shoes.people, negatives=negatives, batch_size=14, balanced=True, drop_last=False, seed=0
    )
    epoch = list(batches)
    assert len(epoch) == len(batches)
    for batch in epoch:
        assert batch.label.sum() * 2 == len(batch)
    everything = sum(epoch[1:], epoch[0])
    assert len(everything) == batches.num_pairs == (132 if negatives == "all" else 66)
    same, counts = np.unique(everything.left[everything.label == 1], return_counts=True)
    assert len(same) == 33 and set(counts) == {2 if negatives == "all" else 1}


def test_original_epoch_has_twelve_full_batches() -> None:
    shoes = shoe_set({f"u{i}": 3 for i in range(90)})
    batches = TrainingBatches(
        shoes, shoes.people, negatives="cyclic", batch_size=42, balanced=True, drop_last=True, seed=0
    )
    assert batches.num_pairs == 540 and len(batches) == 12
    assert [len(batch) for batch in batches] == [42] * 12


def test_order_depends_on_seed_and_epoch_alone() -> None:
    shoes = shoe_set({f"u{i}": 3 for i in range(8)})

    def order(seed: int, epoch: int) -> list[list[tuple[int, int, int]]]:
        batches = TrainingBatches(
            shoes, shoes.people, negatives="resampled", batch_size=8, balanced=True, drop_last=False, seed=seed
        )
        batches.set_epoch(epoch)
        return [triples(batch) for batch in batches]

    assert order(0, 3) == order(0, 3)
    assert order(0, 3) != order(0, 4)
    assert order(0, 3) != order(1, 3)


def test_unbalanced_batches_hold_every_pair_once() -> None:
    shoes = shoe_set({"a": 3, "b": 1})
    batches = TrainingBatches(
        shoes, shoes.people, negatives="all", batch_size=3, balanced=False, drop_last=False, seed=0
    )
    assert sorted(t for batch in batches for t in triples(batch)) == sorted(
        triples(same_pairs(shoes, shoes.people) + different_pairs(shoes, shoes.people, "all"))
    )


def test_evaluation_keeps_the_order() -> None:
    shoes = shoe_set({"a": 3, "b": 3})
    pairs = same_pairs(shoes, shoes.people) + different_pairs(shoes, shoes.people)
    batches = EvaluationBatches(pairs, 5)
    assert len(batches) == 3
    assert [t for batch in batches for t in triples(batch)] == triples(pairs)


@pytest.mark.parametrize("num_ranks", [2, 3])
def test_processes_share_every_batch_without_repeats(num_ranks: int) -> None:
    shoes = shoe_set({f"u{i}": 3 for i in range(7)})  # 42 pairs: batches of 8 leave 2

    def batches(rank: int, num_ranks: int) -> list[Pairs]:
        sampler = TrainingBatches(
            shoes, shoes.people, negatives="resampled", batch_size=8, balanced=True, drop_last=False, seed=0
        )
        sampler.set_rank(rank, num_ranks)
        found = list(sampler)
        assert len(found) == len(sampler)
        return found

    whole = batches(0, 1)
    parts = [batches(rank, num_ranks) for rank in range(num_ranks)]
    assert len({len(part) for part in parts}) == 1  # or the processes would wait for each other for ever
    for i, of_ranks in enumerate(zip(*parts, strict=True)):
        assert sorted(t for part in of_ranks for t in triples(part)) == sorted(triples(whole[i]))
    evaluated = [
        t for rank in range(num_ranks) for b in EvaluationBatches(whole[0], 3, rank, num_ranks) for t in triples(b)
    ]
    assert sorted(evaluated) == sorted(triples(whole[0]))


@settings(max_examples=60, deadline=None)
@given(
    counts=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    train_fraction=st.floats(0.01, 1),
    folds=st.integers(2, 12),
    half=st.integers(1, 20),
    balanced=st.booleans(),
    negatives=st.sampled_from(["cyclic", "all", "resampled"]),
)
def test_any_number_of_people_and_pairs_is_split_and_batched_without_loss(
    counts: list[int], train_fraction: float, folds: int, half: int, balanced: bool, negatives: str
) -> None:
    shoes = shoe_set({f"u{person:03d}": num_pairs for person, num_pairs in enumerate(counts)})
    everybody = sorted(shoes.people)
    train, val = split_by_person(everybody, train_fraction)
    assert train and sorted(train + val) == everybody
    sides = [fold_of_people(everybody, folds, fold) for fold in range(folds)]
    assert sorted(person for _, one in sides for person in one) == everybody
    assert all(sorted(rest + one) == everybody for rest, one in sides)
    batches = TrainingBatches(
        shoes, train, batch_size=2 * half, negatives=negatives, balanced=balanced, drop_last=False, seed=0
    )
    found = list(batches)
    assert len(found) == len(batches) and sum(map(len, found)) == batches.num_pairs
    for pairs in found:
        for left, right, label in triples(pairs):
            one, other = shoes.shoes[left], shoes.shoes[right]
            assert one.person == other.person and one.person in train
            assert (one.pair == other.pair) == bool(label)
    same = [(left, right) for pairs in found for left, right, label in triples(pairs) if label]
    if balanced is False:
        assert sorted(same) == sorted((left, right) for left, right, _ in triples(same_pairs(shoes, train)))
