"""`shoepair app`: pages in this machine's browser for people who have photos and a question."""

import contextlib
import os
import signal
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from shoepair.commands.match import heap_of, match
from shoepair.commands.options import Parser, add_checkpoint, chosen_checkpoint, say_which
from shoepair.errors import NothingReadError, UserError
from shoepair.terminal import say
from shoepair.texts import Texts, load_texts

if TYPE_CHECKING:
    from shoepair.app.server import Judge
    from shoepair.inference.classifier import ShoeClassifier

PORT = 8323


def main(arguments: Sequence[str]) -> None:
    parser = Parser(
        prog="shoepair app",
        description="Open pages for this machine's browser: two photos to a verdict, and a heap of photos to pairs. "
        "Photos stay on this machine and are deleted after the answer. Ends with Ctrl-C.",
        epilog="Example: shoepair app --open",
    )
    add_checkpoint(parser)
    parser.add_argument(
        "--port", type=int, default=PORT, metavar="N", help="where it listens (default %(default)s; 0: any free one)"
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address at which it listens (default %(default)s: only this machine reaches it); with another one, "
        "all who reach that can send photos, and nothing is encrypted",
    )
    parser.add_argument("--open", action="store_true", help="open the browser")
    options = parser.parse_args(arguments)
    if not 0 <= options.port < 65536:
        raise UserError(f"--port {options.port}: expected a number from 0 to 65535.")
    if options.host in ("0.0.0.0", "::", ""):
        raise UserError(f"--host {options.host}: expected the address by which browsers call it, such as 192.168.1.20.")
    try:
        import starlette  # noqa: F401 - said now, not after torch has been imported
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'shoepair[app]'") from error
    checkpoint = chosen_checkpoint(options)
    from shoepair.app.server import listen

    with listen(options.host, options.port) as listening:  # first: a port that is taken is said at once
        from shoepair.inference.classifier import load_classifier

        classifier = load_classifier(checkpoint)
        say_which(checkpoint, classifier.trained)
        judge = judge_with(classifier)
        port = listening.getsockname()[1]
        address = f"http://{f'[{options.host}]' if ':' in options.host else options.host}:{port}/"
        with tempfile.TemporaryDirectory(prefix="shoepair-app-", ignore_cleanup_errors=True) as folder:
            from shoepair.app.server import make_server

            server = make_server(judge, options.host, Path(folder))

            def end(*_: object) -> None:
                server.should_exit = True

            for name in ("SIGTERM", "SIGHUP"):  # closing the terminal ends it too, and deletes the photos
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), end)
            say(f"shoepair app: {address} (Ctrl-C ends it)")
            sys.stdout.flush()  # also where a program reads it
            if options.open:
                webbrowser.open(address)
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
    sys.stdout.flush()
    os._exit(0)  # heaps may still be matched in a thread, for which Python would wait


def judge_with(classifier: "ShoeClassifier") -> "Judge":
    """What the app can do with this network."""
    from PIL import Image

    from shoepair.app.answers import about, answer
    from shoepair.app.server import Judge

    def compare(left: Path, right: Path, texts: Texts) -> dict[str, object]:
        return answer(classifier, left, right, texts)

    def match_heap(photos: Path, refused: Sequence[str], sides: str, out: Path, language: str) -> Path:
        texts = load_texts(language)
        heap = heap_of([photos], sides)
        heap = replace(heap, left_out=[*heap.left_out, *map(Path, refused)])
        try:
            match([photos], classifier.checkpoint, heap, out=out, language=language, called=texts["heap"]["called"])
        except NothingReadError as error:
            raise UserError(texts["app"]["none_readable"]) from error
        return out / "match.html"

    classifier.compare(*[Image.new("RGB", (8, 8))] * 2)  # the first judgement takes longer than those after it
    return Judge(compare, match_heap, lambda texts: about(classifier, texts))
