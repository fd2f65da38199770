"""Files that are whole or not there, JSON, and rows of CSV files with the lines they stand in. Python alone."""

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shoepair.errors import UserError


def read_rows(path: str | Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file, each with its line; without blanks around names and values, and without empty rows.

    Args:
        columns: that must be there; others may be.
    Raises:
        UserError: if it cannot be read, or a column is missing.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
            reader = csv.reader(file, strict=True)
            header = [name.strip().lower() for name in next(reader, [])]
            rows = [(reader.line_num, [value.strip() for value in row]) for row in reader]
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; expected a CSV file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: this is no CSV file in UTF-8 ({error}).") from error
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(
            f"{path}, line 1: there is no column {', '.join(missing)}; expected the columns {', '.join(columns)}, "
            f"found {', '.join(filter(None, header)) or 'none'}."
        )
    filled = [(line, [*row, *[""] * (len(header) - len(row))]) for line, row in rows if any(row)]
    return [(line, dict(zip(header, row, strict=False))) for line, row in filled]


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file that is either the old one or the whole new one, also after a crash or a power cut.

    The block writes to the path that it is given: beside `path`, hidden, and no other process's. If the block ends,
    that file takes the place of `path`; if it raises, the file is removed and `path` stays as it was.

    Raises:
        OSError: if the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("r+b") as file:
            os.fsync(file.fileno())  # or a power cut could leave the new name with nothing behind it
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: str | Path, record: Mapping[str, Any]) -> None:
    """Write plain values, see replacing()."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_json(path: str | Path) -> dict[str, Any] | None:
    """A JSON object; None if there is none that can be read."""
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None
