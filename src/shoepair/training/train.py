"""Training: one run from its configuration, as plain values, to results.json."""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from shoepair.data.datamodule import CALIBRATION, ShoePairDataModule
from shoepair.errors import NotLearned, UserError, one_line
from shoepair.files import replacing, write_json
from shoepair.inference.network import write_calibration
from shoepair.metrics.calibration import Calibration, calibrate
from shoepair.metrics.predictions import Predictions, write_predictions
from shoepair.metrics.scores import measure
from shoepair.models.module import PairClassifier, build_classifier, load_checkpoint, num_parameters
from shoepair.models.pretrained import PretrainedNetwork
from shoepair.reports.figures import confident_pairs, draw_confusion, draw_curves, draw_pairs, draw_roc
from shoepair.reports.tables import splits_table
from shoepair.runs import folder as records
from shoepair.runs.find import find_checkpoint
from shoepair.training.callbacks import EpochLines, StopOnDivergence, quiet_lightning
from shoepair.training.environment import choose_precision, device_name, keep_freed_memory, versions
from shoepair.training.evaluate import measure_splits, predict_logits, predict_splits, temperature_line
from shoepair.training.sanity import StopWhenLearned, judge, where_to_look
from shoepair.training.tensorboard import EpochLogger, FirstPairs, HyperparameterRow, write_best_epoch, write_picture

log = logging.getLogger(__name__)


def run(config: dict[str, Any], run_dir: Path, *, test: bool, overrides: list[str], in_sweep: bool) -> float:
    """Train one network, keep its best or last epoch, test it, and write what is known of the run into its folder.

    Args:
        config: the keys of conf/train.yaml as plain values, checked.
        run_dir: the run's own folder; see job.py.
        test: look at the test sets in the end.
        overrides: what was typed, for the record.
        in_sweep: the sweep says in its end what to type next, not each of its jobs.
    Returns:
        The validation accuracy of the epoch that is kept, from 0 to 1.
    Raises:
        UserError: for what the user can mend.
        NotLearned: in the sanity mode.
    """
    quiet_lightning()
    keep_freed_memory()
    precision = choose_precision(config["trainer"]["precision"], config["trainer"]["accelerator"])
    config = {**config, "trainer": {**config["trainer"], "precision": precision}}  # as the checkpoint will have it
    seed_everything(config["seed"], workers=True, verbose=False)
    datamodule = ShoePairDataModule(config["data"], config["seed"])
    datamodule.setup()
    beside = config["approach"].get("beside")
    if beside is not None:
        beside = load_checkpoint(find_checkpoint(beside, config["output_dir"], key="approach.beside"))
    classifier = build_classifier(config, beside)
    if config["init"] is not None:
        start_from(classifier, config["init"], config["output_dir"])
    lines, row = EpochLines(), HyperparameterRow(config)
    callbacks: list[Callback] = [lines, row, FirstPairs(run_dir)]
    if config["mode"] == "sanity":
        callbacks.append(StopWhenLearned(lines, config["sanity"]))
    trainer = build_trainer(config, run_dir, callbacks)
    if trainer.is_global_zero:
        log.info(opening_lines(config, datamodule, classifier, trainer, run_dir))
    started = time.perf_counter()
    if config["approach"].get("frozen"):
        encode_once(classifier, datamodule, trainer)
    try:
        trainer.fit(
            classifier,
            datamodule=datamodule,
            ckpt_path=None if config["resume"] is None else str(records.last_checkpoint(config["resume"])),
            weights_only=True,
        )
    except SystemExit:  # what Lightning makes of Ctrl-C
        if trainer.interrupted:
            log.info("Interrupted. Go on with: shoepair train resume=%s", run_dir)
            raise KeyboardInterrupt from None
        raise
    seconds = lines.earlier_seconds + time.perf_counter() - started

    best_path = records.best_checkpoint(run_dir)
    if trainer.is_global_zero:
        keep_only_weights(best_path)
    splits = ["val", *datamodule.test_splits] if test else ["val"]
    kept = load_checkpoint(best_path)
    predictions = predict_splits(trainer, kept, datamodule, splits)
    temperature = None
    if config["mode"] != "sanity" and not config["data"]["validate_on_train"]:  # trained on, they say too much
        temperature = calibrate_checkpoint(best_path, kept, datamodule, trainer).temperature
    results = {
        "splits": measure_splits(predictions, temperature),
        "temperature": temperature,
        "best_epoch": best_epoch_of(best_path),
        "num_epochs": len(lines.history["val/loss"]),
        "num_parameters": num_parameters(classifier),
        "seconds": round(seconds, 3),
        "seed": config["seed"],
        "overrides": overrides,
        "versions": versions(),
        "device": device_name(trainer),
        "precision": str(trainer.precision),
    }
    if trainer.is_global_zero:
        write_predictions(run_dir / "predictions.csv", predictions)
        draw_run(trainer, datamodule, predictions["val"], temperature, lines.history, results["best_epoch"], run_dir)
        write_json(run_dir / "results.json", results)
        row.end(trainer)
        log.info(closing_lines(results, run_dir, keep=config["keep"]))
        if not in_sweep:
            log.info("Look at runs   tensorboard --logdir %s", config["output_dir"])
            log.info("Measure again  shoepair evaluate checkpoint=%s", run_dir)
    if config["mode"] == "sanity":
        verdict = judge(lines.history, config["sanity"])
        if not verdict.learned:
            raise NotLearned(f"{verdict} {where_to_look(config, classifier)}")
        log.info("\n%s", verdict)
    return results["splits"]["val"]["accuracy"]


def start_from(classifier: PairClassifier, init: str, output_dir: str) -> None:
    """Give a network the weights of a trained one.

    Raises:
        UserError: if the two are not the same network.
    """
    path = find_checkpoint(init, output_dir, key="init")
    trained = load_checkpoint(path, key="init")
    mine, theirs = (network.hparams["network"] for network in (classifier, trained))
    differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    try:
        classifier.network.load_state_dict(trained.network.state_dict())
    except RuntimeError:
        raise UserError(
            f"init={init}: expected weights of the same network; it is approach={trained.approach} and differs in "
            f"{', '.join(f'{key}={theirs.get(key)}' for key in differing) or 'nothing else'}."
        ) from None
    log.info("Weights    from %s", path)


def encode_once(classifier: PairClassifier, datamodule: ShoePairDataModule, trainer: Trainer) -> None:
    """Show every shoe to a frozen encoder, on the device that is to train."""
    device = trainer.strategy.root_device
    assert isinstance(classifier.network, PretrainedNetwork)
    comparison = classifier.network.classifier.to(device).eval()
    with torch.no_grad():
        datamodule.encode(comparison.encode, device)


def calibrate_checkpoint(
    path: Path, kept: PairClassifier, datamodule: ShoePairDataModule, trainer: Trainer
) -> Calibration:
    """Fit a temperature on all pairs within validation people, and keep it in the checkpoint with their logits."""
    logits = predict_logits(trainer, kept, datamodule, CALIBRATION)
    calibration = calibrate(logits.numpy(), datamodule.calibration_pairs.label)
    if trainer.is_global_zero:
        write_calibration(path, calibration)
    return calibration


def draw_run(
    trainer: Trainer,
    datamodule: ShoePairDataModule,
    val: Predictions,
    temperature: float | None,
    history: dict[str, list[float]],
    best_epoch: int,
    run_dir: Path,
) -> None:
    """The pictures of a run, in its folder and in TensorBoard."""
    draw_curves(run_dir / "curves.png", history, best_epoch, run_dir.name)
    images, pairs = datamodule.shoes["val"].images.numpy(), datamodule.pairs["val"]
    calibrated = val.divided_by(temperature or 1.0)
    draw_pairs(run_dir / "mistakes.png", confident_pairs(calibrated, images, pairs.left, pairs.right))
    draw_confusion(run_dir / "confusion.png", {"val": val})
    draw_roc(run_dir / "roc.png", {"val": val})
    write_best_epoch(trainer, best_epoch, measure(val), calibrated.logit, val.label)
    for name in ("mistakes", "confusion", "roc"):
        write_picture(trainer, f"best/{name}", run_dir / f"{name}.png", best_epoch)


class SeedEveryEpoch(Callback):
    """Dropout and augmentation depend on the seed and the epoch alone: a resumed run draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))


def build_trainer(config: dict[str, Any], run_dir: Path, callbacks: list[Callback]) -> Trainer:
    """Lightning's Trainer with the settings of `trainer`, writing into `run_dir` only."""
    callbacks = [
        SeedEveryEpoch(config["seed"]),
        *callbacks,
        StopOnDivergence(),
        kept_checkpoint(run_dir, config["keep"], weights_only=config["average"] is None),
        last_epoch_checkpoint(run_dir),
    ]
    if config["average"] is not None:
        callbacks.append(WeightAveraging(multi_avg_fn=moving_average(config["average"])))
    if config["early_stopping"]["patience"] is not None:
        callbacks.append(
            EarlyStopping(monitor="val/accuracy", mode="max", patience=config["early_stopping"]["patience"])
        )
    try:
        return Trainer(
            logger=EpochLogger(run_dir),
            callbacks=callbacks,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            **config["trainer"],
        )
    except (MisconfigurationException, TypeError, ValueError) as error:  # an accelerator that is not there, for one
        raise UserError(f"trainer: {one_line(str(error))}") from error


def moving_average(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """How averaged weights (and statistics of batch norm) follow the trained ones in each step.

    At first they follow faster, by min(decay, (1 + n) / (10 + n)) after n steps, as TensorFlow's moving average does,
    so that what they began with is soon forgotten.
    """

    def follow(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        steps = int(num_averaged)
        kept = min(decay, (1 + steps) / (10 + steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), 1 - kept)
        else:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)

    return follow


def kept_checkpoint(run_dir: Path, keep: str, *, weights_only: bool) -> ModelCheckpoint:
    """Keeps the weights of the best epoch by validation accuracy (of equals, the lower loss) or of the last one.

    Args:
        keep: "best" or "last".
        weights_only: false where weights are averaged: for such checkpoints Lightning 2.6 does not ask callbacks, and
            would save the weights that are not averaged. keep_only_weights() takes the rest away.
    """
    return ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="best",
        monitor="val/rank" if keep == "best" else None,
        mode="max",
        save_weights_only=weights_only,
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


def keep_only_weights(path: Path) -> None:
    """Take from a checkpoint what only going on with training needs: the state of optimizer, scheduler, callbacks."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    needless = {"optimizer_states", "lr_schedulers", "callbacks", "current_model_state", "averaging_state"}
    if needless & checkpoint.keys():
        with replacing(path) as partial:
            torch.save({key: value for key, value in checkpoint.items() if key not in needless}, partial)


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


def closing_lines(results: dict[str, Any], run_dir: Path, *, keep: str) -> str:
    """How it went."""
    return "\n".join(
        [
            f"\n{'Best' if keep == 'best' else 'Last'} epoch {results['best_epoch']} of "
            f"{results['num_epochs']}, {results['seconds']:.0f} s\n",
            splits_table(results["splits"]),
            temperature_line(results["temperature"]),
            f"\nPictures       {run_dir}/curves.png, mistakes.png, pairs.png",
        ]
    )
