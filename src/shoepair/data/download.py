"""Fetches the photos of the course that the original comes from, and unpacks them with suspicion."""

import http.client
import logging
import stat
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tqdm import tqdm

from shoepair.errors import UserError, one_line

log = logging.getLogger(__name__)

ARCHIVE_URL = "https://www.cs.toronto.edu/~lczhang/321/files/p3data.zip"
MAX_ARCHIVE_BYTES = 2 * 1024**3  # the photos are some hundred megabytes; a crafted archive could fill the disk
MAX_UNPACKED_BYTES = 2 * 1024**3
MAX_FILES = 20_000
TIMEOUT_S = 30  # without a byte
MAX_SECONDS = 3600  # in all
REMEDY = "try again later, or fetch it by hand"


def fetch_photos(root: str | Path, url: str | None = None) -> None:
    """Make sure that ROOT/train is there, by downloading the archive if it is not.

    A download that breaks off, or is not the archive, leaves nothing behind.

    Args:
        url: of the archive; None for ARCHIVE_URL.
    Raises:
        UserError: if the archive cannot be fetched or does not hold what is expected.
        OSError: if it cannot be written.
    """
    root, url = Path(root), url or ARCHIVE_URL
    if (root / "train").is_dir():
        return
    root.mkdir(parents=True, exist_ok=True)
    # Beside the goal, so that the photos can be moved there in one step.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root, ignore_cleanup_errors=True) as scratch:
        archive = Path(scratch, "archive.zip")
        _download(url, archive)
        unpacked = Path(scratch, "unpacked")
        unpack(archive, unpacked)
        folders = [path for path in sorted(unpacked.rglob("train")) if path.is_dir() and "__MACOSX" not in path.parts]
        train = next(iter(folders), None)
        if train is None:
            raise UserError(f"{url}: there is no folder train/ in this archive; fetch the photos by hand into {root}.")
        for folder in sorted(train.parent.iterdir(), key=lambda path: path.name == "train"):  # train last: it counts
            if folder.is_dir() and not (root / folder.name).exists():
                folder.rename(root / folder.name)
    log.info("Photos are in %s.", root)


def unpack(archive: Path, goal: Path) -> None:
    """Unpack a zip archive: plain files only, none outside of `goal`, and not more than the limits above.

    Raises:
        UserError: if the archive is broken or breaks one of these rules.
        OSError: if it cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise UserError(f"{archive.name}: {len(members)} files; expected at most {MAX_FILES}.")
            goal.mkdir(parents=True, exist_ok=True)
            left, seen = MAX_UNPACKED_BYTES, set[str]()
            for member in members:
                path = goal.joinpath(*_inside(member).parts)
                if str(path).casefold() in seen:
                    raise UserError(f"{_shown(member)}: twice in the archive; expected each file once.")
                seen.add(str(path).casefold())
                left -= _unpack_member(opened, member, path, left)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # whatever a crafted archive provokes in zipfile and in what unpacks for it
        if isinstance(error, OSError) and error.errno and error.filename:  # of the disk, not of the archive
            raise
        reason = one_line(str(error))[:150] or type(error).__name__
        raise UserError(f"{archive.name}: this is no whole zip archive ({reason}); {REMEDY}.") from error


def _inside(member: zipfile.ZipInfo) -> PurePosixPath:
    """The path of a member below the archive's folder. Raises UserError if it is none, or no plain file."""
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or not name.parts or ":" in name.parts[0] or "\0" in str(name):
        raise UserError(f"{_shown(member)}: a path that leads out of the archive's folder; {REMEDY}.")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise UserError(f"{_shown(member)}: {what}; expected plain files.")
    if member.flag_bits & 1:
        raise UserError(f"{_shown(member)}: it is encrypted; {REMEDY}.")
    return name


def _shown(member: zipfile.ZipInfo) -> str:
    """Its name, whatever is in it, within a line."""
    return member.filename[:100].encode("unicode_escape").decode()


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path, limit: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with path.open("wb") as file, opened.open(member) as source:
        while chunk := source.read(1 << 20):  # counts what really comes, not what the archive claims
            written += len(chunk)
            if written > limit:
                raise UserError(f"{_shown(member)}: the archive unpacks to more than {MAX_UNPACKED_BYTES:,} bytes.")
            _write(file, chunk, path)
    return written


def _download(url: str, path: Path) -> None:
    """Fetch a file. Raises UserError if the server does not give it whole and in time, OSError if the disk refuses.

    It runs in a thread that is left alone when its time is over: a server that sends a letter of its answer now and
    then keeps every library waiting without end.
    """
    failed: list[BaseException] = []

    def fetch() -> None:
        try:
            _fetch(url, path, time.monotonic() + MAX_SECONDS)
        except BaseException as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()  # it is the server's answer as well
            failed.append(error)

    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    thread.join(MAX_SECONDS + TIMEOUT_S)
    if thread.is_alive():
        raise UserError(f"{url}: the download was not through after {MAX_SECONDS:,} seconds; {REMEDY}.")
    for error in failed:
        if isinstance(error, UserError) or (isinstance(error, OSError) and error.filename == str(path)):
            raise error
        if isinstance(error, OSError | ValueError | http.client.HTTPException):
            reason = getattr(error, "reason", None) or error
            said = one_line(str(reason))[:150] or type(error).__name__
            raise UserError(f"{url}: the download failed ({said}); {REMEDY}.") from error
        raise error


def _fetch(url: str, path: Path, deadline: float) -> None:
    with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, path.open("wb") as file:
        claimed = answer.headers.get("Content-Length") or "0"
        size = int(claimed) if claimed.isdecimal() and len(claimed) < 20 else 0
        received = 0
        with tqdm(
            total=size or None, desc=url.rpartition("/")[2], unit="B", unit_scale=True, leave=False, disable=None
        ) as bar:
            while chunk := answer.read1(1 << 18):  # what has come, without waiting for more
                received += len(chunk)
                if max(received, size) > MAX_ARCHIVE_BYTES:
                    raise UserError(f"{url}: more than {MAX_ARCHIVE_BYTES:,} bytes; fetch it by hand.")
                if time.monotonic() > deadline:
                    raise UserError(f"{url}: only {received:,} bytes came in {MAX_SECONDS:,} seconds; {REMEDY}.")
                _write(file, chunk, path)
                bar.update(len(chunk))
    if received < size:
        raise UserError(f"{url}: the download broke off at {received:,} of {size:,} bytes; {REMEDY}.")


def _write(file: BinaryIO, chunk: bytes, path: Path) -> None:
    """Raises OSError that names the file: by this, a full disk is told from a broken server."""
    try:
        file.write(chunk)
        file.flush()
    except OSError as error:
        error.filename = str(path)
        raise
