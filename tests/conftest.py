"""What the tests share: running the command line in this process, and small folders of drawn photos."""

import contextlib
import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from lightning import LightningModule, Trainer
from PIL import Image
from real_browser import browser, chromium  # noqa: F401 - fixtures
from small_server import served  # noqa: F401 - a fixture

from shoepair.cli import main
from shoepair.data.synthetic.collection import draw_shoes
from shoepair.training.callbacks import StopOnDivergence

REAL_PHOTOS = Path(__file__).parents[2] / "shared" / "photos"

# What decides whether a change lands is the same every time; `make test-long` looks for new examples.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

# A run that is whole but takes a second or two.
TINY = (
    "data.num_people=6",
    "data.num_test_people=2",
    "data.image_size=32",
    "data.batch_size=12",
    "approach.width=2",
    "trainer.max_epochs=2",
)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests share a cache of their own: the user's stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """Ctrl-C reaches what the tests start, also where a shell runs them in the background and has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def shoepair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `shoepair ARGUMENTS` in an empty folder, in this process, since importing torch takes seconds."""
    monkeypatch.chdir(tmp_path)
    return run_here


def run_here(*arguments: str) -> Outcome:
    out, err, code = io.StringIO(), io.StringIO(), 0
    typed = sys.argv
    sys.argv = ["shoepair", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    finally:
        sys.argv = typed
    return Outcome(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of one tiny finished run of the dual approach, for tests that only look at it."""
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.chdir(folder):
        outcome = run_here("train", *TINY, "hydra.run.dir=outputs/tiny")
    assert outcome.code == 0, outcome.err
    yield folder / "outputs" / "tiny"


@pytest.fixture(scope="session")
def drawn_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn shoes as files in the layout of the course: 4 people in train, 1 in test_m and 1 in test_w."""
    root = tmp_path_factory.mktemp("photos")
    for split, shoes in draw_shoes(num_people=4, num_test_people=1, image_size=64, seed=0, hardness=0.5).items():
        (root / split).mkdir()
        for image, shoe in zip(shoes.images, shoes.shoes, strict=True):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / split / f"{shoe.name}.png")
    return root


@pytest.fixture(scope="session")
def real_photos() -> Path:
    if not REAL_PHOTOS.is_dir():
        pytest.skip(f"there are no real photos at {REAL_PHOTOS}")
    return REAL_PHOTOS


def stop_in(epoch: int, monkeypatch: pytest.MonkeyPatch, shoepair: Command, *typed: str) -> None:
    """A run that dies in the middle of an epoch, counted from 1."""

    def stop(self: StopOnDivergence, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch == epoch - 1:
            raise ZeroDivisionError

    with monkeypatch.context() as patched, pytest.raises(ZeroDivisionError):
        patched.setattr(StopOnDivergence, "on_train_epoch_end", stop)
        shoepair(*typed)
