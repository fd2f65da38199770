"""A server on the loopback address, which stands in for those that weights are downloaded from."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@pytest.fixture
def served() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A small server: its address, and the files it has."""
    files: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> bytes:
            body = files.get(self.path.lstrip("/"), b"")
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')  # the hub's client asks for these two
            self.send_header("X-Repo-Commit", "0" * 40)
            self.end_headers()
            return body

        def do_GET(self) -> None:
            self.wfile.write(self.do_HEAD())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()
