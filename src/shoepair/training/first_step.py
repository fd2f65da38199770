"""What only the data and the machine can tell of settings: said before the first step, instead of ending in it."""

import os

from lightning import Trainer
from torch import cuda, nn

from shoepair.config.schema import TrainSettings
from shoepair.config.shown import in_line
from shoepair.data.datamodule import ShoePairDataModule
from shoepair.errors import UserError
from shoepair.models.module import PairModule


def refuse_unfit(settings: TrainSettings, data: ShoePairDataModule, module: PairModule, trainer: Trainer) -> None:
    """Raise a UserError where a training would end in its first epoch, or never."""
    _refuse_one_kind(data)
    optimizer, of_trainer = settings.optimizer.plain(), settings.trainer.plain()
    if optimizer.get("fused") and of_trainer["gradient_clip_val"] and trainer.precision != "32-true":
        raise UserError(
            f"optimizer.fused=true: expected false, since with trainer.precision={trainer.precision} Lightning cannot "
            "clip the gradients of a fused optimizer; or trainer.gradient_clip_val=null."
        )
    of_training, of_validation = _batches(settings, data)
    for key, limit, batches in (
        ("limit_train_batches", settings.trainer.limit_train_batches, of_training),
        ("limit_val_batches", settings.trainer.limit_val_batches, of_validation),
    ):
        used = limit if isinstance(limit, int) else int(limit * len(batches))
        if used == 0:
            raise UserError(f"trainer.{key}={limit:g}: that is less than one of {len(batches)} batches.")
        del batches[used:]
    num_processes = trainer.world_size
    _refuse_shares_of_one_batch(settings, num_processes)
    _refuse_too_many(settings, num_processes, trainer)
    _refuse_small_batches(settings, num_processes, min(of_training), min(of_validation))
    _refuse_single_pairs(settings, of_training, num_processes, module)
    _refuse_too_large(settings, max(of_training) // num_processes, trainer)


def _refuse_one_kind(data: ShoePairDataModule) -> None:
    for split, num_different in (
        ("train", len(data.training_batches.different)),
        ("val", int((data.pairs["val"].label == 0).sum())),
    ):
        if num_different == 0:
            raise UserError(
                f"{split} has no different pair, since each of its {len(data.people[split])} people has one pair, and "
                "shoes of two people are not compared; add people with two pairs or more."
            )


def _batches(settings: TrainSettings, data: ShoePairDataModule) -> tuple[list[int], list[int]]:
    """How many pairs each batch of an epoch has, in training and in validation."""
    size = settings.data.batch_size
    sizes = []
    for num_pairs in (data.training_batches.num_pairs, len(data.pairs["val"])):
        full, rest = divmod(num_pairs, size)
        sizes.append([size] * full + [rest] * (rest > 0))
    if settings.data.drop_last:
        sizes[0] = [pairs for pairs in sizes[0] if pairs == size]
    if settings.approach.num_draws:
        sizes[0] = [settings.approach.num_draws * sum(sizes[0])]
    return sizes[0], sizes[1]


def _refuse_shares_of_one_batch(settings: TrainSettings, num_processes: int) -> None:
    num_draws, accumulated = settings.approach.num_draws, settings.trainer.plain()["accumulate_grad_batches"]
    for key, value, is_one in (
        ("devices", settings.trainer.devices, num_processes == 1),
        ("accumulate_grad_batches", accumulated, accumulated == 1),
    ):
        if num_draws and not is_one:
            raise UserError(
                f"trainer.{key}={in_line(value)}: expected 1, since with approach.draws={num_draws} every epoch is one "
                "batch."
            )


def _refuse_too_many(settings: TrainSettings, num_processes: int, trainer: Trainer) -> None:
    devices = in_line(settings.trainer.devices)
    if num_processes > 1 and trainer.strategy.root_device.type == "cpu" and num_processes > (os.cpu_count() or 1):
        raise UserError(f"trainer.devices={devices}: expected at most {os.cpu_count()}, the cores of this machine.")


def _refuse_small_batches(settings: TrainSettings, num_processes: int, of_training: int, of_validation: int) -> None:
    """Each process takes a part of every batch."""
    for what, fewest_pairs, remedy in (
        (
            "training",
            of_training,
            "take another data.batch_size, or data.drop_last=true, which leaves the last one out",
        ),
        ("validation", of_validation, "take another data.batch_size"),
    ):
        if num_processes > fewest_pairs:
            raise UserError(
                f"trainer.devices={in_line(settings.trainer.devices)}: expected at most {fewest_pairs}, the pairs of "
                f"the smallest batch in {what}, since each process takes a part of every batch; {remedy}."
            )


def _refuse_single_pairs(
    settings: TrainSettings, of_training: list[int], num_processes: int, module: PairModule
) -> None:
    size = settings.data.batch_size
    if min(of_training) // num_processes > 1 or not any(isinstance(m, nn.BatchNorm1d) for m in module.modules()):
        return
    if of_training[0] // num_processes < 2:
        raise UserError(
            f"data.batch_size={size}: expected at least {2 * num_processes}, since batch norm needs two pairs."
        )
    raise UserError(
        f"data.batch_size={size}: it leaves one pair alone in the last batch of each epoch, and batch norm needs two; "
        "take another one, or data.drop_last=true."
    )


def _refuse_too_large(settings: TrainSettings, num_pairs: int, trainer: Trainer) -> None:
    device = trainer.strategy.root_device
    if device.type == "cuda":
        there = cuda.get_device_properties(device).total_memory
    else:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    size = settings.approach.cutout_side or settings.data.image_size
    needed = 4 * num_pairs * settings.approach.numbers_per_pair(settings.data.image_size)
    if 0 < there < needed:
        raise UserError(
            f"data.batch_size={settings.data.batch_size}: {num_pairs} pairs of {size} pixels take some "
            f"{needed / 1e9:,.0f} GB in a training step, and {device} has {there / 1e9:,.0f}; take fewer or smaller "
            "ones, or a lower approach.width."
        )
