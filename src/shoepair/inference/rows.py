"""Rows of one shape in a file without a name, memory-mapped: they take the system's cache, not the program's memory."""

import math
import mmap
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from shoepair.errors import UserError


class Rows:
    """As many rows as are appended, in a file that vanishes with the program, however it ends.

    Args:
        folder: where there is room for them; None: where temporary files go.
        num_rows: most of them that there can be.
        like: a batch of them, (B, ...): their shape and type.
    Raises:
        UserError: if the folder has no room.
    """

    def __init__(self, folder: Path | None, num_rows: int, like: Tensor) -> None:
        self._folder = folder or Path(tempfile.gettempdir())
        self._length = 0
        self._size = math.prod(like.shape[1:]) * like.element_size()
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - as long as the rows
            self._file.truncate(max(1, num_rows * self._size))
        except OSError as error:
            raise self._no_room(error) from error
        weakref.finalize(self, self._file.close)
        self._map = mmap.mmap(self._file.fileno(), 0)
        self._rows = torch.frombuffer(self._map, dtype=like.dtype, count=num_rows * math.prod(like.shape[1:]))
        self._rows = self._rows.view(num_rows, *like.shape[1:])

    @property
    def shape(self) -> Sequence[int]:
        return (self._length, *self._rows.shape[1:])

    def __len__(self) -> int:
        return self._length

    def append(self, batch: Tensor) -> None:
        """Write rows, (B, ...). Written, not mapped: a full disk is then an error and no sudden end."""
        try:
            self._file.seek(self._length * self._size)
            self._file.write(batch.contiguous().numpy().tobytes())
            self._file.flush()
        except OSError as error:
            raise self._no_room(error) from error
        self._length += len(batch)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self._rows[indices]

    def release(self) -> None:
        """Leave what was read to the system's cache: mapped pages count as memory of the program until then."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _no_room(self, error: OSError) -> UserError:
        return UserError(f"{self._folder}: {error.strerror or error}; the shoes' descriptors need room there.")
