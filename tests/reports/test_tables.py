"""Tables as they are printed."""

from dataclasses import replace

import numpy as np

from shoepair.metrics.predictions import Predictions
from shoepair.metrics.scores import measure
from shoepair.reports.tables import (
    between,
    markdown_table,
    percent,
    splits_table,
    text_table,
)

SAMPLE = Predictions(
    ["a", "a", "a", "b"], ["l"] * 4, ["r"] * 4, np.array([1, 0, 1, 0]), np.array([2.0, 1.0, -1.0, -3.0])
)


def test_kinds_have_lines_of_their_own_where_there_are_several() -> None:
    mixed = measure(replace(SAMPLE, kind=["m", "m", "w", "w"], right_kind=["m", "w", "w", "w"]))
    lines = splits_table({"val": mixed}).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["val", "men's", "women's"]
    assert lines[5] == "Pairs of two kinds count as their left shoe's: 1 of val."
    one = measure(replace(SAMPLE, kind=["m"] * 4, right_kind=["m"] * 4))
    assert len(splits_table({"val": one}).splitlines()) == 3


def test_a_table_of_splits_says_what_was_measured() -> None:
    header, _, val, test = splits_table({"val": measure(SAMPLE, 2.0), "test": measure(SAMPLE)}).splitlines()
    assert header.split() == [
        "accuracy", "95", "%", "interval", "same", "different", "AUROC", "loss", "calibrated", "pairs"
    ]  # fmt: skip
    # Of person a one of three pairs is right, of b one of one: the accuracy of two people lies between a's and b's.
    assert val.split() == [
        "val", "50.0", "%", "33.3", "to", "100.0", "50.0", "%", "50.0", "%", "0.750", "0.701", "0.616", "4"
    ]  # fmt: skip
    assert test.split()[:3] == ["mean", "of", "tests"] and test.split()[-2:] == ["-", "4"]


def test_rates_and_intervals_are_said_in_percent() -> None:
    assert (percent(0.5), percent(1.0), percent(None)) == ("50.0 %", "100.0 %", "-")
    assert (between([0.5, 0.91]), between(None)) == ("50.0 to 91.0", "-")


def test_tables_align_their_columns() -> None:
    assert text_table(["", "val"], [["single", "9"], ["d", "10.5"]]).splitlines() == [
        "         val",
        "------  ----",
        "single     9",
        "d       10.5",
    ]
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |"
