"""Images that were decoded or drawn once, kept as one memory-mapped .npy file for each collection.

A collection may be larger than the memory: pages are read as they are used and can be dropped again.
The file holds (num_images, H, W, 3), as photos are decoded and as convolutions are fastest (channels-last memory
format); it is handed out as (num_images, 3, H, W) without copying. A JSON file beside it holds what else is known.
"""

import errno
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap, write_array_header_1_0
from torch import Tensor

from shoepair.errors import UserError
from shoepair.files import default_cache_dir, digest, read_json, replacing, write_json

Fill = Callable[[np.ndarray], dict[str, Any]]

LAYOUT = "nhwc3"  # part of the files' names: another layout is another file
NUM_DIGESTED = 64  # images by which a damaged file is known


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
    images_path = folder / f"{key}.{LAYOUT}.npy"
    try:
        found = _read(images_path, record_path, image_size)
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(folder / f"{key}.lock"):
                found = _read(images_path, record_path, image_size)  # another process may have made it meanwhile
                if found is None:
                    _make(images_path, record_path, (num_images, image_size, image_size, 3), fill)
                    found = _read(images_path, record_path, image_size)
        if found is None:
            raise OSError(errno.EIO, "what was written there cannot be read")
    except OSError as error:
        raise UserError(
            f"data.cache_dir={folder}: {error.strerror or error}; it needs "
            f"{num_images * 3 * image_size**2 / 1e6:.0f} MB: make room, or choose another folder by data.cache_dir."
        ) from error
    images, record = found
    return torch.from_numpy(images).permute(0, 3, 1, 2), record


def _read(images_path: Path, record_path: Path, image_size: int) -> tuple[np.ndarray, dict[str, Any]] | None:
    """(num_kept, H, W, 3), and what else is known; None if one is not there or damaged, so that both are made again."""
    kept = read_json(record_path)
    if kept is None or not images_path.is_file():
        return None
    try:
        images = np.load(images_path, mmap_mode="c")  # copy on write: torch may write to it, the file stays as it is
        if images.dtype != np.uint8 or images.shape[1:] != (image_size, image_size, 3):
            return None
        return (images, kept["record"]) if kept["digest"] == _digest(images, kept["record"]) else None
    except Exception as error:  # whatever a damaged file provokes
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        return None


def _digest(images: np.ndarray, record: dict[str, Any]) -> str:
    """Of the record, and of some images only: reading all of a collection would take as long as decoding it."""
    some = np.unique(np.linspace(0, max(0, len(images) - 1), NUM_DIGESTED).astype(int))[: len(images)]
    return digest([json.dumps(record, sort_keys=True), str(images.shape), images[some].tobytes()])


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
    made = np.load(images_path, mmap_mode="r")
    # Last: it says that the images are there.
    write_json(record_path, {"record": record, "digest": _digest(made, record)})


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
