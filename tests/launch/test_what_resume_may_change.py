"""Each key that an interrupted run may go on with otherwise than it was started does what it says there."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, run_here

from shoepair.launch.resume import may_change

ONE_EPOCH = ("data.image_size=32", "data.batch_size=12", "approach.width=2", "trainer.max_epochs=1", 
             "scheduler=constant", "test=false")  # fmt: skip
MAY_CHANGE = may_change("torch.optim.lr_scheduler.ConstantLR")
TYPED: dict[str, Any] = {
    "output_dir": "elsewhere",
    "plugins": ["mine.py"],
    "test": True,
    "resume": "run",
    "data.cache_dir": "cached",
    "data.num_workers": 1,
    "data.download": True,  # there is nothing left to fetch
    "data.root": "moved",
    "data.file": "moved/table.csv",
    "trainer.accelerator": "cpu",
    "trainer.devices": "auto",
    "trainer.max_epochs": 3,
    "early_stopping.patience": 5,
    "logger": "csv",
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, drawn_photos: Path) -> Path:
    """A folder with two runs of one epoch, of_photos and of_table, and what they were trained on."""
    folder = tmp_path_factory.mktemp("begun")
    shutil.copytree(drawn_photos, folder / "shoes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Path("shoes/table.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "person", "pair", "side", "kind"])
            for path in sorted(Path("shoes/train").iterdir()):
                writer.writerow([f"train/{path.name}", *path.stem.split("_")])
        for data in (("data=photos", "data.root=shoes"), ("data=table", "data.file=shoes/table.csv")):
            outcome = run_here(*ONE_EPOCH, *data, f"hydra.run.dir=of_{data[0].removeprefix('data=')}")
            assert outcome.code == 0, outcome.err
    return folder


@pytest.mark.parametrize("key", sorted(MAY_CHANGE))
def test_a_run_goes_on_with_another(key: str, shoepair: Command, begun: Path) -> None:
    shutil.copytree(begun / ("of_table" if key == "data.file" else "of_photos"), "run")
    shutil.copytree(begun / "shoes", "moved" if key in ("data.root", "data.file") else "shoes")
    Path("mine.py").touch()
    value, epochs = TYPED[key], 3 if key == "trainer.max_epochs" else 2
    typed = f"{key}={str(value).lower() if isinstance(value, bool) else value}".replace("'", "")
    outcome = shoepair(*{"resume=run", typed, f"trainer.max_epochs={epochs}"})
    assert outcome.code == 0 and f"Epoch {epochs}/{epochs}" in outcome.out, outcome.err
    assert "Epoch 1/" not in outcome.out  # it went on
    said: Any = json.loads(Path("run/config.json").read_text())
    for part in key.split("."):
        said = said[part]
    assert said == value or list(said) == [value]  # of a group, by its options
    results = json.loads(Path("run/results.json").read_text())
    assert results["num_epochs"] == epochs and ("test_m" in results["splits"]) == (key == "test")
    assert Path("cached").exists() == (key == "data.cache_dir")
