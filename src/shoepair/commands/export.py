"""`shoepair export`: a trained network as an ONNX file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from shoepair.commands.options import add_checkpoint, chosen_checkpoint


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="shoepair export",
        description="Write a trained network as an ONNX file. It takes two batches of square images, left and right, "
        "uint8 RGB of shape (B, 3, S, S), and gives the calibrated probability that each pair is the same. Approach, "
        "image size S, temperature and threshold stand in its metadata. The file is run and compared with torch before "
        "it is kept.",
        epilog="Example: shoepair export --out shoes.onnx",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: beside the checkpoint, with the ending .onnx"
    )
    options = parser.parse_args(arguments)
    checkpoint = chosen_checkpoint(options)
    out = options.out or checkpoint.with_suffix(".onnx")
    from shoepair.inference.onnx import export

    print(export(checkpoint, out))
