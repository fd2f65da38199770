"""The page for two shoes without a server, in a real browser: the pixels and the answers of `shoepair predict`."""

import base64
import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command, run_here
from PIL import Image
from real_browser import Browser

from shoepair import load_classifier
from shoepair.data.photos import read_square

RUNTIME = Path(__file__).parents[2] / "node_modules" / "onnxruntime-web"
SIZE = 64


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with the run that was exported and the page made of it, and the address where it is served."""
    if not RUNTIME.is_dir():
        pytest.skip("there is no onnxruntime-web: npm install --no-save onnxruntime-web@1.30.0")
    folder = tmp_path_factory.mktemp("served")
    with chdir(folder):
        typed = (f"data.image_size={SIZE}", "approach.cutout=32", "hydra.run.dir=outputs/run")
        for command in (
            ("train", *TINY, *typed),
            ("export", "--checkpoint", "outputs/run", "--page", "page", "--onnxruntime-web", str(RUNTIME.parent)),
        ):
            outcome = run_here(*command)
            assert outcome.code == 0, outcome.err
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def twenty_photos(drawn: Path, folder: Path) -> list[Path]:
    """PNG files of the network's size and others; then JPEG files, small and large, turned in each way."""
    folder.mkdir()
    paths = []
    for i, path in enumerate(sorted((drawn / "train").iterdir())[:20]):
        photo: Image.Image = Image.open(path)
        name = folder / f"{i:02}.{'png' if i < 10 else 'jpg'}"
        if i >= 2:
            photo = photo.resize([(200, 150), (97, 331), (640, 479), (1201, 801)][i % 4], Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = i % 8 + 1
        if i < 10:
            photo.save(name)
        else:
            photo.save(name, quality=90, exif=exif, subsampling=2 * (i % 2))
        paths.append(name)
    return paths


@pytest.mark.slow
def test_twenty_photos_have_the_pixels_and_answers_of_predict(
    served: tuple[Path, str], browser: Browser, drawn_photos: Path
) -> None:
    folder, address = served
    photos = twenty_photos(drawn_photos, folder / "photos")
    classifier = load_classifier(folder / "outputs" / "run")
    page = browser.open(f"{address}/page/index.html")
    for left, right in zip(photos[::2], photos[1::2], strict=True):
        found = page.evaluate(
            """async (paths) => {
            const { judge } = await import('/page/judge.js'); const { square } = await import('/page/photo.js');
            const read = async (path) => new File([await (await fetch(path)).blob()], path);
            const [left, right] = await Promise.all(paths.map(read)); const squares = [];
            for (const photo of [left, right]) {
              const { pixels } = await square(photo, SIZE);
              squares.push(btoa(String.fromCharCode(...pixels)));
            }
            return { squares, ...(await judge({ left, right })) }; }""".replace("SIZE", str(SIZE)),
            [f"/photos/{path.name}" for path in (left, right)],
        )
        lossless = left.suffix == ".png"
        for path, square in zip((left, right), found["squares"], strict=True):
            pixels = np.frombuffer(base64.b64decode(square), np.uint8).reshape(3, SIZE, SIZE)
            off = np.abs(pixels.astype(int) - read_square(path, SIZE))
            assert off.max() <= (0 if lossless else 6) and off.mean() < 1, path.name  # of 255
        said = classifier.compare(left, right)
        assert found["probability"] == pytest.approx(said.probability, abs=1e-3 if lossless else 1e-2)
        assert found["answer"] == said.answer
    assert browser.outside == [] and browser.complaints == []


@pytest.mark.slow
def test_a_person_gets_a_verdict_in_either_language(
    served: tuple[Path, str], browser: Browser, drawn_photos: Path
) -> None:
    left, right, *_ = sorted((drawn_photos / "train").iterdir())
    page = browser.open(f"{served[1]}/page/", width=390)
    page.click("nav a[lang=de]")
    page.set_input_files("#left", left)
    page.set_input_files("#right", right)
    page.wait_for_selector("#status[data-answer]")
    assert "%" in page.inner_text("#status .detail") or "Grund" in page.inner_text("#status")
    assert browser.axe() == [] and browser.outside == [] and browser.complaints == []


def test_mistakes_are_one_line(shoepair: Command, trained: Path) -> None:
    for typed, said in {
        "--page page --out shoes.onnx": "--page and --out: expected one of the two.",
        "--onnxruntime-web here": "--onnxruntime-web: expected --page DIR with it.",
        f"--page page --onnxruntime-web here --checkpoint {trained}": "--onnxruntime-web here: expected the folder of",
    }.items():
        outcome = shoepair("export", *typed.split())
        assert outcome.code == 2 and f"shoepair: {said}" in outcome.err
