"""What the networks that come with shoepair are worth on photos, and how their shifts and temperatures were found.

python benchmarks/ready.py photos/train                                     # ready, of the package
python benchmarks/ready.py photos/train --checkpoint outputs/ready          # a run, before it is packed
python benchmarks/ready.py photos/train --out docs/results/ready.json

Every left is judged with every right shoe of each person; no photo has taught it anything. Two numbers, shift and
temperature, are fitted to photos: "cross-fitted" figures take them from the people of the other four folds.
"""

import argparse
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from verdicts import scored

from shoepair import load_classifier
from shoepair.data.layout import LEFT, RIGHT
from shoepair.data.photos import open_upright, to_square
from shoepair.files import write_json
from shoepair.inference.gallery import list_photos
from shoepair.inference.network import TrainedNetwork
from shoepair.training.environment import versions

FOLDS, BATCH = 5, 16
SURENESS = (0.5, 0.65, 0.8, 0.9, 0.95, 1.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTOS", help="folders of people's photos")
    parser.add_argument("--checkpoint", default="ready", metavar="PATH")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    trained = load_classifier(options.checkpoint).trained
    logits, label, person = judge(options.photos, trained)
    found = figures(logits, label, person) | {"checkpoint": options.checkpoint, "versions": versions()}
    # Of the network's own logits, before its temperature: what training/ready.py takes.
    found |= {name: found[name] * trained.temperature for name in ("shift", "temperature")}
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.out is not None:
        write_json(options.out, found)


def judge(folders: list[Path], trained: TrainedNetwork) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibrated logits, labels and people of all pairs, (num_pairs,) each."""
    paths = list_photos(folders)
    photos = torch.from_numpy(np.stack([to_square(open_upright(path), trained.image_size) for path in paths]))
    seen = torch.cat([trained.encode(trained.see(batch)) for batch in photos.split(BATCH)])
    named = [path.stem.split("_") for path in paths]
    pairs = [
        (i, j, left[1] == right[1], left[0])
        for i, left in enumerate(named)
        for j, right in enumerate(named)
        if left[0] == right[0] and left[2] == LEFT and right[2] == RIGHT
    ]
    one, other = (torch.tensor([pair[side] for pair in pairs]) for side in (0, 1))
    logits = [trained.compare(seen[a], seen[b]) for a, b in zip(one.split(BATCH), other.split(BATCH), strict=True)]
    return torch.cat(logits).numpy(), np.array([pair[2] for pair in pairs]), np.array([pair[3] for pair in pairs])


def figures(logits: np.ndarray, label: np.ndarray, person: np.ndarray) -> dict[str, Any]:
    people = sorted(set(person))
    fold = np.array([people.index(who) * FOLDS // len(people) for who in person])
    fitted = np.zeros_like(logits)
    for number in range(FOLDS):
        others = fold != number
        shift, temperature = platt(logits[others], label[others])
        fitted[~others] = (logits[~others] - shift) / temperature
    shift, temperature = platt(logits, label)
    return {
        "as it is": scored((logits > 0) == label, label, person),
        "cross-fitted": scored((fitted > 0) == label, label, person),
        "shift": shift,
        "temperature": temperature,
        "area under the ROC": float((logits[label][:, None] > logits[~label][None]).mean()),
        "sureness": reliability(logits, label),
        "sureness, cross-fitted": reliability(fitted, label),
    }


def platt(logits: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Shift and temperature with the lowest cross-entropy of (logit - shift) / temperature, same and different pairs
    alike in sum, and with smoothed targets (Platt 1999)."""
    kinds = [(logits[label], 1.0), (logits[~label], -1.0)]

    def loss(parameters: np.ndarray) -> float:
        log_temperature, shift = parameters
        total = 0.0
        for values, sign in kinds:
            scaled = sign * (values - shift) * np.exp(-log_temperature)
            target = (len(values) + 1) / (len(values) + 2)
            total += float((np.logaddexp(0, -scaled) + (1 - target) * scaled).mean())
        return total

    log_temperature, shift = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return float(shift), float(np.exp(log_temperature))


def reliability(logits: np.ndarray, label: np.ndarray) -> dict[str, Any]:
    """Verdicts by how sure they are: how many, and what part is right, same and different pairs alike in sum."""
    sure = 1 / (1 + np.exp(-np.abs(logits)))
    weight = np.where(label, 0.5 / label.mean(), 0.5 / (1 - label.mean()))
    right = (logits > 0) == label
    table = {}
    for lowest, highest in pairwise(SURENESS):
        among = (sure >= lowest) & (sure < highest)
        if among.any():
            average = np.average(sure[among], weights=weight[among]), np.average(right[among], weights=weight[among])
            table[f"{lowest:g} to {min(highest, 1):g}"] = [int(among.sum()), *(round(float(x), 3) for x in average)]
    return table


if __name__ == "__main__":
    main()
