"""Packs a trained run as one of the networks that come with shoepair: `make weights`.

    shoepair train experiment=ready
    python -m shoepair.training.ready outputs/ready src/shoepair/models/ready.ckpt
    shoepair train experiment=ready_best
    python -m shoepair.training.ready outputs/ready_best src/shoepair/models/best.ckpt

Only drawn shoes may have taught it, so that its weights belong to nobody; an encoder that learned elsewhere is left
out, and downloaded by whoever uses it. On photos its logits are off: a shift, the same for all, is taken from them, and
its temperature is one at which its probabilities hold there (docs/models.md says how both were found). Who trains it
further starts without the shift, which photos have taught.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shoepair.errors import UserError
from shoepair.files import replacing
from shoepair.runs.checkpoint import CALIBRATION, LEARNED, Checkpoint, read_checkpoint
from shoepair.runs.find import find_checkpoint
from shoepair.runs.packaged import ENCODER
from shoepair.terminal import say


@dataclass(frozen=True)
class OnPhotos:
    """What a network of drawn shoes needs on photos; benchmarks/ready.py finds both numbers.

    Attributes:
        shift: by how much its logits are too large.
        temperature: at which its probabilities hold.
        biases: of the last layers of its heads, as far as it has them, two outputs each, whose difference is a logit.
    """

    shift: float
    temperature: float
    biases: tuple[str, ...]


HEADS = "network.siamese.members.0"
ON_PHOTOS = {
    "dual": OnPhotos(0.075, 0.655, (f"{HEADS}.head.5.bias", f"{HEADS}.earlier.head.2.bias")),
    "pretrained": OnPhotos(
        -0.608,
        0.296,
        tuple(f"{HEADS}.{head}.2.bias" for head in ("head", "local_head", "earlier_head", "colour_head")),
    ),
}
STD = "network.siamese.logit_std"  # by which each head's logits are divided before their mean is taken
LARGEST_FILE = 700_000  # bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="the folder of a completed run")
    parser.add_argument("out", type=Path, metavar="FILE.ckpt")
    options = parser.parse_args()
    checkpoint = read_checkpoint(find_checkpoint(options.run, "outputs"))
    with replacing(options.out) as partial:
        torch.save(packed(checkpoint), partial)
        size = partial.stat().st_size
        if size > LARGEST_FILE:
            raise UserError(f"{options.out} was not written: {size} bytes, expected at most {LARGEST_FILE}.")
    say(f"Written {options.out}, {size / 1e3:.0f} KB")


def packed(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's content with weights of half precision, without an encoder's, the shift taken from its logits.

    Raises:
        UserError: if photos taught it, or it is another network.
    """
    config, calibration = checkpoint.config, checkpoint.calibration
    if config["data"]["name"] != "synthetic" or config["init_from"] is not None:
        raise UserError("expected a run on drawn shoes alone: data=synthetic, and init_from=null.")
    beside = config["approach"].get("ensemble_with")
    if beside is not None:
        raise UserError(f"expected approach.ensemble_with=null, not {beside}, which photos may have taught.")
    on_photos = ON_PHOTOS.get(config["approach"]["name"])
    if on_photos is None:
        raise UserError(f"expected a run of approach={' or '.join(ON_PHOTOS)}.")
    assert calibration is not None
    biases = [name for name in on_photos.biases if name in checkpoint.state_dict]
    if not biases:
        raise UserError("expected a network with the heads of ready or of best.")
    content = {name: value for name, value in checkpoint.content.items() if name != CALIBRATION}
    content["state_dict"] = _halved(shifted(checkpoint.state_dict, on_photos.shift, biases))
    content[LEARNED] = _halved({name: checkpoint.state_dict[name] for name in biases})
    for approach in (content["config"]["approach"], content["hyper_parameters"]["network"]["approach"]):
        if "weights" in approach:
            approach["weights"] = "default"
    different, same = (
        tuple(logit - on_photos.shift for logit in logits) for logits in (calibration.different, calibration.same)
    )
    moved = replace(calibration, temperature=on_photos.temperature, different=different, same=same)
    return content | {CALIBRATION: moved.as_plain()}


def shifted(state_dict: Mapping[str, Tensor], shift: float, biases: Sequence[str]) -> dict[str, Tensor]:
    """Weights, but for the encoder's, of a network whose logits are less by `shift`; biases: those of all its heads."""
    weights = {name: weight.clone() for name, weight in state_dict.items() if not name.startswith(ENCODER)}
    std = weights.get(STD, torch.ones(len(biases)))
    for name, share in zip(biases, std / std.mean(), strict=True):
        weights[name] -= shift * share * torch.tensor([-0.5, 0.5])
    return weights


def _halved(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In half precision, but for the statistics of norms: figures that vary little would lose what they say."""
    return {
        name: weight if ".running_" in name or not weight.is_floating_point() else weight.half()
        for name, weight in weights.items()
    }


if __name__ == "__main__":
    main()
