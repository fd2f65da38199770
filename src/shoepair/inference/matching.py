"""From shoes to pairs: of one heap, or of the single shoes of a store; and what a person said of earlier pairs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from shoepair.errors import NothingReadError, UserError
from shoepair.files import in_utf8, read_rows, spellings
from shoepair.inference.assignment import Match, find_matches, nearest, still_possible
from shoepair.inference.gallery import Gallery, encode_photos
from shoepair.inference.network import TrainedNetwork
from shoepair.inference.scoring import score_gallery, symmetric
from shoepair.inference.store import Store

VERDICTS = {"right": True, "wrong": False}


@dataclass(frozen=True)
class Single:
    """A shoe that stayed single, and the one that fits it best and how well; None: it was compared with none."""

    shoe: int
    nearest: int | None
    logit: float


@dataclass(frozen=True)
class Found:
    """What a matching found.

    Attributes:
        gallery: the shoes that were asked for, and those that are named beside them.
        names: what all of these are called in tables.
        shoes: which of them were asked for.
        matches: pairs with one of these at least, most doubtful first.
        singles: those of these that stayed single.
        left_out: photos that cannot be read, and copies of others.
    """

    gallery: Gallery
    names: list[str]
    shoes: list[int]
    matches: list[Match]
    singles: list[Single]
    left_out: Sequence[Path] = ()


@dataclass(frozen=True)
class Reviewed:
    """What a person said of pairs: two names each."""

    right: list[tuple[str, str]]
    wrong: list[tuple[str, str]]


def read_reviewed(table: Path | None) -> Reviewed:
    """A CSV file with the columns left, right and verdict: right, wrong, or nothing where nothing was said.

    Raises:
        UserError: naming the line of another verdict, or of a shoe that was said to be in two pairs.
    """
    said: dict[bool, list[tuple[str, str]]] = {True: [], False: []}
    partner: dict[str, tuple[str, int]] = {}
    for line, row in read_rows(table, ("left", "right", "verdict")) if table is not None else []:
        left, right, verdict = row["left"], row["right"], row["verdict"].lower()
        if verdict not in (*VERDICTS, ""):
            raise UserError(f"{table}, line {line}: its verdict is {verdict}, expected right, wrong or nothing.")
        if not left or not right or left == right:
            raise UserError(f"{table}, line {line}: expected the names of two shoes, left and right.")
        if not verdict:
            continue
        said[VERDICTS[verdict]].append((left, right))
        for one, other in ((left, right), (right, left)) if VERDICTS[verdict] else ():
            before, where = partner.setdefault(one, (other, line))
            if before != other:
                raise UserError(f"{table}, line {line}: {one} is right with {before} already, in line {where}.")
    both = {frozenset(pair) for pair in said[True]} & {frozenset(pair) for pair in said[False]}
    if both:
        raise UserError(f"{table}: {' and '.join(sorted(min(both, key=sorted)))} are both right and wrong.")
    return Reviewed(list(dict.fromkeys(said[True])), said[False])


def names_of(paths: Sequence[Path | None], num_folders: int) -> list[str]:
    """What the shoes of a heap are called in tables: their files' names; of several folders, with the folder."""
    return [path.name if num_folders == 1 else in_utf8(path) for path in paths if path is not None]


def match_gallery(
    gallery: Gallery, names: Sequence[str], trained: TrainedNetwork, threshold: float, reviewed: Reviewed
) -> Found:
    """Match one heap.

    Args:
        names: of the shoes, as `reviewed` says them.
        threshold: the calibrated logit from which two shoes may be a pair.
    Raises:
        UserError: if a name in `reviewed` is of no shoe.
    """
    number = {name: i for i, name in enumerate(names)}

    def shoe_named(name: str) -> int:
        known = next((number[spelled] for spelled in spellings(name) if spelled in number), None)
        if known is None:
            raise UserError(f"--reviewed: {name} is not among the shoes.")
        return known

    right, wrong = _numbered(reviewed, shoe_named)
    scores = score_gallery(gallery, trained, threshold=threshold, wanted=right, wrong=wrong)
    matches = find_matches(scores, gallery.sides, threshold, right=right, wrong=wrong)
    shoes = list(range(len(gallery.paths)))
    possible = still_possible(scores, right, wrong)
    return Found(gallery, list(names), shoes, matches, _singles(shoes, matches, possible))


def _numbered(
    reviewed: Reviewed, shoe_named: Callable[[str], int]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The pairs that are right and those that are wrong. Of a pair in both orders, the last one counts.

    Raises:
        UserError: if what was said contradicts itself once it is known which names are of one shoe.
    """
    right, wrong = (
        [(shoe_named(left), shoe_named(right)) for left, right in pairs] for pairs in (reviewed.right, reviewed.wrong)
    )
    called = dict(zip([*right, *wrong], [*reviewed.right, *reviewed.wrong], strict=True))
    once = {frozenset(pair): pair for pair in right}
    for pair in [*once.values(), *wrong]:
        if pair[0] == pair[1]:
            raise UserError(f"--reviewed: {' and '.join(called[pair])} are one shoe.")
    for pair in wrong:
        if frozenset(pair) in once:
            raise UserError(f"--reviewed: {' and '.join(called[pair])} are both right and wrong.")
    partners: dict[int, str] = {}
    for pair in once.values():
        for shoe, name, other in zip(pair, called[pair], called[pair][::-1], strict=True):
            if shoe in partners:
                raise UserError(f"--reviewed: {name} is right with both {partners[shoe]} and {other}.")
            partners[shoe] = other
    return list(once.values()), wrong


def _singles(shoes: Iterable[int], matches: Iterable[Match], scores: csr_array) -> list[Single]:
    paired = {shoe for match in matches for shoe in (match.left, match.right)}
    found = ((shoe, nearest(scores, shoe)) for shoe in shoes if shoe not in paired)
    return [Single(shoe, *((None, -np.inf) if other is None else other)) for shoe, other in found]


def match_store(
    store: Store,
    paths: Sequence[Path],
    sides: Sequence[str | None],
    trained: TrainedNetwork,
    threshold: float,
    reviewed: Reviewed,
    *,
    thumbnail_px: int,
    folder: Path | None,
) -> Found:
    """Read the photos that are new, compare their shoes with all that are single, and remember what is found.

    Args:
        paths: photos; none: all of the store are asked for.
        sides: of their shoes; None: not known, or as the store knows it.
        folder: where there is room for what the network needs of the single shoes.
    Raises:
        UserError: if there is no shoe, or for a name in `reviewed` of none.
    """
    asked, left_out = _read_new(store, paths, sides, trained, thumbnail_px) if len(paths) else (store.all(), [])
    if not asked:
        raise UserError(f"--store {store.path}: it holds no shoe; name a folder with photos.")
    right, wrong = _numbered(reviewed, store.shoe_named)
    for pair in wrong:
        store.reject(*pair)
    right = [pair for pair in right if not store.confirm(*pair)]
    shoes = store.singles()
    number = {shoe: i for i, shoe in enumerate(shoes)}
    gallery = store.gallery(shoes, folder, encoded=True)
    fresh = store.fresh()
    anchors = np.array([shoe in fresh for shoe in shoes], dtype=bool)
    wanted = [(number[one], number[other]) for one, other in right]
    scores = _with_earlier(
        score_gallery(gallery, trained, anchors=anchors, wanted=wanted),
        [(number[a], number[b], logit) for a, b, logit in store.scores() if a in number and b in number],
    )
    refused = [(number[a], number[b]) for a, b in store.rejected() if a in number and b in number]
    found = find_matches(scores, gallery.sides, threshold, right=wanted, wrong=refused)
    named = [_renumbered(match, shoes) for match in found]
    store.remember(named, scores, shoes)
    singles = _singles(range(len(shoes)), found, still_possible(scores, wanted, refused))
    return replace(_found(store, set(asked), named, singles, shoes, threshold), left_out=left_out)


def _read_new(
    store: Store, paths: Sequence[Path], sides: Sequence[str | None], trained: TrainedNetwork, thumbnail_px: int
) -> tuple[list[int], list[Path]]:
    """The shoes of photos, in the store's numbers; and the photos of which there is none."""
    known, new = store.recognise(paths)
    store.name_sides((shoe, side) for shoe, side in zip(known, sides, strict=True) if shoe is not None)
    shoes = list(dict.fromkeys(shoe for shoe in known if shoe is not None))
    read = {path for path, shoe in zip(paths, known, strict=True) if shoe is not None}
    of_path = dict(zip(paths, sides, strict=True))
    new_sides = [of_path[photo.path] for photo in new]
    for encoded in encode_photos([photo.path for photo in new], trained, thumbnail_px):
        shoes += store.add(new, new_sides, encoded)
        read |= {new[row].path for row in encoded.rows}
    if not shoes:
        raise NothingReadError(f"{paths[0].parent}: none of its {len(paths)} photos can be read as an image.")
    return shoes, [path for path in paths if path not in read]


def _with_earlier(scores: csr_array, earlier: Sequence[tuple[int, int, float]]) -> csr_array:
    """The scores, and those of pairs that were scored before and are not scored now."""
    num_shoes = scores.shape[0]
    rows = np.repeat(np.arange(num_shoes), np.diff(scores.indptr))
    upper = rows < scores.indices
    pairs = np.stack([rows, scores.indices], axis=1)[upper].astype(np.int64)
    before = np.array([pair[:2] for pair in earlier], dtype=np.int64).reshape(-1, 2)
    logits = np.array([pair[2] for pair in earlier], dtype=np.float32)
    old = ~np.isin(np.sort(before, axis=1) @ [num_shoes, 1], pairs @ [num_shoes, 1])
    return symmetric(np.concatenate([pairs, before[old]]), np.concatenate([scores.data[upper], logits[old]]), num_shoes)


def _renumbered(match: Match, number: Sequence[int] | dict[int, int]) -> Match:
    runner_up = None if match.runner_up is None else number[match.runner_up]
    return replace(match, left=number[match.left], right=number[match.right], runner_up=runner_up)


def _found(
    store: Store, asked: set[int], new: Sequence[Match], singles: Sequence[Single], shoes: Sequence[int], limit: float
) -> Found:
    """What is told of the shoes that were asked for.

    Args:
        new: pairs that were found now, in the store's numbers.
        singles: by their places in `shoes`, the numbers of those that were single before.
    """
    now = {(match.left, match.right) for match in new}
    matches = [m for m in store.pairs() if (m.left, m.right) in now or {m.left, m.right} & asked]
    alone = [one for one in singles if shoes[one.shoe] in asked]
    told = asked | {shoe for m in matches for shoe in (m.left, m.right, m.runner_up) if shoe is not None}
    order = sorted(told | {shoes[one.nearest] for one in alone if one.nearest is not None})
    number = {shoe: i for i, shoe in enumerate(order)}
    return Found(
        store.gallery(order, None, encoded=False),
        store.names(order),
        sorted(number[shoe] for shoe in asked | {shoe for m in matches for shoe in (m.left, m.right)}),
        sorted((_renumbered(m, number) for m in matches), key=lambda m: m.distance(limit)),
        [
            Single(number[shoes[one.shoe]], None if one.nearest is None else number[shoes[one.nearest]], one.logit)
            for one in alone
        ],
    )
