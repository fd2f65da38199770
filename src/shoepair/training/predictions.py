"""What a network says of every pair of a split, and the metrics of it. In float32, as photos are judged afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor

from shoepair.config.approaches import ApproachSettings
from shoepair.config.schema import TrainSettings
from shoepair.data.datamodule import Batches, ShoePairDataModule
from shoepair.data.shoes import normalise
from shoepair.metrics.calibration import Calibration, calibrate
from shoepair.metrics.predictions import Predictions
from shoepair.metrics.scores import measure, measure_mean
from shoepair.models.module import PairModule, num_parameters
from shoepair.training.environment import device_name, versions

MEASURED, MEASURED_AT_ONCE = 256, 32  # shoes


def show_shoes(
    module: PairModule,
    data: ShoePairDataModule,
    device: torch.device,
    approach: ApproachSettings,
    *,
    to_train: bool = False,
) -> None:
    """Have the network see each shoe by itself, as far as what it does then is not trained.

    Args:
        to_train: before training, changed copies as well, and what PairNetwork.measure is for.
    """
    network = module.network.to(device)
    was_training = network.training
    network.eval()
    if approach.encodes_once:
        if to_train and network.cut_out is not None:
            photos = data.training_photos(MEASURED).split(MEASURED_AT_ONCE)
            network.measure(torch.cat([network.prepared(normalise(some.to(device))) for some in photos]))
        data.cache_embeddings(network, device, approach.num_copies if to_train else 0)
        if to_train and approach.num_draws:
            data.keep_figures(network, device, approach.num_draws, copy_weight=approach.weight_of_copies)
    elif network.cut_out is not None:
        data.cut_out(network, device, approach.num_copies if to_train else 0)
    network.train(was_training)  # Lightning trains in the mode that it finds


def predict_splits(
    module: PairModule, data: ShoePairDataModule, splits: Sequence[str], device: torch.device, *, hflip: bool
) -> dict[str, Predictions]:
    """What a network says of every pair of the given splits. Arguments: see predict_logits."""
    predictions = {}
    for split in splits:
        pairs, shoes = data.pairs[split], data.shoes[split].shoes
        predictions[split] = Predictions(
            person=[shoes[i].person for i in pairs.left],
            left=[shoes[i].name for i in pairs.left],
            right=[shoes[i].name for i in pairs.right],
            label=pairs.label,
            logit=predict_logits(module, data, data.evaluation_loader(split), device, hflip=hflip).numpy(),
            kind=[shoes[i].kind for i in pairs.left],
            right_kind=[shoes[i].kind for i in pairs.right],
        )
    return predictions


@torch.inference_mode()
def predict_logits(
    module: PairModule, data: ShoePairDataModule, batches: Batches, device: torch.device, *, hflip: bool
) -> Tensor:
    """(num_pairs,) float64 logits of the pairs in `batches`, in their order.

    Args:
        device: where to compute.
        hflip: means over the photos and their mirror images (test-time augmentation).
    """
    module.to(device).eval()
    logits = []
    for batch in batches:
        left, right, label = (part.to(device) for part in batch)
        left, right, _ = data.prepared((left, right, label))
        logits.append(module.judge(left, right, hflip=hflip).cpu())
    return torch.cat(logits).double()


def measure_splits(
    predictions: Mapping[str, Predictions], calibration: Calibration | None = None
) -> dict[str, dict[str, Any]]:
    """The metrics of every split, and as "test" the mean of the test sets where there are any."""
    temperature = None if calibration is None else calibration.temperature
    metrics = {split: measure(p, temperature) for split, p in predictions.items()}
    tests = {split: p for split, p in predictions.items() if split != "val"}
    return metrics | ({"test": measure_mean(tests, temperature)} if tests else {})


def calibrate_module(
    module: PairModule, data: ShoePairDataModule, device: torch.device, *, hflip: bool
) -> Calibration | None:
    """Fit a temperature on all pairs within validation people; None where these were trained on: that says too much."""
    if data.settings.validate_on_train:
        return None
    logits = predict_logits(module, data, data.calibration_loader(), device, hflip=hflip)
    pairs, shoes = data.calibration_pairs, data.shoes["val"].shoes
    return calibrate(logits.numpy(), pairs.label, [shoes[left].person for left in pairs.left])


def measured(
    predictions: Mapping[str, Predictions],
    calibration: Calibration | None,
    module: PairModule,
    settings: TrainSettings,
    trainer: Trainer,
) -> dict[str, Any]:
    """What the results of a training run and of an evaluation have in common; see Results."""
    return {
        "splits": measure_splits(predictions, calibration),
        "temperature": None if calibration is None else calibration.temperature,
        "num_parameters": num_parameters(module),
        "seed": settings.seed,
        "versions": versions(),
        "device": device_name(trainer),
    }
