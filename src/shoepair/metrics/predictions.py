"""What a network said of every pair; the one writer and the one reader of predictions.csv."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from shoepair.errors import UserError
from shoepair.files import read_rows, write_rows

COLUMNS = ("split", "person", "left", "right", "label", "logit")  # and kind, which older files have not


@dataclass(frozen=True)
class Predictions:
    """What a network said of every pair of one split.

    Attributes:
        person: whose shoes they are; all pairs of one person belong together.
        left, right: names of the two shoes.
        label: (num_pairs,) 1 for the same pair, 0 for different pairs.
        logit: (num_pairs,) positive means "same pair".
        kind, right_kind: of the left and of the right shoe, "m" (men's) or "w" (women's); empty where it is not known.
    """

    person: Sequence[str]
    left: Sequence[str]
    right: Sequence[str]
    label: np.ndarray
    logit: np.ndarray
    kind: Sequence[str] = ()
    right_kind: Sequence[str] = ()

    @property
    def correct(self) -> np.ndarray:
        """(num_pairs,) bool."""
        correct: np.ndarray = (self.logit > 0) == (self.label == 1)
        return correct

    def of_kind(self, kind: str) -> "Predictions":
        """The pairs whose left shoe is of one kind."""
        rows = [i for i, found in enumerate(self.kind) if found == kind]
        person, left, right, kinds = (
            [names[i] for i in rows] for names in (self.person, self.left, self.right, self.kind)
        )
        right_kinds = [self.right_kind[i] for i in rows] if self.right_kind else ()
        return Predictions(person, left, right, self.label[rows], self.logit[rows], kinds, right_kinds)

    def divided_by(self, temperature: float) -> "Predictions":
        """With calibrated logits."""
        return replace(self, logit=self.logit / temperature)


def write_predictions(path: Path, splits: Mapping[str, Predictions]) -> None:
    """One row for each pair: split, person, left, right, label, logit (not calibrated), kind of the left shoe."""
    rows = (
        [split, *row]
        for split, p in splits.items()
        for row in zip(
            p.person, p.left, p.right, p.label.tolist(), p.logit.tolist(), p.kind or [""] * len(p.person), strict=True
        )
    )
    write_rows(path, [*COLUMNS, "kind"], rows)


def read_predictions(path: Path) -> dict[str, Predictions]:
    """What write_predictions wrote, by split. The kind of the right shoes is not in the file.

    Raises:
        UserError: if it cannot be read, or a label or logit is no number.
    """
    splits: dict[str, list[dict[str, str]]] = {}
    for _, row in read_rows(path, COLUMNS):
        splits.setdefault(row["split"], []).append(row)
    try:
        return {split: _from_rows(rows) for split, rows in splits.items()}
    except ValueError as error:
        raise UserError(f"{path}: expected numbers in the columns label and logit ({error}).") from error


def _from_rows(rows: Sequence[Mapping[str, str]]) -> Predictions:
    person, left, right = ([row[name] for row in rows] for name in ("person", "left", "right"))
    kind = [row.get("kind", "") for row in rows]
    label, logit = np.array([int(row["label"]) for row in rows]), np.array([float(row["logit"]) for row in rows])
    return Predictions(person, left, right, label, logit, kind if any(kind) else ())
