"""Files that are whole or not there, where caches are kept, JSON, and CSV files: their one writer and their one reader.

Python alone.
"""

import codecs
import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoepair.errors import OF_THE_DISK, UserError, with_causes

# What a spreadsheet takes for the start of a formula, also in full width, and what it skips before one; and the
# apostrophe that guards against that, so that names with one of their own come back as well.
NO_BREAK = "\ufeff"  # a blank to a browser, not to Python
COMPUTED = frozenset("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n'")
DELIMITERS = (",", ";", "\t", "|")
SEPARATOR_LINE = re.compile(r'"?sep=(?P<delimiter>[^\r\n"])"?[ ,;\t]*(?:\r\n|\r|\n|$)', re.IGNORECASE)
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


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


def is_file(path: str | Path) -> bool:
    """Whether there is a regular file that may be looked at; whatever its name: too long, with NUL, a loop of links."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib's raises of some of these names


def in_utf8(path: Path) -> str:
    r"""As a text for files; bytes of a name that are no UTF-8 are written as \xff."""
    return os.fsencode(path.as_posix()).decode(errors="backslashreplace")


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder, as is_file()."""
    return os.path.isdir(path)  # noqa: PTH112


def what_instead(path: str | Path) -> str:
    """Of a path where there is no file."""
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except OSError as error:  # such as a loop of links
        return str(error.strerror or error)
    except ValueError:
        return "this is no name of a file"
    return "this is a folder, expected a photo" if stat.S_ISDIR(mode) else "this is no regular file"


def find_file(folder: Path, name: str) -> Path | None:
    r"""The file that a table calls `name`, as seen from `folder`; None if there is none in any spelling.

    Tables travel: Windows writes \ for /, and macOS takes letters with accents apart.
    """
    return next((folder / spelled for spelled in spellings(name) if is_file(folder / spelled)), None)


def spellings(name: str) -> Iterator[str]:
    """A path as it is written, and as it may be meant; see find_file()."""
    for written in dict.fromkeys((name, name.replace("\\", "/"))):
        above, slash, last = written.rpartition("/")
        yield from dict.fromkeys(f"{one}{slash}{other}" for one in _forms(above) for other in _forms(last))


def _forms(name: str) -> tuple[str, ...]:
    return name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)


def write_rows(path: str | Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a CSV file, see replacing(). read_rows() gives back every text as it was."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        file.writelines(csv_line(row) for row in (header, *rows))


def csv_line(values: Iterable[object]) -> str:
    """A row as all CSV files of ours have it. Texts that a spreadsheet would compute are guarded; numbers are not."""
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\r\n")  # with any other, it would not quote both
    writer.writerow([_guarded(value) if isinstance(value, str) else value for value in values])
    return line.getvalue().removesuffix("\r\n") + "\n"


def _guarded(text: str) -> str:
    """After an apostrophe, spreadsheets compute nothing, and read_rows() keeps blanks."""
    return f"'{text}" if text and _is_to_be_guarded(text) else text


def _is_to_be_guarded(text: str) -> bool:
    return text[0] in COMPUTED or text != text.strip() or NO_BREAK in (text[0], text[-1])


def _unguarded(cell: str) -> str:
    """What _guarded() was given; of what others wrote, without blanks around it."""
    text = cell[1:]
    ours = cell.startswith("'") and text and _is_to_be_guarded(text)
    return text if ours else cell.strip()


def read_rows(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file, each with its line; without blanks around names and values, and without empty rows.

    As people have them: values stand apart by commas, semicolons, tabs, or by what a first line such as `sep=;` says;
    in UTF-8, 16 or 32, or else as Windows writes Western European letters; with line ends of any kind.

    Args:
        columns: that must be there; others may be.
    Raises:
        UserError: if it cannot be read, a column is missing or comes twice, or a row has more values than columns.
    """
    (head, header), *rows = _parsed(path, columns)
    header = [name.lower() for name in header]
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(name[:30] for name in header[:20] if name) or "none"
        raise UserError(
            f"{path}, line {head}: there is no column {', '.join(missing)}; expected the columns "
            f"{', '.join(columns)}, found {found}."
        )
    twice = [column for column in columns if header.count(column) > 1]
    if twice:
        raise UserError(f"{path}, line {head}: the column {twice[0]} comes twice; expected it once.")
    for line, row in rows:
        if any(row[len(header) :]):
            raise UserError(
                f"{path}, line {line}: it has {len(row)} values, the header {len(header)}; put a value with commas "
                'in quotes, "like, this".'
            )
    return [(line, dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=False))) for line, row in rows]


def _parsed(path: str | Path, columns: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Header and rows that are not empty, each with its line, apart by that delimiter which finds most columns."""
    text = _read_text(path)
    declared = SEPARATOR_LINE.match(text)
    best: list[tuple[int, list[str]]] = []
    most, failure = -1, None
    for delimiter in DELIMITERS if declared is None else (declared["delimiter"],):
        reader = csv.reader(
            io.StringIO(text if declared is None else text[declared.end() :], newline=""),
            delimiter=delimiter, skipinitialspace=True, strict=True,
        )  # fmt: skip
        above = 0 if declared is None else 1
        try:
            rows = [(above + reader.line_num, [_unguarded(cell) for cell in row]) for row in reader]
        except csv.Error as error:
            failure = failure or f"line {above + reader.line_num}: {error}"
            continue
        rows = [(line, row) for line, row in rows if any(row)]
        found = len(set(columns) & {name.lower() for name in rows[0][1]}) if rows else 0
        if found > most:
            best, most = rows, found
        if most == len(columns):
            break
    if failure is not None and most <= 0:
        raise UserError(f"{path}: this is no CSV file ({failure}).")
    return best or [(1, [])]


def _read_text(path: str | Path) -> str:
    try:
        if stat.S_ISCHR(Path(path).stat().st_mode):  # such as /dev/zero, which has no end
            raise UserError(f"{path}: this is a device; expected a CSV file.")
        content = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; expected a CSV file.") from error
    try:
        for mark, encoding in MARKS:
            if content.startswith(mark):
                return content.decode(encoding)
        for encoding, others in (("utf-16-le", content[1::2]), ("utf-16-be", content[::2])):
            if others.count(0) > len(others) / 2:  # without a mark; Western letters have a zero in each pair of bytes
                return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: this is no CSV file ({error}).") from error
    for encoding in ("utf-8", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


LARGEST_RECORD = 64 * 2**20  # bytes, of JSON and YAML files


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file that is either the old one or the whole new one, also after a crash or a power cut.

    The block writes to the path that it is given: beside `path`, hidden, and no other process's. If the block ends,
    that file takes the place of `path`; if it raises, the file is removed and `path` stays as it was.

    Raises:
        OSError: if the file cannot be written; it names `path`.
    """
    path = Path(path)
    if not path.name:  # such as "."
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name with nothing behind it
        partial.replace(path)
    except Exception as error:
        for cause in with_causes(error):
            if isinstance(cause, OSError) and cause.filename in (None, partial, str(partial)):
                cause.filename, cause.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):  # where its folder is none: what was raised says so
            partial.unlink(missing_ok=True)


def write_json(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write plain values, see replacing()."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """As write_json, a small record that is to be written also where a disk is full.

    There is no room for another file then, but for as much in the place of this one, if there was one.
    """
    try:
        write_json(path, record)
    except OSError as error:
        if error.errno not in OF_THE_DISK or not path.is_file():
            raise
        text = (json.dumps(record) + "\n").encode()
        with path.open("r+b", buffering=0) as file:
            file.write(text.ljust(path.stat().st_size))  # in one go, over all that stood there
            os.fsync(file.fileno())


def read_json(path: str | Path) -> dict[str, Any] | None:
    """A JSON object; None if there is none that can be read."""
    text = read_small(path)
    try:
        record = None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def read_small(path: str | Path) -> str | None:
    """The text of a small regular file in UTF-8; None if there is none that can be read."""
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_RECORD:  # a pipe would never end, nor a device
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
