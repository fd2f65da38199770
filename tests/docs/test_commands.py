"""The commands of README.md and of docs/ do what these say, with shortened settings."""

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import TINY, run_here

ROOT = Path(__file__).parents[2]
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8") for page in
         [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}  # fmt: skip
# What tests of its own run: servers, resumed runs, stores that grow, databases, pages, columns of a sweep.
ELSEWHERE = (
    "shoepair app", "--page", "resume=", "--reviewed", "--store", "postgresql", "--sort lr", "checkpoint=best",
)  # fmt: skip


def commands_of(text: str) -> list[str]:
    # Every block is looked for, also those in a language: else the end of one would be taken for the start of another.
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [
        line.partition("#")[0].strip() for language, block in blocks if not language for line in block.splitlines()
    ]
    return [line for line in lines if line.startswith("shoepair ")]


def all_commands() -> list[object]:
    """Each once; those of README.md that take no sweep are quick, the others are slow."""
    found: dict[str, bool] = {}
    for page, text in PAGES.items():
        for command in commands_of(text):
            if not any(known in command for known in ELSEWHERE):
                found.setdefault(command, page != "README.md" or "sweep=" in command or "glob" in command)
    return [
        pytest.param(command, marks=[pytest.mark.slow, pytest.mark.long]) if slow else command
        for command, slow in found.items()
    ]


def write_example_experiment(folder: Path) -> None:
    """The file that docs/sweeps.md shows, where it says that it stands."""
    texts = re.findall(r"^```yaml\n(.*?)^```", PAGES["docs/sweeps.md"], re.MULTILINE | re.DOTALL)
    (text,) = (text for text in texts if "# This is " in text)
    path = folder / text.splitlines()[1].removeprefix("# This is ")
    path.parent.mkdir(parents=True)
    path.write_text(text)


def shortened(command: str, drawn_photos: Path, trained: Path) -> list[str]:
    """A command's words with tiny settings; what it needs of earlier ones is laid out in the current folder."""
    words = shlex.split(command.replace("data.root=photos", f"data.root={drawn_photos}"))[1:]
    if words[0] != "train":
        shutil.copytree(trained.parent, "outputs")
        words = [word.replace("data.fold=0,1,2,3,4", "data.fold=0,1") for word in words]
        if "data.fold=0,1" in words:
            words.append("data.folds=2")
        return words
    on_photos = "data=photos" in words
    tiny = [setting for setting in TINY if "num_test_people" not in setting or not on_photos]
    if "mode=sanity" in words:  # it must learn, so it keeps its epochs and its network
        tiny = ["data.image_size=32", "optimizer.lr=3e-3"]
    if "sweep=search" in words:
        tiny += ["hydra.sweeper.n_trials=2"]
    if "sweep=folds" in words:
        tiny[0] = "data.folds=2" if "data=photos" in words else "data.num_people=10"
    if "histogram" in command or "experiment=best_dual" in command:  # no width, or that of `ready`
        tiny = [setting for setting in tiny if not setting.startswith("approach.")]
    if "pretrained" in command:  # without the download, and it has no width
        tiny = [setting for setting in tiny if not setting.startswith("approach.")] + ["approach.weights=null"]
    if "experiment=best_pretrained" in command:
        tiny += ["approach.cutout=64"]
    return words + [setting for setting in tiny if setting.partition("=")[0] not in command]


@pytest.mark.parametrize("command", all_commands())
def test_every_command_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_photos: Path, trained: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_example_experiment(tmp_path)
    lay_out_photos(drawn_photos)
    if "drawn/train" in command:
        shutil.copytree(drawn_photos, "drawn")
    words = shortened(command, drawn_photos, trained)
    if "--max-fmr" in words:  # twelve different pairs of two people may support no lower one
        words[words.index("--max-fmr") + 1] = "0.8"
    outcome = run_here(*words)
    assert outcome.code == 0, f"{command}\n{outcome.err}"
    if words[0] == "predict":
        assert re.search(r"\d %", outcome.out)


def lay_out_photos(drawn_photos: Path) -> None:
    """The files that the README's commands name, in the current folder."""
    shutil.copytree(drawn_photos / "test_m", "heap")
    for side in ("left", "right"):
        shutil.copy(next(Path("heap").glob(f"*_1_{side}_*")), f"{side}.jpg")
    Path("pairs.csv").write_text("left,right\nleft.jpg,right.jpg\n")


def test_the_python_example_of_the_readme_runs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drawn_photos: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    lay_out_photos(drawn_photos)
    Path("outputs").symlink_to(trained.parent)
    (example,) = re.findall(r"^```python\n(.*?)^```", PAGES["README.md"], re.MULTILINE | re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    first, answer, facts, again, _ = capsys.readouterr().out.splitlines()
    assert "sure" in first and first == again and facts.split()[0] in ("True", "False")
    assert answer.startswith("not sure (") == first.startswith("Not sure")
    assert len(example.splitlines()) <= 10


def test_the_targets_it_names_stand_in_the_makefile() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([\w-]+)`", PAGES["README.md"]):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_group_and_option_stands_in_the_readme() -> None:
    for path in (Path(__file__).parents[2] / "conf").glob("*/*.yaml"):
        row = next(line for line in PAGES["README.md"].splitlines() if line.startswith(f"| `{path.parent.name}` |"))
        assert f"`{path.stem}`" in row


def test_the_readme_is_for_a_newcomer_in_a_hurry() -> None:
    lines = PAGES["README.md"].splitlines()
    assert len(lines) <= 150
    prose = [line for line in lines if not line.startswith(("|", "!["))]
    assert max(map(len, prose)) <= 120


def test_pages_link_to_what_is_there() -> None:
    for page, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_tables_of_results_are_those_of_the_files() -> None:
    for page, text in runpy.run_path(str(ROOT / "docs" / "write_results.py"))["pages"]().items():
        assert text == PAGES[page], f"{page}: run `make docs`"
