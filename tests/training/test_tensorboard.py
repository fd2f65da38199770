"""What TensorBoard itself shows of several runs, asked through its own server."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY, run_here

CURVES = {
    "train/loss",
    "train/accuracy",
    "val/loss",
    "val/accuracy",
    "val/accuracy_same",
    "val/accuracy_different",
    "lr",
}


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
        return self.get("plugin/hparams/session_groups", body).get("sessionGroups", [])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Two single and two dual runs in a sweep, and one that crashed."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sweep = ("hydra.sweep.dir=outputs/sweep", "approach=single,dual", "optimizer.lr=1e-3,3e-4")
        assert run_here("-m", *TINY, "approach.width=2", *sweep).code == 0
        crashing = ("optimizer=sgd", "optimizer.lr=1e30", "hydra.sweep.dir=outputs/crashed")
        assert run_here("-m", *TINY, *crashing, "hydra.sweep.subdir=job").code == 1
    server = Server(folder / "outputs")
    try:
        for _ in range(120):  # it reads the files in the background
            ended = [row["sessions"][0]["status"] for row in server.rows()]
            if len(ended) == 5 and set(ended) == {"STATUS_SUCCESS", "STATUS_FAILURE"}:
                break
            time.sleep(0.25)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_runs_are_named_like_their_folders(server: Server) -> None:
    runs = server.get("runs")
    assert len(runs) == 5 and "crashed/job" in runs
    assert sum(run.startswith("sweep/") and "approach-single" in run for run in runs) == 2


def test_tags_are_few_and_every_finished_run_has_them(server: Server) -> None:
    tags = server.get("plugin/scalars/tags")
    for run, of_run in tags.items():
        if run != "crashed/job":
            assert set(of_run) == CURVES | {"best/accuracy", "best/loss"}
    points = server.get(
        "plugin/scalars/scalars?tag=val/accuracy&run=" + next(iter(r for r in tags if r != "crashed/job"))
    )
    assert [step for _, step, _ in points] == [1, 2]  # epochs


def test_hparams_has_one_row_for_each_run_with_its_settings_and_status(server: Server) -> None:
    rows = server.rows()
    assert len(rows) == 5
    status = sorted(row["sessions"][0]["status"] for row in rows)
    assert status == ["STATUS_FAILURE"] + ["STATUS_SUCCESS"] * 4
    for row in rows:
        values = row["hparams"]
        assert {"approach", "optimizer", "lr", "batch_size", "kernel_size", "width", "fusion", "seed"} <= set(values)
        metrics = {(m["name"]["tag"]) for m in row.get("metricValues", [])}
        assert not any("test" in tag or "hp_metric" in tag for tag in metrics)
        if row["sessions"][0]["status"] == "STATUS_SUCCESS":
            assert {"best/accuracy", "best/loss"} <= metrics
    assert {(row["hparams"]["approach"], row["hparams"]["lr"]) for row in rows} >= {
        ("single", 1e-3), ("single", 3e-4), ("dual", 1e-3), ("dual", 3e-4),
    }  # fmt: skip


def test_hparams_has_the_columns_of_both_approaches(server: Server) -> None:
    experiment = server.get("plugin/hparams/experiment", {"experimentName": ""})
    columns = {info["name"] for info in experiment["hparamInfos"]}
    assert {"approach", "fusion", "lr", "batch_size", "width", "optimizer", "scheduler"} <= columns


def test_training_and_validation_stand_on_one_chart(server: Server) -> None:
    (category,) = server.get("plugin/custom_scalars/layout")["category"]
    charts = {chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]}
    assert charts == {"loss": ["train/loss$", "val/loss$"], "accuracy": ["train/accuracy$", "val/accuracy$"]}


def test_pictures_and_curves_of_the_best_epoch_are_there(server: Server) -> None:
    images = server.get("plugin/images/tags")
    curves = server.get("plugin/pr_curves/tags")
    for run in (run for run in images if run != "crashed/job"):
        assert set(images[run]) == {"train/pairs", "best/mistakes", "best/confusion", "best/roc"}
        assert set(curves[run]) == {"best/precision_recall"}
