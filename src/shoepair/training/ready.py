"""Packs a trained run as the network that comes with shoepair: `make weights`.

    shoepair train experiment=ready
    python -m shoepair.training.ready outputs/ready src/shoepair/models/ready.ckpt

Only drawn shoes may have taught it, so that its weights belong to nobody. Photos of one person's different pairs are
more alike than drawn ones: a margin, the same for all, is taken from its logits, and its temperature is one at which
its probabilities hold on photos (docs/models.md says how both were found).
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from shoepair.errors import UserError
from shoepair.files import replacing
from shoepair.runs.checkpoint import CALIBRATION, Checkpoint, read_checkpoint
from shoepair.runs.find import find_checkpoint
from shoepair.terminal import say

MARGIN = 0.88  # logits that speak for the same pair where photos are drawn shoes no more (benchmarks/ready.py)
TEMPERATURE = 0.68  # at which probabilities hold on photos
LAST_BIAS = "network.siamese.head.5.bias"  # of the two outputs, whose difference is the logit
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


def packed(checkpoint: Checkpoint, margin: float = MARGIN) -> dict[str, Any]:
    """A checkpoint's content with weights of half precision, and the margin taken from its logits.

    Raises:
        UserError: if photos taught it.
    """
    if checkpoint.config["data"]["name"] != "synthetic" or checkpoint.config["init_from"] is not None:
        raise UserError("expected a run on drawn shoes alone: data=synthetic, and init_from=null.")
    calibration = checkpoint.calibration
    assert calibration is not None
    weights = {name: weight.clone() for name, weight in checkpoint.state_dict.items()}
    weights[LAST_BIAS] -= margin * torch.tensor([-0.5, 0.5])
    halved = {name: w.half() if w.is_floating_point() else w for name, w in weights.items()}
    different, same = (
        tuple(logit - margin for logit in logits) for logits in (calibration.different, calibration.same)
    )
    shifted = replace(calibration, temperature=TEMPERATURE, different=different, same=same)
    content = {name: value for name, value in checkpoint.content.items() if name != CALIBRATION}
    return content | {"state_dict": halved, CALIBRATION: shifted.as_plain()}


if __name__ == "__main__":
    main()
