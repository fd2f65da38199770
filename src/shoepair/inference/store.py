"""What was read, encoded and paired before: a stock of shoes in one SQLite file, for partners that come later.

A command is one transaction: however it ends, the file is as it was before, or as it is after.
"""

import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from shoepair.data.layout import LEFT, RIGHT
from shoepair.errors import UserError
from shoepair.files import digest, in_utf8, is_file, spellings
from shoepair.inference.assignment import Match
from shoepair.inference.gallery import EncodedPhotos, Gallery
from shoepair.inference.rows import Rows
from shoepair.progress import progress
from shoepair.terminal import say_aside

APPLICATION = 0x5348_4F45  # "SHOE": SQLite's mark of whose file it is
FORMAT = 1
EDGES = 10  # of each single shoe, so many of the best scores are kept
AT_ONCE = 256  # rows that are read
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE shoes (
    id INTEGER PRIMARY KEY, name TEXT, path TEXT UNIQUE, size INTEGER, changed INTEGER, digest TEXT UNIQUE, side TEXT,
    doubt TEXT, fresh INTEGER, descriptor BLOB, cut_out BLOB, thumbnail BLOB
);
CREATE TABLE seen (shoe INTEGER PRIMARY KEY REFERENCES shoes, value BLOB);
CREATE TABLE pairs (
    one INTEGER UNIQUE, other INTEGER UNIQUE, logit REAL, runner_up INTEGER, runner_up_logit REAL, confirmed INTEGER
);
CREATE TABLE rejected (one INTEGER, other INTEGER, PRIMARY KEY (one, other));
CREATE TABLE scores (one INTEGER, other INTEGER, logit REAL, PRIMARY KEY (one, other));
"""
SINGLE = "id NOT IN (SELECT one FROM pairs) AND id NOT IN (SELECT other FROM pairs)"


@dataclass(frozen=True)
class Photo:
    """A photo that is new to the store, and by what it will be known again."""

    path: Path
    digest: str


class Store:
    """Open until the block ends: then everything is kept if it ends well, and nothing if it raises.

    Args:
        path: made if it is not there.
        fingerprint: of the network whose embeddings it keeps; None: whichever it was made with.
    Raises:
        UserError: if it cannot be used, or is of another network.
    """

    def __init__(self, path: Path, fingerprint: str | None) -> None:
        self.path = path
        self._taken: set[str] | None = None  # names of shoes, once one is needed
        if fingerprint is None and not path.is_file():
            raise UserError(f"--store {path}: no such file.")
        if fingerprint is None and path.stat().st_size == 0:  # of a first command that was ended
            raise UserError(f"--store {path}: it holds no shoe.")
        if not path.absolute().parent.is_dir():
            raise UserError(f"--store {path}: no such folder as {path.parent}.")
        try:
            self._sql = sqlite3.connect(path.absolute(), timeout=1.0, isolation_level=None)
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._sql.execute("BEGIN IMMEDIATE")
            self._begin(fingerprint)
        except BaseException as error:
            self._sql.close()
            if isinstance(error, sqlite3.Error):
                raise self._unusable(error) from error
            raise

    def _begin(self, fingerprint: str | None) -> None:
        new = self._sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        if new and fingerprint is not None:
            for statement in TABLES.split(";"):
                self._sql.execute(statement)
            self._sql.execute(f"PRAGMA application_id = {APPLICATION}")
            self._sql.execute(f"PRAGMA user_version = {FORMAT}")
            self._set("network", fingerprint)
        (application,), (version,) = (
            self._sql.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
        if application != APPLICATION:
            raise UserError(f"--store {self.path}: this is no store of shoepair; choose another file.")
        if version != FORMAT:
            raise UserError(f"--store {self.path}: it was made by another version of shoepair; begin a new one.")
        if fingerprint is not None and self._get("network") != fingerprint:
            raise UserError(
                f"--store {self.path}: it was made with another network than this --checkpoint, or by another version "
                "of shoepair; name that network, or begin a new store."
            )

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sql.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error as failed:
            if kind is None:
                raise self._unusable(failed) from failed
        finally:
            self._sql.close()
        if isinstance(error, sqlite3.Error):
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> UserError:
        reason = str(error)
        if "locked" in reason:
            reason = "another command is using it; try again when that has ended"
        elif "not a database" in reason:
            reason = "this is no store of shoepair; choose another file"
        return UserError(f"--store {self.path}: {reason}.")

    # What is known of photos

    def recognise(self, paths: Sequence[Path]) -> tuple[list[int | None], list[Photo]]:
        """Which photos it has seen, by where they are and, if they are elsewhere, by their content.

        Returns:
            The shoe of each photo, None of those that it does not know and of copies; and the former.
        """
        shoes: list[int | None] = []
        new: dict[str, Photo] = {}
        given = {_identity(path): path for path in paths}
        for path in progress(paths, "Known photos", "photo"):
            where, size, changed = _identity(path)
            shoe = self._one("SELECT id FROM shoes WHERE path = ? AND size = ? AND changed = ?", where, size, changed)
            if shoe is None:
                content = _content(path) or where
                shoe = self._one("SELECT id FROM shoes WHERE digest = ?", content)
                if shoe is None:
                    first = new.setdefault(content, Photo(path, content))
                    if first.path != path:
                        say_aside(f"Left out {path}: the same photo as {first.path}.")
                elif (original := given.get(self._place_of(shoe))) is not None:
                    say_aside(f"Left out {path}: the same photo as {original}.")
                    shoe = None
                else:
                    self._forget_place(where)
                    query = "UPDATE shoes SET path = ?, size = ?, changed = ? WHERE id = ?"
                    self._sql.execute(query, (where, size, changed, shoe))
            shoes.append(shoe)
        return shoes, list(new.values())

    def _place_of(self, shoe: int) -> tuple[str, int, int]:
        """As _identity has it, of the photo that the shoe was last seen in."""
        found: tuple[str, int, int] = self._sql.execute(
            "SELECT path, size, changed FROM shoes WHERE id = ?", (shoe,)
        ).fetchone()
        return found

    def _forget_place(self, path: str) -> None:
        """Another photo stands where this one stood."""
        self._sql.execute("UPDATE shoes SET path = NULL WHERE path = ?", (path,))

    def add(self, photos: Sequence[Photo], sides: Sequence[str | None], encoded: EncodedPhotos) -> list[int]:
        """Keep some photos that were encoded. Returns their shoes."""
        self._set("seen", f"{encoded.seen.dtype} {' '.join(map(str, encoded.seen.shape[1:]))}")
        shoes = []
        for i, row in enumerate(encoded.rows):
            where, size, changed = _identity(photos[row].path)
            cut_out = encoded.cut_outs[i] if encoded.cut_outs else None
            self._forget_place(where)
            cursor = self._sql.execute(
                "INSERT INTO shoes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
                (self._free_name(in_utf8(photos[row].path)), where, size, changed, photos[row].digest, sides[row],
                 encoded.doubts[i], encoded.descriptors[i].tobytes(), cut_out, encoded.thumbnails[i]),
            )  # fmt: skip
            assert cursor.lastrowid is not None
            shoes.append(cursor.lastrowid)
            value = encoded.seen[i].contiguous().numpy().tobytes()
            self._sql.execute("INSERT INTO seen VALUES (?, ?)", (shoes[-1], value))
        return shoes

    def _free_name(self, name: str) -> str:
        """A shoe keeps its name for good; one whose photo stands where another one's stood is told from it."""
        numbered = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        if self._taken is None:  # looked up one by one, each would take a walk through all shoes
            self._taken = {taken for (taken,) in self._sql.execute("SELECT name FROM shoes")}
        free = next(one for one in numbered if one not in self._taken)
        self._taken.add(free)
        if free != name:
            say_aside(f"{name}: another shoe of {self.path} has this name; this one is called {free}.")
        return free

    def name_sides(self, sides: Iterable[tuple[int, str | None]]) -> None:
        """Take over the sides of shoes; one that changes is compared again, and what two lefts or two rights were to
        each other is forgotten, unless a person confirmed it."""
        changed = 0
        for shoe, side in sides:
            if side is not None:
                query = "UPDATE shoes SET side = ?, fresh = 1 WHERE id = ? AND side IS NOT ?"
                changed += self._sql.execute(query, (side, shoe, side)).rowcount
        if not changed:
            return
        two = "SELECT 1 FROM shoes a, shoes b WHERE a.id = one AND b.id = other AND"
        self._sql.execute(f"DELETE FROM scores WHERE EXISTS ({two} a.side = b.side)")
        for one, other in self._sql.execute(
            f"SELECT one, other FROM pairs WHERE NOT confirmed AND EXISTS ({two} a.side = b.side)"
        ).fetchall():
            self._part(one, other)
        exchanged = f"a.side IS NOT b.side AND (a.side = '{RIGHT}' OR b.side = '{LEFT}')"
        self._sql.execute(f"UPDATE pairs SET one = other, other = one WHERE EXISTS ({two} {exchanged})")

    def forget(self, shoe: int) -> None:
        """A shoe that is gone; its partner is single again."""
        for match in self.pairs():
            if shoe in (match.left, match.right):
                self._part(match.left, match.right)
        self._sql.execute("UPDATE pairs SET runner_up = NULL, runner_up_logit = NULL WHERE runner_up = ?", (shoe,))
        for table in ("rejected", "scores"):
            self._sql.execute(f"DELETE FROM {table} WHERE ? IN (one, other)", (shoe,))
        self._sql.execute("DELETE FROM seen WHERE shoe = ?", (shoe,))
        self._sql.execute("DELETE FROM shoes WHERE id = ?", (shoe,))
        self._taken = None

    def shoe_named(self, name: str) -> int:
        """A shoe by its name in the tables, or by its file's name alone where no other has it.

        Raises:
            UserError: if there is none, or more than one.
        """
        found: list[int] = []
        for spelled in [*spellings(name), os.path.normpath(name)]:  # ./-left.png, where a name begins with a dash
            found = found or self._ids("SELECT id FROM shoes WHERE name = ?", spelled)
            found = found or [i for i, n in self._sql.execute("SELECT id, name FROM shoes") if Path(n).name == spelled]
        if len(found) != 1:
            raise UserError(f"{name} is {'more than one shoe' if found else 'not among the shoes'} of {self.path}.")
        return found[0]

    # Pairs

    def all(self) -> list[int]:
        return self._ids("SELECT id FROM shoes ORDER BY id")

    def singles(self) -> list[int]:
        return self._ids(f"SELECT id FROM shoes WHERE {SINGLE} ORDER BY id")

    def fresh(self) -> set[int]:
        """Shoes that were not compared with all single ones yet."""
        return set(self._ids("SELECT id FROM shoes WHERE fresh = 1"))

    def pairs(self) -> list[Match]:
        """All that were remembered; shoes by their numbers in the store."""
        rows = self._sql.execute("SELECT one, other, logit, runner_up, runner_up_logit, confirmed FROM pairs")
        return [
            Match(one, other, logit, runner_up, -np.inf if low is None else low, bool(confirmed))
            for one, other, logit, runner_up, low, confirmed in rows
        ]

    def rejected(self) -> list[tuple[int, int]]:
        return self._sql.execute("SELECT one, other FROM rejected").fetchall()

    def reject(self, one: int, other: int) -> bool:
        """Two shoes are no pair, now and later. Returns whether they were taken for one."""
        self._sql.execute("INSERT OR IGNORE INTO rejected VALUES (?, ?)", (min(one, other), max(one, other)))
        return self._part(one, other)

    def confirm(self, one: int, other: int) -> bool:
        """Two shoes are a pair. Returns whether that was known; if not, both are single now, and so are the shoes that
        were taken for their partners."""
        self._sql.execute("DELETE FROM rejected WHERE one = ? AND other = ?", (min(one, other), max(one, other)))
        query = "UPDATE pairs SET one = ?, other = ?, confirmed = 1 WHERE (one, other) IN (VALUES (?, ?), (?, ?))"
        if self._sql.execute(query, (one, other, one, other, other, one)).rowcount:
            return True
        for match in self.pairs():
            if {match.left, match.right} & {one, other}:
                self._part(match.left, match.right)
        return False

    def _part(self, one: int, other: int) -> bool:
        query = "DELETE FROM pairs WHERE (one = ? AND other = ?) OR (one = ? AND other = ?)"
        were_a_pair = self._sql.execute(query, (one, other, other, one)).rowcount > 0
        if were_a_pair:
            self._sql.execute("UPDATE shoes SET fresh = 1 WHERE id IN (?, ?)", (one, other))
        return were_a_pair

    def remember(self, matches: Iterable[Match], scores: csr_array, shoes: Sequence[int]) -> None:
        """Keep what a matching of all single shoes found: the pairs, and the best scores of those that stay single.

        Args:
            matches: by numbers in the store.
            scores: (num_singles, num_singles).
            shoes: the numbers of these singles.
        """
        self._sql.executemany(
            "INSERT INTO pairs VALUES (?, ?, ?, ?, ?, ?)",
            [(m.left, m.right, m.logit, m.runner_up, None if m.runner_up is None else m.runner_up_logit, m.confirmed)
             for m in matches],
        )  # fmt: skip
        self._sql.execute("UPDATE shoes SET fresh = 0 WHERE fresh = 1")
        self._sql.execute("DELETE FROM scores")
        single = set(self.singles())
        for row, shoe in enumerate(shoes):
            if shoe not in single:
                continue
            columns = scores.indices[scores.indptr[row] : scores.indptr[row + 1]]
            logits = scores.data[scores.indptr[row] : scores.indptr[row + 1]]
            both = [(shoes[column], logit) for column, logit in zip(columns, logits.tolist(), strict=True)]
            best = sorted((one for one in both if one[0] in single), key=lambda one: -one[1])[:EDGES]
            self._sql.executemany(
                "INSERT OR IGNORE INTO scores VALUES (?, ?, ?)",
                [(min(shoe, other), max(shoe, other), logit) for other, logit in best],
            )

    def scores(self) -> list[tuple[int, int, float]]:
        """What was kept of earlier scores: two single shoes each, the lower number first."""
        return self._sql.execute("SELECT one, other, logit FROM scores").fetchall()

    # Shoes as a gallery

    def names(self, shoes: Sequence[int]) -> list[str]:
        """What some shoes are called in the tables."""
        return [str(name) for (name,) in self._of(shoes, "SELECT name FROM shoes WHERE id = ?")]

    def gallery(self, shoes: Sequence[int], folder: Path | None, *, encoded: bool) -> Gallery:
        """Some shoes, in their order.

        Args:
            encoded: with what the network needs of them, in a file in `folder`.
        """
        columns = "path, side, thumbnail, cut_out, doubt" + (", descriptor" if encoded else "")
        rows = list(self._of(shoes, f"SELECT {columns} FROM shoes WHERE id = ?"))
        paths, sides, thumbnails, cut_outs, doubts, *rest = zip(*rows, strict=True) if rows else [()] * 5
        descriptors = np.stack([np.frombuffer(one, np.float32) for one in rest[0]]) if encoded and rows else None
        return Gallery(
            [None if path is None else Path(path) for path in paths],
            list(sides),
            list(thumbnails),
            self._seen(shoes, folder) if encoded and rows else torch.empty(0),
            [] if None in cut_outs else list(cut_outs),
            list(doubts),
            descriptors,
        )

    def _seen(self, shoes: Sequence[int], folder: Path | None) -> Rows:
        kind, *shape = self._get("seen").split()
        dtype = getattr(torch, kind.removeprefix("torch."))

        def batch(start: int) -> Tensor:
            values = self._of(shoes[start : start + AT_ONCE], "SELECT value FROM seen WHERE shoe = ?")
            joined = bytearray(b"".join(value for (value,) in values))
            return torch.frombuffer(joined, dtype=dtype).view(-1, *map(int, shape))

        rows: Rows | None = None
        for start in range(0, len(shoes), AT_ONCE):
            part = batch(start)
            if rows is None:
                rows = Rows(folder, len(shoes), part)
            rows.append(part)
        assert rows is not None
        return rows

    # SQL

    def _of(self, shoes: Iterable[int], query: str) -> Iterator[tuple[Any, ...]]:
        return (self._sql.execute(query, (shoe,)).fetchone() for shoe in shoes)

    def _one(self, query: str, *values: object) -> int | None:
        row = self._sql.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _ids(self, query: str, *values: object) -> list[int]:
        return [row[0] for row in self._sql.execute(query, values)]

    def _set(self, key: str, value: str) -> None:
        self._sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def _get(self, key: str) -> str:
        (value,) = self._sql.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(value)


def _content(path: Path) -> str | None:
    """None where it cannot be read, which will be said when it is to be encoded."""
    try:
        return digest([path.read_bytes()]) if is_file(path) else None
    except OSError:
        return None


def _identity(path: Path) -> tuple[str, int, int]:
    """Where a photo is, how large, and when it changed."""
    status = path.stat()
    return in_utf8(path.resolve()), status.st_size, status.st_mtime_ns
