"""How well networks do where the two photos of a pair were not taken alike; layers.py puts these photos together.

python benchmarks/conditions.py photos/train outputs/photos/best_dual/folds outputs/photos/best_pretrained/folds
python benchmarks/conditions.py photos/train outputs/photos/best_dual/folds --report docs/results/conditions.json

shoepair evaluate -m checkpoint=ready data=photos data.root=photos data.fold=0,1,2,3,4 \\
    hydra.sweep.dir=outputs/ready/folds
python benchmarks/conditions.py photos/train outputs/ready/folds --checkpoint ready

Each run of a sweep=folds judges the pairs of the people that it validated on, in its predictions.csv; with
--checkpoint, one network that learned from none of these people judges all of them. Both photos of a pair are
changed, each by numbers of its own, in three draws. Floors are those of other people of the same fold: of one half of
them as long as something is chosen, of the other half, with other numbers, for --report, which also counts how often
it was looked at. Nothing is trained.

Beside the conditions stand the mean and the worst of the first nine, the third of the pairs with the darkest shoes, and
what the network is sure of: that which its logits on the people of the other folds say are the surest nine of ten.
"""

import argparse
import statistics
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folds import runs_of
from layers import ALL_AT_ONCE, AS_PHOTOGRAPHED, CONDITIONS, Condition, Layers, layers_of, retaken
from PIL import Image
from verdicts import scored

from shoepair import load_classifier
from shoepair.data.photos import to_square
from shoepair.files import read_json, write_json
from shoepair.inference.gallery import list_photos
from shoepair.inference.network import TrainedNetwork
from shoepair.metrics.calibration import Calibration
from shoepair.metrics.predictions import Predictions, read_predictions
from shoepair.reports.tables import between, markdown_table
from shoepair.training.environment import versions

BATCH = 16
DARKEST = "the darkest third, as photographed"
SUREST = {
    AS_PHOTOGRAPHED: "what it is sure of, as photographed",
    ALL_AT_ONCE: "what it is sure of, all at once, mildly",
}
CHOOSING, REPORTING = 0, 1  # seeds, and halves of the people whose floors are used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="the folder that holds the people of train")
    parser.add_argument("folds", nargs="+", type=Path, metavar="DIR", help="of a sweep=folds")
    parser.add_argument("--draws", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="on the other floors; write what is found")
    parser.add_argument("--checkpoint", metavar="PATH", help="the network that judges, instead of each run's own")
    options = parser.parse_args()
    runs = {folder.parent.name: runs_of(folder) for folder in options.folds}
    layers = layers_of(list_photos([options.photos])[0])
    side = CHOOSING if options.report is None else REPORTING
    found = {
        name: measure(name, of_folds, layers, side, options.draws, options.checkpoint)
        for name, of_folds in runs.items()
    }
    if options.report is not None:
        record(options.report, found, options.draws)
    print(table(found))


def measure(
    network: str, runs: list[Path], layers: dict[str, Layers], side: int, draws: int, checkpoint: str | None = None
) -> dict[str, Any]:
    """Condition -> accuracy, its interval over people and that on same and different pairs; all folds together."""
    right: dict[str, list[np.ndarray]] = {}
    sure: dict[str, list[np.ndarray]] = {}
    folds = [
        (load_classifier(checkpoint or run).trained, read_predictions(run / "predictions.csv")["val"]) for run in runs
    ]
    margins: list[float] = []
    for name, condition in CONDITIONS.items():
        started = time.perf_counter()
        for draw in range(draws if condition != Condition() else 1):
            found = [
                judge(trained, val, layers, condition, np.random.default_rng([side, draw]), side)
                for trained, val in folds
            ]
            margins = margins or margins_of([val for _, val in folds], found)
            for logits, (_, val), margin in zip(found, folds, margins, strict=True):
                right.setdefault(name, []).append((logits > 0) == (val.label == 1))
                sure.setdefault(name, []).append(np.abs(logits) >= margin)
        print(f"{network}, {name}: {time.perf_counter() - started:.0f} s", flush=True)
    person = np.concatenate([np.asarray(val.person) for _, val in folds])
    label = np.concatenate([val.label for _, val in folds])
    results = {}
    for name, parts in right.items():
        correct = np.concatenate(parts)
        times = len(correct) // len(label)
        results[name] = scored(correct, np.tile(label, times), np.tile(person, times))
        if name in SUREST:
            answered = np.concatenate(sure[name])
            of_those = (values[answered] for values in (correct, np.tile(label, times), np.tile(person, times)))
            results[SUREST[name]] = scored(*of_those) | {"answered": float(answered.mean())}
    light = np.concatenate([[min(brightness(layers[n]) for n in pair) for pair in zip(val.left, val.right, strict=True)]
                            for _, val in folds])  # fmt: skip
    dark = light <= np.quantile(light, 1 / 3)
    as_photographed = np.concatenate(right[next(iter(CONDITIONS))])
    results[DARKEST] = scored(as_photographed[dark], label[dark], person[dark])
    return results


def margins_of(folds: list[Predictions], logits: list[np.ndarray]) -> list[float]:
    """For each fold the margin that the others say."""
    margins = []
    for fold in range(len(folds)):
        others = [i for i in range(len(folds)) if i != fold]
        kinds = [np.concatenate([logits[i][folds[i].label == value] for i in others]).tolist() for value in (0, 1)]
        margins.append(Calibration(1.0, *map(tuple, kinds)).margin())
    return margins


def judge(
    trained: TrainedNetwork,
    val: Predictions,
    layers: dict[str, Layers],
    condition: Condition,
    random: np.random.Generator,
    side: int,
) -> np.ndarray:
    """Calibrated logits of all pairs. Each photo is taken anew once."""
    names = sorted({*val.left, *val.right})
    floors = {person: donors(val, layers, person, side) for person in set(val.person)}
    changes = {name: (condition.draw(random), int(random.integers(2**31))) for name in names}

    def taken(name: str) -> np.ndarray:
        change, seed = changes[name]
        person = name.split("_")[0]
        return np.asarray(retaken(layers[name], change, floors[person], np.random.default_rng(seed)))

    with ThreadPoolExecutor() as pool:
        changed = see(trained, list(pool.map(taken, names)))
    row = {name: i for i, name in enumerate(names)}
    left, right = ([row[name] for name in side_names] for side_names in (val.left, val.right))
    if not condition.one_side:
        return compare(trained, changed[left], changed[right])
    unchanged = see(trained, [as_pixels(layers[name]) for name in names])
    first = torch.from_numpy(random.random(len(left)) < 0.5)
    first = first.view(-1, *[1] * (changed.ndim - 1))
    one = torch.where(first, changed[left], unchanged[left])
    other = torch.where(first, unchanged[right], changed[right])
    return compare(trained, one, other)


def donors(val: Predictions, layers: dict[str, Layers], person: str, side: int) -> list[torch.Tensor]:
    """The floors of other people of the same fold; for choosing of one half of them, for reporting of the other."""
    names = sorted({*val.left, *val.right})
    floors = [
        layers[name].floor
        for name in names
        if (owner := name.split("_")[0]) != person and zlib.crc32(owner.encode()) % 2 == side
    ]
    if not floors:
        raise SystemExit(f"{person}: nobody else of this fold has a floor to lay shoes on; take fewer, larger folds.")
    return floors


def as_pixels(layers: Layers) -> np.ndarray:
    return (255 * layers.photo).round().byte().permute(1, 2, 0).numpy()


def see(trained: TrainedNetwork, photos: Sequence[np.ndarray]) -> torch.Tensor:
    """Embeddings where each shoe has one, else the images that the network wants; (num_photos, ...)."""
    squares = [to_square(Image.fromarray(photo), trained.image_size) for photo in photos]
    images = torch.from_numpy(np.stack(squares))
    if trained.siamese is None:
        return torch.cat([trained.see(batch) for batch in images.split(BATCH)])
    return torch.cat([trained.encode(trained.see(batch)) for batch in images.split(BATCH)])


def compare(trained: TrainedNetwork, one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    pairs = zip(one.split(BATCH), other.split(BATCH), strict=True)
    if trained.siamese is None:
        return torch.cat([trained.score(a, b) for a, b in pairs]).numpy()
    return torch.cat([trained.compare(a, b) for a, b in pairs]).numpy()


def brightness(layers: Layers) -> float:
    return float((layers.photo.mean(0) * layers.cover[0]).sum() / layers.cover.sum().clamp_min(1e-6))


def table(found: dict[str, dict[str, Any]]) -> str:
    header = ["the photos of a pair", *(f"{name}: accuracy (95 % interval; same / different)" for name in found)]
    nine = [name for name in CONDITIONS if name != ALL_AT_ONCE]
    accuracies = {network: [results[name]["accuracy"] for name in nine] for network, results in found.items()}
    rows = [[name, *(cell(results[name]) for results in found.values())] for name in nine]
    rows.append(["mean of the nine", *(f"{100 * statistics.fmean(accuracies[network]):.1f}" for network in found)])
    rows.append(["worst of the nine", *(f"{100 * min(accuracies[network]):.1f}" for network in found)])
    last = (ALL_AT_ONCE, DARKEST, *SUREST.values())
    rows += [[name, *(cell(results[name]) for results in found.values())] for name in last]
    return markdown_table(header, rows)


def cell(result: dict[str, Any]) -> str:
    kinds = " / ".join(f"{100 * result[kind]:.1f}" for kind in ("accuracy_same", "accuracy_different"))
    answered = f", {100 * result['answered']:.0f} % answered" if "answered" in result else ""
    return f"{100 * result['accuracy']:.1f} ({between(result['interval'])}; {kinds}){answered}"


def record(path: Path, found: dict[str, dict[str, Any]], draws: int) -> None:
    """Each network with how often it was looked at, under this name, in this file."""
    networks: dict[str, Any] = read_json(path) or {}
    for name, conditions in found.items():
        looks = networks.get(name, {"looks": 0})["looks"] + 1
        networks[name] = {"looks": looks, "draws": draws, "versions": versions(), "conditions": conditions}
    write_json(path, networks)


if __name__ == "__main__":
    main()
