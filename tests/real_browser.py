"""A real browser for tests: Debian's Chromium, driven by playwright; and axe-core, which looks for faults in pages."""

import io
import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from shoepair.data.synthetic.collection import draw_shoes

# What Chromium would otherwise do by itself: look for updates, keep company with its maker.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class Browser:
    """One window after another, and what went wrong in them.

    Attributes:
        outside: addresses asked for that are neither on this machine nor in the page itself.
        complaints: what stood in the console as an error, and exceptions.
    """

    def __init__(self, chromium: Any) -> None:
        self.chromium = chromium
        self.outside: list[str] = []
        self.complaints: list[str] = []
        self.page: Any = None

    def open(self, address: str, *, width: int = 1200, colours: str = "light", **options: Any) -> Any:
        context = self.chromium.new_context(
            viewport={"width": width, "height": 800}, color_scheme=colours, locale="en-GB", **options
        )
        context.set_default_timeout(90_000)
        self.page = context.new_page()
        context.on("request", lambda request: self._look_at(request.url))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        return self.page

    def _look_at(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            self.outside.append(url)

    def until(self, expression: str, seconds: float = 90) -> None:
        """Wait until something is true; playwright's wait_for_function evaluates text, which our policies forbid."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"() => Boolean({expression})"):
            assert time.monotonic() < end, f"never: {expression}"
            self.page.wait_for_timeout(50)

    def axe(self) -> list[str]:
        """What axe-core finds in the page as it is now: the kind, how grave, and where."""
        from axe_playwright_python.base import AXE_FILE_PATH

        text = AXE_FILE_PATH.read_text(encoding="utf-8")
        self.page.evaluate(f"() => {{ {text} }}")
        found = self.page.evaluate("() => axe.run()")
        return [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html']}" for v in found["violations"]]


def drawn_shoe() -> Image.Image:
    """What the camera of the browser sees, (640, 480)."""
    shoes = draw_shoes(num_people=1, num_test_people=0, image_size=480, seed=5, hardness=0.5)["train"]
    photo = Image.new("RGB", (640, 480), "grey")
    photo.paste(Image.fromarray(shoes.images[0].permute(1, 2, 0).numpy()), (80, 0))
    return photo


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    missing = "playwright and axe-core are not installed: pip install -e '.[browser]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=missing)
    pytest.importorskip("axe_playwright_python", reason=missing)
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        frame = io.BytesIO()
        drawn_shoe().save(frame, "JPEG", quality=95)
        film = tmp_path_factory.mktemp("camera") / "shoe.mjpeg"
        film.write_bytes(frame.getvalue() * 5)
        camera = (
            "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={film}",
        )  # fmt: skip
        running = started.chromium.launch(executable_path=path, args=[*QUIET, *camera])
        yield running
        running.close()


@pytest.fixture
def browser(chromium: Any) -> Iterator[Browser]:
    opened = Browser(chromium)
    yield opened
    if opened.page is not None:
        opened.page.context.close()
