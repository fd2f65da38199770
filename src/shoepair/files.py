"""Tables that users write: rows of CSV files with the lines they stand in. Needs nothing but Python."""

import csv
from collections.abc import Sequence
from pathlib import Path

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
