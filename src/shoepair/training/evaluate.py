"""`shoepair evaluate`: the metrics of a trained network on every split."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from lightning import seed_everything

from shoepair.config.read import read_train_settings
from shoepair.config.schema import DATA, EvaluateSettings, TrainSettings
from shoepair.config.trainer import TrainerSettings
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.errors import UserError
from shoepair.runs.checkpoint import being_a_checkpoint
from shoepair.runs.results import Results
from shoepair.training import report
from shoepair.training.callbacks import quiet_lightning
from shoepair.training.checkpoint import LoadedModule
from shoepair.training.predictions import measured, predict_splits, show_shoes
from shoepair.training.trainer import evaluation_trainer

log = logging.getLogger(__name__)


def evaluate(trained: LoadedModule, asked: EvaluateSettings, run_dir: Path, *, overrides: list[str]) -> None:
    """Measure a loaded network on its own data, or on other data that was asked for; write results.json.

    Raises:
        UserError: for what the user can mend.
    """
    with being_a_checkpoint(asked.checkpoint):
        settings = settings_to_measure(trained.checkpoint.config, asked)
    quiet_lightning()
    seed_everything(settings.seed, workers=True, verbose=False)
    data = ShoePairDataModule(settings.data, settings.seed)
    data.setup()
    trainer = evaluation_trainer(asked.trainer, run_dir)
    log.info("Checkpoint %s", asked.checkpoint)
    started = time.perf_counter()
    device, hflip = trainer.strategy.root_device, settings.tta_hflip
    show_shoes(trained.module, data, device, settings.approach)
    predictions = predict_splits(trained.module, data, list(data.pairs), device, hflip=hflip)
    if not all(np.isfinite(found.logit).all() for found in predictions.values()):
        raise UserError(
            f"checkpoint={asked.checkpoint}: the network's scores are no finite numbers: take another one, or train "
            "again."
        )
    calibration = trained.checkpoint.calibration
    results = Results(
        **measured(predictions, calibration, trained.module, settings, trainer),
        checkpoint=asked.checkpoint,
        seconds=round(time.perf_counter() - started, 3),
        overrides=overrides,
    )
    report.write_evaluation(results, predictions, run_dir)


def settings_to_measure(config: Mapping[str, Any], asked: EvaluateSettings) -> TrainSettings:
    """The settings that a network was trained with, on the data that was asked for."""
    data = data_settings(config["data"], asked.data.model_dump())
    # Nothing is trained: however few people are left for that, a batch of them need not be full; what the weights came
    # from may be gone.
    approach = {key: None if key in ("weights", "ensemble_with") else v for key, v in config["approach"].items()}
    # Older runs could be given any argument of Lightning's Trainer.
    trainer = {key: value for key, value in config["trainer"].items() if key in TrainerSettings.model_fields}
    changed: dict[str, Any] = {"data": data | {"drop_last": False}, "approach": approach, "trainer": trainer}
    # Approaches that are to be imported were typed, and are: a file must not name code that is run.
    changed |= {"resume": None, "init_from": None, "plugins": []}
    return read_train_settings({**config, **changed}, trained=True)


def data_settings(trained: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The data that a checkpoint was trained with, changed where something was asked for.

    Another collection brings its own keys and its own number of people: a limit that the training set had says nothing
    about it. Where something is written is for who asks to say: a checkpoint may be somebody else's.
    """
    settings = dict(trained) | {key: value for key, value in asked.items() if value is not None}
    settings |= {"cache_dir": asked["cache_dir"], "download": bool(asked["download"])}
    known = DATA[settings["name"]].model_fields
    settings = {key: value for key, value in settings.items() if key in known}
    if all(settings.get(key) == trained.get(key) for key in ("name", "root", "file", "seed")):
        for key in ("num_people", "train_fraction", "folds", "fold"):
            if settings[key] != trained[key]:
                raise UserError(
                    f"data.{key}={settings[key]}: expected {trained[key]}, as in training; with another split, people "
                    "that the network was trained on would be measured."
                )
    if settings["name"] != trained["name"]:
        settings["num_people"] = asked["num_people"]
    return settings
