"""Plain tables for the terminal and Markdown tables for reports."""

from collections.abc import Mapping, Sequence
from typing import Any


def splits_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of every split, as `results.json` has them, one line each."""
    header = ["", "accuracy", "95 % interval", "same", "different", "AUROC", "pairs"]
    rows = [
        [
            {"test": "mean of tests"}.get(name, name),
            percent(figures["accuracy"]),
            f"{100 * figures['interval'][0]:.1f} to {100 * figures['interval'][1]:.1f}",
            percent(figures["accuracy_same"]),
            percent(figures["accuracy_different"]),
            "-" if figures["auroc"] is None else f"{figures['auroc']:.3f}",
            str(figures["num_pairs"]),
        ]
        for name, figures in splits.items()
    ]
    return text_table(header, rows)


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to equal width, the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, ["-" * w for w in widths], *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
