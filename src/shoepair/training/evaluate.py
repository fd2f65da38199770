"""`shoepair evaluate`: the figures of a trained network on every split."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from lightning import Trainer, seed_everything
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from shoepair.config.schema import check_evaluate_config, check_values
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.errors import UserError, one_line
from shoepair.files import write_json
from shoepair.inference.network import knows_mirrored
from shoepair.metrics.predictions import Predictions, write_predictions
from shoepair.metrics.scores import measure, measure_mean
from shoepair.models.module import PairClassifier, load_checkpoint, num_parameters
from shoepair.reports.figures import draw_confusion, draw_roc, draw_scores
from shoepair.reports.tables import splits_table
from shoepair.runs import folder as records
from shoepair.runs.read import with_later_keys
from shoepair.training.callbacks import quiet_lightning
from shoepair.training.environment import choose_precision, device_name, versions

log = logging.getLogger(__name__)


def evaluate(config: DictConfig) -> None:
    """Measure a checkpoint on its own data, or on other data that the command line names; write results.json.

    Raises:
        UserError: for what the user can mend.
    """
    asked = check_evaluate_config(config)
    classifier = load_checkpoint(asked["checkpoint"])
    hydra = HydraConfig.get()
    run_dir = records.relative_to_here(hydra.runtime.output_dir)
    with records.locked(run_dir, wait=False):
        records.refuse_used(run_dir)
        with records.recorded(run_dir, asked):
            measure_checkpoint(classifier, asked, run_dir, overrides=list(hydra.overrides.task))


def measure_checkpoint(
    classifier: PairClassifier, asked: Mapping[str, Any], run_dir: Path, *, overrides: list[str]
) -> None:
    """Measure a loaded network as `asked` (the keys of conf/evaluate.yaml); see evaluate()."""
    trained = with_later_keys(classifier.config)
    config = {
        **trained,
        # Nothing is trained: however few people are left for that, a batch of them need not be full.
        "data": data_settings(trained["data"], asked["data"]) | {"drop_last": False},
        "approach": {  # what its weights came from may be gone
            key: None if key in ("weights", "beside") else value for key, value in trained["approach"].items()
        },
        "resume": None,
        "init": None,
    }
    check_values(config)
    quiet_lightning()
    seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = ShoePairDataModule(config["data"], config["seed"])
    datamodule.setup()
    precision = choose_precision(
        asked["trainer"]["precision"] or config["trainer"]["precision"], asked["trainer"]["accelerator"]
    )
    try:
        trainer = Trainer(
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            **{**asked["trainer"], "precision": precision},
        )
    except (MisconfigurationException, TypeError, ValueError) as error:  # an accelerator that is not there, for one
        raise UserError(f"trainer: {one_line(str(error))}") from error
    log.info("Checkpoint %s", asked["checkpoint"])
    started = time.perf_counter()
    predictions = predict_splits(trainer, classifier, datamodule, list(datamodule.pairs))
    temperature = None if classifier.calibration is None else classifier.calibration.temperature
    results = {
        "splits": measure_splits(predictions, temperature),
        "temperature": temperature,
        "checkpoint": asked["checkpoint"],
        "num_parameters": num_parameters(classifier),
        "seconds": round(time.perf_counter() - started, 3),
        "seed": config["seed"],
        "overrides": overrides,
        "versions": versions(),
        "device": device_name(trainer),
    }
    if not trainer.is_global_zero:
        return
    write_predictions(run_dir / "predictions.csv", predictions)
    draw_roc(run_dir / "roc.png", predictions)
    calibrated = {split: p.divided_by(temperature or 1.0) for split, p in predictions.items()}
    draw_scores(run_dir / "scores.png", calibrated)
    draw_confusion(run_dir / "confusion.png", predictions)
    write_json(run_dir / "results.json", results)
    log.info("\n%s\n%s\n", splits_table(results["splits"]), temperature_line(temperature))
    log.info("Pictures   %s/roc.png, scores.png, confusion.png", run_dir)


def data_settings(trained: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The data that a checkpoint was trained with, changed where something was asked for.

    Another collection brings its own number of people: a limit that the training set had says nothing about it.
    """
    settings = dict(trained) | {key: value for key, value in asked.items() if value is not None}
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


def predict_splits(
    trainer: Trainer, classifier: PairClassifier, datamodule: ShoePairDataModule, splits: Sequence[str]
) -> dict[str, Predictions]:
    """What a network says of every pair of the given splits."""
    predictions = {}
    for split in splits:
        pairs, shoes = datamodule.pairs[split], datamodule.shoes[split].shoes
        predictions[split] = Predictions(
            person=[shoes[i].person for i in pairs.left],
            left=[shoes[i].name for i in pairs.left],
            right=[shoes[i].name for i in pairs.right],
            label=pairs.label,
            logit=predict_logits(trainer, classifier, datamodule, split).numpy(),
            kind=[shoes[i].kind for i in pairs.left],
            right_kind=[shoes[i].kind for i in pairs.right],
        )
    return predictions


def predict_logits(
    trainer: Trainer, classifier: PairClassifier, datamodule: ShoePairDataModule, split: str
) -> torch.Tensor:
    """(num_pairs,) float64 logits of a split: means over the photos and, where it knows them, their mirror images."""
    datamodule.predicted_split = split
    views = []
    for datamodule.mirrored in (False, True) if knows_mirrored(classifier.config) else (False,):
        outputs = trainer.predict(classifier, datamodule=datamodule)
        views.append(torch.cat(outputs).double())  # type: ignore[arg-type]
    datamodule.mirrored = False
    return torch.stack(views).mean(dim=0)


def measure_splits(
    predictions: Mapping[str, Predictions], temperature: float | None = None
) -> dict[str, dict[str, Any]]:
    """The figures of every split, and as "test" the mean of the test sets where there are any."""
    figures = {split: measure(p, temperature) for split, p in predictions.items()}
    tests = {split: p for split, p in predictions.items() if split != "val"}
    return figures | ({"test": measure_mean(tests, temperature)} if tests else {})


def temperature_line(temperature: float | None) -> str:
    """What stands below a table of splits."""
    if temperature is None:
        return "Temperature    1, since the checkpoint carries no calibration"
    return f"Temperature    {temperature:.3g}, fitted on validation; probabilities are of logit / temperature"
