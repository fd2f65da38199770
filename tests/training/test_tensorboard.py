"""What TensorBoard itself shows of several runs, asked through its own server."""

import json
import math
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, Command, run_here
from lightning import LightningModule, Trainer

from shoepair.errors import Pruned
from shoepair.training.callbacks import StopOnDivergence

CURVES = {
    "loss/train",
    "accuracy/train",
    "loss/val",
    "accuracy/val",
    "validation/accuracy_same",
    "validation/accuracy_different",
    "schedule/learning_rate",
}
RESULT = {"result/accuracy", "result/loss"}


class Server:
    def __init__(self, logdir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--port", "0", "--load_fast", "false"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        for line in self.process.stderr:
            found = re.search(r"http://(\S+?):(\d+)/", line)
            if found:
                self.address = f"http://127.0.0.1:{found[2]}/data/"
                return
        raise AssertionError("TensorBoard did not start")

    def get(self, route: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + route, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def rows(self) -> list[dict[str, Any]]:
        """Of the HPARAMS tab."""
        body = {"experimentName": "", "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE",
                "STATUS_RUNNING"], "colParams": [], "startIndex": 0, "sliceSize": 100}  # fmt: skip
        groups: list[dict[str, Any]] = self.get("plugin/hparams/session_groups", body).get("sessionGroups", [])
        return groups


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two single and two dual runs in a sweep, one of a fold and other betas, one pruned, and one that crashed."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sweep = ("hydra.sweep.dir=outputs/sweep", "approach=single,dual", "optimizer.lr=1e-3,3e-4")
        assert run_here("-m", *TINY, "approach.width=2", *sweep).code == 0
        crashing = ("optimizer=sgd", "optimizer.lr=1e30", "hydra.sweep.dir=outputs/crashed")
        assert run_here("-m", *TINY, *crashing, "hydra.sweep.subdir=job").code == 1
        of_fold = ("data.fold=0", "data.folds=3", "optimizer.betas=[0.8,0.99]", "data.augment.hflip=0.25")
        assert run_here(*TINY, *of_fold, "hydra.run.dir=outputs/fold").code == 0

        def prune(self: StopOnDivergence, trainer: Trainer, pl_module: LightningModule) -> None:
            raise Pruned("after epoch 1")

        patch.setattr(StopOnDivergence, "on_train_epoch_end", prune)
        patch.setattr("shoepair.launch.job._pruned", lambda settings, when: math.nan)  # there is no study to tell
        run_here(*TINY, "approach.width=3", "hydra.run.dir=outputs/pruned")
    with serving(folder / "outputs", num_runs=7) as server:
        yield server


@contextmanager
def serving(logdir: Path, num_runs: int) -> Iterator[Server]:
    """Once it has read all runs."""
    server = Server(logdir)
    try:
        for _ in range(120):  # it reads the files in the background
            ended = [row["sessions"][0].get("endTimeSecs") for row in server.rows()]
            if len(ended) == num_runs and all(ended):
                break
            time.sleep(0.25)
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


def rows_by_run(server: Server) -> dict[str, dict[str, Any]]:
    return {row["sessions"][0]["name"]: row for row in server.rows()}


def test_runs_are_named_like_their_folders(server: Server) -> None:
    runs = server.get("runs")
    assert len(runs) == 7 and {"crashed/job", "fold", "pruned"} < set(runs)
    assert sum(run.startswith("sweep/") and "approach-single" in run for run in runs) == 2


def test_tags_are_few_and_every_finished_run_has_them(server: Server) -> None:
    tags = server.get("plugin/scalars/tags")
    for run, of_run in tags.items():
        assert set(of_run) >= RESULT
        if run not in ("crashed/job", "pruned"):
            assert set(of_run) == CURVES | RESULT
    points = server.get("plugin/scalars/scalars?tag=accuracy/val&run=fold")
    assert [step for _, step, _ in points] == [1, 2]  # epochs


def test_accuracy_and_loss_come_first_by_name(server: Server) -> None:
    """So that TensorBoard opens on them: it opens the two groups that come first."""
    tags = {tag for of_run in server.get("plugin/scalars/tags").values() for tag in of_run}
    groups = sorted({tag.partition("/")[0] for tag in tags})
    assert groups[:2] == ["accuracy", "loss"]
    assert {tag for tag in tags if tag.startswith(("accuracy/", "loss/"))} == CURVES & {
        "accuracy/train", "accuracy/val", "loss/train", "loss/val"
    }  # fmt: skip


def test_hparams_has_one_row_for_each_run_with_its_settings_and_status(server: Server) -> None:
    rows = rows_by_run(server)
    assert len(rows) == 7
    status = {run: row["sessions"][0]["status"] for run, row in rows.items()}
    assert status.pop("crashed/job") == "STATUS_FAILURE" and status.pop("pruned") == "STATUS_UNKNOWN"
    assert set(status.values()) == {"STATUS_SUCCESS"}
    for run, row in rows.items():
        metrics = {(m["name"]["tag"]) for m in row.get("metricValues", [])}
        assert not any("test" in tag or "hp_metric" in tag for tag in metrics)
        assert metrics >= RESULT, run  # also one that was ended early
    assert {(row["hparams"]["approach"], row["hparams"]["lr"]) for row in rows.values()} >= {
        ("single", 1e-3), ("single", 3e-4), ("dual", 1e-3), ("dual", 3e-4),
    }  # fmt: skip


def test_a_rows_name_begins_with_what_differs(server: Server) -> None:
    names = {run: row["name"] for run, row in rows_by_run(server).items()}
    assert len(set(names.values())) == 7
    job = next(run for run in names if run.startswith("sweep/1_"))
    assert names[job].startswith(f"approach single, lr 0.0003 (outputs/{job}, 20")
    assert "betas [0.8, 0.99]" in names["fold"] and "fold 0" in names["fold"]


def test_hparams_has_a_column_for_whatever_was_varied_and_every_run_a_value_in_it(server: Server) -> None:
    columns = server.get("plugin/hparams/experiment", {"experimentName": "", "hparamsLimit": 1000})["hparamInfos"]
    differing = [column["name"] for column in columns if column.get("differs")]
    assert [column["name"] for column in columns][: len(differing)] == differing
    assert {"approach", "lr", "optimizer", "fold", "folds", "betas", "hflip", "width"} <= set(differing)
    assert "scheduler.max_lr" not in differing and "max_lr" not in differing  # it follows lr
    rows = rows_by_run(server)
    for column in columns:
        assert all(column["name"] in row["hparams"] for row in rows.values()), column["name"]
    assert {run: rows[run]["hparams"]["fold"] for run in ("fold", "pruned")} == {"fold": "0", "pruned": "null"}
    assert rows["fold"]["hparams"]["betas"] == "[0.8, 0.99]" and rows["crashed/job"]["hparams"]["betas"] == "-"
    assert rows["fold"]["hparams"]["optimizer"] == "Adam" and rows["fold"]["hparams"]["encoder"] == "-"
    types = {column["name"]: column["type"] for column in columns}
    assert types["lr"] == types["width"] == types["hflip"] == "DATA_TYPE_FLOAT64"


@pytest.mark.slow
def test_a_run_that_could_not_begin_has_its_row(shoepair: Command, tmp_path: Path) -> None:
    run = ("approach=histogram", *(typed for typed in TINY if not typed.startswith("approach.")))
    assert shoepair(*run, "trainer.accelerator=tpu", "hydra.run.dir=outputs/a").code == 2
    assert shoepair(*run, "data.augment=null", "hydra.run.dir=outputs/b").code == 0
    with serving(Path("outputs"), 2) as server:
        rows = {row["name"].partition(" (")[2].partition(",")[0]: row for row in server.rows()}
        assert rows["outputs/a"]["sessions"][0]["status"] == "STATUS_FAILURE"
        assert rows["outputs/a"]["hparams"].keys() == rows["outputs/b"]["hparams"].keys()
        assert not {"pruner", "storage", "data.augment"} & rows["outputs/b"]["hparams"].keys()


def test_the_grid_of_twelve_has_twelve_rows_with_all_that_was_varied(shoepair: Command) -> None:
    tiny = (setting for setting in TINY if "batch_size" not in setting)
    assert shoepair("sweep=grid", *tiny, "hydra.sweep.dir=outputs/grid").code == 0
    with serving(Path("outputs"), num_runs=12) as server:
        tried = {tuple(row["hparams"][key] for key in ("lr", "batch_size", "kernel_size")) for row in server.rows()}
        columns = server.get("plugin/hparams/experiment", {"experimentName": "", "hparamsLimit": 1000})["hparamInfos"]
        every = {column["name"] for column in columns}
        assert len(server.rows()) == 12 and all(set(row["hparams"]) == every for row in server.rows())
    assert tried == {(lr, batch, kernel) for lr in (3e-4, 1e-3, 3e-3) for batch in (16, 42) for kernel in (3, 5)}
    assert {column["name"] for column in columns if column.get("differs")} == {"lr", "batch_size", "kernel_size"}


def test_no_curve_has_the_name_of_a_hyperparameter(server: Server) -> None:
    tags = {tag for of_run in server.get("plugin/scalars/tags").values() for tag in of_run}
    assert not tags & set(rows_by_run(server)["fold"]["hparams"])


def test_training_and_validation_stand_on_one_chart(server: Server) -> None:
    (category,) = server.get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
    assert list(charts.items()) == [
        ("accuracy", ["accuracy/train$", "accuracy/val$"]), ("loss", ["loss/train$", "loss/val$"])
    ]  # fmt: skip


def test_pictures_and_curves_of_the_best_epoch_are_there(server: Server) -> None:
    images = server.get("plugin/images/tags")
    curves = server.get("plugin/pr_curves/tags")
    for run in (run for run in images if run not in ("crashed/job", "pruned")):
        assert set(images[run]) == {"pictures/pairs", "pictures/mistakes", "pictures/confusion", "pictures/roc"}
        assert set(curves[run]) == {"result/precision_recall"}
