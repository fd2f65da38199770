"""A gallery, the photos of a heap of single shoes: found, read, and encoded once each where the network can."""

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shoepair.data.images import is_sheet, scaled_to_fit
from shoepair.data.layout import LEFT, RIGHT, files_in
from shoepair.data.photos import FINER
from shoepair.errors import NothingReadError, UserError
from shoepair.files import digest, is_file, is_folder, read_rows, spellings, what_instead
from shoepair.inference.classifier import Square, looked_at, open_photo, squared
from shoepair.inference.cores import one_core_each
from shoepair.inference.network import TrainedNetwork
from shoepair.inference.rows import Rows
from shoepair.progress import progress
from shoepair.terminal import say_aside

THUMBNAIL_PX, CUT_OUT_PX = 144, 96
LARGEST_HALF = 65504.0  # that float16 can say
COPIES_NAMED = 5  # of more copies, only how many
NO_UTF8 = re.compile("[\ud800-\udfff]")  # in a name: what Python puts for bytes that it cannot decode
SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class Gallery:
    """The shoes that could be read, and what is known of them.

    Attributes:
        paths: of the photos; None: another one stands there now.
        sides: "left", "right" or None (unknown), in the same order.
        thumbnails: small JPEG files, in the same order.
        seen: what the network needs of each shoe: the embeddings of its views (num_shoes, num_views, C) where it is
            siamese, else its image or cut-out (num_shoes, 3 or 4, H, W) uint8.
        cut_outs: still smaller JPEG files of what the network sees, if it sees cut-outs; else empty.
        doubts: what is wrong with each photo, as in doubts.REMEDIES; None: nothing is.
        descriptors: what shoes are retrieved by, (num_shoes, c); None: they are not to be retrieved.
    """

    paths: list[Path | None]
    sides: list[str | None]
    thumbnails: list[bytes]
    seen: Tensor | Rows
    cut_outs: list[bytes] = field(default_factory=list)
    doubts: list[str | None] = field(default_factory=list)
    descriptors: np.ndarray | None = None

    def rows(self, shoes: np.ndarray) -> Tensor:
        """What the network needs of some shoes, (len(shoes), ...)."""
        rows = self.seen[torch.from_numpy(shoes)]
        if isinstance(self.seen, Rows):
            self.seen.release()
        return rows


def list_photos(folders: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files in folders that may be photos, by name; not those in folders below, and no contact sheets.

    Returns:
        The photos, and those that no network can be shown, which stderr says as well.
    Raises:
        UserError: if a folder is not there or holds none.
    """
    Image.init()
    paths, left_out = [], []
    for folder in {os.path.realpath(folder): folder for folder in reversed(folders)}.values():
        if not is_folder(folder):
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
            elif NO_UTF8.search(path.name):
                wrong = "its name is not in UTF-8; give it another one"
            elif is_sheet(path):
                continue
            if wrong is None:
                found.append(path)
            else:
                left_out.append(path)
                say_aside(f"Left out {path}: {wrong}.")
        if not found:
            raise UserError(f"{folder}: there is no photo in it; expected files such as shoe.jpg, one for each shoe.")
        paths += found
    return paths, left_out


def _without_copies(side_of: Mapping[Path, str | None]) -> list[Path]:
    """A shoe would be the best partner of its own copy. Of those that are the same, one whose side is known stays; what
    is left out is said on stderr.
    """
    paths = list(side_of)
    of_size: dict[int, list[Path]] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            of_size.setdefault(path.stat().st_size, []).append(path)
    first: dict[str, Path] = {}
    copies: dict[Path, Path] = {}
    several = (alike for alike in of_size.values() if len(alike) > 1)
    for path in (path for alike in several for path in sorted(alike, key=lambda one: side_of[one] is None)):
        with contextlib.suppress(OSError):  # it is left out when it is read
            content = digest([path.read_bytes()])
            if (known := first.setdefault(content, path)) != path:
                copies[path] = known
    for path, known in list(copies.items())[:COPIES_NAMED]:
        say_aside(f"Left out {path}: the same photo as {known}.")
    if len(copies) > COPIES_NAMED:
        say_aside(f"Left out {len(copies) - COPIES_NAMED} more photos that are the same as others.")
    return [path for path in paths if path not in copies]


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


@dataclass(frozen=True)
class EncodedPhotos:
    """Some photos as the network sees them.

    Attributes:
        rows: which of the photos they are.
        seen: as in Gallery, embeddings as float16.
        descriptors: (num_photos, c) float32.
        thumbnails, cut_outs, doubts: as in Gallery.
    """

    rows: list[int]
    seen: Tensor
    descriptors: np.ndarray
    thumbnails: list[bytes]
    cut_outs: list[bytes]
    doubts: list[str | None]


def read_gallery(
    paths: Sequence[Path],
    sides: Sequence[str | None],
    trained: TrainedNetwork,
    thumbnail_px: int = THUMBNAIL_PX,
    folder: Path | None = None,
) -> Gallery:
    """Read every photo once and show it to the network. Copies and what cannot be read are left out; stderr says so.

    Args:
        thumbnail_px: longer side of the thumbnails.
        folder: where there is room for what the network needs of the shoes; None: where temporary files go.
    Raises:
        UserError: if nothing is left.
    """
    side_of = dict(zip(paths, sides, strict=True))
    paths = _without_copies(side_of)
    gallery: Gallery | None = None
    kept: list[int] = []
    descriptors = []
    for photos in encode_photos(paths, trained, thumbnail_px):
        if gallery is None:
            gallery = Gallery([], [], [], Rows(folder, len(paths), photos.seen))
        assert isinstance(gallery.seen, Rows)
        gallery.seen.append(photos.seen)
        gallery.thumbnails.extend(photos.thumbnails)
        gallery.cut_outs.extend(photos.cut_outs)
        gallery.doubts.extend(photos.doubts)
        descriptors.append(photos.descriptors)
        kept += photos.rows
    if gallery is None:
        raise NothingReadError(f"{paths[0].parent}: none of its {len(paths)} photos can be read as an image.")
    return replace(
        gallery,
        paths=[paths[row] for row in kept],
        sides=[side_of[paths[row]] for row in kept],
        descriptors=np.concatenate(descriptors),
    )


def encode_photos(
    paths: Sequence[Path], trained: TrainedNetwork, thumbnail_px: int = THUMBNAIL_PX
) -> Iterator[EncodedPhotos]:
    """Show photos to the network, some at a time. What cannot be read is left out and said on stderr."""
    batch_size = trained.batch_size
    starts = range(0, len(paths), batch_size)

    def encoded(start: int) -> tuple[EncodedPhotos | None, list[UserError]]:
        read = [_read(path, trained.image_size, thumbnail_px) for path in paths[start : start + batch_size]]
        good = [(start + i, *one) for i, one in enumerate(read) if not isinstance(one, UserError)]
        return _encode(good, trained) if good else None, [one for one in read if isinstance(one, UserError)]

    for photos, left_out in progress(one_core_each(encoded, starts), "Photos", "block", len(starts)):
        for error in left_out:
            say_aside(f"Left out {error}")
        if photos is not None:
            yield photos


def _encode(good: Sequence[tuple[int, Square, bytes]], trained: TrainedNetwork) -> EncodedPhotos:
    """Photos with their rows and thumbnails."""
    rows, squares, thumbnails = map(list, zip(*good, strict=True))
    seen, doubts = looked_at(squares, trained)
    cut_outs = []
    if trained.sees_cut_outs:
        pixels = seen[:, :3].permute(0, 2, 3, 1).numpy()
        cut_outs = [_small_jpeg(Image.fromarray(image), CUT_OUT_PX) for image in pixels]
    if trained.siamese is not None:
        seen = trained.encode(seen)
    descriptors = trained.descriptor(seen).numpy()
    if trained.siamese is not None:
        seen = seen.clamp(-LARGEST_HALF, LARGEST_HALF).half()
    return EncodedPhotos(rows, seen, descriptors, thumbnails, cut_outs, doubts)


def _read(path: Path, image_size: int, thumbnail_px: int) -> tuple[Square, bytes] | UserError:
    """A photo, and a small JPEG file of it."""
    try:
        photo = open_photo(path, max(FINER * image_size, thumbnail_px))
    except UserError as error:
        return error
    return squared(photo, image_size), _small_jpeg(photo, thumbnail_px)


def _small_jpeg(image: Image.Image, side: int) -> bytes:
    file = io.BytesIO()
    scaled_to_fit(image, side).save(file, "JPEG", quality=80)
    return file.getvalue()
