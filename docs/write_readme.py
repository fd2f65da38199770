"""Writes the results table of README.md, from docs/results.md and docs/results/ready*.json: `make docs`."""

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
    "best": "ImageNet, then drawn shoes; comes with shoepair",
    "best_dual": "drawn shoes, then photos",
    "ready": "drawn shoes alone; comes with shoepair",
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
    measured |= {name: packaged_row(name, weights) for name, weights in (("best", "2,810"), ("ready", "66,213"))}
    return [row(name, learned, *measured[name]) for name, learned in LEARNED.items()]


def packaged_row(name: str, weights: str) -> tuple[str, str, str, str]:
    """Of a network that comes with shoepair; see measured_rows."""
    file = DOCS / "results" / ("ready.json" if name == "ready" else f"ready_{name}.json")
    found = json.loads(file.read_text(encoding="utf-8"))["cross-fitted"]
    low, high = (f"{100 * end:.1f}" for end in found["interval"])
    kinds = f"{100 * found['accuracy_same']:.1f} / {100 * found['accuracy_different']:.1f}"
    return f"{100 * found['accuracy']:.1f}", f"{low} to {high}", kinds, weights


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
