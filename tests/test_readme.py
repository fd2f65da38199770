"""The commands of the README do what it says, with shortened settings."""

import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import TINY, run_here

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("shoepair ")]


def write_example_experiment(folder: Path) -> None:
    """The file that the README shows, where its first line says that it stands."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    path = folder / text.splitlines()[0].removeprefix("# ")
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn_photos: Path, trained: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    write_example_experiment(tmp_path)
    words = shlex.split(command.replace("data.root=photos", f"data.root={drawn_photos}"))[1:]
    if words[0] == "train":
        tiny = [setting for setting in TINY if "num_test_people" not in setting or "data=photos" not in words]
        if "mode=sanity" in words:  # it must learn, so it keeps its epochs and its network
            tiny = ["data.image_size=32", "optimizer.lr=3e-3"]
        if "sweep=search" in words:
            tiny += ["hydra.sweeper.n_trials=2"]
        if "sweep=folds" in words:
            tiny[0] = "data.num_people=10"
        words += [setting for setting in tiny if setting.partition("=")[0] not in command]
    else:
        shutil.copytree(trained.parent, tmp_path / "outputs")
    outcome = run_here(*words)
    assert outcome.code == 0, f"{command}\n{outcome.err}"


def test_the_two_commands_stand_in_the_makefile() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_group_and_option_stands_in_the_readme() -> None:
    for path in (Path(__file__).parents[1] / "conf").glob("*/*.yaml"):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{path.parent.name}` |"))
        assert f"`{path.stem}`" in row
