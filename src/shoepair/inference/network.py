"""A trained network without what trained it: read from a checkpoint, scores pairs or single shoes' vectors.

Knows nothing of Lightning, whose import alone takes longer than judging two photos.
"""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shoepair.errors import UserError
from shoepair.files import replacing
from shoepair.metrics.calibration import Calibration
from shoepair.models.networks import build_network, without_weights
from shoepair.models.siamese import Comparison

PREFIX = "network."  # of the network's weights among those of its LightningModule
CALIBRATION = "calibration"  # its key in a checkpoint; older ones and those of the sanity mode have none


@contextlib.contextmanager
def reading_checkpoint(path: str | Path, key: str = "checkpoint") -> Iterator[dict[str, Any]]:
    """The content of a checkpoint, on the CPU; whatever fails inside the block means that it is none.

    Only plain values and tensors are read (`weights_only=True`): a file cannot run code.

    Args:
        key: what the setting is called, for the error.
    Raises:
        UserError: if the file is not there or is no checkpoint of shoepair.
    """
    if not Path(path).is_file():
        raise UserError(f"{key}={path}: no such file.")
    try:
        yield torch.load(path, map_location="cpu", weights_only=True)
    except UserError:  # what the network needs is not installed
        raise
    except Exception as error:  # whatever a file that is something else provokes
        raise UserError(
            f"{key}={path}: this is no checkpoint of shoepair ({type(error).__name__}); "
            "expected a file that `shoepair train` wrote, such as RUN_FOLDER/checkpoints/best.ckpt."
        ) from error


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, on the CPU, and the configuration of the run that trained it.

    Attributes:
        approach: "single" or "dual".
        settings: of build_network, among them image_size.
        config: the run's whole configuration, plain values.
        calibration: by what its logits are made probabilities; None: they are taken as they are.
    """

    network: nn.Module
    approach: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    calibration: Calibration | None = None

    @property
    def image_size(self) -> int:
        return int(self.settings["image_size"])

    @property
    def temperature(self) -> float:
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def knows_mirrored(self) -> bool:
        """Whether it was trained on mirrored pairs too, so that a pair can be judged by two views."""
        return knows_mirrored(self.config)

    @property
    def encoder(self) -> Comparison | None:
        """What turns each shoe into one vector and compares vectors; None if the network sees pairs only."""
        inner = getattr(self.network, "classifier", None)
        return inner if isinstance(inner, Comparison) else None

    @torch.inference_mode()
    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B,) calibrated logits of pairs, positive means "same pair"; RGB in [-0.5, 0.5], each (B, 3, H, W)."""
        return score_views(self.network, left, right, mirrored=self.knows_mirrored) / self.temperature

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-0.5, 0.5] -> (B, C). Only where there is an encoder."""
        assert self.encoder is not None
        return self.encoder.encode(images)

    @torch.inference_mode()
    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """(B,) calibrated logits of pairs of vectors, each (B, C). Only where there is an encoder."""
        assert self.encoder is not None
        return logit(self.encoder.compare(one, other)) / self.temperature

    @torch.inference_mode()
    def summary(self, vectors: Tensor) -> Tensor:
        """(B, C) -> (B, c): summaries of shoes that are quite unlike lie far apart. Only where there is an encoder."""
        assert self.encoder is not None
        return self.encoder.summary(vectors)

    def threshold(self, false_matches: float) -> float:
        """The calibrated logit from which two shoes are the same pair, for a wanted rate of false matches.

        See Calibration.threshold.

        Raises:
            UserError: if the checkpoint carries no calibration, or its validation pairs cannot support the rate.
        """
        if self.calibration is None:
            raise UserError(
                f"false matches {false_matches:g}: this checkpoint carries no calibration, as `shoepair train` writes "
                "it at the end of a run, but not in the sanity mode or with data.validate_on_train=true; train again."
            )
        return self.calibration.threshold(false_matches)


def knows_mirrored(config: Mapping[str, Any]) -> bool:
    """Whether the run of this configuration was trained on mirror images too."""
    return bool(config.get("data", {}).get("augment", {}).get("mirror"))


def score_views(network: nn.Module, left: Tensor, right: Tensor, *, mirrored: bool) -> Tensor:
    """(B,) logits of pairs, or their mean over the photos and their mirror images."""
    logits = logit(network(left, right))
    if mirrored:
        logits = (logits + logit(network(left.flip(-1), right.flip(-1)))) / 2
    return logits


def logit(outputs: Tensor) -> Tensor:
    """One logit from a network's two outputs: (B, 2) -> (B,)."""
    return outputs[:, 1] - outputs[:, 0]


def calibration_in(checkpoint: Mapping[str, Any]) -> Calibration | None:
    """What a checkpoint's content says of its logits; None if nothing."""
    return Calibration.from_plain(checkpoint[CALIBRATION]) if CALIBRATION in checkpoint else None


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Put it into a checkpoint, as plain values."""
    with reading_checkpoint(path) as checkpoint:
        checkpoint[CALIBRATION] = calibration.as_plain()
    with replacing(path) as partial:
        torch.save(checkpoint, partial)


def load_trained(path: str | Path) -> TrainedNetwork:
    """The network in a checkpoint. Raises UserError if the file is not there or is no checkpoint of shoepair."""
    with reading_checkpoint(path) as checkpoint:
        settings = checkpoint["hyper_parameters"]["network"]
        network = build_network(checkpoint["approach"], **without_weights(settings))
        weights = {
            key.removeprefix(PREFIX): value for key, value in checkpoint["state_dict"].items() if key.startswith(PREFIX)
        }
        network.load_state_dict(weights)
        trained = TrainedNetwork(
            network.eval(), checkpoint["approach"], settings, checkpoint["config"], calibration_in(checkpoint)
        )
    return trained
