"""`shoepair predict`: what a trained network says of two photos, or of many pairs of them, in plain words."""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
from shoepair.files import csv_line, find_file, is_file, is_folder, read_rows, what_instead
from shoepair.terminal import printable, say, say_aside

WRITTEN_BY = "shoepair predict"  # what a picture of --explain says of itself

if TYPE_CHECKING:
    from shoepair.inference.classifier import ShoeClassifier, Verdict


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair predict",
        usage="shoepair predict [-h] (LEFT RIGHT | --stacked PHOTO | --pairs FILE.csv) [--checkpoint PATH] "
        "[--max-fmr RATE] [--explain FILE.png] [--json]",
        description="Say whether two photos, a left shoe and a right shoe, show the same pair. Photos of any size, in "
        "any format that pillow reads; they are prepared as in training. The probability is calibrated on the "
        "checkpoint's validation pairs.",
        epilog="Example: shoepair predict left.jpg right.jpg",
    )
    parser.add_argument("photos", nargs="*", metavar="PHOTO", help="the left shoe, then the right one")
    parser.add_argument("--stacked", metavar="PHOTO", help="one photo of both: the left shoe above the right one")
    parser.add_argument(
        "--pairs",
        type=Path,
        metavar="FILE.csv",
        help="many pairs: columns left and right, paths as seen from the folder of FILE.csv; answers as CSV",
    )
    add_checkpoint(parser)
    add_max_fmr(parser)
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="FILE.png",
        help="of two photos: a picture of what the network sees of them, and of the places that are alike",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON, one line for each pair")
    options = parser.parse_args(arguments)
    if sum((bool(options.photos), options.stacked is not None, options.pairs is not None)) != 1:
        raise UserError("expected either LEFT and RIGHT, or --stacked PHOTO, or --pairs FILE.csv.")
    if options.photos and len(options.photos) != 2:
        raise UserError(f"expected two photos, LEFT and RIGHT; received {len(options.photos)}.")
    _check_explain(options)
    for photo in [*options.photos, *filter(None, [options.stacked])]:
        if not is_file(photo):
            raise UserError(f"{photo}: {what_instead(photo)}.")
    check_max_fmr(options.max_fmr)
    pairs = read_pairs(options.pairs) if options.pairs is not None else []
    checkpoint = chosen_checkpoint(options)

    from shoepair.inference.classifier import load_classifier, split_stacked

    classifier = load_classifier(checkpoint, max_fmr=options.max_fmr)
    if options.max_fmr is not None:
        say_aside(threshold_line(classifier.trained, classifier.threshold))
    if options.pairs is not None:
        say_which(checkpoint, classifier.trained)
        answers = classifier.try_all(paths for _, paths in pairs)
        _answer_many(options.pairs, [names for names, _ in pairs], answers, as_json=options.json)
        return
    if options.stacked is not None:
        verdict = classifier.compare(*split_stacked(options.stacked))
        names = {"stacked": options.stacked}
    else:
        verdict = classifier.compare(*options.photos)
        names = dict(zip(("left", "right"), options.photos, strict=True))
        if options.explain is not None:
            _explain(classifier, options.photos, verdict, options.explain)
    say_which(checkpoint, classifier.trained)
    say(_as_json(names, verdict) if options.json else verdict.sentence)


def _check_explain(options: argparse.Namespace) -> None:
    if options.explain is None:
        return
    if not options.photos:
        raise UserError("--explain: expected LEFT and RIGHT; it shows one pair.")
    if is_folder(options.explain):
        raise UserError(f"--explain {options.explain}: this is a folder; expected the name of a PNG file.")
    if not is_folder(options.explain.absolute().parent):
        raise UserError(f"--explain {options.explain}: no such folder as {options.explain.parent}.")
    if os.path.lexists(options.explain) and not _is_explanation(options.explain):
        raise UserError(f"--explain {options.explain}: this file is there already; choose another name.")


def _is_explanation(path: Path) -> bool:
    """Whether `shoepair predict` has written this file, so that it may write another one in its place."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.info.get("Software") == WRITTEN_BY
    except Exception:  # of whatever else stands there
        return False


def _explain(classifier: "ShoeClassifier", photos: Sequence[str], verdict: "Verdict", path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    from shoepair.files import replacing
    from shoepair.inference.classifier import open_photo
    from shoepair.reports.explanation import draw_explanation

    seen = classifier.explain(*photos)
    opened = [open_photo(photo) for photo in photos]
    picture = draw_explanation(opened, seen.cut_outs, seen.alike, seen.links, verdict.sentence)
    written = PngInfo()
    written.add_text("Software", WRITTEN_BY)
    with replacing(path) as partial:
        picture.save(partial, "PNG", pnginfo=written)


def read_pairs(path: Path) -> list[tuple[tuple[str, str], tuple[Path, Path]]]:
    """The rows of a CSV file with columns left and right: the two names, and the two paths.

    Raises:
        UserError: if it cannot be read, a column is missing, or a row is without a name; with its line.
    """
    rows = []
    for line, row in read_rows(path, ("left", "right")):
        left, right = row["left"], row["right"]
        if not left or not right:
            raise UserError(f"{path}, line {line}: there is no {'right' if left else 'left'} photo.")
        photos = [find_file(path.parent, name) or path.parent / name for name in (left, right)]
        rows.append(((left, right), (photos[0], photos[1])))
    if not rows:
        raise UserError(f"{path}: there is no pair in it.")
    return rows


def _answer_many(
    path: Path, names: list[tuple[str, str]], answers: Iterable["Verdict | UserError"], *, as_json: bool
) -> None:
    """One row for each pair. Raises UserError in the end if some could not be used."""
    from shoepair.metrics.scores import rounded_probability
    from shoepair.progress import progress

    if not as_json:
        _print_row(["left", "right", "same", "probability", "sentence", "answer"])
    unusable: list[UserError] = []
    if not sys.stdout.isatty():  # rows that appear on the same terminal would break the bar
        answers = progress(answers, "Pairs", "pair", len(names))
    for (left, right), answer in zip(names, answers, strict=True):
        if isinstance(answer, UserError):
            unusable.append(answer)
            said = f"Cannot say: {answer}"
            row = {"left": left, "right": right, "same": None, "probability": None, "sentence": said, "answer": None}
            if as_json:
                say(json.dumps(row | {"threshold": None, "reasons": []}))
            else:
                _print_row(row.values())
        elif as_json:
            say(_as_json({"left": left, "right": right}, answer))
        else:
            same, probability = str(answer.same).lower(), f"{rounded_probability(answer.probability, 4):.4f}"
            _print_row([left, right, same, probability, answer.sentence, answer.answer])
    if unusable:
        raise UserError(f"{path}: {len(unusable)} of {len(names)} pairs cannot be used; the first: {unusable[0]}")


def _print_row(values: Iterable[object]) -> None:
    """As it is into a file or a pipe, where names are to be read again; on a terminal nothing that steers it."""
    line = csv_line(values)
    sys.stdout.write(printable(line) if sys.stdout.isatty() else line)


def _as_json(names: dict[str, str], verdict: "Verdict") -> str:
    from shoepair.metrics.scores import rounded_probability

    return json.dumps(
        names
        | {
            "same": verdict.same,
            "probability": rounded_probability(verdict.probability, 6),
            "sentence": verdict.sentence,
            "answer": verdict.answer,
            "threshold": rounded_probability(verdict.threshold, 6),
            "reasons": list(verdict.reasons),
        }
    )
