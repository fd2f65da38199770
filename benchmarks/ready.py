"""What the networks that come with shoepair are worth on photos, and how their shifts and temperatures were found.

python benchmarks/ready.py photos/train                                     # ready, of the package
python benchmarks/ready.py photos/train --checkpoint outputs/ready          # a run, before it is packed
python benchmarks/ready.py photos/train --out docs/results/ready.json

Every left is judged with every right shoe of each person; no photo has taught it anything. Photos are judged as they
are and, since people take them otherwise, put together anew under the conditions of conditions.py, with the floors that
are for choosing and numbers of their own. Two numbers, shift and temperature, are fitted to all of these verdicts:
"cross-fitted" figures take them from the people of the other four folds.
"""

import argparse
import statistics
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from conditions import CHOOSING, judge
from layers import AS_PHOTOGRAPHED, CONDITIONS, Layers, layers_of
from scipy.optimize import minimize
from verdicts import scored

from shoepair import load_classifier
from shoepair.data.layout import LEFT, RIGHT
from shoepair.files import write_json
from shoepair.inference.gallery import list_photos
from shoepair.metrics.predictions import Predictions
from shoepair.training.environment import versions

FOLDS = 5
DRAW = 100  # no other benchmark's
SURENESS = (0.5, 0.65, 0.8, 0.9, 0.95, 1.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTOS", help="folders of people's photos")
    parser.add_argument("--checkpoint", default="ready", metavar="PATH")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    trained = load_classifier(options.checkpoint).trained
    layers = layers_of(list_photos(options.photos)[0])
    folds = pairs_of_folds(layers)
    logits = {}
    for name, condition in CONDITIONS.items():
        random = np.random.default_rng([CHOOSING, DRAW])
        logits[name] = [judge(trained, pairs, layers, condition, random, CHOOSING) for pairs in folds]
        print(f"judged: {name}", flush=True)
    found = figures(logits, folds) | {"checkpoint": options.checkpoint, "versions": versions()}
    # Of the network's own logits, before its temperature: what training/ready.py takes.
    found |= {name: found[name] * trained.temperature for name in ("shift", "temperature")}
    found["num_parameters"] = sum(value.numel() for value in trained.network.parameters() if value.requires_grad)
    for name, value in found.items():
        print(f"{name}: {value}")
    if options.out is not None:
        write_json(options.out, found)


def pairs_of_folds(layers: dict[str, Layers]) -> list[Predictions]:
    """Every left with every right shoe of each person, nothing said of them yet."""
    shoes = {name: name.split("_") for name in layers}
    people = sorted({person for person, *_ in shoes.values()})
    folds = []
    for fold in range(FOLDS):
        members = {who for number, who in enumerate(people) if number * FOLDS // len(people) == fold}
        pairs = [
            (one, other)
            for one in layers
            for other in layers
            if shoes[one][0] == shoes[other][0] in members and (shoes[one][2], shoes[other][2]) == (LEFT, RIGHT)
        ]
        left, right = ([pair[side] for pair in pairs] for side in (0, 1))
        label = np.array([int(shoes[one][1] == shoes[other][1]) for one, other in pairs])
        folds.append(Predictions([shoes[one][0] for one in left], left, right, label, np.zeros(len(pairs))))
    return folds


def figures(logits: dict[str, list[np.ndarray]], folds: list[Predictions]) -> dict[str, Any]:
    """Args: logits: calibrated ones, of each condition, (num_pairs,) of each fold."""
    labels = [pairs.label == 1 for pairs in folds]
    label, person = np.concatenate(labels), np.concatenate([pairs.person for pairs in folds])
    fitted: dict[str, list[np.ndarray]] = {name: [] for name in logits}
    for fold in range(FOLDS):
        others = [other for other in range(FOLDS) if other != fold]
        shift, temperature = platt(*pooled(logits, labels, others))
        for name, of_folds in logits.items():
            fitted[name].append((of_folds[fold] - shift) / temperature)
    shift, temperature = platt(*pooled(logits, labels, range(FOLDS)))
    everything, all_fitted = (pooled(values, labels, range(FOLDS)) for values in (logits, fitted))
    clean, clean_fitted = (np.concatenate(values[AS_PHOTOGRAPHED]) for values in (logits, fitted))
    of_conditions = {
        name: scored((np.concatenate(values) > 0) == label, label, person) for name, values in fitted.items()
    }
    return {
        "as it is": scored((clean > 0) == label, label, person),
        "cross-fitted": of_conditions[AS_PHOTOGRAPHED],
        "conditions, cross-fitted": of_conditions,
        "mean of the conditions, cross-fitted": statistics.fmean(one["accuracy"] for one in of_conditions.values()),
        "shift": shift,
        "temperature": temperature,
        "area under the ROC": float((clean[label][:, None] > clean[~label][None]).mean()),
        "sureness": reliability(*everything),
        "sureness, cross-fitted": reliability(*all_fitted),
        "sureness, cross-fitted, as photographed": reliability(clean_fitted, label),
    }


def pooled(
    logits: dict[str, list[np.ndarray]], labels: list[np.ndarray], folds: Iterable[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of some folds under all conditions."""
    chosen = list(folds)
    values = [np.concatenate([of_folds[fold] for fold in chosen]) for of_folds in logits.values()]
    return np.concatenate(values), np.tile(np.concatenate([labels[fold] for fold in chosen]), len(values))


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
