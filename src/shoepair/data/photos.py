"""Reads a folder of photos in the layout of the course into ShoeSets, and says what it left out."""

import errno
import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from shoepair.data.cache import cached_images
from shoepair.data.images import size_within
from shoepair.data.layout import LEFT, NAME, RIGHT, SPLITS, check_photo_root, files_in
from shoepair.data.shoes import Shoe, ShoeSet
from shoepair.errors import UserError
from shoepair.files import digest, is_file, is_folder

log = logging.getLogger(__name__)

ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
FINER = 2  # of a JPEG file, at least so many pixels are decoded for each one along a side that is seen
HUGE_SHRINK = 8  # of JPEG files too large for pillow's limit: by as much as their decoder can
PASSING = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT)
READER_VERSION = "5"  # another one whenever read_square reads a photo differently, or the record changes


def read_photos(root: str | Path, image_size: int, cache_dir: str | Path | None = None) -> dict[str, ShoeSet]:
    """Read ROOT/train and, where they are, ROOT/test_m and ROOT/test_w.

    Args:
        image_size: side of the square images, in pixels.
        cache_dir: where decoded photos are kept; None for the default folder.
    Returns:
        A ShoeSet for each folder that is there: "train", "test_m", "test_w".
    Raises:
        UserError: if there is no ROOT/train, if a folder has no complete pair, or if a person stands in two folders.
    """
    check_photo_root(str(root))
    sets = {}
    for split in SPLITS:
        folder = Path(root, split)
        if is_folder(folder):
            sets[split] = read_folder(folder, image_size, cache_dir)
        else:
            log.info("No folder %s: nothing to test there.", folder)
    refuse_person_in_two_splits({split: shoes.people for split, shoes in sets.items()})
    return sets


def read_folder(folder: Path, image_size: int, cache_dir: str | Path | None = None) -> ShoeSet:
    """The shoes of a folder that belong to complete pairs, by person, pair and side.

    Left out, each with a warning that names it: a name that does not fit, a second photo of the same shoe, a file
    that is no image, a shoe whose partner is missing.

    Raises:
        UserError: if nothing is left.
    """
    paths = _shoes_by_name(folder)
    shoes = read_shoes(paths, image_size, cache_dir, place=lambda shoe: str(paths[shoe]))
    if not len(shoes.images):
        raise UserError(
            f"{folder}: no complete pair of photos; expected names such as u001_1_left_m.jpg and u001_1_right_m.jpg."
        )
    return shoes


def read_shoes(
    paths: Mapping[Shoe, Path], image_size: int, cache_dir: str | Path | None, *, place: Callable[[Shoe], str]
) -> ShoeSet:
    """The shoes that belong to complete pairs, by person, pair and side, decoded or from the cache.

    Left out, each with a warning that names its `place`: a file that is no image, a shoe whose partner is missing.
    Nothing may be left.
    """
    shoes = sorted(paths, key=lambda shoe: (shoe.person, len(shoe.pair), shoe.pair, shoe.side))  # pair 2 before 10

    def fill(images: np.ndarray) -> dict[str, Any]:
        with ThreadPoolExecutor() as pool:  # pillow decodes without the interpreter lock
            unreadable = list(pool.map(lambda i: _read_into(images, i, paths[shoes[i]], image_size), range(len(shoes))))
        sides = {_key(shoe) for shoe, reason in zip(shoes, unreadable, strict=True) if reason is None}
        kept, left_out = [], []
        for i, (shoe, reason) in enumerate(zip(shoes, unreadable, strict=True)):
            if reason is not None:
                left_out.append([i, f"it cannot be read as an image ({reason})"])
            elif _key(shoe, other_side=True) not in sides:
                left_out.append([i, "the other shoe of this pair is missing"])
            else:
                kept.append(i)
        return {"kept": kept, "rows": kept, "left_out": left_out}

    with ThreadPoolExecutor() as pool:
        contents = pool.map(lambda shoe: digest([*astuple(shoe), _content(paths[shoe])]), shoes)
        key = "photos-" + digest([READER_VERSION, str(image_size), *contents])
    images, record = cached_images(cache_dir, key, len(shoes), image_size, fill)
    for row, reason in record["left_out"]:
        log.warning("Left out %s: %s.", place(shoes[row]), reason)
    return ShoeSet(images, tuple(shoes[row] for row in record["rows"]))


def _shoes_by_name(folder: Path) -> dict[Shoe, Path]:
    paths: dict[tuple[str, str, str], Path] = {}
    shoes: dict[Shoe, Path] = {}
    for path in files_in(folder):
        match = NAME.fullmatch(path.name)
        if not match:
            log.warning("Left out %s: its name is not u<person>_<pair>_<left|right>_<m|w>.jpg or .png.", path)
            continue
        person, pair, side, kind = (match[group].lower() for group in ("person", "pair", "side", "kind"))
        first = paths.setdefault((person, pair, side), path)
        if first is path:
            shoes[Shoe(person, pair, side, kind, path.stem)] = path
        else:
            log.warning("Left out %s: a second photo of the shoe in %s.", path, first.name)
    return shoes


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if is_file(path) else b""  # a named pipe would never end
    except OSError:  # a broken link, or not ours to read: reading it as an image will say so
        return b""


def _key(shoe: Shoe, *, other_side: bool = False) -> tuple[str, str, str]:
    side = shoe.side if not other_side else RIGHT if shoe.side == LEFT else LEFT
    return shoe.person, shoe.pair, side


def _read_into(images: np.ndarray, row: int, path: Path, image_size: int) -> str | None:
    """Read a photo into its row. Returns why that is not possible, if it is not."""
    try:
        images[row] = read_square(path, image_size)
    except Exception as error:  # pillow raises many kinds for broken files; each means the same here
        # These say nothing of the photo, and what is said of that is kept.
        if isinstance(error, MemoryError):
            raise
        if isinstance(error, OSError) and error.errno in PASSING:
            raise UserError(f"{path}: {os.strerror(error.errno)}; try again.") from error
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        return f"{kind}{error}".replace(str(path), path.name)
    return None


def refuse_person_in_two_splits(people: Mapping[str, Sequence[str]]) -> None:
    """Raises UserError if a person stands in two of the splits."""
    seen: dict[str, str] = {}
    for split, names in people.items():
        for name in sorted(names):
            if name in seen:
                raise UserError(
                    f"{name} stands in both {seen[name]} and {split}: a person may be in one folder only, or a test "
                    "would measure what was trained on; move or delete one of the two."
                )
            seen[name] = split


def read_square(path: str | Path, image_size: int) -> np.ndarray:
    """Read one photo: upright, without alpha, padded to a square with its edge colour, scaled.

    Returns:
        (3, image_size, image_size) uint8, RGB.
    """
    return to_square(open_upright(path, FINER * image_size), image_size)


def open_upright(path: str | Path, longest: int | None = None) -> Image.Image:
    """A photo as it is to be looked at: turned as its EXIF orientation says, RGB without alpha.

    Args:
        longest: so many pixels of its longest side are enough. A JPEG file is then decoded at a half, a quarter or an
            eighth of its size, whichever is the smallest that leaves as many: a twelfth of the time of all of 12
            megapixels. None: all of it.
    Raises:
        OSError or others of pillow's, if it is no regular file or cannot be read.
        UserError: if its pixels have no brightness that is known.
    """
    if not is_file(path):
        raise OSError("it is no regular file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # a large photo is no attack
        warnings.filterwarnings("ignore", message="Corrupt EXIF data")  # nobody can do anything about it
        try:
            opened: Image.Image = Image.open(path)
        except Image.DecompressionBombError:
            opened = JpegImageFile(path)  # pillow refuses 180 megapixels, but a JPEG file can be decoded smaller
            longest = longest or max(opened.size) // HUGE_SHRINK
        with opened:
            if longest is not None and isinstance(opened, JpegImageFile):
                opened.draft(None, (longest, 1) if opened.width >= opened.height else (1, longest))
            return upright(opened)


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says, RGB without alpha and without metadata, so that it is not turned again.
    Raises UserError as open_upright does."""
    image.load()  # pillow turns a TIFF file by itself, and then says that it is upright
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # of metadata that are broken
        orientation = None
    image = in_eight_bits(image)
    image = image.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else image
    image.info = {}
    return image


def in_eight_bits(image: Image.Image) -> Image.Image:
    """RGB with the same brightness, whatever the mode: pillow's own conversion cuts off what is above 255.

    Raises:
        UserError: of modes that do not say what is white.
    """
    unknown = image.mode in ("F", "LAB")
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.int64)
        sixteen = image.mode != "I" or values.max(initial=0) > 255
        unknown = not 0 <= values.min(initial=0) <= values.max(initial=0) <= 65535
        image = Image.fromarray((values >> (8 if sixteen else 0)).clip(0, 255).astype(np.uint8))
    if unknown:
        raise UserError(f"its pixels are of the kind {image.mode}, which does not say what is white; save it as a JPEG")
    if image.mode in ("La", "RGBa"):  # premultiplied; only these two conversions are known
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    return image.convert("RGB")


def to_square(image: Image.Image, image_size: int) -> np.ndarray:
    """(3, image_size, image_size) uint8 of an upright RGB image: scaled, padded with its edge colour."""
    size = size_within(image.size, image_size)
    if image.size != size:  # first: a square of a long strip would be too large for any memory
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(pad_to_square(image)).transpose(2, 0, 1)


def pad_to_square(image: Image.Image) -> Image.Image:
    """Repeat the edge rows or columns of an RGB image on both sides until it is a square."""
    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    before, rest = divmod(side - min(width, height), 2)
    missing = (before, before + rest)
    margins = (missing, (0, 0), (0, 0)) if height < width else ((0, 0), missing, (0, 0))
    return Image.fromarray(np.pad(np.asarray(image), margins, mode="edge"))
