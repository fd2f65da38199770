"""Whether the network that a run begins with has learned from people who validate here: what it then reaches on them
says little of others.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shoepair.config.schema import DataSettings, TrainSettings
from shoepair.data.datamodule import ShoePairDataModule, who_trains_and_validates
from shoepair.data.synthetic.collection import names_of_people
from shoepair.runs.checkpoint import being_a_checkpoint, read_checkpoint

SPLIT_BY = ("num_people", "train_fraction", "fold", "folds", "validate_on_train")


def known_people(settings: TrainSettings, data: ShoePairDataModule) -> Iterator[str]:
    """A line for each network that has learned from some of the people who validate."""
    if settings.data.validate_on_train:
        return
    beside = getattr(settings.approach, "ensemble_with", None)
    for key, path in (("init_from", settings.init_from), ("approach.ensemble_with", beside)):
        if path is None or settings.resume is not None:  # it may be gone since, and was said at the beginning
            continue
        theirs = read_checkpoint(path, key).config
        with being_a_checkpoint(path, key):
            known = people_of(theirs["data"], settings.data, data).intersection(data.people["val"])
        if known:
            yield (
                f"{key}={path}: it has learned from {len(known)} of the {len(data.people['val'])} people who validate "
                "here; what it reaches on them says little of others."
            )


def people_of(theirs: Mapping[str, Any], ours: DataSettings, data: ShoePairDataModule) -> set[str]:
    """Who taught a network, as far as they are people of this run's data.

    Args:
        theirs: the section data of its configuration.
    """
    plain = ours.model_dump()
    if theirs.get("name") != plain["name"]:
        return set()
    if plain["name"] == "synthetic":
        if theirs.get("seed") != plain["seed"]:
            return set()
        everybody = names_of_people("train", theirs["num_people"])
    else:
        where = "root" if plain["name"] == "photos" else "file"
        if not isinstance(theirs.get(where), str) or Path(theirs[where]).resolve() != Path(plain[where]).resolve():
            return set()
        everybody = data.shoes["train"].people[: theirs.get("num_people")]
    split = ours.model_copy(update={key: theirs[key] for key in SPLIT_BY if key in theirs})
    return set(who_trains_and_validates(everybody, split)[0])
