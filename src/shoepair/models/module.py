"""The LightningModules, and what they share: loss, metrics, optimizer, and what a checkpoint carries."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from lightning import LightningModule
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryRecall, BinarySpecificity

from shoepair.errors import UserError, one_line
from shoepair.inference.network import calibration_in, logit, reading_checkpoint
from shoepair.metrics.calibration import Calibration
from shoepair.models.networks import build_network, without_weights
from shoepair.models.pretrained import PretrainedNetwork
from shoepair.models.siamese import Comparison, JointComparison

Batch = tuple[Tensor, Tensor, Tensor]


class PairClassifier(LightningModule):
    """Scores pairs of shoes with one logit each and learns by binary cross-entropy on it.

    Args:
        network: settings of build_network, among them image_size.
        optimizer, scheduler: `_target_` and arguments, as in conf/optimizer and conf/scheduler. None if it is not
            to be trained. All are plain values, so that a checkpoint can be loaded without running code.
        different_weight: of a different pair in the training loss; a same pair counts 1.
    """

    approach: str

    def __init__(
        self,
        network: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        different_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.network = build_network(self.approach, **network)
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
        self.val_loss = MeanMetric(nan_strategy="disable")  # a diverged run is told apart by its training loss
        self.config: dict[str, Any] = {}  # of the whole run; goes into its checkpoints
        self.calibration: Calibration | None = None  # of the checkpoint that it was loaded from; its logits stay raw

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Score whether two shoes form a pair.

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W).
        Returns:
            (B,) logits; positive means "same pair".
        Raises:
            ValueError: if the two shapes differ.
        """
        if left.shape != right.shape:
            raise ValueError(f"left is {tuple(left.shape)} and right {tuple(right.shape)}: expected the same shape")
        # The cross-entropy of two outputs is the binary cross-entropy of their difference.
        return logit(self.network(left, right))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        left, right, label = batch
        logits, judges = self.judged(left, right)
        loss = torch.stack([self.training_loss(own, label) for own in judges]).mean()
        self.train_metrics.update(logits.detach(), label)
        self.log("train/loss", loss, on_step=False, on_epoch=True, batch_size=len(label), sync_dist=True)
        self.log_dict(self.train_metrics, on_step=False, on_epoch=True)
        return loss

    def judged(self, left: Tensor, right: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        """(B,) logits as forward gives them, and those of every part of the network that is to learn by itself."""
        logits = self(left, right)
        return logits, [logits]

    def training_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """The mean over the batch, each pair counting by its weight: (B,) logits and labels -> ()."""
        different_weight = self.hparams["different_weight"]
        if different_weight == 1:
            return binary_cross_entropy_with_logits(logits, label)
        weight = torch.where(label == 1, 1.0, different_weight)
        return (binary_cross_entropy_with_logits(logits, label, reduction="none") * weight).sum() / weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        left, right, label = batch
        logits = self(left, right)
        self.val_loss.update(binary_cross_entropy_with_logits(logits, label, reduction="none"))
        self.val_metrics.update(logits, label)
        self.log("val/loss", self.val_loss)
        self.log_dict(self.val_metrics)

    def on_validation_epoch_end(self) -> None:
        # What the best epoch is chosen by: accuracy, and of equal accuracies the lower loss. Loss moves the rank by
        # less than half a pair, which is the smallest step that accuracy can make.
        accuracy, loss = self.val_metrics.compute()["val/accuracy"], self.val_loss.compute()
        num_pairs = len(self.trainer.datamodule.pairs["val"])  # type: ignore[attr-defined]
        rank = accuracy - loss / (1 + loss) / (2 * num_pairs)
        self.log("val/rank", torch.nan_to_num(rank, nan=-1.0), logger=False)

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        left, right, _ = batch
        with torch.autocast(left.device.type, enabled=False):  # in float32, as photos are judged afterwards
            return self(left, right)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = self.parameter_groups(self.hparams["optimizer"]["lr"])
        optimizer = _instantiate("optimizer", self.hparams["optimizer"], groups)
        settings = dict(self.hparams["scheduler"])
        interval = settings.pop("interval")
        if "total_steps" in settings and settings["total_steps"] is None:
            settings["total_steps"] = int(self.trainer.estimated_stepping_batches)
        if "max_lr" in settings:  # as many as there are groups, in the same proportions
            settings["max_lr"] = [settings["max_lr"] * group["lr"] for group in self.parameter_groups(lr=1.0)]
        scheduler = _instantiate("scheduler", settings, optimizer)
        lr_scheduler: LRSchedulerConfigType = {"scheduler": scheduler, "interval": interval, "name": "lr"}
        if isinstance(scheduler, ReduceLROnPlateau):
            lr_scheduler["monitor"] = "val/loss"
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimizer trains, each with its learning rate; the first one has `lr`."""
        return [{"params": list(self.parameters()), "lr": lr}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["approach"] = self.approach
        checkpoint["config"] = self.config


def _instantiate(section: str, settings: Mapping[str, Any], subject: Any) -> Any:
    arguments = {key: value for key, value in settings.items() if key != "_target_"}
    try:
        return get_class(settings["_target_"])(subject, **arguments)
    except Exception as error:  # of the class's own check of its arguments
        raise UserError(f"{section}: {settings['_target_']} refused {arguments}: {one_line(str(error))}") from error


class SingleImageClassifier(PairClassifier):
    """Approach 1: the network sees one image, the left shoe above the right one."""

    approach = "single"


class DualImageClassifier(PairClassifier):
    """Approach 2: the network sees two images, stacked as channels or encoded alike and compared."""

    approach = "dual"


class PretrainedClassifier(DualImageClassifier):
    """Approach 2 with an encoder that was trained on other images."""

    approach = "pretrained"

    def judged(self, left: Tensor, right: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
        assert isinstance(self.network, PretrainedNetwork)
        each = self.network.judge_each(left, right)
        return logit(self.network.agree(each)), [logit(outputs) for outputs in each]

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        assert isinstance(self.network, PretrainedNetwork)
        return self.network.parameter_groups(lr)


class HistogramClassifier(PairClassifier):
    """The baseline: a logistic regression on colour histograms."""

    approach = "histogram"


CLASSIFIERS: dict[str, type[PairClassifier]] = {
    c.approach: c for c in (SingleImageClassifier, DualImageClassifier, PretrainedClassifier, HistogramClassifier)
}


def build_classifier(config: Mapping[str, Any], beside: PairClassifier | None = None) -> PairClassifier:
    """The LightningModule of a run's whole configuration, given as plain values.

    Args:
        beside: what approach.beside names.
    Raises:
        UserError: if weights that it names cannot be used.
    """
    network = {key: value for key, value in config["approach"].items() if key != "name"}
    network["image_size"] = config["data"]["image_size"]
    if beside is not None:
        if beside.approach != "dual" or not isinstance(getattr(beside.network, "classifier", None), Comparison):
            raise UserError(
                f"approach.beside={network['beside']}: expected a network that compares two images (approach=dual); "
                f"it is approach={beside.approach}."
            )
        network["beside"] = {"approach": beside.approach, **beside.hparams["network"]}
    classifier = CLASSIFIERS[config["approach"]["name"]](
        network, config["optimizer"], config["scheduler"], config["different_weight"]
    )
    if beside is not None:
        joint = classifier.network.classifier
        assert isinstance(joint, JointComparison)
        joint.members[1].load_state_dict(beside.network.classifier.state_dict())  # type: ignore[union-attr]
    classifier.config = dict(config)
    return classifier


def num_parameters(classifier: PairClassifier) -> int:
    return sum(p.numel() for p in classifier.parameters() if p.requires_grad)


def load_checkpoint(path: str | Path, key: str = "checkpoint") -> PairClassifier:
    """The trained LightningModule in a checkpoint, on the CPU, in evaluation mode, its configuration in `.config`.

    Only plain values and tensors are read (`weights_only=True`): a file cannot run code.

    Args:
        key: what the setting is called, for the error.
    Raises:
        UserError: if the file is not there or is no checkpoint of shoepair.
    """
    with reading_checkpoint(path, key) as checkpoint:
        classifier = CLASSIFIERS[checkpoint["approach"]](without_weights(checkpoint["hyper_parameters"]["network"]))
        classifier.load_state_dict(checkpoint["state_dict"])
        classifier.config = checkpoint["config"]
        classifier.calibration = calibration_in(checkpoint)
    return classifier.eval()
