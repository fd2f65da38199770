"""The LightningModules: loss, metrics and optimizer, and what a checkpoint carries. The networks stand beside it."""

import contextlib
import importlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric, MetricCollection, SumMetric
from torchmetrics.classification import BinaryAccuracy, BinaryRecall, BinarySpecificity

from shoepair.config.compat import FORMAT
from shoepair.config.read import read_network_settings
from shoepair.errors import UserError, one_line
from shoepair.models.networks import build_network, logit
from shoepair.models.plda import PLDA
from shoepair.models.single import one_above_the_other

Batch = tuple[Tensor, Tensor, Tensor]
Figures = dict[str, Tensor]  # of a batch: "figures", "label" and "weight"
REHEARSED_STEPS = 12  # torch's ConstantLR divides by its factor in the fifth
MOMENTUM_CYCLE = 0.05  # by so much a cycle's highest and lowest momentum lie off the optimizer's


class PairModule(LightningModule):
    """Scores pairs of shoes with one logit each and learns by binary cross-entropy on it.

    Args:
        network: NetworkSettings as plain values, so that a checkpoint can be loaded without running code.
        optimizer, scheduler: `_target_` and arguments, as in conf/optimizer and conf/scheduler. None if it is not
            to be trained.
        negative_weight: how many times as much as a same pair a different one counts in the training loss.

    Attributes:
        config: the settings of the whole run as plain values; they go into its checkpoints.
        hflip: whether pairs are validated, as they are reported, by their mirror images too.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        negative_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        settings = read_network_settings(network)
        self.approach = settings.approach.name
        self.network = build_network(settings)
        # Labels come from our own pairs: checking them would make every step wait for the device.
        self.train_metrics = MetricCollection({"accuracy": BinaryAccuracy(validate_args=False)}, prefix="train/")
        self.val_metrics = MetricCollection(
            {
                "accuracy": BinaryAccuracy(validate_args=False),
                "accuracy_same": BinaryRecall(validate_args=False),  # of the same pairs, the part that was found
                "accuracy_different": BinarySpecificity(validate_args=False),
            },
            prefix="val/",
        )
        self.val_loss = MeanMetric(nan_strategy="disable")  # StopOnDivergence says it
        self.val_num_pairs = SumMetric()
        self.config: dict[str, Any] = {}
        self.hflip = False

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Score whether two shoes form a pair, as it is reported; not calibrated.

        Args:
            left, right: photos, RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B,) logits; positive means "same pair".
        Raises:
            ValueError: if the two shapes differ.
        """
        if left.shape != right.shape:
            raise ValueError(f"left is {tuple(left.shape)} and right {tuple(right.shape)}: expected the same shape")
        return self.judge(self.network.prepared(left), self.network.prepared(right), hflip=self.hflip)

    def pictures(self, left: Tensor, right: Tensor) -> list[Tensor]:
        """The images that the network sees of a batch, for people to look at: (B, 3, height, width) each."""
        raise NotImplementedError

    def training_step(self, batch: Batch | Figures, batch_idx: int) -> Tensor:
        if isinstance(batch, dict):
            heads, label, weight = self.network.heads_of_figures(batch["figures"]), batch["label"], batch["weight"]
        else:
            left, right, label = batch
            heads, weight = self.network.heads(left, right), None
        losses = [self.training_loss(logit(head), label, weight) for head in heads]
        loss = torch.stack(losses).mean() + self.network.penalty()
        self.train_metrics.update(said_same(logit(self.network.combine(heads)).detach()), label)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(label), sync_dist=True)
        self.log_dict(self.train_metrics, on_step=False, on_epoch=True)
        return loss

    def training_loss(self, logits: Tensor, label: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mean over the batch, each pair counting by its weight, different ones negative_weight times as much: (B,)
        logits, labels and weights; None: all count alike -> ()."""
        negative_weight = self.hparams["negative_weight"]
        if weight is None and negative_weight == 1:
            return binary_cross_entropy_with_logits(logits, label)
        weight = (1.0 if weight is None else weight) * torch.where(label == 1, 1.0, negative_weight)
        return (binary_cross_entropy_with_logits(logits, label, reduction="none") * weight).sum() / weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        left, right, label = batch
        logits = self.judge(left, right, hflip=self.hflip)
        self.val_loss.update(binary_cross_entropy_with_logits(logits, label, reduction="none"))
        self.val_metrics.update(said_same(logits), label)
        self.val_num_pairs.update(len(label))
        self.log("val/loss", self.val_loss)
        self.log_dict(self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        # What the best epoch is chosen by: accuracy, and of equal accuracies the lower loss. Loss moves the rank by
        # less than half a pair, which is the smallest step that accuracy can make.
        accuracy, loss = self.val_metrics.compute()["val/accuracy"], self.val_loss.compute()
        rank = accuracy - loss / (1 + loss) / (2 * self.val_num_pairs.compute())
        self.val_num_pairs.reset()
        self.log("val/rank", torch.nan_to_num(rank, nan=-1.0), logger=False, sync_dist=True)  # it is the same on each

    def judge(self, left: Tensor, right: Tensor, *, hflip: bool) -> Tensor:
        """(B,) logits of pairs, by which epochs are chosen and which are reported: in float32, of all views together.

        Args:
            left, right: what PairNetwork.prepared gives, each (B, 3 or 4, H, W); or of encode_views (B, num_views, C),
                after which copies may follow.
            hflip: see PairNetwork.score.
        """
        with torch.autocast(left.device.type, enabled=False):
            if left.ndim == 3:
                views = slice(self.network.num_views(hflip=hflip))
                return self.network.compare_views(left[:, views], right[:, views])
            return self.network.score(left, right, hflip=hflip)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = self.network.parameter_groups(self.hparams["optimizer"]["lr"])
        settings = dict(self.hparams["scheduler"])
        interval = settings.pop("interval")
        if "total_steps" in settings:
            settings["total_steps"] = self._total_steps(settings["total_steps"], interval)
        if "max_lr" in settings:  # as many as there are groups, in the same proportions
            settings["max_lr"] = [settings["max_lr"] * group["lr"] for group in self.network.parameter_groups(lr=1.0)]
        optimizer = _instantiate("optimizer", self.hparams["optimizer"], groups)
        if settings["_target_"].endswith(".OneCycleLR"):
            _refuse_short_rise(settings)
            settings = momentum_cycle(optimizer.defaults) | settings
        _rehearse(self.hparams["optimizer"], settings, groups, self.device)
        scheduler = _instantiate("scheduler", settings, optimizer)
        lr_scheduler: LRSchedulerConfigType = {"scheduler": scheduler, "interval": interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            lr_scheduler["monitor"] = "val/loss"
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}

    def _total_steps(self, asked: int | None, interval: str) -> int:
        """Of a schedule that ends. Raises UserError if it would end before the run."""
        steps = int(self.trainer.estimated_stepping_batches)
        needed = steps if interval == "step" else self.trainer.max_epochs or 1
        if asked is not None and asked < needed:
            raise UserError(
                f"scheduler.total_steps={asked}: expected at least {needed}, the {interval}s of this run, or null."
            )
        return needed if asked is None else asked

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["format"] = FORMAT
        checkpoint["approach"] = self.approach
        checkpoint["config"] = self.config


class SingleImageModule(PairModule):
    """Approach 1: the network sees one image, the left shoe above the right one."""

    def pictures(self, left: Tensor, right: Tensor) -> list[Tensor]:
        return [one_above_the_other(left, right)]


class DualImageModule(PairModule):
    """Approach 2: the network sees two images, stacked as channels or encoded alike and compared."""

    def pictures(self, left: Tensor, right: Tensor) -> list[Tensor]:
        return [left, right]


def momentum_cycle(defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What OneCycleLR is to do with the momentum, or the first of the betas: as the learning rate rises, down from
    MOMENTUM_CYCLE above the optimizer's to as much below. Of itself it takes 0.95 and 0.85, whatever the optimizer has.

    Args:
        defaults: of the optimizer, as torch has it.
    """
    betas = defaults.get("betas")
    momentum = betas[0] if betas else defaults.get("momentum") or 0.0
    if momentum < MOMENTUM_CYCLE:
        return {"cycle_momentum": False}
    highest = min(round(momentum + MOMENTUM_CYCLE, 6), (1 + momentum) / 2)
    return {"base_momentum": round(momentum - MOMENTUM_CYCLE, 6), "max_momentum": highest}


def _refuse_short_rise(scheduler: Mapping[str, Any]) -> None:
    """Raises UserError where OneCycleLR would divide by 0, the number of steps after the first one of its rise."""
    steps, rise = scheduler.get("total_steps"), scheduler.get("pct_start")
    if steps is not None and rise is not None and float(rise * steps) == 1.0:
        raise UserError(
            f"scheduler.pct_start={rise:g}: of {steps} steps that is one, and OneCycleLR cannot rise in "
            "one; take another."
        )


def _instantiate(section: str, settings: Mapping[str, Any], subject: Any) -> Any:
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    with refusing(section, settings):
        module, _, name = settings["_target_"].rpartition(".")
        made = getattr(importlib.import_module(module), name)(subject, **arguments)
        if not isinstance(made, Optimizer if section == "optimizer" else LRScheduler):
            raise TypeError(f"it is no {section}")
    return made


def _rehearse(
    optimizer: Mapping[str, Any], scheduler: Mapping[str, Any], groups: list[dict[str, Any]], device: torch.device
) -> None:
    """Some steps with a few weights for each group, laid as a convolution's where it has any, since many a value is
    refused in a step only. Raises UserError."""
    weights = []
    for group in groups:
        laid = torch.zeros(2, 2, 2, 2, device=device)
        if any(weight.ndim == 4 for weight in group["params"]):
            laid = laid.to(memory_format=torch.channels_last)
        weights.append(laid.requires_grad_())
    trial = _instantiate("optimizer", optimizer, [g | {"params": [w]} for g, w in zip(groups, weights, strict=True)])
    schedule = _instantiate("scheduler", scheduler, trial)

    def closure() -> Tensor:
        trial.zero_grad()
        loss = torch.stack([(weight - 1).square().sum() for weight in weights]).sum()
        loss.backward()
        return loss

    for _ in range(min(REHEARSED_STEPS, scheduler.get("total_steps", REHEARSED_STEPS))):
        with torch.enable_grad(), refusing("optimizer", optimizer):
            trial.step(closure)
        with refusing("scheduler", scheduler):
            schedule.step(*([1.0] if isinstance(schedule, ReduceLROnPlateau) else []))


@contextlib.contextmanager
def refusing(section: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """What a class raises within, as a UserError."""
    try:
        yield
    except Exception as error:
        arguments = {key: value for key, value in settings.items() if key != "_target_"}
        raise UserError(f"{section}: {settings['_target_']} refused {arguments}: {one_line(str(error))}") from error


def said_same(logits: Tensor) -> Tensor:
    """(B,) 1 where a network says "same", else 0. Of logits that all lie between 0 and 1, torchmetrics would think that
    they are probabilities."""
    return (logits > 0).int()


def num_parameters(module: PairModule) -> int:
    """Those that are trained, and what PLDA has learned."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    learned = [value for part in module.modules() if isinstance(part, PLDA) for value in part.buffers()]
    return sum(value.numel() for value in (*trained, *learned))
