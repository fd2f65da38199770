"""Who stands in which split, and which two shoes are compared. Only indices: images are gathered elsewhere."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from shoepair.data.shoes import ShoeSet

SAME, DIFFERENT = 1, 0


@dataclass(frozen=True)
class Pairs:
    """Index triples into a ShoeSet: `left[i]` and `right[i]` belong together if `label[i]` is 1 (SAME).

    Attributes:
        left, right, label: (num_pairs,) int64.
    """

    left: np.ndarray
    right: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: np.ndarray | slice) -> "Pairs":
        return Pairs(self.left[index], self.right[index], self.label[index])

    def __add__(self, other: "Pairs") -> "Pairs":
        return Pairs(
            np.concatenate([self.left, other.left]),
            np.concatenate([self.right, other.right]),
            np.concatenate([self.label, other.label]),
        )


def split_by_person(people: Sequence[str], train_fraction: float) -> tuple[list[str], list[str]]:
    """The first part of the people, by name, trains (rounded down, at least one), the others validate.

    Split people, not pairs: one person's photos share a floor, which the network could memorise.
    """
    names = sorted(people)
    num_train = max(1, math.floor(len(names) * train_fraction + 1e-9))  # 0.7 * 10 is 6.999...
    return names[:num_train], names[num_train:]


def fold_of_people(people: Sequence[str], folds: int, fold: int) -> tuple[list[str], list[str]]:
    """(who trains, who validates) in cross-validation: the people, by name, in `folds` runs of nearly equal length."""
    names = sorted(people)
    start, stop = len(names) * fold // folds, len(names) * (fold + 1) // folds
    return names[:start] + names[stop:], names[start:stop]


def same_pairs(shoes: ShoeSet, people: Sequence[str]) -> Pairs:
    """(left i, right i) for every pair of these people."""
    return _pairs([pair for person in people for pair in shoes.pairs_of[person]], SAME)


def different_pairs(shoes: ShoeSet, people: Sequence[str], negatives: str = "cyclic") -> Pairs:
    """Left and right shoes of different pairs of one person. A person with one pair gives none.

    Args:
        negatives: "cyclic" is (left i, right i+1), as many as there are pairs; "all" is every ordered combination.
    """
    triples: list[tuple[int, int]] = []
    for person in people:
        pairs = shoes.pairs_of[person]
        if len(pairs) < 2:
            continue
        if negatives == "cyclic":
            triples += [(left, pairs[(i + 1) % len(pairs)][1]) for i, (left, _) in enumerate(pairs)]
        elif negatives == "all":
            triples += [
                (left, right) for i, (left, _) in enumerate(pairs) for j, (_, right) in enumerate(pairs) if i != j
            ]
        else:
            raise ValueError(f"negatives={negatives}: expected cyclic or all")
    return _pairs(triples, DIFFERENT)


def draw_different_pairs(
    shoes: ShoeSet, people: Sequence[str], random: np.random.Generator, same_side: float = 0.0
) -> Pairs:
    """For every pair, its left shoe and the right shoe of another pair of the same person, drawn anew by each call.

    Args:
        same_side: chance that both shoes, still of two pairs, are left ones or both right ones.
    """
    triples: list[tuple[int, int]] = []
    for person in people:
        pairs = shoes.pairs_of[person]
        if len(pairs) < 2:
            continue
        others = (np.arange(len(pairs)) + random.integers(1, len(pairs), size=len(pairs))) % len(pairs)
        triples += [(left, pairs[j][1]) for (left, _), j in zip(pairs, others, strict=True)]
        if same_side:
            for i in np.flatnonzero(random.random(len(pairs)) < same_side):
                side = random.integers(2)
                triples[i - len(pairs)] = (pairs[i][side], pairs[others[i]][side])
    return _pairs(triples, DIFFERENT)


def _pairs(indices: list[tuple[int, int]], label: int) -> Pairs:
    table = np.array(indices, dtype=np.int64).reshape(-1, 2)
    return Pairs(table[:, 0], table[:, 1], np.full(len(table), label, dtype=np.int64))


class TrainingBatches:
    """A sampler: yields one epoch of shuffled batches of pairs, another order in every epoch.

    The order depends on the seed and the epoch alone, so that a resumed run sees what it would have seen.

    Args:
        negatives: cyclic, all or resampled.
        same_side: of draw_different_pairs, for negatives=resampled.
        balanced: every batch is half same pairs, then half different pairs. Of the two kinds, the one with fewer
            pairs is repeated until both are as many.
        drop_last: leave out the last batch of an epoch when it is not full.
    """

    def __init__(
        self,
        shoes: ShoeSet,
        people: Sequence[str],
        *,
        negatives: str,
        same_side: float = 0.0,
        batch_size: int,
        balanced: bool,
        drop_last: bool,
        seed: int,
    ) -> None:
        self.shoes = shoes
        self.people = list(people)
        self.negatives = negatives
        self.same_side = same_side
        self.batch_size = batch_size
        self.balanced = balanced
        self.drop_last = drop_last
        self.seed = seed
        self.epoch = 0
        self.rank, self.num_ranks = 0, 1
        self.same = same_pairs(shoes, people)
        # A new draw has as many different pairs as the cyclic choice.
        self.different = different_pairs(shoes, people, "all" if negatives == "all" else "cyclic")

    @property
    def num_pairs(self) -> int:
        """Pairs in one epoch, before incomplete batches are dropped."""
        if self.balanced and len(self.same) and len(self.different):
            return 2 * max(len(self.same), len(self.different))
        return len(self.same) + len(self.different)

    def set_rank(self, rank: int, num_ranks: int) -> None:
        """With several processes (ddp), each takes its own part of every batch."""
        self.rank, self.num_ranks = rank, num_ranks

    def set_epoch(self, epoch: int) -> None:  # called by Lightning before every epoch
        self.epoch = epoch

    def __len__(self) -> int:
        full, rest = divmod(self.num_pairs, self.batch_size)
        return full + (rest >= self.num_ranks and rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Pairs]:
        random = np.random.default_rng([self.seed, self.epoch])
        different = self.different
        if self.negatives == "resampled":
            different = draw_different_pairs(self.shoes, self.people, random, self.same_side)
        if self.balanced and len(self.same) and len(different):
            most, half = max(len(self.same), len(different)), self.batch_size // 2
            same, different = (kind[random.permutation(most) % len(kind)] for kind in (self.same, different))
            batches = (same[i : i + half] + different[i : i + half] for i in range(0, most, half))
        else:
            both = self.same + different
            both = both[random.permutation(len(both))]
            batches = (both[i : i + self.batch_size] for i in range(0, len(both), self.batch_size))
        for batch in batches:
            if len(batch) < self.num_ranks or (self.drop_last and len(batch) < self.batch_size):
                continue
            yield batch[self.rank :: self.num_ranks]


class EvaluationBatches:
    """A sampler: yields the given pairs in their order, or of them one rank's part."""

    def __init__(self, pairs: Pairs, batch_size: int, rank: int = 0, num_ranks: int = 1) -> None:
        self.pairs = pairs[rank::num_ranks]
        self.batch_size = batch_size

    def __len__(self) -> int:
        return math.ceil(len(self.pairs) / self.batch_size)

    def __iter__(self) -> Iterator[Pairs]:
        for start in range(0, len(self.pairs), self.batch_size):
            yield self.pairs[start : start + self.batch_size]
