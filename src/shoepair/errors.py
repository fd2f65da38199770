"""What the user can mend, what the machine refused, and how a run may end otherwise than completed."""

import errno
import os
from collections.abc import Iterator

from shoepair.terminal import on_one_line


class UserError(ValueError):
    """Shown as one line, without a traceback, and ends a command with exit code 2.

    The message says what was expected, what was received and the remedy.
    """


class NothingReadError(UserError):
    """None of the photos that were given can be read."""


class NotLearned(Exception):  # noqa: N818 - it is a verdict, not an error of the program
    """The sanity check failed; the message says where to look first."""


class Diverged(FloatingPointError):  # noqa: N818 - as above
    """The loss of a run is no longer a number; the message says what to change."""


class Pruned(Exception):  # noqa: N818 - as above
    """A search has ended a run that is hopeless; the message says after which epoch."""


def one_line(text: str) -> str:
    """A message of several lines as one."""
    lines = (line.strip() for line in text.splitlines())
    return "; ".join(line for line in lines if line and not line.startswith("object_type="))


NO_ROOM = "make room there, or choose another folder"
NOT_ALLOWED = "change what it permits, or choose another folder"
IN_THE_WAY = "move what is in the way, or choose another name"
REMEDIES = {
    errno.ENOSPC: NO_ROOM,
    errno.EDQUOT: NO_ROOM,
    errno.EFBIG: "allow larger files (ulimit -f), or choose another folder",
    errno.EROFS: "choose a folder that may be written to",
    errno.EACCES: NOT_ALLOWED,
    errno.EPERM: NOT_ALLOWED,
    errno.EISDIR: IN_THE_WAY,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
    errno.ENOTEMPTY: IN_THE_WAY,
    errno.ENOENT: "check how it is written, or make it",
    errno.ELOOP: "remove the links that lead to each other",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENOMEM: "close other programs",
    errno.EIO: "look after the disk, or choose another one",
}
# What a library raises of its own when its writing failed, so that what went wrong is found only behind it.
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
NO_MEMORY = (
    "not enough memory", "can't allocate memory", "cannot allocate memory", "out of memory", "std::bad_alloc",
    "can't start new thread", "failed to map segment",
)  # fmt: skip


def refused_by_machine(error: BaseException, place: object = "") -> str | None:
    """One line for what no program can do anything about: a file, room on a disk, or memory is not to be had.

    Args:
        place: what to name where the error itself names no file.
    Returns:
        What, why and the remedy; None for any other error, and for one that says so itself.
    """
    if isinstance(error, UserError):
        return None
    for found in with_causes(error):
        if isinstance(found, MemoryError) or any(words in str(found).lower() for words in NO_MEMORY):
            said = f" ({one_line(str(found))[:150]})" if str(found) else ""
            return f"there is not enough memory{said}; close other programs, or take fewer or smaller images at a time."
        is_first = found is error or found is error.__cause__
        if isinstance(found, OSError) and (is_first or found.errno in OF_THE_DISK):
            name = found.filename2 or found.filename or place or "the output"
            reason = found.strerror or str(found) or type(found).__name__
            remedy = REMEDIES.get(found.errno or 0, "HYDRA_FULL_ERROR=1 shows where it happened")
            return on_one_line(
                f"{os.fsdecode(name) if isinstance(name, bytes) else name}: {one_line(reason)}; {remedy}."
            )
    return None


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and, behind it, what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
