"""What the commands that use a trained network share: which one, and its highest false match rate."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from shoepair.errors import UserError
from shoepair.terminal import say_aside

if TYPE_CHECKING:
    from shoepair.inference.network import TrainedNetwork


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line as all else is said: in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help.")


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        default="latest",
        metavar="PATH",
        help="a file, the folder of a run (what it kept) or of several (the best run); default: the newest run in "
        "outputs/, or, where nothing was trained, ready, a network that comes with shoepair; best: another one, which "
        "is right more often, takes longer, needs timm and downloads its encoder once",
    )
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE.py",
        help="a Python file or module with an approach of your own, if the network is of one",
    )


def chosen_checkpoint(options: argparse.Namespace) -> Path:
    """The file that --checkpoint means. Raises UserError if there is none."""
    if options.plugin:
        from shoepair.config.approaches import load_plugins

        load_plugins(options.plugin)
    from shoepair.runs.find import find_checkpoint  # late: --help need not read the schema

    return find_checkpoint(options.checkpoint, "outputs", or_ready=True)


def say_which(path: Path, trained: "TrainedNetwork") -> None:
    """One line on stderr: which network judges, and what it learned from."""
    from shoepair.runs.packaged import name_of

    name = name_of(path)
    if name is not None:
        which = f"{name}, which comes with shoepair, learned from drawn shoes alone (docs/models.md)"
    elif trained.learned_from_drawn:
        which = f"{path}, learned from drawn shoes alone: of photos it is surer than it should be"
    else:
        which = f"{path}, learned from photos"
    say_aside(f"Network: {which}")


def add_max_fmr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-fmr",
        type=float,
        metavar="RATE",
        help="highest false match rate: call two shoes a pair only from that probability on at which, of pairs that "
        "are different, at most this part is called the same, such as 0.05: with 95 %% confidence, by the checkpoint's "
        "validation pairs, each of them two shoes of one person",
    )


def check_max_fmr(rate: float | None) -> None:
    """Raises UserError if it is no rate."""
    if rate is not None and not 0 < rate < 1:
        raise UserError(f"--max-fmr {rate}: expected a rate between 0 and 1, such as 0.05.")


def threshold_line(trained: "TrainedNetwork", threshold: float) -> str:
    """What a threshold (a calibrated logit) that follows from a false match rate means on validation."""
    from shoepair.metrics.scores import probability_of, rounded_probability

    assert trained.calibration is not None
    different, same = trained.calibration.called_same(threshold)
    return (
        f"Threshold {rounded_probability(probability_of(threshold), 4):.4f}: in validation it calls {different} of "
        f"{len(trained.calibration.different)} different pairs the same, and finds {same} of "
        f"{len(trained.calibration.same)} same pairs"
    )
