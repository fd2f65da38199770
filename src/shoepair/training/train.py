"""Training: one run from its settings to results.json, from top to bottom."""

import time
from pathlib import Path

from lightning import seed_everything

from shoepair.config.schema import TrainSettings
from shoepair.config.typed import Typed
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.runs.checkpoint import read_checkpoint
from shoepair.runs.folder import best_checkpoint
from shoepair.runs.results import Results
from shoepair.training import parts, pruning, report, sanity
from shoepair.training.callbacks import EpochLines, quiet_lightning
from shoepair.training.checkpoint import build_module, write_kept
from shoepair.training.environment import choose_precision, keep_freed_memory
from shoepair.training.event_log import GoesOn
from shoepair.training.first_step import refuse_unfit
from shoepair.training.overlap import known_people
from shoepair.training.predictions import calibrate_module, measured, predict_splits, show_shoes
from shoepair.training.tensorboard import FirstPairs, HyperparameterRow
from shoepair.training.trainer import build_trainer, fit


def train(settings: TrainSettings, run_dir: Path, *, test: bool, typed: Typed, in_sweep: bool) -> float:
    """Train one network, keep its best or last epoch, test it, and write what is known of the run into its folder.

    Args:
        run_dir: the run's own folder; see launch/job.py.
        test: look at the test sets in the end.
        typed: what was typed, for the record.
        in_sweep: the sweep says in its end what to type next, not each of its jobs.
    Returns:
        The validation accuracy of the epoch that is kept, from 0 to 1.
    Raises:
        UserError: for what the user can mend.
        NotLearned: in the sanity mode.
        Pruned: in a search.
    """
    quiet_lightning()
    keep_freed_memory()
    settings = choose_precision(settings)  # as the checkpoint will have it
    lines = EpochLines()
    row, tell = HyperparameterRow(settings, run_dir, lines, typed), parts.TellLoggers(settings)
    with row.recorded_if_refused(run_dir):
        callbacks = [lines, GoesOn(run_dir, lines), row, tell, FirstPairs(run_dir)]
        callbacks += [*sanity.callbacks(settings, lines), *pruning.callbacks(settings, run_dir)]
        trainer = build_trainer(settings, run_dir, callbacks)
    with row.recorded(trainer), tell.told(trainer), parts.named(settings):
        seed_everything(settings.seed, workers=True, verbose=False)
        data = ShoePairDataModule(settings.data, settings.seed)
        data.setup()
        module = build_module(settings)
        refuse_unfit(settings, data, module, trainer)
        report.opening(settings, data, module, trainer, run_dir, known_people(settings, data))

        started = time.perf_counter()
        device, hflip = trainer.strategy.root_device, settings.tta_hflip
        show_shoes(module, data, device, settings.approach, to_train=True)
        fit(trainer, module, data, settings.resume, run_dir)
        seconds = lines.earlier_seconds + time.perf_counter() - started

        kept = read_checkpoint(best_checkpoint(run_dir))
        module.load_state_dict(dict(kept.state_dict))
        splits = ["val", *data.test_splits] if test else ["val"]
        predictions = predict_splits(module, data, splits, device, hflip=hflip)
        calibration = calibrate_module(module, data, device, hflip=hflip)
        results = Results(
            **measured(predictions, calibration, module, settings, trainer),
            best_epoch=kept.epoch,
            num_epochs=len(lines.history["val/loss"]),
            seconds=round(seconds, 3),
            overrides=typed.overrides,
            precision=str(trainer.precision),
        )
        if trainer.is_global_zero:
            write_kept(best_checkpoint(run_dir), kept, calibration)
            report.write(results, predictions, data, lines.history, trainer, run_dir)
            tell.end(trainer, results.splits["val"], kept.epoch)
            report.closing(settings, results, run_dir, in_sweep=in_sweep)
        sanity.conclude(settings, lines.history, module)
    return results.accuracy
