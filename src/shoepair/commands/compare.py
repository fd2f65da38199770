"""`shoepair compare`: runs side by side, repetitions over seeds and folds gathered into mean, spread and interval."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shoepair.commands.options import Parser
from shoepair.errors import UserError, one_line, refused_by_machine
from shoepair.files import is_folder
from shoepair.reports.leaderboard import (
    best_lines,
    markdown_report,
    problem_lines,
    terminal_table,
    write_csv,
    write_markdown,
)
from shoepair.runs.leaderboard import FACTS, METRICS, rank
from shoepair.runs.read import read_runs
from shoepair.terminal import say


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair compare",
        description="Compare the training runs in folders, best validation accuracy first. Runs that differ in seed or "
        "fold only are gathered: mean, standard deviation, and a 95 % interval over people. Writes leaderboard.md, "
        "leaderboard.csv (one row for each run) and, of two settings or more, leaderboard.png beside the runs.",
        epilog="Example: shoepair compare outputs",
    )
    parser.add_argument("folders", nargs="+", metavar="FOLDER", help="a run's folder, or any folder above run folders")
    parser.add_argument(
        "--test", action="store_true", help="show the test sets as well; choose on validation, not on them"
    )
    parser.add_argument(
        "--metric", choices=METRICS, default="accuracy", help="what ranks settings, of validation (default: accuracy)"
    )
    parser.add_argument(
        "--sort",
        metavar="COLUMN",
        help=f"not best first, but by a key that differs, or by {', '.join((*FACTS, *METRICS))}",
    )
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("--top", type=int, metavar="N", help="only the first N rows of the tables")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go (default: the first FOLDER)")
    options = parser.parse_args(arguments)
    for folder in options.folders:
        if not is_folder(folder):
            raise UserError(f"{folder}: no such folder.")
    if options.top is not None and options.top < 1:
        raise UserError(f"--top {options.top}: expected a whole number of at least 1.")
    for part in compare(
        options.folders,
        options.out or Path(options.folders[0]),
        test=options.test,
        markdown=options.markdown,
        metric=options.metric,
        sort=options.sort,
        reverse=options.reverse,
        top=options.top,
    ):
        say(part)


def compare(
    folders: Sequence[str | Path], out: Path, *, test: bool = False, markdown: bool = False, **ranked: Any
) -> Iterator[str]:
    """Write the leaderboard's files into `out`.

    Args:
        ranked: metric, sort, reverse and top, of runs.leaderboard.rank.
    Yields:
        The leaderboard as text, what did not complete or could not be read, and where the best run is; then, when that
        can be shown already, what was written.
    Raises:
        UserError: if there is no run that can be read.
    """
    runs, unreadable = read_runs(folders)
    if not runs:
        names = ", ".join(map(str, folders))
        raise UserError("; ".join([f"{names}: there is no run in it; `shoepair train` makes one.", *unreadable]))
    board = rank(runs, **ranked)
    table = markdown_report(board, test=test) if markdown else terminal_table(board, test=test)
    said = [table, *problem_lines(runs, unreadable), ""]
    if board.best.completed:
        said += best_lines(board, folders)
    yield "\n".join(said)
    from shoepair.reports.figures import draw_settings  # late: the table, and TAB, need no picture

    written = []
    for ending, write in (
        (".md", lambda path: write_markdown(path, board, test=test)),
        (".csv", lambda path: write_csv(path, board, test=test)),
        (".png", lambda path: draw_settings(path, board.ranked, board.metric)),
    ):
        path = out / f"leaderboard{ending}"
        try:
            out.mkdir(parents=True, exist_ok=True)
            if write(path) is not False:
                written.append(ending)
        except Exception as error:  # whatever a value does to a picture, the table stands above
            reason = refused_by_machine(error, path) or f"{path}: {type(error).__name__}: {one_line(str(error))}"
            yield f"Not written   {reason}"
    if written:
        yield f"Written       {out}/leaderboard{', '.join(written)}"
