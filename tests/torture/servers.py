"""Servers and archives that are broken or crafted: one line in the time that is given, and nothing is left.

PYTHONPATH=tests python -m torture.servers 60 0. Nothing but the loopback address is asked.
"""

import contextlib
import io
import os
import random
import socket
import stat
import struct
import tempfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from torture.counts import Counts, main

WHOLE = {"data/train/u001_1_left_m.png": b"x" * 3000, "data/test_m/u002_1_left_m.png": b"y" * 3000}
SECONDS = 3  # that a download may take here


def zipped(contents: dict[str, bytes], **options: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            member = zipfile.ZipInfo(name)
            member.external_attr = options.get("attributes", 0) << 16
            archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def archives(chance: random.Random) -> tuple[str, bytes]:
    """An archive that must not be unpacked, or only as far as it is right."""
    kind = chance.choice(["bomb", "many", "outside", "link", "device", "encrypted", "twice", "crc", "cut off", "html",
                          "flipped", "empty", "no train", "file and folder", "long name", "nul", "claims"])  # fmt: skip
    whole = zipped(WHOLE)
    if kind == "bomb":
        return kind, zipped(WHOLE | {"data/train/u003_1_left_m.png": b"0" * 60_000_000})
    if kind == "many":
        return kind, zipped({f"data/train/{number}": b"" for number in range(3000)})
    if kind == "outside":
        name = chance.choice(
            ["../outside", "/outside", "data/../../outside", "C:\\outside", "..\\outside", "a/..", "/"]
        )
        return f"{kind} {name}", zipped(WHOLE | {name: b"x"})
    if kind in ("link", "device"):
        what = stat.S_IFLNK if kind == "link" else chance.choice([stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
        return kind, zipped({"data/train/u001_1_left_m.png": b"/etc/passwd"}, attributes=what | 0o777)
    if kind == "twice":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            buffer = io.BytesIO()
            with zipfile.ZipFile(buffer, "w") as archive:
                archive.writestr("data/train/a.png", b"one")
                archive.writestr(chance.choice(["data/train/a.png", "data/train/A.png"]), b"two")
        return kind, buffer.getvalue()
    if kind == "file and folder":
        return kind, zipped({"data/train": b"x", "data/train/u001_1_left_m.png": b"x"})
    if kind == "long name":
        return kind, zipped(WHOLE | {f"data/train/{'n' * 300}.png": b"x"})
    if kind == "nul":
        return kind, whole.replace(b"u001", b"u0\x001").replace(b"u002", b"\xff\x1b[3")
    if kind == "no train":
        return kind, zipped({"data/other/file": b"x"})
    broken = bytearray(whole)
    if kind == "flipped":
        for _ in range(chance.choice([1, 5])):
            broken[chance.randrange(len(broken))] ^= 1 << chance.randrange(8)
    elif kind == "cut off":
        broken = broken[: chance.randrange(len(broken))]
    elif kind in ("crc", "encrypted", "claims"):
        place = broken.index(b"PK\x01\x02")
        first = broken.index(b"PK\x03\x04")
        if kind == "crc":
            broken[place + 16] ^= 1
            broken[first + 14] ^= 1
        elif kind == "encrypted":
            broken[place + 8] |= 1
            broken[first + 6] |= 1
        else:
            broken[place + 24 : place + 28] = struct.pack("<I", 2**32 - 2)
    return kind, {"html": b"<html>Please log in</html>", "empty": b""}.get(kind, bytes(broken))


def answers(chance: random.Random) -> tuple[str, Callable[[socket.socket], None]]:
    """A server that is broken: what it does with a connection."""
    whole = zipped(WHOLE)
    head = b"HTTP/1.1 200 OK\r\n"

    def says(*parts: bytes) -> Callable[[socket.socket], None]:
        return lambda client: client.sendall(b"".join(parts))

    def drips(client: socket.socket, start: bytes = b"") -> None:
        client.sendall(start)
        while True:
            client.sendall(b"x")
            time.sleep(0.2)

    def hangs(client: socket.socket) -> None:
        time.sleep(4 * SECONDS)

    def floods(client: socket.socket) -> None:
        client.sendall(head + b"\r\n")
        while True:
            client.sendall(b"0" * 100_000)

    kinds: dict[str, Callable[[socket.socket], None]] = {
        "right": says(head, b"Content-Length: %d\r\n\r\n" % len(whole), whole),
        "right, length not said": says(head, b"\r\n", whole),
        "cut off": says(head, b"Content-Length: %d\r\n\r\n" % len(whole), whole[:500]),
        "too long": says(head, b"Content-Length: 100\r\n\r\n", whole),
        "a length that is none": says(head, b"Content-Length: -5\r\n\r\n", whole),
        "a huge length": says(head, b"Content-Length: 99999999999999\r\n\r\n", whole),
        "broken chunks": says(head, b"Transfer-Encoding: chunked\r\n\r\n", b"zz\r\n", whole),
        "chunks that end": says(head, b"Transfer-Encoding: chunked\r\n\r\n", b"fff\r\nabc"),
        "a circle": says(b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"),
        "to a file": says(b"HTTP/1.1 302 Found\r\nLocation: file:shoes.zip\r\nContent-Length: 0\r\n\r\n"),
        "to nowhere": says(b"HTTP/1.1 302 Found\r\nLocation: http://[::bad/\r\nContent-Length: 0\r\n\r\n"),
        "404": says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        "500": says(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        "401": says(b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Odd\r\nContent-Length: 0\r\n\r\n"),
        "204": says(b"HTTP/1.1 204 No Content\r\n\r\n"),
        "no HTTP": says(b"220 ready\r\n"),
        "nothing": says(),
        "bytes": says(chance.randbytes(5000)),
        "a long line": says(b"HTTP/1.1 200 " + b"a" * 100_000 + b"\r\n\r\n"),
        "many headers": says(head + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n"),
        "hangs": hangs,
        "drips its head": lambda client: drips(client, b"HTTP/1.1 200 OK\r\nX: "),
        "drips": lambda client: drips(client, head + b"Content-Length: 10000\r\n\r\n"),
        "floods": floods,
        "resets": lambda client: client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    }
    return chance.choice(list(kinds.items()))


def sends(content: bytes, client: socket.socket) -> None:
    client.sendall(content)


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on the loopback address. Yields its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                with client, contextlib.suppress(OSError):
                    client.recv(10_000)
                    answer(client)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def fetched(url: str, root: Path) -> str:
    """How a download of `url` into `root` ends."""
    from shoepair.data import download
    from shoepair.errors import UserError

    limits: Any = {"MAX_SECONDS": SECONDS, "TIMEOUT_S": 1, "MAX_ARCHIVE_BYTES": 5_000_000}
    limits |= {"MAX_UNPACKED_BYTES": 20_000_000, "MAX_FILES": 1000}
    started = time.monotonic()
    try:
        with mock.patch.multiple(download, **limits):
            download.fetch_photos(root, url)
        ended = "right" if (root / "train").is_dir() else "no train/ came of it"
    except UserError as error:
        ended = "one line" if "\n" not in str(error) and str(error).isprintable() else f"not a line: {error}"
        left = [path.name for path in root.iterdir()]
        ended = f"it left {left}" if left else ended
    except OSError as error:
        ended = "one line" if error.filename else f"{type(error).__name__}: {error}"
    except Exception as error:
        ended = f"{type(error).__name__}: {error}"
    if (root.parent / "outside").exists() or Path("/outside").exists():
        ended = "it wrote outside"
    return ended if time.monotonic() - started < 4 * SECONDS else f"{ended}, after {time.monotonic() - started:.0f} s"


def run(count: int, seed: int) -> Counts:
    counts, chance = Counts("servers and archives"), random.Random(seed)
    os.environ["no_proxy"] = "127.0.0.1"
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "photos")
            if number % 12 == 11:
                counts.add("nobody there", fetched("http://127.0.0.1:9/p3data.zip", root))
                continue
            if number % 2:
                what, content = archives(chance)
                head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content)
                answer: Callable[[socket.socket], None] = partial(sends, head + content)
            else:
                what, answer = answers(chance)
            with serving(answer) as port:
                scheme = "https" if number % 14 == 6 else "http"
                ended = fetched(f"{scheme}://127.0.0.1:{port}/p3data.zip", root)
            counts.add(f"{scheme}: {what}", ended)
    return counts


if __name__ == "__main__":
    main(run)
