"""`shoepair train`: one run from its configuration to results.json."""

import logging
import os
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import DictConfig

from shoepair.config import check_train_config
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.environment import device_name, versions
from shoepair.errors import UserError, one_line
from shoepair.evaluate import measure_splits, predict_splits
from shoepair.models.classifiers import PairClassifier, build_classifier, load_checkpoint, num_parameters
from shoepair.progress import EpochLines, StopOnDivergence, progress_bar, quiet_lightning
from shoepair.results import records
from shoepair.results.metrics import write_predictions
from shoepair.results.table import splits_table

log = logging.getLogger(__name__)


def train(config: DictConfig) -> float:
    """Train one network, keep its best epoch, test it, and write what is known of the run into its folder.

    Returns:
        The validation accuracy of the best epoch, from 0 to 1.
    Raises:
        UserError: for what the user can mend.
    """
    plain = check_train_config(config)
    hydra = HydraConfig.get()
    run_dir = relative_to_here(hydra.runtime.output_dir)
    is_main_process = os.environ.get("LOCAL_RANK", "0") == "0"  # the others are started by Lightning's ddp
    if is_main_process:
        records.claim(run_dir, resumed=plain["resume"] is not None)
    try:
        test = plain["test"] if plain["test"] is not None else hydra.mode == RunMode.RUN
        best_accuracy = run(plain, run_dir, test=test, overrides=list(hydra.overrides.task))
    except BaseException as error:
        reason = f"{type(error).__name__}: {error}"
        if not isinstance(error, UserError):
            log.debug("Failed: %s\n%s", reason, traceback.format_exc())
        if is_main_process:
            records.set_status(run_dir, records.FAILED, reason)
        raise
    if is_main_process:
        records.set_status(run_dir, records.COMPLETED)
    return best_accuracy


def relative_to_here(folder: str) -> Path:
    """The path as a person would type it, where that is shorter."""
    path = Path(folder)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def run(config: dict[str, Any], run_dir: Path, *, test: bool, overrides: list[str]) -> float:
    """The run itself, from plain values; see train()."""
    quiet_lightning()
    seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = ShoePairDataModule(config["data"], config["seed"])
    datamodule.setup()
    classifier = build_classifier(config)
    best, last = best_epoch_checkpoint(run_dir), last_epoch_checkpoint(run_dir)
    trainer = build_trainer(config, run_dir, [best, last])
    if trainer.is_global_zero:
        log.info(opening_lines(config, datamodule, classifier, trainer, run_dir))

    started = time.perf_counter()
    trainer.fit(
        classifier,
        datamodule=datamodule,
        ckpt_path=None if config["resume"] is None else str(records.last_checkpoint(config["resume"])),
        weights_only=True,
    )
    seconds = time.perf_counter() - started
    if trainer.interrupted:
        raise KeyboardInterrupt

    chosen = load_checkpoint(records.best_checkpoint(run_dir))
    splits = ["val", *datamodule.test_splits] if test else ["val"]
    predictions = predict_splits(trainer, chosen, datamodule, splits)
    results = {
        "splits": measure_splits(predictions),
        "best_epoch": best_epoch_of(records.best_checkpoint(run_dir)),
        "num_parameters": num_parameters(classifier),
        "seconds": round(seconds, 3),
        "seed": config["seed"],
        "overrides": overrides,
        "versions": versions(),
        "device": device_name(trainer),
    }
    if not trainer.is_global_zero:
        return results["splits"]["val"]["accuracy"]
    write_predictions(run_dir / "predictions.csv", predictions)
    records.write_json(run_dir / "results.json", results)
    log.info(
        "\nBest epoch: %d of %d\n%s\n",
        results["best_epoch"],
        trainer.current_epoch,
        splits_table(results["splits"]),
    )
    log.info("Look at it     tensorboard --logdir %s", config["output_dir"])
    log.info("Measure again  shoepair evaluate checkpoint=%s", run_dir)
    return results["splits"]["val"]["accuracy"]


class SeedEveryEpoch(Callback):
    """Dropout and augmentation depend on the seed and the epoch alone: a resumed run draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))


def build_trainer(config: dict[str, Any], run_dir: Path, callbacks: list[Callback]) -> Trainer:
    """Lightning's Trainer with the settings of `trainer`, writing into `run_dir` only."""
    bar = progress_bar()
    callbacks = [
        *callbacks,
        *bar,
        SeedEveryEpoch(config["seed"]),
        EpochLines(),
        StopOnDivergence(),
        LearningRateMonitor(logging_interval="epoch"),
    ]
    if config["early_stopping"]["patience"] is not None:
        callbacks.append(
            EarlyStopping(monitor="val/accuracy", mode="max", patience=config["early_stopping"]["patience"])
        )
    try:
        return Trainer(
            # An empty name and version put the event file into the run's folder: TensorBoard shows the folder's name.
            logger=TensorBoardLogger(save_dir=run_dir, name="", version="", default_hp_metric=False),
            callbacks=callbacks,
            enable_progress_bar=bool(bar),
            enable_model_summary=False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **config["trainer"],
        )
    except (MisconfigurationException, TypeError, ValueError) as error:  # an accelerator that is not there, for one
        raise UserError(f"trainer: {one_line(str(error))}") from error


def best_epoch_checkpoint(run_dir: Path) -> ModelCheckpoint:
    """Keeps the weights of the best epoch by validation accuracy; of equals, the one with the lower loss."""
    return ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="best",
        monitor="val/rank",
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


def last_epoch_checkpoint(run_dir: Path) -> ModelCheckpoint:
    """Keeps all that is needed to go on after the last whole epoch."""
    return ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="last",
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


def best_epoch_of(path: Path) -> int:
    """The epoch in which a checkpoint was written, counted from 1."""
    return int(torch.load(path, map_location="cpu", weights_only=True)["epoch"]) + 1


def opening_lines(
    config: dict[str, Any],
    datamodule: ShoePairDataModule,
    classifier: PairClassifier,
    trainer: Trainer,
    run_dir: Path,
) -> str:
    """What is about to be trained, on what, and where."""
    counts = [f"train {len(datamodule.people['train'])} people, {datamodule.training_batches.num_pairs} pairs"]
    counts += [f"{split} {len(datamodule.people[split])}, {len(pairs)}" for split, pairs in datamodule.pairs.items()]
    return "\n".join(
        [
            f"Approach   {config['approach']['name']}, {num_parameters(classifier):,} parameters",
            f"Data       {config['data']['name']}, {config['data']['image_size']} pixels: {'; '.join(counts)}",
            f"Device     {device_name(trainer)}, precision {trainer.precision}",
            f"Folder     {run_dir}\n",
        ]
    )
