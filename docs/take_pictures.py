"""Takes the pictures of pages that stand in docs/, of drawn shoes only: `make pictures`, or some by their names.

python docs/take_pictures.py [match] [scalars] [hparams]

Needs Chromium, and playwright (`pip install -e '.[browser]'`).
"""

import argparse
import io
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
HEAP = [
    "draw drawn --people 8 --test-people 0 --own-scenes 1 --size 320",
    "match drawn/train --checkpoint ready --out match",
]
GRID = (
    "sweep=grid data.num_people=12 data.num_test_people=0 data.image_size=32 approach.width=2 trainer.max_epochs=4 "
    "hydra.sweep.dir=grid"
)
SETTLED_MS = 8000  # until TensorBoard has drawn its curves
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", metavar="PICTURE", help="match, scalars, hparams; default: all")
    wanted = set(parser.parse_args().pictures) or {"match", "scalars", "hparams"}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        if "match" in wanted:
            take_match(browser, Path(folder))
        if wanted & {"scalars", "hparams"}:
            shoepair(GRID, Path(folder))
            with tensorboard(Path(folder, "grid")) as address:
                if "scalars" in wanted:
                    take_scalars(browser, address)
                if "hparams" in wanted:
                    take_hparams(browser, address)
        browser.close()


def shoepair(typed: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-m", "shoepair", *typed.split()], cwd=folder, check=True)


def take_match(browser: Any, folder: Path) -> None:
    """The first row of the page of a heap."""
    for command in HEAP:
        shoepair(command, folder)
    page = opened(browser, (folder / "match" / "match.html").as_uri(), (1100, 800))
    page.locator("li").first.wait_for()
    save(page, "match.png")


def take_scalars(browser: Any, address: str) -> None:
    page = opened(browser, f"{address}#scalars", (1280, 622))
    page.wait_for_timeout(SETTLED_MS)
    save(page, "scalars.png")


def take_hparams(browser: Any, address: str) -> None:
    page = opened(browser, f"{address}#hparams", (1280, 598))
    page.get_by_text("Parallel coordinates view").click()
    page.wait_for_timeout(SETTLED_MS)
    save(page, "hparams.png")


def opened(browser: Any, address: str, size: tuple[int, int]) -> Any:
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height}, locale="en-GB")
    page.goto(address)
    return page


def save(page: Any, name: str) -> None:
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        few = picture.convert("RGB").quantize(256, kmeans=4)  # colours: less than half the bytes
        few.save(DOCS / name, optimize=True)
    print(f"{DOCS / name}: {(DOCS / name).stat().st_size / 1000:.0f} kB")


@contextmanager
def tensorboard(folder: Path) -> Iterator[str]:
    """The address of one that shows the runs in a folder."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = next(found for line in server.stderr if (found := re.search(r"http://\S+?:(\d+)/", line)))
        yield f"http://127.0.0.1:{found[1]}/"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
