"""What stands on the axes of the pictures, whatever the values and the names are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shoepair.metrics.predictions import Predictions
from shoepair.reports import figures
from shoepair.reports.figures import draw_confusion, draw_curves, draw_roc, draw_scores, draw_settings
from shoepair.runs.folder import COMPLETED, Status
from shoepair.runs.leaderboard import gather
from shoepair.runs.read import Run

HISTORY = {"train/loss": [2.0, 1.0], "val/loss": [2.0, 1.5], "train/accuracy": [0.5, 0.6], "val/accuracy": [0.5, 0.7]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Each figure that is saved; it is saved as usual, which parses all texts."""
    saved: list[Figure] = []
    save = figures._save

    def spy(figure: Figure, path: Path) -> None:
        save(figure, path)
        saved.append(figure)

    monkeypatch.setattr(figures, "_save", spy)
    return saved


def panel(drawn: list[Figure], path: Path, values: list[Any]) -> Axes:
    """That of a key with these values, one each run; None where a run does not have the key is `...`."""
    runs = [
        Run(Path(f"runs/{i}_x"), Status(COMPLETED), {} if value is ... else {"optimizer.lr": value}, [],
            {"splits": {"val": {"accuracy": i / 100, "loss": 0.5}}})
        for i, value in enumerate(values)
    ]  # fmt: skip
    assert draw_settings(path, gather(runs))
    (axes,) = drawn[-1].axes
    return axes


def labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_xticklabels()]


def places(axes: Axes) -> list[float]:
    """Of the dots, from left to right, as parts of the whole axis."""
    low, high = axes.transData.inverted().transform(axes.transAxes.transform([(0, 0), (1, 0)]))[:, 0]
    scale = np.log if axes.get_xscale() == "log" else np.asarray
    found = np.sort(np.unique(np.asarray(axes.collections[0].get_offsets())[:, 0]))
    return [float(part) for part in (scale(found) - scale(low)) / (scale(high) - scale(low))]


DRAWN = [0.00087183, 0.0031749, 0.0113402, 0.041877, 0.091, 0.00021133]


@pytest.mark.parametrize("more", [[None], [...], [None, ...], [0], [0.0, None]])
def test_numbers_keep_their_axis_beside_what_is_none(drawn: list[Figure], tmp_path: Path, more: list[Any]) -> None:
    axes = panel(drawn, tmp_path / "a.png", [*DRAWN, *more])
    assert axes.get_xscale() == "log" and len(labels(axes)) <= 5 + len(more)
    assert {"null" if value is None else "-" if value is ... else "0" for value in more} <= set(labels(axes))
    found = places(axes)
    assert len(found) == len(DRAWN) + len(more)
    numbers = found[1 if 0 in more else 0 :][: len(DRAWN)]
    assert numbers[-1] - numbers[0] > 0.45  # they are not squeezed
    parts = np.log(np.sort(DRAWN) / min(DRAWN)) / np.log(max(DRAWN) / min(DRAWN))
    assert (np.array(numbers) - numbers[0]) / (numbers[-1] - numbers[0]) == pytest.approx(parts)


def test_the_line_of_means_does_not_lead_to_what_is_no_number(drawn: list[Figure], tmp_path: Path) -> None:
    settings = [(rate, width) for rate in (*DRAWN, None) for width in (4, 8)]
    runs = [
        Run(Path(f"runs/{i}_x"), Status(COMPLETED), {"lr": rate, "width": width}, [],
            {"splits": {"val": {"accuracy": i / 100, "loss": 0.5}}})
        for i, (rate, width) in enumerate(settings)
    ]  # fmt: skip
    assert draw_settings(tmp_path / "a.png", gather(runs))
    (line,) = drawn[0].axes[0].get_lines()
    assert np.asarray(line.get_xdata()).tolist() == sorted(DRAWN)


def test_few_drawn_numbers_have_round_ticks_and_few_typed_ones_their_own(drawn: list[Figure], tmp_path: Path) -> None:
    assert labels(panel(drawn, tmp_path / "a.png", DRAWN[:4])) == ["0.001", "0.01"]
    assert labels(panel(drawn, tmp_path / "b.png", [1e-3, 3e-4, 0.0125])) == ["0.0003", "0.001", "0.0125"]
    assert labels(panel(drawn, tmp_path / "c.png", [256, 1024, 4096])) == ["256", "1024", "4096"]
    near = panel(drawn, tmp_path / "d.png", [0.00087183, 0.00087183001, 0.9])  # side by side
    assert labels(near) == ["1: 0.00087183", "2: 0.00087183001", "3: 0.9"]
    assert labels(panel(drawn, tmp_path / "e.png", [0.871234, 0.873456, 0.1])) == ["0.1", "0.871", "0.873"]


def test_long_and_many_texts_leave_room_for_the_picture(drawn: list[Figure], tmp_path: Path) -> None:
    texts = [f"{letter}{'/a/very/long/path' * 20}/{letter}.csv" for letter in "abcdefghijklmnopqrstuvwxyz"]
    axes = panel(drawn, tmp_path / "a.png", texts)
    assert len(labels(axes)) <= 8 and all(len(label) <= 18 for label in labels(axes))
    assert labels(axes)[0] == "a/a/very…path/a.csv"[:8] + "…" + texts[0][-9:]
    assert axes.get_position().height > 0.4 and axes.get_position().width > 0.5
    alike = panel(drawn, tmp_path / "b.png", [f"{'x' * 30}{letter}{'x' * 30}" for letter in "ab"])
    assert labels(alike) == [f"{place}: xxxxxxxx…xxxxxxxxx" for place in (1, 2)]


@pytest.mark.parametrize("name", ["a $b_{$ c", "$\\frac$", "n" * 300, "two\nlines", "zażółć", "\udce9t\udce9"])
def test_no_name_is_taken_for_mathematics_or_breaks_a_picture(drawn: list[Figure], tmp_path: Path, name: str) -> None:
    panel(drawn, tmp_path / "a.png", [name, "other", 3])
    draw_curves(tmp_path / "b.png", HISTORY, 1, name)
    assert len(drawn[-1].get_suptitle()) <= 90 and "\n" not in drawn[-1].get_suptitle()


@pytest.mark.parametrize("label", [0, 1])
def test_pairs_of_one_kind_have_pictures_that_say_so(drawn: list[Figure], tmp_path: Path, label: int) -> None:
    val = Predictions(["a", "b"], ["l", "l"], ["r", "r"], np.array([label, label]), np.array([1.0, -2.0]))
    draw_roc(tmp_path / "roc.png", {"val": val})
    legend = drawn[-1].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "val: no curve, its pairs are all of one kind", "guessing",
    ]  # fmt: skip
    draw_confusion(tmp_path / "confusion.png", {"val": val})
    said = [text.get_text() for text in drawn[-1].axes[0].texts]
    assert said[2 * label :][:2] == ["1\n50 %", "1\n50 %"] and said[2 - 2 * label :][:2] == ["0\n-", "0\n-"]
    draw_scores(tmp_path / "scores.png", {"val": val})
