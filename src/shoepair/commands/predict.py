"""`shoepair predict`: what a trained network says of two photos, or of many pairs of them, in plain words."""

import argparse
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shoepair.errors import UserError
from shoepair.files import read_rows
from shoepair.runs.find import find_checkpoint

if TYPE_CHECKING:
    from shoepair.inference.classifier import Verdict
    from shoepair.inference.network import TrainedNetwork


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="shoepair predict",
        usage="shoepair predict [-h] (LEFT RIGHT | --stacked PHOTO | --pairs FILE.csv) [--checkpoint PATH] "
        "[--false-matches RATE] [--json]",
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
    add_false_matches(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON, one line for each pair")
    options = parser.parse_args(arguments)
    if sum((bool(options.photos), options.stacked is not None, options.pairs is not None)) != 1:
        raise UserError("expected either LEFT and RIGHT, or --stacked PHOTO, or --pairs FILE.csv.")
    if options.photos and len(options.photos) != 2:
        raise UserError(f"expected two photos, LEFT and RIGHT; received {len(options.photos)}.")
    for photo in [*options.photos, *filter(None, [options.stacked])]:
        if not Path(photo).exists():
            raise UserError(f"{photo}: no such file.")
    check_false_matches(options.false_matches)
    pairs = read_pairs(options.pairs) if options.pairs is not None else []
    checkpoint = chosen_checkpoint(options.checkpoint)

    from shoepair.inference.classifier import load_classifier, split_stacked

    classifier = load_classifier(checkpoint, false_matches=options.false_matches)
    if options.false_matches is not None:
        print(threshold_line(classifier.trained, classifier.threshold), file=sys.stderr)
    if options.pairs is not None:
        answers = classifier.try_all(paths for _, paths in pairs)
        _answer_many(options.pairs, [names for names, _ in pairs], answers, as_json=options.json)
        return
    if options.stacked is not None:
        verdict = classifier.compare(*split_stacked(options.stacked))
        names = {"stacked": options.stacked}
    else:
        verdict = classifier.compare(*options.photos)
        names = dict(zip(("left", "right"), options.photos, strict=True))
    print(_as_json(names, verdict) if options.json else verdict.sentence)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="PATH",
        help="a file, the folder of a run (what it kept) or of several (the best run); default: the newest run in "
        "outputs/",
    )


def chosen_checkpoint(asked: str) -> Path:
    """The file that --checkpoint means, said on stderr if that was not typed. Raises UserError if there is none."""
    path = find_checkpoint(asked, "outputs")
    if str(path) != asked:
        print(f"Checkpoint {path}", file=sys.stderr)
    return path


def add_false_matches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--false-matches",
        type=float,
        metavar="RATE",
        help="call two shoes a pair only from that probability on at which, of pairs that are different, at most this "
        "part is called the same, such as 0.05: with 95 %% confidence, by the checkpoint's validation pairs, each of "
        "them two shoes of one person",
    )


def check_false_matches(rate: float | None) -> None:
    """Raises UserError if it is no rate."""
    if rate is not None and not 0 < rate < 1:
        raise UserError(f"--false-matches {rate}: expected a rate between 0 and 1, such as 0.05.")


def threshold_line(trained: "TrainedNetwork", threshold: float) -> str:
    """What a threshold (a calibrated logit) that follows from a rate of false matches means on validation."""
    from shoepair.metrics.scores import probability_of

    assert trained.calibration is not None
    different, same = trained.calibration.called_same(threshold)
    return (
        f"Threshold {probability_of(threshold):.4f}: in validation it calls {different} of "
        f"{len(trained.calibration.different)} different pairs the same, and finds {same} of "
        f"{len(trained.calibration.same)} same pairs"
    )


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
        rows.append(((left, right), (path.parent / left, path.parent / right)))
    if not rows:
        raise UserError(f"{path}: there is no pair in it.")
    return rows


def _answer_many(
    path: Path, names: list[tuple[str, str]], answers: Iterable["Verdict | UserError"], *, as_json: bool
) -> None:
    """One row for each pair. Raises UserError in the end if some could not be used."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if not as_json:
        writer.writerow(["left", "right", "same", "probability", "sentence"])
    unusable: list[UserError] = []
    for (left, right), answer in zip(names, _with_progress(answers, len(names)), strict=True):
        if isinstance(answer, UserError):
            unusable.append(answer)
            row = {"left": left, "right": right, "same": None, "probability": None, "sentence": f"Cannot say: {answer}"}
            if as_json:
                print(json.dumps(row | {"threshold": None}))
            else:
                writer.writerow(["" if value is None else value for value in row.values()])
        elif as_json:
            print(_as_json({"left": left, "right": right}, answer))
        else:
            writer.writerow([left, right, str(answer.same).lower(), f"{answer.probability:.4f}", answer.sentence])
    if unusable:
        raise UserError(f"{path}: {len(unusable)} of {len(names)} pairs cannot be used; the first: {unusable[0]}")


def _with_progress(answers: Iterable["Verdict | UserError"], total: int) -> Iterator["Verdict | UserError"]:
    from tqdm import tqdm

    # Rows that appear on the same terminal would break the bar.
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    return iter(tqdm(answers, total=total, unit="pair", leave=False, disable=not shown))


def _as_json(names: dict[str, str], verdict: "Verdict") -> str:
    return json.dumps(
        names
        | {
            "same": verdict.same,
            "probability": round(verdict.probability, 6),
            "sentence": verdict.sentence,
            "threshold": round(verdict.threshold, 6),
        }
    )
