"""`shoepair match`: a heap of photos of single shoes in, pairs out."""

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoepair.commands.options import (
    Parser,
    add_checkpoint,
    add_max_fmr,
    check_max_fmr,
    chosen_checkpoint,
    say_which,
    threshold_line,
)
from shoepair.errors import UserError
from shoepair.files import in_utf8, is_file, is_folder
from shoepair.terminal import say
from shoepair.texts import languages

if TYPE_CHECKING:
    from shoepair.inference.assignment import Match
    from shoepair.inference.matching import Found, Reviewed
    from shoepair.inference.network import TrainedNetwork
    from shoepair.inference.store import Store
    from shoepair.reports.matches import ShownMatch, ShownSingle

DEFAULT_THRESHOLD = 0.6  # a probability: a wrong pair takes two shoes from their partners, a missed one none


def main(arguments: Sequence[str]) -> None:
    options = _parser().parse_args(arguments)
    if options.threshold is not None and options.max_fmr is not None:
        raise UserError("--threshold and --max-fmr: expected one of the two; the rate gives the threshold.")
    if options.threshold is not None and not 0 < options.threshold < 1:
        raise UserError(f"--threshold {options.threshold}: expected a number between 0 and 1.")
    check_max_fmr(options.max_fmr)
    for folder in options.folders:
        if not is_folder(folder):
            raise UserError(f"{folder}: no such folder.")
    if not options.folders and options.store is None:
        raise UserError("expected a folder with photos, or --store FILE.")
    if not options.folders and not is_file(options.store):
        raise UserError(f"--store {options.store}: no such file.")
    undone = Undone(options.reject, options.forget or [])
    if options.store is None and undone:
        option = "--forget" if options.reject is None else "--reject"
        raise UserError(f"{option}: expected --store FILE as well, the store that holds these shoes.")
    if undone and not options.folders and options.reviewed is None:
        told = undo_in(options.store, undone)
        say(json.dumps(undone.record()) if options.json else "\n".join(told))
        return
    heap = heap_of(options.folders, options.sides)
    checkpoint = chosen_checkpoint(options)
    from shoepair.runs.folder import hold, release

    hold(options.out, "writes into it")
    try:
        answer = match(
            options.folders,
            checkpoint,
            heap,
            threshold=options.threshold,
            max_fmr=options.max_fmr,
            out=options.out,
            score=options.score,
            store=options.store,
            undone=undone,
            reviewed=options.reviewed,
            language=options.language,
        )
    finally:
        release()
    say(json.dumps(answer.record) if options.json else "\n".join(answer.lines))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="shoepair match",
        description="Find the pairs in a heap of photos of single shoes. Candidate pairs are scored, then the best "
        "set of pairs as a whole is taken; a shoe whose partner is not there stays single. Writes pairs.csv, "
        "singles.csv, contact_sheet.png and match.html, most doubtful first.",
        epilog="Example: shoepair match heap --out outputs/match",
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="a folder with one photo for each shoe")
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
        help="probability from which two shoes may be a pair (default 0.6); lower it, say to 0.001, if every shoe has "
        "its partner in the heap",
    )
    add_max_fmr(parser)
    _add_store(parser)
    parser.add_argument(
        "--reviewed",
        type=Path,
        metavar="FILE.csv",
        help="what a person said of pairs, as match.html saves it: columns left, right and verdict (right or wrong); "
        "the rest is matched anew",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/match"), metavar="DIR", help="where the files go (%(default)s)"
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="also say how many pairs are right, where names tell the truth: u<person>_<pair>_<side>...",
    )
    parser.add_argument(
        "--language", choices=languages(), default="en", help="of the page: %(choices)s (default %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON: pairs, singles, where the files are")
    return parser


def _add_store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--store",
        type=Path,
        metavar="FILE.db",
        help="remember the shoes and their pairs: photos that it knows are not read again, new shoes are compared with "
        "all that are still single; without DIR, all of it",
    )
    parser.add_argument(
        "--reject",
        nargs=2,
        metavar=("LEFT", "RIGHT"),
        help="two shoes of the store, as pairs.csv names them, are no pair: both are single again (./-a.jpg, where a "
        "name begins with a dash)",
    )
    parser.add_argument(
        "--forget",
        action="append",
        metavar="SHOE",
        help="a shoe of the store is gone; its partner is single again (may be repeated)",
    )


@dataclass(frozen=True)
class Heap:
    """What is in folders.

    Attributes:
        paths: of the photos that can be shown to a network, as far as their names say.
        sides: of their shoes, in the same order: "left", "right" or None (unknown).
        left_out: the other photos.
    """

    paths: Sequence[Path]
    sides: Sequence[str | None]
    left_out: Sequence[Path] = ()


@dataclass(frozen=True)
class Answer:
    """What was found, in a few lines for people, and as plain values for programs."""

    lines: list[str]
    record: dict[str, Any]


@dataclass(frozen=True)
class Undone:
    """What is to be undone in a store.

    Attributes:
        reject: two shoes that are no pair; None: nothing is said.
        forget: shoes that are gone.
    """

    reject: Sequence[str] | None = None
    forget: Sequence[str] = ()

    def __bool__(self) -> bool:
        return self.reject is not None or len(self.forget) > 0

    def record(self) -> dict[str, Any]:
        return {"rejected": self.reject, "forgotten": list(self.forget)}

    def apply(self, stock: "Store") -> list[str]:
        """Do it. Returns what was done, a line each.

        Raises:
            UserError: naming a shoe that is not there, or two that were no pair.
        """
        lines = []
        if self.reject is not None:
            left, right = self.reject
            if not stock.reject(stock.shoe_named(left), stock.shoe_named(right)):
                raise UserError(f"--reject {left} {right}: they are no pair in {stock.path}.")
            lines.append(f"{left} and {right} are single again, and will not be put together")
        for name in self.forget:
            stock.forget(stock.shoe_named(name))
            lines.append(f"{name} is forgotten")
        return lines


def undo_in(store: Path, undone: Undone) -> list[str]:
    """Undo something in a store, whatever its network is. Returns what was done, a line each."""
    from shoepair.inference.store import Store

    with Store(store, None) as stock:
        return undone.apply(stock)


def match(
    folders: Sequence[Path],
    checkpoint: Path,
    heap: Heap,
    *,
    out: Path,
    threshold: float | None = None,
    max_fmr: float | None = None,
    score: bool = False,
    store: Path | None = None,
    undone: Undone | None = None,
    reviewed: Path | None = None,
    language: str = "en",
    called: str | None = None,
) -> Answer:
    """Match the photos in folders and write what was found into `out`.

    Args:
        heap: what is in the folders, as heap_of() gives it.
        threshold: a probability; None: 0.6.
        max_fmr: instead of a threshold, the false match rate it is to give; see load_classifier.
        store: keeps shoes and pairs for the next time.
        undone: in the store, before anything is matched; kept with what is found, or not at all.
        reviewed: a CSV file of what a person said of pairs.
        language: of the page, a key of texts.languages().
        called: what the page calls the heap; None: its folders, or its store.
    Raises:
        UserError: for what the user can mend.
    """
    from shoepair.inference import matching
    from shoepair.inference.network import load_trained
    from shoepair.reports.matches import refuse_others

    refuse_others(out)
    if score:
        count_right([path.name for path in heap.paths], [])  # refuses before anything is computed
    said = matching.read_reviewed(reviewed)
    trained = load_trained(checkpoint)
    limit, sure_from = _limits(trained, threshold or DEFAULT_THRESHOLD, max_fmr)
    say_which(checkpoint, trained)
    _make_folder(out)
    told: list[str] = []
    counts = None
    if store is None:
        found = _match_heap(heap, trained, limit, said, out, num_folders=len(folders))
        counts = _count(found) if score else None
    else:
        found, told, counts = _match_store(store, undone or Undone(), heap, trained, limit, said, out, score=score)
    lines = [*told, found_line(found, limit)]
    if max_fmr is not None:
        lines.append(threshold_line(trained, limit))
    if counts is not None:
        lines.append(counts.line())
    shown = shown_of(found, limit, sure_from)
    what = called or ", ".join(map(in_utf8, folders)) or str(store)
    left_out = matching.names_of([*heap.left_out, *found.left_out], len(folders))
    lines.append(write_report(shown, out, limit=limit, what=what, left_out=left_out, language=language))
    record = _record(shown, found, left_out, limit, out) | (undone.record() if undone else {})
    return Answer(lines, record | ({} if counts is None else {"score": asdict(counts)}))


def _limits(trained: "TrainedNetwork", threshold: float, max_fmr: float | None) -> tuple[float, float]:
    """The calibrated logits from which two shoes may be a pair, and from which that is sure."""
    from shoepair.inference.classifier import SURE
    from shoepair.metrics.scores import logit_of

    if max_fmr is not None:  # that rate says what is sure enough, as in predict
        return trained.threshold(max_fmr), -math.inf
    return logit_of(threshold), max(trained.margin, logit_of(SURE))


def heap_of(folders: Sequence[Path], sides: str) -> Heap:
    """The photos in folders, and the sides of their shoes.

    Args:
        sides: "names", "unknown" or the path of a CSV file.
    """
    from shoepair.inference.gallery import list_photos, sides_from_names, sides_from_table

    paths, left_out = list_photos(folders)
    if sides == "names":
        return Heap(paths, sides_from_names(paths), left_out)
    if sides == "unknown":
        return Heap(paths, [None] * len(paths), left_out)
    if is_file(sides):
        return Heap(paths, sides_from_table(Path(sides), paths), left_out)
    raise UserError(f"--sides {sides}: expected names, unknown, or a CSV file; there is no such file.")


def _count(found: "Found", stored: Sequence[str] = ()) -> "Counts":
    place = {shoe: i for i, shoe in enumerate(found.shoes)}
    pairs = [(place[m.left], place[m.right]) for m in found.matches]
    names = [found.names[shoe] for shoe in found.shoes]
    others = set(stored).difference(names)
    return count_right([Path(name).name for name in names], pairs, [Path(name).name for name in others])


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; choose another folder.") from error


def _match_heap(
    heap: Heap, trained: "TrainedNetwork", limit: float, said: "Reviewed", out: Path, *, num_folders: int
) -> "Found":
    from shoepair.inference.gallery import read_gallery
    from shoepair.inference.matching import match_gallery, names_of
    from shoepair.reports.match_page import thumbnail_px

    gallery = read_gallery(heap.paths, heap.sides, trained, thumbnail_px(len(heap.paths)), out)
    found = match_gallery(gallery, names_of(gallery.paths, num_folders), trained, limit, said)
    read = set(gallery.paths)
    return replace(found, left_out=[path for path in heap.paths if path not in read])


def _match_store(
    store: Path, undone: Undone, heap: Heap, trained: "TrainedNetwork", limit: float, said: "Reviewed", out: Path,
    *, score: bool,
) -> tuple["Found", list[str], "Counts | None"]:  # fmt: skip
    from shoepair.inference.matching import match_store
    from shoepair.inference.store import Store
    from shoepair.reports.match_page import SMALL_THUMBNAIL_PX

    with Store(store, trained.fingerprint) as stock:
        told = undone.apply(stock)
        found = match_store(
            stock, heap.paths, heap.sides, trained, limit, said, thumbnail_px=SMALL_THUMBNAIL_PX, folder=out
        )
        counts = _count(found, stock.names(stock.all())) if score else None  # refuses before anything is kept
        return found, told, counts


def found_line(found: "Found", limit: float) -> str:
    """How many pairs were found above a calibrated logit."""
    from shoepair.metrics.scores import probability_in_percent, probability_of
    from shoepair.reports.tables import counted

    num_shoes = len(found.shoes)
    num_known = sum(found.gallery.sides[shoe] is not None for shoe in found.shoes)
    known = {0: "no side known", num_shoes: "all sides known"}.get(num_known, f"{num_known} sides known")
    return (
        f"{counted(num_shoes, 'shoe')}, {known}: {counted(len(found.matches), 'pair')}, "
        f"{counted(len(found.singles), 'single shoe')} (a pair from {probability_in_percent(probability_of(limit))} on)"
    )


@dataclass(frozen=True)
class Shown:
    """What a matching found, as people see it: pairs, most doubtful first, and single shoes."""

    matches: list["ShownMatch"]
    singles: list["ShownSingle"]


def shown_of(found: "Found", limit: float, sure_from: float) -> Shown:
    """Probabilities instead of logits, and what to look at again: that comes first.

    Args:
        sure_from: the calibrated logit from which the network is sure of a pair.
    """
    from shoepair.metrics.scores import probability_of
    from shoepair.reports import matches as report
    from shoepair.reports.match_page import UNSURE_MARGIN

    gallery = found.gallery
    cut_outs: Sequence[bytes | None] = gallery.cut_outs or [None] * len(found.names)
    each = zip(found.names, gallery.thumbnails, cut_outs, gallery.doubts, gallery.paths, strict=True)
    shoes = [report.ShownShoe(*one) for one in each]

    def probable(logit: float) -> float | None:
        return probability_of(logit) if math.isfinite(logit) else None

    def unsure(m: "Match") -> bool:
        doubted = any(gallery.doubts[shoe] for shoe in (m.left, m.right))
        return not m.confirmed and (m.distance(limit) < UNSURE_MARGIN or m.logit < sure_from or doubted)

    matches = [
        report.ShownMatch(
            shoes[m.left],
            shoes[m.right],
            probable(m.logit) or 0.0,
            None if m.runner_up is None else shoes[m.runner_up],
            probable(m.runner_up_logit),
            unsure=unsure(m),
        )
        for m in sorted(found.matches, key=lambda m: not unsure(m))
    ]
    singles = [
        report.ShownSingle(shoes[one.shoe], None if one.nearest is None else shoes[one.nearest], probable(one.logit))
        for one in found.singles
    ]
    return Shown(matches, sorted(singles, key=lambda single: -(single.probability or 0)))


def write_report(
    shown: Shown, out: Path, *, limit: float, what: str, left_out: Sequence[str] = (), language: str = "en"
) -> str:
    """Write the tables, the contact sheet and the page. Returns where they are.

    Args:
        what: was matched, in words.
        left_out: the names of photos that were not.
    """
    from shoepair.metrics.scores import probability_of
    from shoepair.reports import matches as report
    from shoepair.reports.match_page import write_page

    try:
        report.write_tables(out, shown.matches, shown.singles)
        sheets = report.draw_contact_sheets(out, shown.matches, shown.singles)
        page = out / "match.html"
        pages = write_page(
            page, shown.matches, shown.singles, gallery=what, left_out=left_out, threshold=probability_of(limit),
            language=language,
        )  # fmt: skip
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; choose another folder.") from error
    parts = f" and its {len(pages)} parts" if len(pages) > 1 else ""
    return f"Written {out}/match.html{parts}, {', '.join(sheet.name for sheet in sheets)}, pairs.csv, singles.csv"


def _record(shown: Shown, found: "Found", left_out: Sequence[str], limit: float, out: Path) -> dict[str, Any]:
    from shoepair.metrics.scores import probability_of, rounded_probability

    def rounded(probability: float | None) -> float | None:
        return None if probability is None else rounded_probability(probability, 6)

    return {
        "shoes": len(found.shoes),
        "threshold": rounded(probability_of(limit)),
        "pairs": [
            {
                "left": m.left.name,
                "right": m.right.name,
                "probability": rounded(m.probability),
                "runner_up": None if m.runner_up is None else m.runner_up.name,
                "runner_up_probability": rounded(m.runner_up_probability),
                "sure": not m.unsure,
                "reasons": m.reasons,
            }
            for m in shown.matches
        ],
        "singles": [
            {
                "shoe": s.shoe.name,
                "nearest": None if s.nearest is None else s.nearest.name,
                "probability": rounded(s.probability),
            }
            for s in shown.singles
        ],
        "left_out": left_out,
        "written": out.as_posix(),
    }


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
            f"Right: {self.right} of {self.found} pairs found{_share('precision', self.precision)}, "
            f"of {self.true} true pairs{_share('recall', self.recall)}"
        )


def _share(name: str, share: float) -> str:
    return "" if math.isnan(share) else f" ({name} {100 * share:.1f} %)"


def count_right(names: Sequence[str], pairs: Sequence[tuple[int, int]], others: Sequence[str] = ()) -> Counts:
    """Compare pairs with what the names say: u<person>_<pair>_<side>....

    Args:
        names: of the shoes whose pairs count.
        pairs: that were found, by their places in `names`.
        others: of shoes that may be a partner of one of these.
    Raises:
        UserError: if one of `names` says nothing.
    """
    truth = []
    for name in names:
        said = _whose(name)
        if said is None:
            raise UserError(f"--score: {name} does not say whose shoe it is; expected names such as u001_1_left_m.jpg.")
        truth.append(said)
    there = Counter([*truth, *map(_whose, others)])
    num_true = sum(there[one] - 1 for one in set(truth))
    return Counts(len(pairs), sum(truth[i] == truth[j] for i, j in pairs), num_true)


def _whose(name: str) -> tuple[str, str] | None:
    """The person and the pair that a name says."""
    said = re.match(r"(u\d+)_(\d+)_(left|right)", name, re.IGNORECASE)
    return None if said is None else (said[1].lower(), said[2])
