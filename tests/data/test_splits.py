"""Nobody stands on two sides of a split: every source of shoes, every split and fold, by the pixels that are yielded.

The pictures themselves say whose shoe they are, so that a mistake anywhere on the way to a batch would be seen.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from lightning import LightningModule, Trainer
from PIL import Image
from settings import train_settings
from torch import Tensor

from shoepair.data.datamodule import ShoePairDataModule
from shoepair.data.shoes import Shoe
from shoepair.data.synthetic.collection import draw_shoes

NUM_PEOPLE, IMAGE_SIZE = 11, 32
FRACTIONS = (0.3, 0.5, 0.8, 0.9)
FOLDS = (2, 3, 5, 7)
SOURCES = ("synthetic", "photos", "table", "real photos")

Batch = tuple[Tensor, Tensor, Tensor]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn shoes as photos: most people with three pairs, one with two, one with a single pair."""
    root = tmp_path_factory.mktemp("photos")
    drawn = draw_shoes(num_people=NUM_PEOPLE, num_test_people=2, image_size=IMAGE_SIZE, seed=5, hardness=0.5)
    for split, shoes in drawn.items():
        (root / split).mkdir()
        for image, shoe in zip(shoes.images, shoes.shoes, strict=True):
            if (shoe.person, shoe.pair) not in (("u002", "3"), ("u006", "2"), ("u006", "3")):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / split / f"{shoe.name}.png")
    return root


@pytest.fixture(scope="module")
def table(photos: Path) -> Path:
    """A table of the same photos in no order, their people under other names."""
    path = photos / "shoes.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "person", "pair", "side", "kind", "split"])
        for photo in sorted(photos.glob("*/*.png"), key=lambda photo: photo.stem[::-1]):
            person, pair, side, kind = photo.stem.split("_")
            writer.writerow([photo.relative_to(photos), f"Mx. {person[::-1]}", pair, side, kind, photo.parent.name])
    return path


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What is typed for a source."""
    if request.param == "synthetic":
        return ("data=synthetic", f"data.num_people={NUM_PEOPLE}", "data.num_test_people=2")
    if request.param == "table":
        return ("data=table", f"data.file={request.getfixturevalue('table')}")
    root = request.getfixturevalue("photos" if request.param == "photos" else "real_photos")
    return ("data=photos", f"data.root={root}")


def datamodule_of(source: tuple[str, ...], **settings: object) -> ShoePairDataModule:
    # The histogram has no stages, so that images of any size will do.
    others = (f"data.image_size={IMAGE_SIZE}", "data.batch_size=8", "augment=none", "approach=histogram")
    changed = (f"data.{key}={'null' if value is None else value}" for key, value in settings.items())
    datamodule = ShoePairDataModule(train_settings(*source, *others, *changed).data, seed=0)
    datamodule.setup()
    return datamodule


class Faces:
    """Whose shoe a picture shows, by its pixels, among the shoes of every split."""

    def __init__(self, datamodule: ShoePairDataModule) -> None:
        self.shoes: dict[bytes, Shoe] = {}
        for split in ("train", *datamodule.test_splits):
            collection = datamodule.shoes[split]
            for image, shoe in zip(collection.images, collection.shoes, strict=True):
                known = self.shoes.setdefault(image.contiguous().numpy().tobytes(), shoe)
                assert known == shoe, f"{known.name} and {shoe.name} look the same: the test could not tell them apart"

    def pairs(self, batches: Iterable[Batch]) -> Iterator[tuple[Shoe, Shoe, int]]:
        for left, right, label in batches:
            for one, other, is_same in zip(left, right, label.tolist(), strict=True):
                yield self._shoe(one), self._shoe(other), int(is_same)

    def _shoe(self, image: Tensor) -> Shoe:
        return self.shoes[image.contiguous().numpy().tobytes()]


def check_split(datamodule: ShoePairDataModule, num_epochs: int) -> None:
    """Every person stands in one split, and every pair that is yielded shows shoes of people of its own split."""
    faces, people = Faces(datamodule), datamodule.people
    everybody = datamodule.shoes["train"].people[: datamodule.settings.num_people]
    assert sorted(people["train"] + people["val"]) == everybody  # each of them once, so nobody on both sides
    assert people["train"] and people["val"]
    tested = [name for split in datamodule.test_splits for name in people[split]]
    assert len(tested) == len(set(tested)) and not set(tested) & set(datamodule.shoes["train"].people)

    def check_pairs(split: str, batches: Iterable[Batch]) -> int:
        number = 0
        for left, right, is_same in faces.pairs(batches):
            assert left.person == right.person and left.person in people[split], (split, left, right)
            of_one_side = split == "train" and datamodule.settings.same_side_negatives and left.side == right.side
            assert (left.side, right.side) == ("left", "right") or (of_one_side and is_same == 0)
            assert (left.pair == right.pair) == (is_same == 1)
            number += 1
        return number

    for epoch in range(num_epochs):
        datamodule.training_batches.set_epoch(epoch)
        assert check_pairs("train", datamodule.train_dataloader()) == datamodule.training_batches.num_pairs
    assert check_pairs("val", datamodule.val_dataloader()) == len(datamodule.pairs["val"])
    assert check_pairs("val", datamodule.calibration_loader()) == len(datamodule.calibration_pairs)
    assert len(datamodule.calibration_pairs) >= len(datamodule.pairs["val"])
    assert datamodule.test_splits == ["test_m", "test_w"]
    for split in ("val", *datamodule.test_splits):
        assert check_pairs(split, datamodule.evaluation_loader(split)) == len(datamodule.pairs[split])


@pytest.mark.parametrize("train_fraction", FRACTIONS)
def test_nobody_stands_on_two_sides_of_a_split(source: tuple[str, ...], train_fraction: float) -> None:
    check_split(datamodule_of(source, train_fraction=train_fraction), num_epochs=3)


@pytest.mark.parametrize("folds", FOLDS)
def test_nobody_stands_on_two_sides_of_a_fold_and_everybody_validates_once(source: tuple[str, ...], folds: int) -> None:
    validated: Counter[str] = Counter()
    for fold in range(folds):
        datamodule = datamodule_of(source, folds=folds, fold=fold)
        check_split(datamodule, num_epochs=1)
        validated.update(datamodule.people["val"])
    assert validated == Counter(datamodule.shoes["train"].people)


@pytest.mark.parametrize("negatives", ["cyclic", "all", "resampled"])
@pytest.mark.parametrize("balanced", [True, False])
def test_however_pairs_are_chosen_they_stay_on_their_side(
    source: tuple[str, ...], negatives: str, balanced: bool
) -> None:
    check_split(datamodule_of(source, negatives=negatives, balanced=balanced, num_people=7), num_epochs=2)
    check_split(datamodule_of(source, negatives=negatives, balanced=balanced, folds=3, fold=1), num_epochs=2)
    if negatives == "resampled":
        check_split(datamodule_of(source, same_side_negatives=0.5, balanced=balanced, folds=3, fold=1), num_epochs=2)


class Onlooker(LightningModule):
    """Keeps what reaches a network, as the pixels it came from."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: dict[str, list[Batch]] = {"train": [], "val": []}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self._keep("train", batch)
        return self.weight.sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._keep("val", batch)

    def _keep(self, split: str, batch: Batch) -> None:
        left, right = (((side + 0.5) * 255).round().byte() for side in batch[:2])
        self.seen[split].append((left, right, batch[2]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("fold", [None, 0, 1, 2])
def test_what_reaches_the_network_is_of_its_own_side(photos: Path, fold: int | None, num_workers: int) -> None:
    source = ("data=photos", f"data.root={photos}")
    datamodule = datamodule_of(source, folds=3, fold=fold, num_workers=num_workers)
    onlooker = Onlooker()
    trainer = Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(onlooker, datamodule=datamodule)
    faces = Faces(datamodule)
    people = {split: {left.person for left, _, _ in faces.pairs(batches)} for split, batches in onlooker.seen.items()}
    assert people == {split: set(datamodule.people[split]) for split in ("train", "val")}
    assert not people["train"] & people["val"]
    for left, right, _ in faces.pairs([*onlooker.seen["train"], *onlooker.seen["val"]]):
        assert left.person == right.person


def test_a_mistake_would_be_seen(photos: Path) -> None:
    """With one training person's pairs among those that validate, the check fails."""
    source = ("data=photos", f"data.root={photos}")
    datamodule = datamodule_of(source)
    stranger = datamodule.people["train"][0]
    datamodule.people["val"].append(stranger)
    with pytest.raises(AssertionError):
        check_split(datamodule, num_epochs=1)
    datamodule = datamodule_of(source)
    batches = datamodule.training_batches
    batches.same = batches.same + datamodule.pairs["val"][:1]
    with pytest.raises(AssertionError):
        check_split(datamodule, num_epochs=1)
