"""The course's archive, served from the loopback address: what works, and what goes wrong."""

import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Command

from shoepair.data import download
from shoepair.data.download import fetch_photos, unpack
from shoepair.errors import UserError


class Files:
    """A small server: what it answers to which path, and how often it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, bytes, int]] = {}  # status, body, claimed length
        self.asked: list[str] = []
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                files.asked.append(self.path)
                status, body, length = files.answers.get(self.path, (404, b"", 0))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def serve(self, name: str, body: bytes, *, status: int = 200, missing: int = 0) -> str:
        self.answers[f"/{name}"] = (status, body[: len(body) - missing], len(body))
        return f"http://127.0.0.1:{self.server.server_port}/{name}"


@pytest.fixture
def files() -> Iterator[Files]:
    served = Files()
    yield served
    served.server.shutdown()
    served.server.server_close()


def zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def archive(drawn_photos: Path) -> bytes:
    """The drawn photos, two folders down, beside something else."""
    contents = {f"p3data/data/{p.relative_to(drawn_photos)}": p.read_bytes() for p in drawn_photos.rglob("*.png")}
    return zipped(contents | {"p3data/readme.txt": b"photos of shoes"})


def test_photos_are_fetched_once_and_found_inside(files: Files, archive: bytes, tmp_path: Path) -> None:
    url = files.serve("p3data.zip", archive)
    fetch_photos(tmp_path / "photos", url)
    fetch_photos(tmp_path / "photos", url)
    assert files.asked == ["/p3data.zip"]
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["test_m", "test_w", "train"]
    assert len(list((tmp_path / "photos" / "train").iterdir())) == 24


def test_training_downloads_what_it_needs(
    files: Files, archive: bytes, shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ARCHIVE_URL", files.serve("p3data.zip", archive))
    settings = [setting for setting in TINY if "num_test_people" not in setting]
    outcome = shoepair(*settings, "data=photos", "data.root=course", "data.download=true")
    assert outcome.code == 0, outcome.err
    assert "photos, 32 pixels: train 3 people" in outcome.out


def failures() -> dict[str, dict[str, Any]]:
    whole = zipped({"train/u001_1_left_m.png": b"x" * 5000})
    return {
        "not there": {"body": b"", "status": 404},
        "cut off": {"body": whole, "missing": 50},
        "cut off unnoticed": {"body": whole[:-50]},
        "wrong content": {"body": b"<html>Please log in</html>"},
        "no train folder": {"body": zipped({"other/file.txt": b"x"})},
        "path outside": {"body": zipped({"train/../../outside.txt": b"x"})},
        "absolute path": {"body": zipped({"/outside.txt": b"x"})},
    }


@pytest.mark.parametrize("name", failures())
def test_a_failed_download_is_one_line_and_leaves_nothing(files: Files, tmp_path: Path, name: str) -> None:
    root = tmp_path / "deep" / "photos"
    url = files.serve("p3data.zip", **failures()[name])
    with pytest.raises(UserError) as raised:
        fetch_photos(root, url)
    assert "\n" not in str(raised.value)
    assert list(root.iterdir()) == [] and not list(tmp_path.rglob("outside.txt"))
    fetch_photos(
        root, files.serve("p3data.zip", zipped({"train/u001_1_left_m.png": b"x"}))
    )  # and it can be tried again
    assert (root / "train").is_dir()


def test_nobody_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the download failed"):
        fetch_photos(tmp_path, "http://127.0.0.1:9/p3data.zip")


def test_links_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        link = zipfile.ZipInfo("train/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="a link"):
        unpack(tmp_path / "a.zip", tmp_path / "goal")


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({"train/a": b"0" * 3_000_000, "train/b": b"0" * 3_000_000}))
    monkeypatch.setattr(download, "MAX_UNPACKED_BYTES", 5_000_000)
    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(tmp_path / "a.zip", tmp_path / "goal")
    assert sum(p.stat().st_size for p in (tmp_path / "goal").rglob("*") if p.is_file()) <= 5_000_000
