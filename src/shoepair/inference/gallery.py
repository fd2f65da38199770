"""A gallery, the photos of a heap of single shoes: read, encoded once each where the network can, candidates scored."""

import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from shoepair.data.layout import LEFT, RIGHT, files_in
from shoepair.data.shoes import normalise
from shoepair.errors import UserError
from shoepair.files import is_file, read_rows, spellings
from shoepair.inference.classifier import open_photo, squared, what_instead
from shoepair.inference.doubts import look
from shoepair.inference.network import TrainedNetwork
from shoepair.terminal import say_aside

Step = TypeVar("Step")

BATCH = 16  # photos, or pairs, that the network sees at a time: with 64, Lite0 takes 0.7 GB more and is no faster
PAIRS_AT_ONCE = 25_000
VALUES_AT_ONCE = 8_000_000  # of these pairs' embeddings, each side: 32 MB
# So many candidates of each shoe are compared closely where there are more. Of 2,000 drawn shoes (best_dual), the
# partner is one of the 50 likeliest for 98.5 % (sides unknown: 97.2), of 200 for 99.7 % (99.1), of 400 for all (99.7).
SHORTLIST = 200
ROWS_AT_ONCE = 1_000  # of shoes, to find their likeliest candidates
THUMBNAIL_PX, CUT_OUT_PX = 144, 96
SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Gallery:
    """The shoes that could be read, and what is known of them.

    Attributes:
        paths: of the photos.
        sides: "left", "right" or None (unknown), in the same order.
        thumbnails: small JPEG files, in the same order.
        cut_outs: still smaller ones of what the network sees, if it sees cut-outs; else empty.
        doubts: what is wrong with each photo, as in doubts.REMEDIES; None: nothing is.
        seen: what the network needs of each shoe: the embeddings of its views (num_shoes, num_views, C) where it is
            siamese, else its image or cut-out (num_shoes, 3 or 4, H, W) uint8.
    """

    paths: list[Path]
    sides: list[str | None]
    thumbnails: list[bytes]
    seen: Tensor
    cut_outs: list[bytes] = field(default_factory=list)
    doubts: list[str | None] = field(default_factory=list)


def list_photos(folders: Sequence[Path]) -> list[Path]:
    """The files in folders that may be photos, by name; not those in folders below.

    Raises:
        UserError: if a folder is not there or holds none.
    """
    Image.init()
    paths = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder.")
        found = []
        for path in files_in(folder):
            wrong = None
            if path.suffix.lower() in (".heic", ".heif"):
                wrong = "pillow does not read HEIC photos; save it as a JPEG"
            elif Image.EXTENSION.get(path.suffix.lower()) not in Image.OPEN:
                continue
            elif not is_file(path):
                wrong = what_instead(path)
            elif not _is_utf8(path.name):
                wrong = "its name is not in UTF-8; give it another one"
            if wrong is None:
                found.append(path)
            else:
                say_aside(f"Left out {path}: {wrong}.")
        if not found:
            raise UserError(f"{folder}: there is no photo in it; expected files such as shoe.jpg, one for each shoe.")
        paths += found
    return paths


def sides_from_names(paths: Sequence[Path]) -> list[str | None]:
    """The side that a photo's name says, as in `u007_1_left_w.jpg` or `Right 12.png`; None if it says none or both."""
    said = [{side.lower() for side in SIDE.findall(path.stem)} for path in paths]
    return [names.pop() if len(names) == 1 else None for names in said]


def sides_from_table(table: Path, paths: Sequence[Path]) -> list[str | None]:
    """The sides that a CSV file says: columns file (a path as seen from the table's folder, or a name) and side.

    Raises:
        UserError: naming the line of a side that is none, or of a file that is not among the photos.
    """
    known_as: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        for name in {*_places(path), path.name}:
            known_as.setdefault(name, []).append(i)
    sides: list[str | None] = [None] * len(paths)
    first: dict[int, int] = {}  # the line that says a photo's side
    for line, row in read_rows(table, ("file", "side")):
        names = (name for spelled in spellings(row["file"]) for name in (*_places(table.parent / spelled), spelled))
        meant = next((known_as[name] for name in names if name in known_as), [])
        if len(meant) != 1:
            wrong = f"stands for {len(meant)} photos; write its path" if meant else "is not among the photos"
            raise UserError(f"{table}, line {line}: {row['file']} {wrong}.")
        if row["side"].lower() not in (LEFT, RIGHT, ""):
            raise UserError(f"{table}, line {line}: its side is {row['side']}, expected left, right or nothing.")
        side, photo = row["side"].lower() or None, meant[0]
        if first.setdefault(photo, line) != line and sides[photo] != side:
            raise UserError(f"{table}, line {line}: line {first[photo]} says another side of {row['file']}.")
        sides[photo] = side
    return sides


def _places(path: Path) -> list[str]:
    """Where a path leads: taken as the link that it may be, and followed."""
    if "\0" in str(path):
        return []
    return [str(Path(os.path.realpath(path.parent), path.name)), os.path.realpath(path)]


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_gallery(
    paths: Sequence[Path], sides: Sequence[str | None], trained: TrainedNetwork, thumbnail_px: int = THUMBNAIL_PX
) -> Gallery:
    """Read every photo once and show it to the network. What cannot be read is left out and said on stderr.

    Args:
        thumbnail_px: longer side of the thumbnails.
    Raises:
        UserError: if nothing is left.
    """
    kept: list[int] = []
    thumbnails: list[bytes] = []
    cut_outs: list[bytes] = []
    doubts: list[str | None] = []
    seen: Tensor | None = None  # of all photos at once: of thousands, joining pieces would hold the embeddings twice
    for batch in progress(range(0, len(paths), BATCH), "Photos", "batch"):
        rows = range(batch, min(batch + BATCH, len(paths)))
        with ThreadPoolExecutor() as pool:  # pillow decodes without the interpreter lock
            read = list(pool.map(lambda row: _read(paths[row], trained.image_size, thumbnail_px), rows))
        for error in (error for error in read if isinstance(error, UserError)):
            say_aside(f"Left out {error}")
        usable = [(row, one) for row, one in zip(rows, read, strict=True) if not isinstance(one, UserError)]
        if not usable:
            continue
        photos = torch.from_numpy(np.stack([one.pixels for _, one in usable]))
        found = trained.find_shoes(photos)
        doubts += look(normalise(photos), found, [one.extent for _, one in usable]).doubts()
        images = trained.see(photos, found)
        if trained.sees_cut_outs:
            cut_outs += [
                _small_jpeg(Image.fromarray(image[:3].permute(1, 2, 0).numpy()), CUT_OUT_PX) for image in images
            ]
        encoded = images if trained.siamese is None else trained.encode(images)
        if seen is None:
            seen = encoded.new_empty((len(paths), *encoded.shape[1:]))
        seen[len(kept) : len(kept) + len(usable)] = encoded
        kept += [row for row, _ in usable]
        thumbnails += [one.thumbnail for _, one in usable]
    if seen is None:
        raise UserError(f"{paths[0].parent}: none of its {len(paths)} photos can be read as an image.")
    kept_paths, kept_sides = [paths[row] for row in kept], [sides[row] for row in kept]
    return Gallery(kept_paths, kept_sides, thumbnails, seen[: len(kept)], cut_outs, doubts)


@dataclass(frozen=True)
class _Read:
    """A photo as a square, what part of it the photo fills across and down, and a small JPEG file of it."""

    pixels: np.ndarray
    extent: tuple[float, float]
    thumbnail: bytes


def _read(path: Path, image_size: int, thumbnail_px: int) -> _Read | UserError:
    try:
        photo = open_photo(path)
    except UserError as error:
        return error
    pixels, extent = squared(photo, image_size)
    return _Read(pixels, extent, _small_jpeg(photo, thumbnail_px))


def _small_jpeg(image: Image.Image, side: int) -> bytes:
    file = io.BytesIO()
    ImageOps.contain(image, (side, side)).save(file, "JPEG", quality=80)
    return file.getvalue()


def score_gallery(gallery: Gallery, trained: TrainedNetwork, length: int = SHORTLIST) -> np.ndarray:
    """The calibrated logits of the candidate pairs: (num_shoes, num_shoes) float32, symmetric.

    Each is the mean over the views of the pair: on validation people, it finds more than one view. Where no side is
    known and the network tells left from right, both orders are scored and averaged. -inf stands for a shoe with
    itself, for two shoes of one side and for what candidates() leaves out.
    """
    num_shoes = len(gallery.paths)
    logits = np.full((num_shoes, num_shoes), -np.inf, dtype=np.float32)
    side = _as_numbers(gallery.sides)
    score: Callable[..., np.ndarray] = _score_images
    pairs_at_once = PAIRS_AT_ONCE
    if trained.siamese is not None:
        score, pairs_at_once = _score_embeddings, max(1, min(PAIRS_AT_ONCE, VALUES_AT_ONCE // gallery.seen.shape[-1]))
    every = np.nonzero(np.triu(candidates(gallery.sides, gallery.seen, trained, length)))  # (num_pairs,) twice
    for start in progress(range(0, len(every[0]), pairs_at_once), "Pairs", "block"):
        first, second = (shoes[start : start + pairs_at_once] for shoes in every)
        flipped = (side[first] == -1) | (side[second] == 1)
        left, right = np.where(flipped, second, first), np.where(flipped, first, second)
        found = score(gallery.seen, left, right, trained)
        unknown = (side[first] == 0) & (side[second] == 0)
        if trained.siamese is None and unknown.any():
            found[unknown] = (found[unknown] + score(gallery.seen, right[unknown], left[unknown], trained)) / 2
        logits[first, second] = logits[second, first] = found
    return logits


def candidates(
    sides: Sequence[str | None], seen: Tensor, trained: TrainedNetwork, length: int = SHORTLIST
) -> np.ndarray:
    """Which two shoes may be a pair: not of the same known side and, where comparing two closely takes long, not quite
    unlike at a glance: (num_shoes, num_shoes) bool, symmetric.

    Args:
        seen: as in Gallery.
        length: of each shoe's shortlist.
    """
    side = _as_numbers(sides)
    possible = (side[:, None] != side[None]) | (side == 0)
    np.fill_diagonal(possible, False)
    if trained.siamese is not None and trained.siamese.needs_reranking:
        return shortlisted(possible, trained.global_descriptor(seen[:, 0]), length)
    return possible


def _as_numbers(sides: Sequence[str | None]) -> np.ndarray:
    return np.array([{LEFT: 1, RIGHT: -1, None: 0}[side] for side in sides])


def shortlisted(possible: np.ndarray, descriptors: Tensor, length: int) -> np.ndarray:
    """Those possible pairs in which one shoe is among the `length` that are most like the other: candidates are
    retrieved by global descriptors before they are compared by local ones, which takes a hundred times as long.

    Args:
        possible: (num_shoes, num_shoes) bool, symmetric.
        descriptors: (num_shoes, c); the nearer two are, in standard deviations of each column, the more they are alike.
    Returns:
        (num_shoes, num_shoes) bool, symmetric.
    """
    num_shoes = len(possible)
    if num_shoes <= length:
        return possible
    scaled = (descriptors - descriptors.mean(dim=0)) / (descriptors.std(dim=0) + 1e-8)
    listed = np.zeros_like(possible)
    for start in range(0, num_shoes, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = torch.cdist(scaled[rows], scaled).masked_fill_(~torch.from_numpy(possible[rows]), torch.inf)
        np.put_along_axis(listed[rows], distances.topk(length, largest=False).indices.numpy(), True, axis=1)
    return possible & (listed | listed.T)


def _score_embeddings(embeddings: Tensor, left: np.ndarray, right: np.ndarray, trained: TrainedNetwork) -> np.ndarray:
    return trained.compare(*(embeddings[torch.from_numpy(side)] for side in (left, right))).numpy()


def _score_images(images: Tensor, left: np.ndarray, right: np.ndarray, trained: TrainedNetwork) -> np.ndarray:
    """Every pair goes through the whole network."""
    logits = []
    for start in progress(range(0, len(left), BATCH), "Pairs of photos", "batch"):
        chosen = slice(start, start + BATCH)
        one, other = (images[torch.from_numpy(side[chosen])] for side in (left, right))
        logits.append(trained.score(one, other))
    return torch.cat(logits).numpy()


def progress(steps: Sequence[Step], what: str, unit: str) -> Iterable[Step]:
    """The steps, with a bar where somebody looks at a terminal."""
    return tqdm(steps, desc=what, unit=unit, leave=False, disable=not sys.stderr.isatty())
