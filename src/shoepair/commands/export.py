"""`shoepair export`: a trained network as an ONNX file."""

from collections.abc import Sequence
from pathlib import Path

from shoepair.commands.options import Parser, add_checkpoint, chosen_checkpoint
from shoepair.errors import UserError
from shoepair.terminal import say


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair export",
        description="Write a trained network as an ONNX file. It takes two batches of square images, left and right, "
        "uint8 RGB of shape (B, 3, S, S), and gives the calibrated probability that each pair is the same. Approach, "
        "image size S, temperature and threshold stand in its metadata. The file is run and compared with torch before "
        "it is kept.",
        epilog="Examples: shoepair export --out shoes.onnx; shoepair export --page page",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="default: beside the checkpoint, with the ending .onnx; of a network that comes with shoepair, ready.onnx",
    )
    parser.add_argument(
        "--page",
        type=Path,
        metavar="DIR",
        help="instead of a file: a folder with a page for two photos, the network and onnxruntime-web; any static "
        "server can serve it; photos stay in the browser",
    )
    parser.add_argument(
        "--onnxruntime-web",
        type=Path,
        metavar="FOLDER",
        help="of --page: where the npm package onnxruntime-web lies, such as node_modules; default: npm fetches it",
    )
    options = parser.parse_args(arguments)
    if options.page is not None and options.out is not None:
        raise UserError("--page and --out: expected one of the two.")
    if options.onnxruntime_web is not None and options.page is None:
        raise UserError("--onnxruntime-web: expected --page DIR with it.")
    checkpoint = chosen_checkpoint(options)
    if options.page is not None:
        from shoepair.app.folder import export_page

        say(export_page(checkpoint, options.page, options.onnxruntime_web))
        return
    from shoepair.runs.packaged import name_of

    name = name_of(checkpoint)
    out = options.out or (Path(f"{name}.onnx") if name else checkpoint.with_suffix(".onnx"))
    from shoepair.inference.onnx import export

    say(export(checkpoint, out))
