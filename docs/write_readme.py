"""Writes the results table of README.md, from docs/results.md and docs/results/ready.json: `make docs`."""

import json
import re
from pathlib import Path

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
BEGIN, END = "<!-- results: written by docs/write_readme.py -->\n", "<!-- end of results -->\n"
HEADER = (
    "| network | learned from | accuracy (95 % interval) | same / different | trained weights |\n"
    "| --- | --- | ---: | ---: | ---: |\n"
)
LEARNED = {
    "best_pretrained": "ImageNet, then photos",
    "best_dual": "drawn shoes, then photos",
    "original_dual": "photos",
}
NAMES = {"original_dual": "`original_dual`, the original's"}


def readme() -> str:
    """README.md as it should be."""
    before, _, rest = README.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + HEADER + "".join(rows()) + END + after


def rows() -> list[str]:
    measured = measured_rows()
    ready = json.loads((DOCS / "results" / "ready.json").read_text(encoding="utf-8"))["cross-fitted"]
    low, high = (f"{100 * end:.1f}" for end in ready["interval"])
    kinds = f"{100 * ready['accuracy_same']:.1f} / {100 * ready['accuracy_different']:.1f}"
    accuracy = f"{100 * ready['accuracy']:.1f}"
    lines = [row(name, LEARNED[name], *measured[name]) for name in ("best_pretrained", "best_dual")]
    lines.append(row("ready", "drawn shoes alone; comes with shoepair", accuracy, f"{low} to {high}", kinds, "66,213"))
    return [*lines, row("original_dual", LEARNED["original_dual"], *measured["original_dual"])]


def row(name: str, learned: str, accuracy: str, interval: str, kinds: str, weights: str) -> str:
    return f"| {NAMES.get(name, f'`{name}`')} | {learned} | {accuracy} ({interval}) | {kinds} | {weights} |\n"


def measured_rows() -> dict[str, tuple[str, str, str, str]]:
    """Of each network of docs/results.md: accuracy, its interval, on same and on different pairs, trained weights."""
    found = {}
    for line in (DOCS / "results.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 12 and re.match(r"\d+\.\d ± ", cells[3]):
            found[cells[0]] = (cells[3].split()[0], cells[4], cells[6], cells[2])
    return found


if __name__ == "__main__":
    README.write_text(readme(), encoding="utf-8")
