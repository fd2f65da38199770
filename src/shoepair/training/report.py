"""What a run says and shows: its first and last lines, its pictures in its folder and in TensorBoard."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lightning import Trainer

from shoepair.config.schema import TrainSettings
from shoepair.config.typed import as_typed
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.files import write_json
from shoepair.metrics.predictions import Predictions, write_predictions
from shoepair.models.module import PairModule, num_parameters
from shoepair.reports.figures import (
    confident_pairs,
    costing_only_itself,
    draw_confusion,
    draw_curves,
    draw_pairs,
    draw_roc,
    draw_scores,
)
from shoepair.reports.tables import splits_table
from shoepair.runs.folder import viewers
from shoepair.runs.results import Results
from shoepair.training.environment import device_name
from shoepair.training.tensorboard import write_kept_epoch, write_picture

log = logging.getLogger(__name__)


def opening(
    settings: TrainSettings,
    data: ShoePairDataModule,
    module: PairModule,
    trainer: Trainer,
    run_dir: Path,
    warnings: Iterable[str],
) -> None:
    """Say what is about to be trained, on what, and where, and what is to be known of its figures."""
    if not trainer.is_global_zero:
        return
    for warning in warnings:
        log.warning("%s", warning)
    counts = [f"train {len(data.people['train'])} people, {data.training_batches.num_pairs} pairs"]
    counts += [f"{split} {len(data.people[split])}, {len(pairs)}" for split, pairs in data.pairs.items()]
    log.info("Approach   %s, %s parameters", settings.approach.name, f"{num_parameters(module):,}")
    log.info("Data       %s, %d pixels: %s", settings.data.name, settings.data.image_size, "; ".join(counts))
    log.info("Device     %s, precision %s", device_name(trainer), trainer.precision)
    log.info("Folder     %s\n", run_dir)


def closing(settings: TrainSettings, results: Results, run_dir: Path, *, in_sweep: bool) -> None:
    """Say how it went and, outside of a sweep, what to type next."""
    which = "Best" if settings.keep == "best" else "Last"
    log.info("\n%s epoch %d of %d, %.0f s\n", which, results.best_epoch, results.num_epochs, results.seconds)
    log.info("%s\n%s", splits_table(results.splits), temperature_line(results.temperature))
    pictures = _written(run_dir, "curves", "mistakes", "pairs")
    if pictures:
        log.info("\nPictures       %s", pictures)
    for profile in sorted(run_dir.glob("fit-profile*.txt")):
        log.info("Profile        %s", profile)
    if not in_sweep:
        for command in viewers(run_dir, settings.output_dir):
            log.info("Look at runs   %s", command)
        log.info("Measure again  shoepair evaluate %s", as_typed("checkpoint", run_dir))


def write(
    results: Results,
    predictions: Mapping[str, Predictions],
    data: ShoePairDataModule,
    history: Mapping[str, Sequence[float]],
    trainer: Trainer,
    run_dir: Path,
) -> None:
    """Write a training run's predictions, pictures and, last, results.json: it says that the run is whole."""
    val, epoch = predictions["val"], results.best_epoch or 0
    write_predictions(run_dir / "predictions.csv", predictions)
    images, pairs = data.shoes["val"].images.numpy(), data.pairs["val"]
    calibrated = val.divided_by(results.temperature or 1.0)
    with costing_only_itself(run_dir / "curves.png"):
        draw_curves(run_dir / "curves.png", history, epoch, run_dir.name)
    write_kept_epoch(trainer, epoch, results.splits["val"], calibrated.logit, val.label)
    pictures: dict[str, Callable[[Path], None]] = {
        "mistakes": lambda path: draw_pairs(path, confident_pairs(calibrated, images, pairs.left, pairs.right)),
        "confusion": lambda path: draw_confusion(path, {"val": val}),
        "roc": lambda path: draw_roc(path, {"val": val}),
    }
    for name, draw in pictures.items():
        path = run_dir / f"{name}.png"
        with costing_only_itself(path):
            draw(path)
            write_picture(trainer, path, epoch)
    write_json(run_dir / "results.json", results.plain())


def write_evaluation(results: Results, predictions: Mapping[str, Predictions], run_dir: Path) -> None:
    """Write an evaluation's predictions, pictures and results.json, and say its table."""
    write_predictions(run_dir / "predictions.csv", predictions)
    write_json(run_dir / "results.json", results.plain())
    log.info("\n%s\n%s\n", splits_table(results.splits), temperature_line(results.temperature))
    calibrated = {split: p.divided_by(results.temperature or 1.0) for split, p in predictions.items()}
    for name, draw, of in (
        ("roc", draw_roc, predictions), ("scores", draw_scores, calibrated), ("confusion", draw_confusion, predictions)
    ):  # fmt: skip
        with costing_only_itself(run_dir / f"{name}.png"):
            draw(run_dir / f"{name}.png", of)
    pictures = _written(run_dir, "roc", "scores", "confusion")
    if pictures:
        log.info("Pictures   %s", pictures)


def _written(run_dir: Path, *names: str) -> str:
    """Those pictures that could be drawn."""
    found = [f"{name}.png" for name in names if (run_dir / f"{name}.png").is_file()]
    return f"{run_dir}/{', '.join(found)}" if found else ""


def temperature_line(temperature: float | None) -> str:
    """What stands below a table of splits."""
    if temperature is None:
        return "Temperature    1, since the checkpoint carries no calibration"
    return f"Temperature    {temperature:.3g}, fitted on validation; probabilities are of logit / temperature"
