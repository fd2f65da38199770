"""Writes the tables of results in README.md, docs/results.md and docs/models.md from docs/results/*.json: `make docs`.

The tables themselves are those that the commands of benchmarks/ print.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
ROOT = DOCS.parent
RESULTS = DOCS / "results"
sys.path.append(str(ROOT / "benchmarks"))

import conditions  # noqa: E402
import photos  # noqa: E402

from shoepair.reports.tables import between, markdown_table  # noqa: E402

BEGIN, END = "<!-- {}: written by docs/write_results.py -->\n", "\n<!-- end of {} -->"
LEARNED = {
    "best_pretrained": "ImageNet and drawn shoes, then photos",
    "best": "ImageNet, then drawn shoes; comes with shoepair",
    "best_dual": "drawn shoes, then photos",
    "ready": "drawn shoes alone; comes with shoepair",
    "original_dual": "photos",
}
PACKAGED = {"best": "ready_best", "ready": "ready"}  # file of results
NAMES = {"original_dual": "`original_dual`, the original's"}


def pages() -> dict[str, str]:
    """Each page's path -> its text, as it should be."""
    return {
        "README.md": with_tables("README.md", {"results": summary()}),
        "docs/results.md": with_tables(
            "docs/results.md",
            {
                "cross-validation": photos.table(read("photos")),
                "conditions": of_conditions(read("conditions"), "best_pretrained", "best_dual", "best_single"),
            },
        ),
        "docs/models.md": with_tables(
            "docs/models.md",
            {
                "conditions of ready": of_conditions(read("ready_conditions"), "ready"),
                "conditions of best": of_conditions(read("best_conditions"), "best"),
            },
        ),
    }


def with_tables(page: str, tables: dict[str, str]) -> str:
    """A page with new tables between its marks.

    Raises:
        ValueError: if a mark is not there.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, table in tables.items():
        (before, begin, rest), end = text.partition(BEGIN.format(name)), END.format(name)
        if end not in rest:
            raise ValueError(f"{page}: expected a table between {begin or BEGIN.format(name)!r} and {end!r}.")
        text = before + begin + table + rest[rest.index(end) :]
    return text


def read(name: str) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return results


def of_conditions(networks: dict[str, Any], *names: str) -> str:
    return conditions.table({name: networks[name]["conditions"] for name in names})


def summary() -> str:
    """Networks, from the best on, as a newcomer wants to know them."""
    header = ["network", "learned from", "accuracy (95 % interval)", "same / different", "weights learned"]
    measured = read("photos")
    lines = []
    for name, learned in LEARNED.items():
        if name in PACKAGED:
            found = read(PACKAGED[name])
            result, num_parameters = found["cross-fitted"], found["num_parameters"]
            accuracy = result["accuracy"]
        else:
            result = measured[name]
            accuracy, num_parameters = statistics.fmean(result["accuracy_of_folds"]), result["num_parameters"]
        lines.append([
            NAMES.get(name, f"`{name}`"),
            learned,
            f"{photos.percent(accuracy)} ({between(result['interval'])})",
            photos.kinds(result),
            f"{num_parameters:,}",
        ])  # fmt: skip
    return markdown_table(header, lines).replace("| --- | ---: |", "| --- | --- |", 1)  # texts, not numbers


if __name__ == "__main__":
    for page, text in pages().items():
        (ROOT / page).write_text(text, encoding="utf-8")
