"""`shoepair export`: a trained network as an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

from shoepair.commands.options import Parser, add_checkpoint, chosen_checkpoint
from shoepair.terminal import say


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair export",
        description="Write a trained network as an ONNX file. It takes two batches of square images, left and right, "
        "uint8 RGB of shape (B, 3, S, S), and gives the calibrated probability that each pair is the same. Approach, "
        "image size S, temperature and threshold stand in its metadata. The file is run and compared with torch before "
        "it is kept.",
        epilog="Example: shoepair export --out shoes.onnx",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: beside the checkpoint, with the ending .onnx; of the one that comes with shoepair, ready.onnx",
    )
    options = parser.parse_args(arguments)
    checkpoint = chosen_checkpoint(options)
    from shoepair.runs.find import READY_CHECKPOINT

    out = options.out or (Path("ready.onnx") if checkpoint == READY_CHECKPOINT else checkpoint.with_suffix(".onnx"))
    from shoepair.inference.onnx import export

    say(export(checkpoint, out))
