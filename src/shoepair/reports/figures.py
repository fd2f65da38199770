"""Pictures of pairs, curves and scores. matplotlib is imported where it draws, since that takes a second."""

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from shoepair.config.shown import ABSENT, identity, shown, shown_apart
from shoepair.errors import one_line, refused_by_machine
from shoepair.files import replacing
from shoepair.metrics.predictions import Predictions
from shoepair.metrics.roc import resampled_band, true_positive_rates
from shoepair.metrics.scores import probability, probability_in_percent, probability_of
from shoepair.reports.contact_sheet import Item, Row, contact_sheet, fitting, shoe_image
from shoepair.runs.leaderboard import Setting, in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)

# Told apart by people who cannot tell red from green (Okabe and Ito 2008).
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#888888"
LABEL, MOST_LABELS = 18, 8  # letters of a text below an axis, and how many of these there are


@contextlib.contextmanager
def costing_only_itself(path: Path) -> Iterator[None]:
    """A picture that cannot be drawn is said in one line: what it shows took hours, and stands elsewhere as well."""
    try:
        yield
    except Exception as error:
        reason = refused_by_machine(error, path) or f"{path}: {type(error).__name__}: {one_line(str(error))}"
        log.warning("No picture %s", reason)


def draw_pairs(path: Path, rows: Sequence[Row]) -> None:
    """A PNG of a contact sheet of pairs, quickly, since a run waits for it."""
    with replacing(path) as partial:
        contact_sheet(rows).save(partial, "PNG", compress_level=1)


def confident_pairs(
    predictions: Predictions, images: np.ndarray, left: np.ndarray, right: np.ndarray, num: int = 6
) -> list[Row]:
    """Rows for draw_pairs: the wrong pairs that the network was surest of, and the right ones.

    Args:
        images: (num_shoes, 3, H, W) uint8.
        left, right: (num_pairs,) indices into images, in the order of the predictions.
    """
    surest = np.argsort(-np.abs(predictions.logit), kind="stable")
    correct = predictions.correct[surest]
    rows: list[Row] = []
    for heading, chosen, colour in (
        ("Wrong, and surest of it", surest[~correct], RED),
        ("Right, and surest of it: same pairs", surest[correct & (predictions.label[surest] == 1)], "black"),
        ("Right, and surest of it: different pairs", surest[correct & (predictions.label[surest] == 0)], "black"),
    ):
        pairs = [
            Item([shoe_image(images[left[i]]), shoe_image(images[right[i]])], verdict(predictions, i), colour)
            for i in chosen[:num].tolist()
        ]
        rows.append((heading if pairs else f"{heading}: none", pairs))
    return rows


def verdict(predictions: Predictions, index: int) -> str:
    """Whose pair it is and what the network says of it, in a few words."""
    same = probability_of(predictions.logit[index])
    said = f"same, {probability_in_percent(same)}" if same > 0.5 else f"different, {probability_in_percent(1 - same)}"
    return f"{fitting(predictions.person[index], 24)}: {said}"


def draw_curves(path: Path, history: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> None:
    """Loss and accuracy of training and validation by epoch.

    Args:
        history: "train/loss", "val/loss", "train/accuracy", "val/accuracy": one value for each epoch.
    """
    figure = _figure(9, 3.6, margins=(0.075, 0.99, 0.13, 0.9))
    figure.suptitle(fitting(title, 90), fontsize=10, parse_math=False)
    epochs = np.arange(1, len(history["train/loss"]) + 1)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        factor = 100 if name == "accuracy" else 1
        for split, colour in (("train", BLUE), ("val", ORANGE)):
            label = {"train": "training", "val": "validation"}[split]
            values = factor * np.asarray(history[f"{split}/{name}"])
            axes.plot(epochs, values, color=colour, label=label, marker="." if len(epochs) < 40 else None)
        axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"epoch that is kept ({best_epoch})")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("accuracy (%)" if name == "accuracy" else "loss (cross-entropy)")
        axes.set_ylim(bottom=0 if name == "loss" else None, top=None if name == "loss" else 100.5)
        _tidy(axes, legend="upper right" if name == "loss" else "lower right")
    _save(figure, path)


def draw_roc(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Receiver operating characteristic of every split, with the band in which 95 % of resampled people fall."""
    figure = _figure(4.6, 4.4, margins=(0.13, 0.97, 0.12, 0.93))
    axes = figure.subplots()
    grid = np.linspace(0, 1, 201)
    for (split, predictions), colour in zip(splits.items(), (BLUE, ORANGE, GREEN, RED), strict=False):
        if len(np.unique(predictions.label)) < 2:
            axes.plot([], [], color=colour, label=f"{split}: no curve, its pairs are all of one kind")
            continue
        band = resampled_band(predictions, grid)
        if band is not None:
            axes.fill_between(grid, *band, color=colour, alpha=0.15, linewidth=0)
        rates = true_positive_rates(predictions.label, predictions.logit, grid)
        axes.plot(grid, rates, color=colour, label=f"{split} ({len(predictions.label)} pairs)")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    axes.set_xlabel("different pairs called same")
    axes.set_ylabel("same pairs called same")
    axes.set_title("ROC, with 95 % bands over people", fontsize=10)
    axes.set_aspect("equal")
    _tidy(axes, legend="lower right")
    _save(figure, path)


def draw_scores(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Histogram of the probabilities that a network gave to same and to different pairs, for every split."""
    figure = _figure(3.4 * len(splits) + 0.4, 3.2)
    bins = np.linspace(0, 1, 21)
    for axes, (split, predictions) in zip(
        figure.subplots(1, len(splits), squeeze=False)[0], splits.items(), strict=True
    ):
        same = probability(predictions.logit)
        for label, colour, name in ((1, BLUE, "same"), (0, ORANGE, "different")):
            axes.hist(same[predictions.label == label], bins, color=colour, alpha=0.6, label=name)
        axes.axvline(0.5, color=GREY, linestyle=":")
        axes.set_title(split, fontsize=10, parse_math=False)
        axes.set_xlabel("probability of the same pair")
        axes.set_ylabel("pairs")
        _tidy(axes)
    _save(figure, path)


def draw_confusion(path: Path, splits: Mapping[str, Predictions]) -> None:
    """Confusion matrix of every split: what is true in rows, what the network says in columns."""
    figure = _figure(2.7 * len(splits) + 0.4, 3.0)
    names = ("different", "same")
    for axes, (split, predictions) in zip(
        figure.subplots(1, len(splits), squeeze=False)[0], splits.items(), strict=True
    ):
        said = (predictions.logit > 0).astype(int)
        counts = np.array([[np.sum((predictions.label == t) & (said == s)) for s in (0, 1)] for t in (0, 1)])
        parts = counts / np.maximum(1, counts.sum(1, keepdims=True))
        axes.imshow(parts, cmap="Blues", vmin=0, vmax=1)
        for true in (0, 1):
            for said_index in (0, 1):
                part = parts[true, said_index]
                rate = f"{100 * part:.0f} %" if counts[true].any() else "-"
                text = f"{counts[true, said_index]}\n{rate}"
                axes.text(said_index, true, text, ha="center", va="center", color="white" if part > 0.5 else "black")
        axes.set_xticks((0, 1), names)
        axes.set_yticks((0, 1), names, rotation=90, va="center")
        axes.set_xlabel("network says")
        axes.set_ylabel("true")
        axes.set_title(split, fontsize=10, parse_math=False)
    _save(figure, path)


def draw_settings(path: Path, settings: Sequence[Setting], metric: str = "accuracy") -> bool:
    """A metric of validation against every key in which settings differ: a dot for each setting, a line through the
    means.

    Returns:
        False, and no picture, if nothing differs.
    """
    done = [setting for setting in settings if setting.mean("val", metric) is not None]
    keys = [key for key in (done[0].values if done else ()) if len({identity(s.values[key], key) for s in done}) > 1]
    if not keys:
        return False
    columns = min(len(keys), 4)
    rows = -(-len(keys) // columns)
    figure = _figure(3.2 * columns + 0.6, 3.2 * rows)
    in_percent = metric.startswith("accuracy")
    heights = [(100 if in_percent else 1) * (setting.mean("val", metric) or 0.0) for setting in done]
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes in panels.flat[len(keys) :]:
        axes.remove()
    for axes, key in zip(panels.flat, keys, strict=False):
        places, others = _place_values(axes, [setting.values[key] for setting in done], key)
        means: dict[float, list[float]] = {}
        for place, height in zip(places, heights, strict=True):
            means.setdefault(place, []).append(height)
        if len(done) > len(means):
            ordered = sorted(means.keys() - others)
            axes.plot(ordered, [np.mean(means[x]) for x in ordered], color=ORANGE, label="mean", zorder=1)
        axes.scatter(places, heights, color=BLUE, s=18, alpha=0.8, zorder=2)
        axes.set_xlabel(fitting(key.removesuffix("._target_").removesuffix(".name"), 40), parse_math=False)
        _tidy(axes)
    for axes in panels[:, 0]:
        axes.set_ylabel(f"validation {metric.replace('_', ', ')}{' (%)' if in_percent else ''}")
    _save(figure, path)
    return True


def _place_values(axes: "Axes", values: Sequence[Any], key: str) -> tuple[list[float], set[float]]:
    """Where the values of a key stand on the horizontal axis, whose scale and few, round ticks are set.

    Numbers stand where they are, and beside them 0 on a logarithmic scale, null, and what a run does not have. A few
    numbers that would lie upon one another, and texts, stand side by side.

    Returns:
        The place of each value, and those places that are no numbers among numbers.
    """
    ordered = sorted({identity(value, key): value for value in values}.items(), key=lambda item: in_order(item[1]))
    names = dict(zip((found for found, _ in ordered), _names_of([value for _, value in ordered], key), strict=True))
    numbers = {found: float(value) for found, value in ordered if _is_number(value)}
    missing = [found for found, value in ordered if value is None or value is ABSENT]
    positive = {found: value for found, value in numbers.items() if value > 0}
    is_log = bool(positive) and min(numbers.values()) >= 0 and max(positive.values()) >= 8 * min(positive.values())
    places = positive if is_log else numbers
    scaled = np.log(list(places.values())) if is_log else np.asarray(list(places.values()))
    few = len(ordered) <= 5
    lie_apart = len(scaled) > 1 and np.diff(scaled).min() >= 0.15 * (scaled[-1] - scaled[0])
    if len(numbers) + len(missing) < len(ordered) or (few and not lie_apart):
        places = {found: float(place) for place, (found, _) in enumerate(ordered)}
        _set_texts(axes, [names[found] for found, _ in ordered])
        return [places[identity(value, key)] for value in values], set()
    if few and all(map(_is_short, places.values())):
        ticks = {value: names[found] for found, value in places.items()}
    else:
        ticks = {tick: shown(tick) for tick in round_ticks(min(places.values()), max(places.values()), is_log=is_log)}
    step = 0.2 * (scaled[-1] - scaled[0])
    beside = {found: scaled[0] - step for found in numbers.keys() - places.keys()}
    beside |= {found: scaled[-1] + number * step for number, found in enumerate(missing, 1)}
    others = {found: float(np.exp(place) if is_log else place) for found, place in beside.items()}
    ticks |= {place: names[found] for found, place in others.items()}
    if is_log:
        axes.set_xscale("log")
    axes.set_xticks(list(ticks), list(ticks.values()), parse_math=False)
    axes.minorticks_off()
    return [(places | others)[identity(value, key)] for value in values], set(others.values())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_short(number: float) -> bool:
    """Whether it stands below an axis as it is: one with more digits was drawn by a search."""
    return float(f"{number:.3g}") == number or (number == round(number) and abs(number) < 1e5)


def _names_of(values: Sequence[Any], key: str) -> list[str]:
    """What different values are called below an axis: of texts the beginning and the end, of numbers three digits, if
    that tells them apart."""
    exact = shown_apart(values, key)
    names = [
        shown(float(f"{value:.3g}"))
        if isinstance(value, float) and _is_number(value) and not _is_short(value)
        else fitting(name, LABEL)
        for value, name in zip(values, exact, strict=True)
    ]
    if len(set(names)) < len(names):
        names = [f"{number}: {fitting(name, LABEL)}" for number, name in enumerate(exact, 1)]
    return names


def _set_texts(axes: "Axes", names: Sequence[str]) -> None:
    """Ticks at 0, 1, ...; of many names, each n-th."""
    every = -(-len(names) // MOST_LABELS)
    long = sum(map(len, names[::every])) > 24
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=30 if long else 0,
                    ha="right" if long else "center", parse_math=False)  # fmt: skip
    axes.margins(x=0.3 if len(names) <= 5 else 0.05)


def round_ticks(low: float, high: float, *, is_log: bool) -> list[float]:
    """Two to five round numbers between two others (on a logarithmic scale, where the one is at least 8 times the
    other).
    """
    if is_log:
        exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1,), (1, 3), (1, 2, 5)):
            ticks = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
            ticks = [tick for tick in ticks if low <= tick <= high]
            if len(ticks) > 1:
                break
    else:
        from matplotlib.ticker import MaxNLocator

        for nbins in (4, 5):
            locator = MaxNLocator(nbins=nbins, steps=[1, 2, 2.5, 5, 10])
            ticks = [float(f"{tick:.12g}") for tick in locator.tick_values(low, high) if low <= tick <= high]
            if len(ticks) > 1:
                break
    return ticks[:: -(-len(ticks) // 5)]


def _figure(width: float, height: float, margins: tuple[float, float, float, float] | None = None) -> "Figure":
    """A figure in inches. With margins (left, right, bottom, top) nothing need be laid out, which halves the time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout=None if margins else "constrained")
    if margins:
        left, right, bottom, top = margins
        figure.subplots_adjust(left, bottom, right, top, wspace=0.2)
    return figure


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as partial:
        figure.savefig(partial, format="png", pil_kwargs={"compress_level": 1})


def _tidy(axes: "Axes", legend: Literal["best", "upper right", "lower right"] = "best") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc=legend, fontsize=8, frameon=False)  # looking for the best place takes time
