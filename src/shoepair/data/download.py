"""Fetches the photos of the course that the original comes from, and unpacks them with suspicion."""

import logging
import shutil
import stat
import tempfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from shoepair.errors import UserError

log = logging.getLogger(__name__)

ARCHIVE_URL = "https://www.cs.toronto.edu/~lczhang/321/files/p3data.zip"
MAX_UNPACKED_BYTES = 2 * 1024**3  # the photos are some hundred megabytes; a crafted archive could fill the disk
MAX_FILES = 20_000
TIMEOUT_S = 30


def fetch_photos(root: str | Path, url: str | None = None) -> None:
    """Make sure that ROOT/train is there, by downloading the archive if it is not.

    A download that breaks off, or is not the archive, leaves nothing behind.

    Args:
        url: of the archive; None for ARCHIVE_URL.
    Raises:
        UserError: if the archive cannot be fetched or does not hold what is expected.
    """
    root, url = Path(root), url or ARCHIVE_URL
    if (root / "train").is_dir():
        return
    root.mkdir(parents=True, exist_ok=True)
    # Beside the goal, so that the photos can be moved there in one step.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as scratch:
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
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise UserError(f"{archive.name}: {len(members)} files; expected at most {MAX_FILES}.")
            left = MAX_UNPACKED_BYTES
            for member in members:
                left -= _unpack_member(opened, member, goal, left)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive.name}: this is no whole zip archive ({error}).") from error


def _unpack_member(opened: zipfile.ZipFile, member: zipfile.ZipInfo, goal: Path, limit: int) -> int:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise UserError(f"{member.filename}: a path that leads out of the archive's folder.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise UserError(f"{member.filename}: a link; expected plain files.")
    path = goal.joinpath(*name.parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with opened.open(member) as source, path.open("wb") as file:
        while chunk := source.read(1 << 20):  # counts what really comes, not what the archive claims
            written += len(chunk)
            if written > limit:
                raise UserError(f"{member.filename}: the archive unpacks to more than {MAX_UNPACKED_BYTES:,} bytes.")
            file.write(chunk)
    return written


def _download(url: str, path: Path) -> None:
    remedy = "try again later, or fetch it by hand"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer, path.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm.wrapattr(answer, "read", total=size or None, desc=url.rpartition("/")[2], leave=False) as source:
                shutil.copyfileobj(source, file, 1 << 18)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise UserError(f"{url}: the download failed ({getattr(error, 'reason', error)}); {remedy}.") from error
    if size and path.stat().st_size != size:
        raise UserError(f"{url}: the download broke off at {path.stat().st_size:,} of {size:,} bytes; {remedy}.")
