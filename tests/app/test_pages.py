"""The app as people meet it: `shoepair app` in a process of its own, a real browser, a network trained here."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY, Command, run_here
from PIL import Image
from real_browser import Browser, drawn_shoe

from shoepair import load_classifier
from shoepair.texts import languages, load_texts


@dataclass(frozen=True)
class App:
    address: str
    checkpoint: Path
    process: subprocess.Popen[str]
    temporary: Path

    def photos(self) -> list[Path]:
        return [path for path in self.temporary.rglob("photos/*") if path.is_file()]


def start(run: Path, temporary: Path, *typed: str) -> App:
    process = subprocess.Popen(
        [sys.executable, "-m", "shoepair", "app", "--checkpoint", str(run), "--port", "0", *typed],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    assert process.stdout is not None
    said = re.search(r"http://[\d.]+:\d+/", process.stdout.readline())
    assert said is not None
    return App(said[0], run, process, temporary)


@pytest.fixture(scope="module")
def cut_outs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run that sees cut-outs."""
    folder = tmp_path_factory.mktemp("cut_outs")
    with chdir(folder):
        outcome = run_here(*("train", *TINY, "data.image_size=64", "approach.cutout=32", "hydra.run.dir=outputs/run"))
    assert outcome.code == 0, outcome.err
    return folder / "outputs" / "run"


@pytest.fixture(scope="module")
def app(cut_outs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    started = start(cut_outs, tmp_path_factory.mktemp("temporary"))
    yield started
    started.process.terminate()
    started.process.communicate(timeout=120)


@pytest.fixture
def photos(drawn_photos: Path) -> list[Path]:
    """Left and right shoe of every drawn pair, in turn."""
    return sorted((drawn_photos / "train").iterdir())


def verdict(browser: Browser) -> str:
    browser.page.wait_for_selector("#status[data-answer]")
    return str(browser.page.get_attribute("#status", "data-answer"))


pytestmark = pytest.mark.slow


def test_two_photos_give_the_verdict_of_predict(app: App, browser: Browser, photos: list[Path]) -> None:
    page = browser.open(app.address)
    page.set_input_files("#left", photos[0])
    assert page.inner_text("#status") == "Left shoe chosen."
    page.set_input_files("#right", photos[1])
    said = load_classifier(app.checkpoint).compare(photos[0], photos[1])
    assert verdict(browser) == said.answer
    assert page.get_attribute("#status", "aria-live") == "polite"
    assert load_texts()["two"]["headline"][said.answer.replace(" ", "_")] in page.inner_text("#status")
    assert page.locator(".seen img").count() == 4
    assert re.fullmatch(
        r"the left shoe, shaded: \d+ % of it has nothing like it in the right shoe",
        page.get_attribute(".seen img >> nth=1", "alt"),
    )
    assert page.evaluate("[...document.images].every(image => image.hidden || image.naturalWidth > 30)")
    assert app.photos() == [] and browser.outside == [] and browser.complaints == []


def test_a_photo_that_is_too_dark_is_said_to_be_in_each_language(
    app: App, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    Image.open(photos[0]).point(lambda value: value // 16).save(tmp_path / "dark.png")
    for language in languages():
        texts = load_texts(language)
        page = browser.open(f"{app.address}?language={language}")
        page.set_input_files("#left", tmp_path / "dark.png")
        page.set_input_files("#right", photos[1])
        assert verdict(browser) == "not sure"
        said = page.inner_text("#status")
        assert texts["two"]["headline"]["not_sure"] in said and texts["remedies"]["is too dark"] in said
        assert texts["photos"]["left"].format(doubt=texts["doubts"]["is too dark"]) in said


def test_a_file_that_is_no_photo_is_said_and_the_next_one_is_taken(
    app: App, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "left.png").write_bytes(photos[0].read_bytes()[:300])  # begins like one
    (tmp_path / "notes.png").write_text("shoes")
    page = browser.open(app.address)
    page.set_input_files("#right", photos[1])
    for name in ("left.png", "notes.png"):
        page.set_input_files("#left", tmp_path / name)
        page.wait_for_selector("#status >> text=The photo of the left shoe cannot be read")
    page.set_input_files("#left", photos[0])
    assert verdict(browser)
    assert app.photos() == []


def test_the_camera_takes_both_photos_by_keyboard_alone(app: App, browser: Browser) -> None:
    page = browser.open(app.address, permissions=["camera"])
    for side in ("left", "right"):
        while page.evaluate("document.activeElement.closest('section')?.dataset.side") != side:
            page.keyboard.press("Tab")
        page.keyboard.press("Tab")  # from the file to the camera
        page.keyboard.press("Enter")
        browser.until("document.querySelector('video').videoWidth === 640")
        assert page.evaluate("document.activeElement.closest('dialog') !== null")
        page.keyboard.press("Enter")
        page.wait_for_selector(f"section[data-side={side}] img[src^=blob]")
    assert verdict(browser)
    assert page.evaluate("document.querySelector('video').srcObject") is None  # the camera is off
    mean = page.evaluate(
        """async () => { const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
        await document.querySelector('img').decode();
        const drawing = canvas.getContext('2d'); drawing.drawImage(document.querySelector('img'), 0, 0, 1, 1);
        return [...drawing.getImageData(0, 0, 1, 1).data].slice(0, 3) }"""
    )
    np.testing.assert_allclose(mean, np.asarray(drawn_shoe()).mean((0, 1)), atol=25)
    assert browser.outside == [] and browser.complaints == []


def test_without_a_camera_it_says_what_to_do(app: App, browser: Browser) -> None:
    page = browser.open(app.address)
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('none')); }")
    page.click("section[data-side=left] [data-camera]")
    assert page.inner_text("#status") == "No camera can be used here. Choose a photo instead."


def test_a_heap_becomes_pairs_to_be_reviewed_and_saved(
    app: App, browser: Browser, photos: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "crate"
    folder.mkdir()
    for path in photos:
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "notes.txt").write_text("not a photo")
    (folder / "broken.png").write_text("not a photo either")
    (folder / "cut.png").write_bytes(photos[0].read_bytes()[:200])
    page = browser.open(f"{app.address}heap")
    page.set_input_files("#folder", folder)
    assert page.inner_text("#status") == f"{len(photos) + 2} photos chosen."
    page.focus("#start")
    page.keyboard.press("Enter")
    page.wait_for_url("**/pairs")
    assert page.inner_text("h1") == "Pairs found in your photos"
    assert re.search(r"the same photo as another: (broken.png, cut.png|cut.png, broken.png)\.", page.inner_text("main"))
    assert app.photos() == []
    if page.locator("li[data-number]").count():
        page.click("#pair-1 [data-act=wrong]")
        with page.expect_download() as download:
            page.click("[data-tool=save]")
        _, row = Path(download.value.path()).read_text().splitlines()
        assert re.fullmatch(r"u\d+_\d_left_.\.png,u\d+_\d_right_.\.png,wrong", row)
    assert browser.outside == [] and [c for c in browser.complaints if "415" not in c] == []


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("language", languages())
def test_the_pages_fit_a_phone_and_have_no_fault_that_axe_finds(
    app: App, browser: Browser, photos: list[Path], colours: str, language: str
) -> None:
    for which in ("heap", "two"):
        page = browser.open(f"{app.address}{which}?language={language}", width=390, colours=colours)
        if which == "two":
            page.set_input_files("#left", photos[0])
            page.set_input_files("#right", photos[1])
            verdict(browser)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert browser.axe() == []
    page.click("section[data-side=left] [data-camera]")
    page.wait_for_selector("dialog[open]")
    assert browser.axe() == []


def test_what_is_left_is_deleted_when_it_ends(cut_outs: Path, tmp_path: Path, browser: Browser) -> None:
    for how in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        app = start(cut_outs, tmp_path)
        page = browser.open(app.address)
        page.evaluate(
            """async () => { const {upload} = await (await fetch('/uploads', {method: 'POST'})).json();
            const canvas = document.createElement('canvas');
            const photo = await new Promise(done => canvas.toBlob(done));
            await fetch(`/uploads/${upload}?name=left`, {method: 'PUT', body: photo}); }"""
        )
        assert len(app.photos()) == 1
        app.process.send_signal(how)
        app.process.communicate(timeout=120)
        assert app.process.returncode == 0
        assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_line(shoepair: Command) -> None:
    for typed, said in {
        "--host 0.0.0.0": "--host 0.0.0.0: expected the address by which browsers call it",
        "--port 70000": "--port 70000: expected a number from 0 to 65535.",
        "--checkpoint nowhere": "checkpoint=nowhere: no such file or folder.",
    }.items():
        outcome = shoepair("app", *typed.split())
        assert outcome.code == 2 and outcome.err.startswith(f"shoepair: {said}")
