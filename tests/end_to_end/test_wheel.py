"""What is handed out: source and wheel hold what version control holds, and the wheel works far from the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from shoepair import __version__

ROOT = Path(__file__).parents[2]
PACKAGED = {"src/shoepair": "shoepair", "conf": "shoepair/conf"}  # where a folder is in the wheel
MUST_BE_THERE = {
    "shoepair/conf/train.yaml",
    "shoepair/conf/experiment/best_dual.yaml",
    "shoepair/texts/de.toml",
    "shoepair/app/pages/two.html",
    "shoepair/reports/pages/match.js",
    "shoepair/models/ready.ckpt",
    "shoepair/models/segmenter.pt",
    "shoepair/models/taught.pt",
    "shoepair/py.typed",
}


@pytest.fixture(scope="module")
def tracked() -> list[str]:
    """Files under version control, as they are now."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tracked: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that was built from it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in tracked:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    # Without isolation: the setuptools of the dev extra, so that nothing is fetched.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    subprocess.run(command, check=True, cwd=out, stdout=subprocess.PIPE)
    return out


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own; what it needs comes from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    (wheel,) = built.glob("*.whl")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, cwd=folder)
    return folder


def in_wheel(tracked: list[str]) -> set[str]:
    """Where the package's files are to be found in the wheel."""
    return {
        f"{goal}/{PurePosixPath(name).relative_to(folder)}"
        for folder, goal in PACKAGED.items()
        for name in tracked
        if PurePosixPath(name).is_relative_to(folder)
    }


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(tracked: list[str], built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == in_wheel(tracked) and names >= MUST_BE_THERE


@pytest.mark.slow
def test_the_source_holds_what_the_wheel_is_built_from(tracked: list[str], built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    package = {name for name in tracked if any(PurePosixPath(name).is_relative_to(folder) for folder in PACKAGED)}
    assert names >= package | {"pyproject.toml", "README.md", "LICENSE"}


@pytest.mark.slow
def test_an_installed_wheel_draws_shows_and_judges(installed: Path, tmp_path: Path) -> None:
    def answer(*typed: str) -> str:
        environment = os.environ | {"PYTHONPATH": str(installed)}
        done = subprocess.run(
            [sys.executable, *typed], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    shoepair = str(installed / "bin" / "shoepair")
    places = answer("-c", "import shoepair, shoepair.conf as conf; print(shoepair.__file__); print(conf.__file__)")
    assert all(Path(place).is_relative_to(installed) for place in places.splitlines())
    assert answer(shoepair, "--version") == f"shoepair {__version__}\n"
    assert "\napproach:\n" in answer(shoepair, "train", "--cfg", "job")
    answer(shoepair, "draw", "drawn", "--people", "2", "--test-people", "0")
    left, right = sorted((tmp_path / "drawn" / "train").glob("u001_1_*"))
    assert "sure" in answer(shoepair, "predict", str(left), str(right))
