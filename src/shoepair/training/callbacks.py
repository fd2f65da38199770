"""What a run does beside training: its lines in the terminal, its seeds, its average, its end where it diverges."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from torch import Tensor
from tqdm import tqdm

from shoepair.errors import Diverged

log = logging.getLogger(__name__)


class EpochLines(Callback):
    """A bar while an epoch runs, where somebody looks at a terminal, and then one line for it, also in the run's log.

    Attributes:
        history: the figures of every epoch so far, by name.
    """

    def __init__(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0  # of all epochs so far
        self.earlier_seconds = 0.0  # before the run was resumed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = time.perf_counter()
        self.bar = tqdm(
            total=int(trainer.num_training_batches),
            desc=f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
            unit="batch",
            leave=False,
            disable=not (sys.stderr.isatty() and trainer.is_global_zero),
        )
        pl_module.log("lr", trainer.optimizers[0].param_groups[0]["lr"], sync_dist=True)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self.bar.update()

    def on_exception(self, *args: Any, **kwargs: Any) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bar.close()
        self.seconds += time.perf_counter() - self.started
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        is_best = figures["val/rank"] > max(self.history.get("val/rank", [-math.inf]))
        for name, value in figures.items():
            self.history.setdefault(name, []).append(value)
        if trainer.is_global_zero:
            log.info(
                "Epoch %*d/%d   train: loss %.4f, accuracy %5.1f %%   val: loss %.4f, accuracy %5.1f %%   %.1f s%s",
                len(str(trainer.max_epochs)),
                trainer.current_epoch + 1,
                trainer.max_epochs,
                figures["train/loss"],
                100 * figures["train/accuracy"],
                figures["val/loss"],
                100 * figures["val/accuracy"],
                time.perf_counter() - self.started,
                "   best" if is_best else "",
            )

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]
        self.seconds = self.earlier_seconds = state_dict["seconds"]


class StopOnDivergence(Callback):
    """Ends a run whose loss is no longer a number, instead of letting it finish with a meaningless network."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for what, name in (("training", "train/loss"), ("validation", "val/loss")):  # a last step shows in the second
            loss = float(trainer.callback_metrics[name])
            if not math.isfinite(loss):
                raise Diverged(
                    f"the {what} loss is {loss} in epoch {trainer.current_epoch + 1}: lower optimizer.lr, "
                    "or set trainer.gradient_clip_val"
                )


class EarlyStop(EarlyStopping):
    """Stops where validation accuracy has not risen for some epochs; a run that had stopped so and is resumed stops at
    once, unless it is given more patience.

    Args:
        patience: in epochs.
    """

    def __init__(self, patience: int) -> None:
        super().__init__(monitor="val/accuracy", mode="max", patience=patience)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience

    @property
    def state_key(self) -> str:
        """As Lightning's own, whose state older runs left."""
        return super().state_key.replace(type(self).__qualname__, EarlyStopping.__qualname__, 1)


class SeedEveryEpoch(Callback):
    """Dropout and augmentation depend on the seed and the epoch alone: a resumed run draws what it would have drawn."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        entropy = np.random.SeedSequence([self.seed, trainer.current_epoch, trainer.global_rank])
        torch.manual_seed(int(entropy.generate_state(1)[0]))


class FreshStatistics(Callback):
    """Batch norm's running statistics follow each step by its momentum, 0.1, but the first ten steps faster: after n
    steps they are the mean of n batches.

    Else they would be for the most part what they began with, 0 and 1, in a run of a few steps, and such a network
    calls all pairs the same. A run that began without this, in an older version, goes on without it.
    """

    def __init__(self) -> None:
        self.has_begun = False

    def state_dict(self) -> dict[str, Any]:
        return {"has_begun": True}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.has_begun = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.momenta = [
            (norm, norm.momentum)
            for norm in pl_module.modules()
            if isinstance(norm, torch.nn.modules.batchnorm._BatchNorm) and norm.momentum and norm.track_running_stats
            if self.has_begun or trainer.global_step == 0
        ]

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        waiting = []
        for norm, momentum in self.momenta:
            assert norm.num_batches_tracked is not None
            if not norm.training:  # a pretrained encoder's, which stay as they are
                continue
            norm.momentum = max(momentum, 1 / (int(norm.num_batches_tracked) + 1))
            if norm.momentum > momentum:
                waiting.append((norm, momentum))
        self.momenta = waiting


def moving_average(decay: float) -> WeightAveraging:
    """An exponential moving average of the weights, and of the statistics of batch norm, which follows each step.

    At first it follows faster, by min(decay, (1 + n) / (10 + n)) after n steps, as TensorFlow's moving average does,
    so that what it began with is soon forgotten.
    """

    def follow(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Any) -> None:
        steps = int(num_averaged)
        kept = min(decay, (1 + steps) / (10 + steps))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(list(averaged), list(current), 1 - kept)
        else:
            for old, new in zip(averaged, current, strict=True):
                old.copy_(new)

    return WeightAveraging(multi_avg_fn=follow)


def quiet_lightning() -> None:
    """Silence what Lightning says that a user can do nothing about; every other warning is shown."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()  # Lightning adds its own when it is imported, and each line would come twice
        logger.setLevel(logging.WARNING)
        logger.propagate = True
    # Lightning 2.6 calls torch in a way that torch 2.14 wants changed.
    warnings.filterwarnings("ignore", message=r".*isinstance\(treespec, LeafSpec\).*")
    # Shoes are gathered from memory in one indexing step: more worker processes would be slower.
    warnings.filterwarnings("ignore", message=r".*does not have many workers.*")
    # A cycle that moves by epochs was asked for.
    warnings.filterwarnings("ignore", message=r".*scheduler is using 'interval': 'epoch'.*")
    # A pretrained encoder stays in evaluation mode on purpose.
    warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode at the start of training.*")
    # A resumed run keeps its folder.
    warnings.filterwarnings("ignore", message=r"Checkpoint directory .* exists and is not empty.*")
    # SLURM's programs are on many machines where nobody uses them; who starts processes, cluster_environment() says.
    warnings.filterwarnings("ignore", message=r"The `srun` command is available on your system but is not used.*")
