"""The app's server against misuse: other hosts, other pages, too much, odd names; and what it forgets."""

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from shoepair.app import server
from shoepair.app.server import Judge, listen, make_server, safe_name
from shoepair.errors import UserError
from shoepair.texts import Texts


def compare(left: Path, right: Path, texts: Texts) -> dict[str, Any]:
    """By size of file, since these tests are about the way there and back."""
    if left.stat().st_size == right.stat().st_size:
        return {"answer": "same", "headline": texts["two"]["headline"]["same"]}
    raise UserError(f"{left}: these cannot be compared")


def match(photos: Path, refused: Sequence[str], sides: str, out: Path, language: str) -> Path:
    out.mkdir()
    names = sorted(path.name for path in photos.iterdir())
    (out / "match.html").write_text(f"{language} {sides} {names}, not {refused}")
    return out / "match.html"


class Client:
    def __init__(self, port: int, folder: Path) -> None:
        self.port, self.folder = port, folder

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        data = response.read()
        self.headers = response.headers
        connection.close()
        json_sent = response.headers.get_content_type() == "application/json"
        return response.status, json.loads(data) if json_sent else data.decode()

    def new(self) -> str:
        return str(self.ask("POST", "/uploads")[1]["upload"])

    def put(self, upload: str, name: str, body: bytes, **headers: str) -> tuple[int, Any]:
        return self.ask("PUT", f"/uploads/{upload}?name={quote(name, safe='')}", body, **headers)

    def put_side(self, upload: str, side: str, body: bytes) -> tuple[int, Any]:
        return self.ask("PUT", f"/uploads/{upload}?side={side}", body)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("app")
    with listen("127.0.0.1", 0) as listening:
        running = make_server(Judge(compare, match, lambda texts: texts["app"]["learned_drawn"]), "127.0.0.1", folder)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
        thread.start()
        yield Client(listening.getsockname()[1], folder)
        running.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("photo") / "shoe.png"
    Image.new("RGB", (30, 20), "red").save(path)
    return path.read_bytes()


def test_only_this_machines_own_pages_are_answered(client: Client) -> None:
    own = f"http://127.0.0.1:{client.port}"
    assert client.ask("GET", "/")[0] == 200
    assert client.ask("GET", "/", Host=f"localhost:{client.port}")[0] == 200
    for host in ("evil.example", f"evil.example:{client.port}", "127.0.0.1.evil.example", ""):
        assert client.ask("GET", "/", Host=host)[0] == 400, host
    assert client.ask("POST", "/uploads", Origin=own)[0] == 201
    for origin in ("http://evil.example", "null", "https://127.0.0.1", f"http://localhost:{client.port}"):
        assert client.ask("POST", "/uploads", Origin=origin)[0] == 403, origin


def test_pages_may_fetch_nothing_from_elsewhere(client: Client) -> None:
    for path in ("/", "/heap", "/static/two.js"):
        assert client.ask("GET", path)[0] == 200
        assert "default-src 'none'" in client.headers["content-security-policy"]
        assert client.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/static/../server.py", "/static/%2e%2e/server.py", "/base.html", "/etc/passwd", "/x"]
)
def test_no_other_file_is_sent(client: Client, path: str) -> None:
    assert client.ask("GET", path)[0] == 404


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        ("", "de-AT,en;q=0.5", "de"),
        ("", "fr, en;q=0.7", "en"),
        ("", "", "en"),
        ("en", "de", "en"),
        ("../x", "de", "de"),
    ],
)
def test_a_page_speaks_the_language_that_is_wanted(client: Client, asked: str, accepted: str, language: str) -> None:
    _, page = client.ask("GET", f"/two?language={quote(asked)}", Accept_Language=accepted)
    assert f'<html lang="{language}">' in page


def test_two_photos_are_judged_and_deleted(client: Client, photo: bytes) -> None:
    upload = client.new()
    assert client.put_side(upload, "left", photo) == (200, {"name": "left"})
    assert client.ask("POST", f"/uploads/{upload}/verdict")[0] == 409
    client.put_side(upload, "right", photo)
    assert sorted(path.name for path in client.folder.rglob("photos/*")) == ["left", "right"]
    status, said = client.ask("POST", f"/uploads/{upload}/verdict?language=de")
    assert status == 200 and said["headline"] == "Ja, sie gehören zusammen."
    assert not (client.folder / upload).exists()
    status, said = client.ask("POST", f"/uploads/{upload}/verdict")
    assert status == 404 and "deleted already" in said["error"]


def test_photos_are_deleted_also_if_they_cannot_be_judged(client: Client, photo: bytes) -> None:
    upload = client.new()
    client.put_side(upload, "left", photo)
    client.put_side(upload, "right", photo + b"more")
    assert client.ask("POST", f"/uploads/{upload}/verdict") == (422, {"error": "left: these cannot be compared"})
    assert not (client.folder / upload).exists()


def test_a_heap_is_matched_and_only_its_page_is_kept(client: Client, photo: bytes) -> None:
    upload = client.new()
    for name in ("a.png", "sub/a.png", "..\\a.png", "../../b.png", "IMG 12", "left"):
        assert client.put(upload, name, photo)[0] == 200
    status, said = client.put(upload, "notes.txt", b"shoes")
    assert status == 415 and said["error"] == "notes.txt is no photo."
    status, said = client.ask("POST", f"/uploads/{upload}/pairs?sides=unknown&language=de")
    assert status == 200
    names = ["IMG 12.jpg", "a (2).png", "a (3).png", "a.png", "b.png", "left.jpg"]
    assert client.ask("GET", said["page"]) == (200, f"de unknown {names}, not ['notes.txt']")
    assert [path.name for path in (client.folder / upload).rglob("*") if path.is_file()] == ["match.html"]
    assert client.ask("DELETE", f"/uploads/{upload}")[0] == 204 and not (client.folder / upload).exists()


def test_uploads_are_bounded(client: Client, photo: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_PHOTOS", 3)
    monkeypatch.setattr(server, "LARGEST_PHOTO", 2 * len(photo))
    monkeypatch.setattr(server, "LARGEST_UPLOAD", 4 * len(photo))
    monkeypatch.setattr(server, "MOST_UPLOADS", 2)
    first, second = client.new(), client.new()
    assert client.put(first, "a.png", photo * 3)[0] == 413
    assert client.put(first, "a.png", photo * 2)[0] == client.put(first, "b.png", photo * 2)[0] == 200
    assert client.put(first, "c.png", photo)[0] == 413  # all together
    assert [client.put(second, f"{i}.png", photo)[0] for i in range(4)] == [200, 200, 200, 413]
    assert not list((client.folder / first).rglob("c.png"))
    client.new()
    assert not (client.folder / first).exists() and client.put(first, "d.png", photo)[0] == 404


@pytest.mark.parametrize("name", ["", ".", "..", "/", "....", "\0", "a/../.."])
def test_a_name_that_is_none_is_refused(client: Client, photo: bytes, name: str) -> None:
    assert client.put(client.new(), name, photo)[0] == 400


def test_names_stay_as_they_are_where_they_can() -> None:
    assert safe_name("Größe 42, left.JPG", {}) == "Größe 42, left.JPG"
    assert safe_name("a\n\x1bb.png", {}) == "ab.png"
    assert len(safe_name("x" * 500 + ".jpeg", {})) == server.LONGEST_NAME


def test_an_upload_that_is_left_or_forgotten_is_no_error(
    client: Client, photo: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    upload = client.new()
    with socket.create_connection(("127.0.0.1", client.port)) as leaving:  # another photo was chosen
        head = f"PUT /uploads/{upload}?side=left HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
        leaving.sendall(head.encode() + b"half")
        wait_for(lambda: list(client.folder.rglob("photos/left")))
    wait_for(lambda: not list(client.folder.rglob("photos/left")))
    with socket.create_connection(("127.0.0.1", client.port)) as slow:  # the other one was refused
        slow.sendall(head.encode() + photo)
        wait_for(lambda: list(client.folder.rglob("photos/left")))
        assert client.ask("DELETE", f"/uploads/{upload}")[0] == 204
        slow.sendall(b"." * (1000 - len(photo)))
        assert slow.recv(100).startswith(b"HTTP/1.1 404")
    assert "Traceback" not in capfd.readouterr().err


def wait_for(happened: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(("host", "called"), [("2001:DB8:0::5", "[2001:db8::5]"), ("192.0.2.7", "192.0.2.7")])
def test_it_answers_by_the_address_that_it_listens_at(tmp_path: Path, host: str, called: str) -> None:
    app: Any = make_server(Judge(compare, match, lambda texts: ""), host, tmp_path).config.app
    status = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        status.append(message.get("status"))

    scope = {"type": "http", "method": "POST", "path": "/uploads", "query_string": b"", "root_path": "",
             "headers": [(b"host", f"{called}:8323".encode())], "scheme": "http"}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert status[0] == 201


def test_a_port_that_is_taken_is_one_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--host 127.0.0.1 --port {port}: .*in use"):
            listen("127.0.0.1", port)
