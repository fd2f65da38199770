"""`shoepair match`: a heap of photos of single shoes in, pairs out."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoepair.commands.options import (
    Parser,
    add_checkpoint,
    add_max_fmr,
    check_max_fmr,
    chosen_checkpoint,
    threshold_line,
)
from shoepair.errors import UserError
from shoepair.terminal import say

if TYPE_CHECKING:
    import numpy as np

    from shoepair.inference.assignment import Match
    from shoepair.inference.gallery import Gallery

DEFAULT_THRESHOLD = 0.5  # a probability


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair match",
        description="Find the pairs in a heap of photos of single shoes. Candidate pairs are scored, then the best "
        "set of pairs as a whole is taken; a shoe whose partner is not there stays single. Writes pairs.csv, "
        "singles.csv, contact_sheet.png and match.html, most doubtful first.",
        epilog="Example: shoepair match heap --out outputs/match",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="a folder with one photo for each shoe")
    add_checkpoint(parser)
    parser.add_argument(
        "--sides",
        default="names",
        metavar="SIDES",
        help="which shoe is left: names (default; the word left or right in a photo's name), unknown, or a CSV file "
        "with the columns file and side",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help=f"probability from which two shoes may be a pair (default {DEFAULT_THRESHOLD}); lower it, say to 0.001, "
        "if every shoe has its partner in the heap",
    )
    add_max_fmr(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/match"), metavar="DIR", help="where the files go (%(default)s)"
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="also say how many pairs are right, where names tell the truth: u<person>_<pair>_<side>...",
    )
    options = parser.parse_args(arguments)
    if options.threshold is not None and options.max_fmr is not None:
        raise UserError("--threshold and --max-fmr: expected one of the two; the rate gives the threshold.")
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise UserError(f"--threshold {options.threshold}: expected a number between 0 and 1.")
    check_max_fmr(options.max_fmr)
    for folder in options.folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder.")
    checkpoint = chosen_checkpoint(options)
    from shoepair.runs.folder import hold, release

    hold(options.out, "writes into it")
    try:
        say(
            match(
                options.folders,
                checkpoint,
                sides=options.sides,
                threshold=options.threshold,
                max_fmr=options.max_fmr,
                out=options.out,
                score=options.score,
            )
        )
    finally:
        release()


def match(
    folders: Sequence[Path],
    checkpoint: Path,
    *,
    sides: str,
    out: Path,
    threshold: float | None = None,
    max_fmr: float | None = None,
    score: bool = False,
) -> str:
    """Match the photos in folders and write what was found into `out`.

    Args:
        sides: "names", "unknown" or the path of a CSV file.
        threshold: a probability; None: 0.5.
        max_fmr: instead of a threshold, the false match rate it is to give; see load_classifier.
    Returns:
        What was found, in a few lines.
    Raises:
        UserError: for what the user can mend.
    """
    from shoepair.inference import gallery as galleries
    from shoepair.inference.assignment import find_matches
    from shoepair.inference.network import load_trained
    from shoepair.metrics.scores import logit_of
    from shoepair.reports.match_page import thumbnail_px
    from shoepair.reports.matches import refuse_others

    refuse_others(out)
    paths = galleries.list_photos(folders)
    if sides == "names":
        known = galleries.sides_from_names(paths)
    elif sides == "unknown":
        known = [None] * len(paths)
    elif Path(sides).is_file():
        known = galleries.sides_from_table(Path(sides), paths)
    else:
        raise UserError(f"--sides {sides}: expected names, unknown, or a CSV file; there is no such file.")
    if score:
        count_right([path.name for path in paths], [])  # refuses before anything is computed
    trained = load_trained(checkpoint)
    if max_fmr is None:
        limit = logit_of(DEFAULT_THRESHOLD if threshold is None else threshold)
    else:
        limit = trained.threshold(max_fmr)
    gallery = galleries.read_gallery(paths, known, trained, thumbnail_px(len(paths)))
    logits = galleries.score_gallery(gallery, trained)
    matches = find_matches(logits, gallery.sides, limit)
    lines = [found_line(gallery, matches, limit)]
    if max_fmr is not None:
        lines.append(threshold_line(trained, limit))
    if score:
        counts = count_right([path.name for path in gallery.paths], [(m.left, m.right) for m in matches])
        lines.append(counts.line())
    lines.append(write_report(gallery, logits, matches, out, limit=limit, folders=folders))
    return "\n".join(lines)


def found_line(gallery: "Gallery", matches: Sequence["Match"], limit: float) -> str:
    """How many pairs were found above a calibrated logit."""
    from shoepair.metrics.scores import probability_in_percent, probability_of
    from shoepair.reports.tables import counted

    num_known = sum(side is not None for side in gallery.sides)
    known = {0: "no side known", len(gallery.sides): "all sides known"}.get(num_known, f"{num_known} sides known")
    singles = len(gallery.paths) - 2 * len(matches)
    return (
        f"{counted(len(gallery.paths), 'shoe')}, {known}: {counted(len(matches), 'pair')}, "
        f"{counted(singles, 'single shoe')} (a pair from {probability_in_percent(probability_of(limit))} on)"
    )


def write_report(
    gallery: "Gallery", logits: "np.ndarray", matches: Sequence["Match"], out: Path, *, limit: float,
    folders: Sequence[Path],
) -> str:  # fmt: skip
    """Write the tables, the contact sheet and the page. Returns where they are."""
    from shoepair.metrics.scores import probability_of
    from shoepair.reports import matches as report
    from shoepair.reports.match_page import UNSURE_MARGIN, write_page

    names = [path.name if len(folders) == 1 else in_utf8(path) for path in gallery.paths]
    cut_outs: Sequence[bytes | None] = gallery.cut_outs or [None] * len(names)
    each = zip(names, gallery.thumbnails, cut_outs, gallery.doubts, gallery.paths, strict=True)
    shoes = [report.ShownShoe(*one) for one in each]

    def probable(logit: float) -> float | None:
        return probability_of(logit) if math.isfinite(logit) else None

    shown = [
        report.ShownMatch(
            shoes[m.left],
            shoes[m.right],
            probable(m.logit) or 0.0,
            None if m.runner_up is None else shoes[m.runner_up],
            probable(m.runner_up_logit),
            unsure=m.distance(limit) < UNSURE_MARGIN or any(gallery.doubts[shoe] for shoe in (m.left, m.right)),
        )
        for m in matches
    ]
    paired = {shoe for m in matches for shoe in (m.left, m.right)}
    singles = []
    for i in (i for i in range(len(shoes)) if i not in paired):
        nearest = int(logits[i].argmax())
        likely = probable(float(logits[i, nearest]))
        singles.append(report.ShownSingle(shoes[i], None if likely is None else shoes[nearest], likely))
    singles.sort(key=lambda single: -(single.probability or 0))
    try:
        out.mkdir(parents=True, exist_ok=True)
        report.write_tables(out, shown, singles)
        sheets = report.draw_contact_sheets(out, shown, singles)
        pages = write_page(
            out / "match.html",
            shown,
            singles,
            gallery=", ".join(map(in_utf8, folders)),
            threshold=probability_of(limit),
        )
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; choose another folder.") from error
    parts = f" and its {len(pages)} parts" if len(pages) > 1 else ""
    return f"Written {out}/match.html{parts}, {', '.join(sheet.name for sheet in sheets)}, pairs.csv, singles.csv"


def in_utf8(path: Path) -> str:
    r"""As a text for files; bytes of a name that are no UTF-8 are written as \xff."""
    return os.fsencode(path.as_posix()).decode(errors="backslashreplace")


@dataclass(frozen=True)
class Counts:
    """How many pairs were found, how many of them are right, and how many there are."""

    found: int
    right: int
    true: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else math.nan

    @property
    def recall(self) -> float:
        return self.right / self.true if self.true else math.nan

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.found + other.found, self.right + other.right, self.true + other.true)

    def line(self) -> str:
        return (
            f"Right: {self.right} of {self.found} pairs found (precision {100 * self.precision:.1f} %), "
            f"of {self.true} true pairs (recall {100 * self.recall:.1f} %)"
        )


def count_right(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> Counts:
    """Compare pairs with what the names say: u<person>_<pair>_<side>.... Raises UserError if a name says nothing."""
    truth = []
    for name in names:
        said = re.match(r"(u\d+)_(\d+)_(left|right)", name, re.IGNORECASE)
        if said is None:
            raise UserError(f"--score: {name} does not say whose shoe it is; expected names such as u001_1_left_m.jpg.")
        truth.append((said[1].lower(), said[2]))
    num_true = len(truth) - len(set(truth))
    return Counts(len(pairs), sum(truth[i] == truth[j] for i, j in pairs), num_true)
