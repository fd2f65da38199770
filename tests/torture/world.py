"""What the drivers torture: a trained run, a small sweep and drawn photos, and a quick way to run the program.

A forked process has torch imported already, so that a command takes a second instead of six. Its limits and files are
its own.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torture.counts import STOPPED

TINY = (
    "data.num_people=6", "data.num_test_people=2", "data.image_size=32", "data.batch_size=12", "approach.width=2",
    "trainer.max_epochs=2",
)  # fmt: skip


@contextlib.contextmanager
def world(name: str) -> Iterator[Path]:
    """A folder with outputs/run (trained), outputs/sweep (two jobs), photos/ and heap/; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{name}-"))
    before = dict(os.environ)
    os.environ |= {"XDG_CACHE_HOME": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    os.environ.pop("HYDRA_FULL_ERROR", None)
    import lightning  # noqa: F401 - for the processes that are forked
    import torch

    import shoepair.commands.compare
    import shoepair.commands.draw
    import shoepair.commands.match
    import shoepair.commands.predict
    import shoepair.inference.classifier
    import shoepair.inference.gallery
    import shoepair.launch.hydra_app
    import shoepair.launch.job
    import shoepair.training.evaluate
    import shoepair.training.train  # noqa: F401

    torch.set_num_threads(1)
    try:
        for arguments in (
            ("train", *TINY, "hydra.run.dir=outputs/run"),
            ("train", "-m", *TINY, "optimizer.lr=1e-3,1e-2", "hydra.sweep.dir=outputs/sweep"),
            ("draw", "photos", "--people", "6", "--test-people", "1", "--size", "32"),
        ):
            done = forked(*arguments, cwd=folder)
            assert done.returncode == 0, done.stderr
        shutil.copytree(folder / "photos" / "train", folder / "heap")
        yield folder
    finally:
        os.environ.clear()
        os.environ.update(before)
        remove(folder)


def remove(place: Path) -> None:
    """Also where folders lie deeper than Python can follow."""
    subprocess.run(["rm", "-rf", place], check=True)


@dataclass
class Running:
    """A forked process that runs the program, and where what it prints goes."""

    arguments: tuple[str, ...]
    child: int
    out: IO[bytes]
    err: IO[bytes]

    def end(self, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Wait for it. One that is not through after `seconds` is killed, and says STOPPED."""
        deadline, ended = time.monotonic() + seconds, (0, 0)
        while ended[0] == 0 and time.monotonic() < deadline:
            ended = os.waitpid(self.child, os.WNOHANG)
            time.sleep(0.005)
        stopped = ended[0] == 0
        if stopped:
            os.kill(self.child, signal.SIGKILL)
            ended = os.waitpid(self.child, 0)
        texts = []
        for file in (self.out, self.err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        said = f"\n{STOPPED}: {seconds:.0f} s" if stopped else ""
        code = os.waitstatus_to_exitcode(ended[1])
        return subprocess.CompletedProcess(list(self.arguments), code, texts[0], texts[1] + said)


def start(*arguments: str | Path, cwd: Path, before: Callable[[], object] = lambda: None) -> Running:
    """Run the program in a forked process.

    Args:
        before: called in that process first, to set its limits.
    """
    out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - Running.end() closes them
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        _run(arguments, cwd, out.fileno(), err.fileno(), before)
    return Running(tuple(map(str, arguments)), child, out, err)


def forked(
    *arguments: str | Path, cwd: Path, seconds: float = 600, before: Callable[[], object] = lambda: None
) -> subprocess.CompletedProcess[str]:
    """Run the program in a forked process until it ends; see start() and Running.end()."""
    return start(*arguments, cwd=cwd, before=before).end(seconds)


def _run(arguments: tuple[str | Path, ...], cwd: Path, out: int, err: int, before: Callable[[], object]) -> None:
    """What the forked process does; it does not return."""
    import traceback

    from shoepair.cli import main

    code: object = 70
    try:
        os.chdir(cwd)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(err, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = [str(Path(sys.executable).with_name("shoepair")), *map(str, arguments)]
        before()
        main()
        code = 0
    except SystemExit as stop:
        code = 0 if stop.code is None else stop.code
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)
