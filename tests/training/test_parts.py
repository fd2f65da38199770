"""Where else figures go, and callbacks of one's own: chosen by groups, built by their classes."""

import csv
import importlib.util
import json
import os
import re
import subprocess
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import TINY, Command
from kill_sweep import PROGRAM
from lightning import Trainer
from settings import train_settings

from shoepair.config.compat import with_todays_keys
from shoepair.config.groups import groups_of
from shoepair.config.habits import KEYS, OPTIONS
from shoepair.config.schema import known_keys
from shoepair.errors import Pruned
from shoepair.files import write_json
from shoepair.runs.folder import viewers
from shoepair.runs.read import flat_settings
from shoepair.training.parts import TellLoggers

QUICK = ("approach=histogram", *(setting for setting in TINY if not setting.startswith("approach.")))
RUN = (*QUICK, "hydra.run.dir=outputs/run")


def test_figures_go_to_several_loggers_at_once(shoepair: Command) -> None:
    outcome = shoepair(*RUN, "logger=[tensorboard,csv]")
    assert outcome.code == 0, outcome.err
    assert list(Path("outputs/run").glob("events.out.tfevents.*"))
    with Path("outputs/run/csv/version_0/metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    by_epoch = {int(row["epoch"]): float(row["val/accuracy"]) for row in rows if row["val/accuracy"]}
    assert set(by_epoch) == {0, 1} and rows[-1]["best/accuracy"]
    settings = Path("outputs/run/csv/version_0/hparams.yaml").read_text()
    assert "data.num_people: 6" in settings and "optimizer.lr: 0.001" in settings


def test_a_run_may_log_nothing(shoepair: Command) -> None:
    outcome = shoepair(*RUN, "logger=[]")
    assert outcome.code == 0, outcome.err
    assert not list(Path("outputs/run").glob("events.out.tfevents.*")) and Path("outputs/run/results.json").is_file()
    assert "Look at runs" not in outcome.out


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("sqlite:///a.db", "mlflow ui --backend-store-uri sqlite:///a.db"),
        ("sqlite:///a.db?timeout=60", "mlflow ui --backend-store-uri 'sqlite:///a.db?timeout=60'"),
        ("mine", "mlflow ui --backend-store-uri mine"),
        ("", None),
        ("a" * 5000, None),
        ("a\0b", None),
        ("sqlite:///elsewhere.db", None),
        ("databricks", None),
        ("http://me:secret@127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_what_mlflow_keeps_is_looked_at_where_it_is(
    store: str, shown: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.db").touch()
    Path("mine").mkdir()
    Path("run").mkdir()
    write_json(tmp_path / "run/config.json", {"logger": {"mlflow": {"tracking_uri": store}, "csv": {"name": "csv"}}})
    assert viewers(tmp_path / "run", tmp_path) == ([] if shown is None else [shown])


@pytest.mark.parametrize("below", [".", "lightning_logs/version_0"])
def test_tensorboard_is_shown_the_folder_that_holds_the_run(below: str, tmp_path: Path) -> None:
    log = tmp_path / "outputs/run" / below / "events.out.tfevents.0"
    log.parent.mkdir(parents=True)
    log.touch()
    run_dir = tmp_path / "outputs/run"
    assert viewers(run_dir, tmp_path / "outputs") == [f"tensorboard --logdir {tmp_path / 'outputs'}"]
    assert viewers(run_dir, tmp_path / "other") == [f"tensorboard --logdir {run_dir}"]


def test_a_callback_is_added_by_a_file(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/callbacks").mkdir(parents=True)
    (tmp_path / "mine/marks.py").write_text(
        "from pathlib import Path\nfrom lightning.pytorch.callbacks import Callback\n\n"
        "class Marks(Callback):\n"
        "    def __init__(self, path):\n        self.path = path\n"
        "    def on_train_epoch_end(self, trainer, pl_module):\n"
        "        path = Path(self.path)\n"
        "        before = path.read_text() if path.exists() else ''\n"
        "        path.write_text(f'{before}{trainer.current_epoch} ')\n"
    )
    (tmp_path / "mine/callbacks/marks.yaml").write_text(
        "marks: {_target_: shoepair_plugin_marks.Marks, path: marks.txt}\n"
    )
    (tmp_path / "mine/callbacks/enough.yaml").write_text(
        "enough: {_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/accuracy, mode: max, "
        "stopping_threshold: 0.0}\n"
    )
    outcome = shoepair("--config-dir", "mine", *RUN, "plugins=[mine/marks.py]", "callbacks=[marks,enough]")
    assert outcome.code == 0, outcome.err
    assert Path("marks.txt").read_text() == "0 "  # any accuracy is enough


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            ["+callbacks.es={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/nosuch}"],
            "callbacks.es: lightning.pytorch.callbacks.EarlyStopping failed (RuntimeError: Early stopping conditioned",
        ),
        (
            ["+callbacks.end={_target_: lightning.pytorch.callbacks.Timer, duration: '00:00:00:00'}"],
            "outputs/run/checkpoints/best.ckpt: no such file",
        ),
        (["logger=csv", "+logger.csv.flush_logs_every_n_steps=0"], "logger.csv: lightning.pytorch.loggers.CSVLogger"),
        (["logger=csv", "logger.csv.name=5"], "logger.csv: lightning.pytorch.loggers.CSVLogger failed (TypeError: "),
    ],
)
def test_what_fails_in_a_part_of_somebody_elses_is_one_line_that_names_it(
    shoepair: Command, typed: list[str], said: str
) -> None:
    outcome = shoepair(*RUN, *typed)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err


def test_what_is_averaged_by_a_callback_is_what_is_kept(shoepair: Command) -> None:
    average = "+callbacks.ema={_target_: lightning.pytorch.callbacks.EMAWeightAveraging, decay: 0.9}"
    outcome = shoepair(*RUN, "keep=last", "trainer.max_epochs=2", average)
    assert outcome.code == 0, outcome.err
    (shown,) = re.findall(r"Epoch 2/2 .*val: loss ([\d.]+)", outcome.out)
    results = json.loads(Path("outputs/run/results.json").read_text())
    assert f"{results['splits']['val']['loss']:.4f}" == shown


def test_arguments_of_somebody_elses_classes_may_have_any_names(shoepair: Command) -> None:
    (path := Path("mine/callbacks")).mkdir(parents=True)
    (path / "more.yaml").write_text(
        "more: {_target_: lightning.pytorch.callbacks.GradientAccumulationScheduler, scheduling: {0: 1, 1: 2}}\n"
    )
    outcome = shoepair("--config-dir", "mine", *RUN, "callbacks=more")
    assert outcome.code == 0, outcome.err
    config = json.loads(Path("outputs/run/config.json").read_text())
    settings = flat_settings(config | {"callbacks": {"x": {"_target_": "a.B", "table": {"val/a.b": 1}}}})
    assert settings["callbacks.x.table.val/a.b"] == 1
    assert "Not read" not in shoepair("compare", "outputs").out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("+callbacks.x._target_=nowhere.Thing", "callbacks.x: nowhere is not installed: expected the name of a class"),
        ("+callbacks.x=3", "callbacks={x: 3}: expected options of this group"),
        ("+logger.tensorboard.colour=red", "logger.tensorboard.colour: no such key"),
        ("logger=comet", "logger=comet: no such option; here, a file logger/NAME.yaml"),
    ],
)
def test_what_cannot_be_built_is_one_line_before_anything_runs(shoepair: Command, typed: str, said: str) -> None:
    outcome = shoepair(*RUN, typed)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err
    assert not Path("outputs/run").exists()


def test_what_is_typed_by_habit_is_answered_by_what_does_it_here(shoepair: Command) -> None:
    answers = {
        "ckpt_path=last.ckpt": "resume=FOLDER", "hparams_search=optuna": "sweep=search",
        "paths.data_dir=x": "data.root",
        "model=resnet": "approach=NAME", "tags=[a]": "+logger.wandb.tags", "debug=overfit": "mode=sanity",
        "trainer=cpu": "trainer.accelerator=cpu", "trainer=mps": "trainer.accelerator=mps",
        "callbacks=default": "callbacks/NAME.yaml", "trainer.gpus=2": "trainer=gpu", "learning_rate=1": "optimizer.lr=",
        "optimizer.learning_rate=1": "optimizer.lr=", "trainer.ckpt_path=x": "resume=FOLDER",
        "callbacks.early_stopping.patience=3": "early_stopping.patience=N", "data.data_dir=x": "data.root=FOLDER",
        "checkpoint=latest": "init_from=FOLDER", "num_epochs=3": "trainer.max_epochs=N", "logger=none": "logger=[]",
        "callbacks.model_checkpoint.monitor=x": "keep=best",
    }  # fmt: skip
    for typed, answer in answers.items():
        outcome = shoepair(typed)
        assert outcome.code == 2 and answer in outcome.err and outcome.err.count("\n") == 1, (typed, outcome.err)


def test_a_name_inside_of_a_section_is_not_that_of_a_run(shoepair: Command) -> None:
    assert "hydra.run.dir" in shoepair("name=first").err and "hydra.run.dir" not in shoepair("optimizer.name=adam").err


def test_what_is_advised_can_be_typed() -> None:
    known, groups = known_keys(), groups_of("train", [])
    for answer in (*KEYS.values(), *OPTIONS.values()):
        typed = re.findall(r"(?<![\w./+=])(\+?)([a-z_]+(?:[./][\w]+)*)=", answer)
        assert typed or "KEY=" in answer or "shoepair train" in answer or "/NAME.yaml" in answer, answer
        for added, key in (one for one in typed if not one[1].endswith(".KEY")):
            last = key.rpartition(".")[2]
            is_added = bool(added) and (last in signature(Trainer).parameters or key.startswith("logger."))
            assert key in known or key in groups or is_added or key in ("hydra.run.dir", "hydra.verbose"), (key, answer)


class Told:
    """A logger that keeps how it was told to end."""

    def __init__(self) -> None:
        self.endings: list[str] = []

    def finalize(self, status: str) -> None:
        self.endings.append(status)


@pytest.mark.parametrize(("error", "last"), [(Pruned("hopeless"), "finished"), (ValueError("broken"), "failed")])
def test_a_pruned_run_is_no_failure_to_other_loggers(error: Exception, last: str) -> None:
    """Lightning tells all loggers "failed" after the callbacks have heard of the exception, "success" after the fit."""
    for by_lightning in ("failed", "success"):
        told: Any = Told()
        trainer: Any = SimpleNamespace(loggers=[told])
        with pytest.raises(type(error)), TellLoggers(train_settings()).told(trainer):
            told.finalize(by_lightning)
            raise error
        assert told.endings[-1] == last


def test_runs_that_differ_in_callbacks_only_are_different_settings() -> None:
    plain = train_settings().plain()
    other = plain | {"callbacks": {"enough": {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "patience": 2}}}
    flat = flat_settings(other)
    assert flat["callbacks.enough.patience"] == 2 and flat != flat_settings(plain)
    assert with_todays_keys(other)["callbacks"] == other["callbacks"]


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")  # of MLflow
@pytest.mark.parametrize("library", ["mlflow", "wandb"])
def test_a_sweep_is_seen_in_other_libraries(tmp_path: Path, library: str) -> None:
    sweep = [PROGRAM, "-m", *QUICK, f"logger=[tensorboard,{library}]", "optimizer.lr=1e-3,1e-2", "seed=0,1",
             "hydra.sweep.dir=outputs/sweep"]  # fmt: skip
    if library == "wandb":
        sweep.append("logger.wandb.offline=true")
    done = subprocess.run(
        sweep, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "WANDB_SILENT": "true"}
    )
    if importlib.util.find_spec(library) is None:
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert f"is not installed: pip install 'shoepair[{library}]'" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    shown = [line.split(None, 3)[3] for line in done.stdout.splitlines() if line.startswith("Look at runs")]
    assert shown[0] == "tensorboard --logdir outputs/sweep"
    assert shown[1:] == (["mlflow ui --backend-store-uri sqlite:///outputs/mlflow.db"] if library == "mlflow" else [])
    if library == "wandb":
        assert len(list(tmp_path.glob("outputs/sweep/*/wandb/offline-run-*"))) == 4
        return
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/outputs/mlflow.db")
    (experiment,) = [found for found in client.search_experiments() if found.name == "shoepair"]
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 4 and {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params["optimizer.lr"] for run in runs} == {"0.001", "0.01"}
    assert all({"val/accuracy", "train/loss", "best/accuracy"} <= run.data.metrics.keys() for run in runs)
    assert {run.info.run_name for run in runs} == {path.name for path in (tmp_path / "outputs/sweep").glob("*_*")}
