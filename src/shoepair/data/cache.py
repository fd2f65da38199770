"""Images that were decoded or drawn once, kept as one memory-mapped .npy file for each collection.

A collection may be larger than the memory: pages are read as they are used and can be dropped again.
The file holds (num_images, H, W, 3), as photos are decoded and as convolutions are fastest (channels-last memory
format); it is handed out as (num_images, 3, H, W) without copying. A JSON file beside it holds what else is known.
"""

import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap, write_array_header_1_0
from torch import Tensor

from shoepair.errors import UserError
from shoepair.files import replacing, write_json

Fill = Callable[[np.ndarray], dict[str, Any]]

LAYOUT = "nhwc2"  # part of the files' names: another layout is another file


def default_cache_dir() -> Path:
    """Where caches are kept unless data.cache_dir says otherwise: $XDG_CACHE_HOME/shoepair, or ~/.cache/shoepair."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "shoepair"


def digest(parts: Iterable[bytes | str]) -> str:
    """A short key that differs whenever one of the parts does."""
    hashed = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        hashed.update(len(raw).to_bytes(8, "little") + raw)
    return hashed.hexdigest()


def cached_images(
    cache_dir: str | Path | None, key: str, num_images: int, image_size: int, fill: Fill
) -> tuple[Tensor, dict[str, Any]]:
    """The images of a collection, from the cache or made by `fill`.

    Several processes may ask at once: one makes them, the others wait for it.

    Args:
        cache_dir: folder of the cache; None for the default one.
        key: names the collection; whatever changes an image must change it.
        fill: writes all images into a (num_images, 3, image_size, image_size) uint8 array and returns a record of
            plain values. Its optional entry "kept" lists the rows that count; the others are left out.
    Returns:
        (num_kept, 3, image_size, image_size) uint8, memory-mapped and never written back, and the record.
    Raises:
        UserError: if the cache cannot be written.
    """
    folder = Path(cache_dir).expanduser() if cache_dir is not None else default_cache_dir()
    record_path = folder / f"{key}.{LAYOUT}.json"
    try:
        images_path = folder / f"{key}.{LAYOUT}.npy"
        if not (record_path.is_file() and images_path.is_file()):
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{key}.lock"):
                if not (record_path.is_file() and images_path.is_file()):
                    _make(images_path, record_path, (num_images, image_size, image_size, 3), fill)
        record = json.loads(record_path.read_text(encoding="utf-8"))
        images = np.load(images_path, mmap_mode="c")  # copy on write: torch may write to it, the file stays as it is
    except OSError as error:
        raise UserError(
            f"data.cache_dir={folder}: {error.strerror or error}; it needs "
            f"{num_images * 3 * image_size**2 / 1e6:.0f} MB: make room, or choose another folder by data.cache_dir."
        ) from error
    return torch.from_numpy(images).permute(0, 3, 1, 2), record


def _make(images_path: Path, record_path: Path, shape: tuple[int, ...], fill: Fill) -> None:
    """Fill a new file and put it in its place when it is whole; a killed process leaves nothing that counts."""
    with replacing(images_path) as partial:
        images = open_memmap(partial, mode="w+", dtype=np.uint8, shape=shape)
        _reserve(partial)
        record = fill(images.transpose(0, 3, 1, 2))
        kept = record.pop("kept", range(len(images)))
        if len(kept) < len(images):
            for row, source in enumerate(kept):  # never from below: rows only move down
                images[row] = images[source]
        images.flush()
        del images  # closes the file
        if len(kept) < shape[0]:
            _shorten(partial, (len(kept), *shape[1:]))
    write_json(record_path, record)  # last: it says that the images are there


def _reserve(path: Path) -> None:
    """Take the space of a file now: writing to a mapped file on a full disk would kill the process without a word."""
    if not hasattr(os, "posix_fallocate"):  # not on macOS
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # a file system that cannot reserve
                raise


def _shorten(path: Path, shape: tuple[int, ...]) -> None:
    """Make a .npy file end after fewer rows. Its header leaves room for any number of them, so that it stays as long.

    Args:
        shape: of the uint8 array that is to remain.
    """
    with path.open("r+b") as file:
        write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + math.prod(shape))
