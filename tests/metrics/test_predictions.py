"""predictions.csv: one row for each pair, read back as it was written."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from shoepair.errors import UserError
from shoepair.metrics.predictions import Predictions, read_predictions, write_predictions
from shoepair.metrics.scores import measure
from shoepair.runs.folder import COMPLETED, Status
from shoepair.runs.read import Run

OLD = "split,person,left,right,label,logit\nval,a,l1,r1,1,0.5\ntest_m,b,l2,r3,0,-0.25\nval,a,l2,r2,1,nan\n"


def sample(kind: tuple[str, ...] = ()) -> Predictions:
    random = np.random.default_rng(len(kind))
    return Predictions(
        ["a", "a", "b"], ["a, 1", 'a "2"', "é"], ["r1", "r2", "r3"], np.array([1, 0, 1]), random.normal(size=3), kind
    )


def as_plain(predictions: Predictions) -> list[list[object]]:
    return [list(column) for column in vars(predictions).values()]


def test_predictions_are_written_one_row_a_pair(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    write_predictions(path, {"val": replace(sample(("m", "w", "m")), logit=np.array([0.5, -0.25, 3.0]))})
    assert list(csv.reader(path.read_text(encoding="utf-8").splitlines())) == [
        ["split", "person", "left", "right", "label", "logit", "kind"],
        ["val", "a", "a, 1", "r1", "1", "0.5", "m"],
        ["val", "a", 'a "2"', "r2", "0", "-0.25", "w"],
        ["val", "b", "é", "r3", "1", "3.0", "m"],
    ]


@pytest.mark.parametrize("kind", [(), ("m", "w", "m")])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path, kind: tuple[str, ...]) -> None:
    written = {"val": sample(kind), "test_m": sample()}
    write_predictions(tmp_path / "predictions.csv", written)
    read = read_predictions(tmp_path / "predictions.csv")
    assert {split: as_plain(p) for split, p in read.items()} == {split: as_plain(p) for split, p in written.items()}
    assert measure(read["val"], 2.0) == measure(written["val"], 2.0)


def test_files_without_kinds_are_still_read(tmp_path: Path) -> None:
    (tmp_path / "predictions.csv").write_text(OLD)
    read = read_predictions(tmp_path / "predictions.csv")
    assert list(read) == ["val", "test_m"] and read["val"].kind == read["test_m"].kind == ()
    assert as_plain(read["test_m"])[:5] == [["b"], ["l2"], ["r3"], [0], [-0.25]]
    assert read["val"].left == ["l1", "l2"] and read["val"].correct.tolist() == [True, False]  # nan is not above 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0.5", "much", "expected numbers in the columns label and logit .*much"),
        (",1,nan", "", "expected numbers in the columns label and logit"),  # cut off
        ("logit", "score", "line 1: there is no column logit"),
    ],
)
def test_a_broken_file_is_one_clear_line_and_no_validation_of_its_run(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    run = Run(tmp_path, Status(COMPLETED), {})
    assert run.validation is None  # there is no file
    path = tmp_path / "predictions.csv"
    path.write_text(OLD.replace(old, new))
    with pytest.raises(UserError, match=f"predictions.csv.*{said}"):
        read_predictions(path)
    assert Run(tmp_path, Status(COMPLETED), {}).validation is None
    path.write_text(OLD)
    whole = Run(tmp_path, Status(COMPLETED), {}).validation
    assert whole is not None and whole.person == ["a", "a"]
