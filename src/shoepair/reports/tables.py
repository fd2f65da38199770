"""Plain tables for the terminal and Markdown tables for reports."""

from collections.abc import Mapping, Sequence
from typing import Any


def splits_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of every split, as `results.json` has them, one line each; below it men's and women's shoes apart.

    Kinds have lines of their own where a split has several of them.
    """
    calibrated = any("loss_calibrated" in figures for figures in splits.values())
    header = ["", "accuracy", "95 % interval", "same", "different", "AUROC", "loss"]
    header += [*(["calibrated"] if calibrated else []), "pairs"]
    rows, mixed = [], []
    for name, figures in splits.items():
        kinds = figures.get("kinds", {})
        rows.append([{"test": "mean of tests"}.get(name, name), *_cells(figures, calibrated)])
        if len(kinds) > 1:
            rows += [[f"  {KINDS.get(kind, kind)}", *_cells(of_kind, calibrated)] for kind, of_kind in kinds.items()]
        if figures.get("num_mixed"):
            mixed.append(f"{figures['num_mixed']} of {name}")
    table = text_table(header, rows)
    return table + (f"\nPairs of two kinds count as their left shoe's: {', '.join(mixed)}." if mixed else "")


KINDS = {"m": "men's", "w": "women's", "": "no kind"}


def _cells(figures: Mapping[str, Any], calibrated: bool) -> list[str]:
    return [
        percent(figures["accuracy"]),
        f"{100 * figures['interval'][0]:.1f} to {100 * figures['interval'][1]:.1f}",
        percent(figures["accuracy_same"]),
        percent(figures["accuracy_different"]),
        *(
            "-" if figures.get(name) is None else f"{figures[name]:.3f}"
            for name in ("auroc", "loss", *(["loss_calibrated"] if calibrated else []))
        ),
        str(figures["num_pairs"]),
    ]


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
