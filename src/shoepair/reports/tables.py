"""Plain tables for the terminal, Markdown tables for reports, and how numbers are said in them."""

from collections.abc import Mapping, Sequence
from typing import Any

from shoepair.terminal import on_one_line

KINDS = {"m": "men's", "w": "women's", "": "no kind"}


def splits_table(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """The metrics of every split, as `results.json` has them, one line each; below it men's and women's shoes apart.

    Kinds have lines of their own where a split has several of them.
    """
    calibrated = any("loss_calibrated" in metrics for metrics in splits.values())
    header = ["", "accuracy", "95 % interval", "same", "different", "AUROC", "loss"]
    header += [*(["calibrated"] if calibrated else []), "pairs"]
    rows, mixed = [], []
    for name, metrics in splits.items():
        kinds = metrics.get("kinds", {})
        rows.append([{"test": "mean of tests"}.get(name, name), *_cells(metrics, calibrated)])
        if len(kinds) > 1:
            rows += [[f"  {KINDS.get(kind, kind)}", *_cells(of_kind, calibrated)] for kind, of_kind in kinds.items()]
        if metrics.get("num_mixed"):
            mixed.append(f"{metrics['num_mixed']} of {name}")
    table = text_table(header, rows)
    return table + (f"\nPairs of two kinds count as their left shoe's: {', '.join(mixed)}." if mixed else "")


def _cells(metrics: Mapping[str, Any], calibrated: bool) -> list[str]:
    return [
        percent(metrics["accuracy"]),
        between(metrics["interval"]),
        percent(metrics["accuracy_same"]),
        percent(metrics["accuracy_different"]),
        *(
            "-" if metrics.get(name) is None else f"{metrics[name]:.3f}"
            for name in ("auroc", "loss", *(["loss_calibrated"] if calibrated else []))
        ),
        str(metrics["num_pairs"]),
    ]


def percent(rate: float | None) -> str:
    """A measured rate, such as an accuracy."""
    return "-" if rate is None else f"{100 * rate:.1f} %"


def between(interval: Sequence[float] | None) -> str:
    """The ends of an interval of a rate, in percent."""
    return "-" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to equal width, the first to the left, the others to the right."""
    header, *rows = [[on_one_line(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, ["-" * w for w in widths], *rows]
    ]
    return "\n".join(line.rstrip() for line in lines)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    header, *rows = [[on_one_line(cell) for cell in row] for row in [header, *rows]]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
