"""Teaches the last norms of an encoder, on drawn shoes alone, to see a shoe as it is however its photo was taken.

python -m shoepair.training.teach src/shoepair/models/taught.pt      # some six minutes of a core; see approach.taught

Self-distillation: the encoder as it came is the teacher, by its vectors of sharp cut-outs, each averaged with that of
its mirror image, since the other shoe of a pair is one. Its student is shown them blurred, compressed, in other light,
partly hidden and laid a little otherwise, and learns to give the same vectors by the scales and shifts of the norms
behind its maps, which are compared place by place and stay as they are. Nobody's photo is needed, so nobody's shoes are
known better than others. After Xie et al., Self-training with Noisy Student, 2020, and Frankle et al., Training
BatchNorm and Only BatchNorm, 2021.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from shoepair.config.approaches import OF_CUT_OUTS, TAUGHT_ENCODER, PretrainedSettings
from shoepair.config.schema import AugmentSettings
from shoepair.data.augment import Augmentation
from shoepair.data.shoes import normalise, to_bytes
from shoepair.data.synthetic.collection import draw_shoes
from shoepair.files import replacing
from shoepair.models.cutout import CutOut, mirrored, turned
from shoepair.models.encoders import PretrainedEncoder, freeze_before
from shoepair.models.stages import channels_last
from shoepair.terminal import say

SEED = 21  # of people whom nothing else draws, so that none of these judges what they have taught
FIRST_TAUGHT = "blocks.5"  # behind local_layer
BATCH = 8
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-4
# Half of what degrade says is spared in one of two photos, and only one of them is looked at: two thirds are degraded.
TAKEN = AugmentSettings(
    hflip=0.0, swap=0.0, rot180=0.0, rotation_deg=5.0, translate=0.03, scale=0.08, brightness=0.0, contrast=0.0,
    saturation=0.0, exposure=0.3, gradient=0.3, shear=0.03, degrade=0.9, occlude=0.4,
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="FILE.pt")
    parser.add_argument("--weights", default="default", help="of the encoder, a file (default: downloaded once)")
    parser.add_argument("--people", type=int, default=150, help="drawn, each with three pairs (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=600, help=f"of {BATCH} cut-outs (default: %(default)s)")
    options = parser.parse_args()
    settings = settings_of(options.weights)
    changes = learn(settings, draw(options.people, settings.cutout or 0), options.steps)
    with replacing(options.out) as partial_file:
        torch.save({name: change.half() for name, change in changes.items()}, partial_file)
    say(f"{sum(change.numel() for change in changes.values()):,} numbers of norms: {options.out}")


def settings_of(weights: str | None) -> PretrainedSettings:
    """Of best_pretrained's encoder, as it came; of weights the file, default, or None for random ones."""
    return PretrainedSettings(
        **OF_CUT_OUTS, name="pretrained", encoder=TAUGHT_ENCODER, weights=weights, frozen=True, cutout=224, copies=0,
        local_layer="blocks.4", unfreeze_from=None, encoder_lr_scale=1.0, hidden_units=None, dropout=0.0,
        ensemble_with=None, ensemble_lr_scale=1.0,
    )  # fmt: skip


@torch.inference_mode()
def draw(num_people: int, size: int) -> Tensor:
    """Cut-outs of drawn shoes, half of them on floors of their own: (num_shoes, 4, size, size) uint8."""
    drawn = draw_shoes(
        num_people=num_people, num_test_people=0, image_size=size, seed=SEED, hardness=0.95, own_scenes=0.5
    )["train"]
    cut_out = CutOut(size).eval()
    parts = [to_bytes(cut_out(normalise(drawn.gather(rows)))) for rows in torch.arange(len(drawn.shoes)).split(16)]
    return torch.cat(parts)


def learn(settings: PretrainedSettings, cut_outs: Tensor, steps: int) -> dict[str, Tensor]:
    """By how much the norms from FIRST_TAUGHT on change: the names of their weights in the encoder -> (C,) each.

    Args:
        cut_outs: (num_shoes, 4, H, H) uint8.
    """
    torch.manual_seed(SEED)
    encoder = PretrainedEncoder(settings, cut_outs.shape[-1])
    wanted = vectors_of(encoder, cut_outs)
    own = {name: value.clone() for name, value in encoder.body.named_parameters()}
    norms = norms_from(encoder, FIRST_TAUGHT)
    encoder.frozen = False
    taken = Augmentation(TAKEN)
    optimizer = torch.optim.AdamW(norms.values(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    started = time.perf_counter()
    for step in range(steps):
        rows, turn, mirror = torch.randint(len(cut_outs), (BATCH,)), *torch.randint(2, (2, BATCH))
        sharp = views_of(cut_outs[rows])[torch.arange(BATCH), turn, mirror]
        seen = encoder(channels_last(taken(sharp, sharp)[0][:, :3]))
        loss = 1 - (seen * wanted[rows, turn]).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 50 == 0:
            say(f"Step {step + 1} of {steps}: {loss:.3f} from the teacher, {time.perf_counter() - started:.0f} s")
    return {name: value.detach() - own[name] for name, value in norms.items()}


def views_of(cut_outs: Tensor) -> Tensor:
    """As they are and turned by 180 degrees, each of these as it is and mirrored: (B, 4, H, H) uint8 -> (B, 2, 2, 4, H,
    H), RGB in [-0.5, 0.5]."""
    both = torch.stack([normalise(cut_outs), turned(normalise(cut_outs))], 1)
    return torch.stack([both, mirrored(both)], 2)


@torch.no_grad()
def vectors_of(encoder: PretrainedEncoder, cut_outs: Tensor) -> Tensor:
    """Of both ways to lay a shoe the mean of the encoder's vectors of it and of its mirror image, of length 1: (N, 4,
    H, H) uint8 -> (N, 2, num_features)."""
    means = []
    for batch in cut_outs.split(BATCH):
        views = views_of(batch)
        means.append(encoder(channels_last(views.flatten(0, 2)[:, :3])).unflatten(0, views.shape[:3]).mean(2))
    return nn.functional.normalize(torch.cat(means), dim=2)


def norms_from(encoder: PretrainedEncoder, part: str) -> dict[str, nn.Parameter]:
    """Scales and shifts of the norms of a part and of those behind it; of the encoder nothing else is trained then."""
    body = encoder.body.requires_grad_(True)
    freeze_before(body, part, torch.zeros(1, 3, encoder.image_size, encoder.image_size))
    norms = {
        f"{name}.{own}": value
        for name, module in body.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for own, value in module.named_parameters()
        if value.requires_grad
    }
    body.requires_grad_(False)
    for value in norms.values():
        value.requires_grad_(True)
    return norms


if __name__ == "__main__":
    main()
