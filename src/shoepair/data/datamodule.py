"""The LightningDataModule: fills ShoeSets, splits people, and yields (left, right, label) in whole batches."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor, from_numpy
from torch.utils.data import DataLoader, Dataset

from shoepair.data.augment import Augmentation
from shoepair.data.pairs import (
    EvaluationBatches,
    Pairs,
    TrainingBatches,
    different_pairs,
    fold_of_people,
    same_pairs,
    split_by_person,
)
from shoepair.data.shoes import ShoeSet, normalise
from shoepair.errors import UserError

CALIBRATION = "calibration"  # no split, but what may be predicted as one
ENCODED_AT_ONCE = 64  # shoes


class GatheredPairs(Dataset):
    """Gathers a whole batch of pairs in one indexing step for each side."""

    def __init__(self, shoes: "ShoeSet | ShoeVectors") -> None:
        self.shoes = shoes

    def __getitem__(self, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
        """(left, right, label): what `shoes.gather` gives, twice, and (B,) float32, 1 for the same pair."""
        return (
            self.shoes.gather(from_numpy(pairs.left)),
            self.shoes.gather(from_numpy(pairs.right)),
            from_numpy(pairs.label).float(),
        )


class ShoeVectors:
    """What a frozen encoder says of every shoe of a collection.

    Args:
        views: (num_shoes, num_views, C): of the photos as they are and, if there are two views, of their mirror images.
    """

    def __init__(self, views: Tensor) -> None:
        self.views = views

    def gather(self, indices: Tensor) -> Tensor:
        """(B,) shoes -> (B, num_views, C)."""
        return self.views[indices]


class ShoePairDataModule(LightningDataModule):
    """Pairs of shoes for training ("train"), choosing ("val") and measuring ("test_m", "test_w").

    Batches reach the model as (left, right, label): RGB in [-0.5, 0.5], each (B, 3, H, W), or after encode() vectors,
    each (B, C); and (B,) float32.

    Args:
        settings: the keys of `data`, explained in conf/train.yaml and conf/data/.
        seed: of the order in which training pairs come; splits never depend on it.
    """

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        super().__init__()
        self.settings = dict(settings)
        self.seed = seed
        self.augment = Augmentation(self.settings["augment"])
        self.shoes: dict[str, ShoeSet] = {}  # of each split; train and val share one
        self.people: dict[str, list[str]] = {}
        self.pairs: dict[str, Pairs] = {}  # of the splits that are evaluated
        self.vectors: dict[str, ShoeVectors] = {}  # of each split, after encode()
        self.predicted_split = "val"  # what Trainer.predict is to look at
        self.mirrored = False  # whether it is to see mirror images

    def setup(self, stage: str | None = None) -> None:
        """Read or draw the shoes, split the people and form the pairs. Does nothing the second time.

        Raises:
            UserError: if there are no shoes, or a split would be without a pair.
        """
        if self.shoes:
            return
        collections = load_shoes(self.settings)
        everybody = collections["train"].people[: self.settings["num_people"]]
        if self.settings["validate_on_train"]:
            train, val = everybody, everybody
        elif self.settings["fold"] is None:
            train, val = split_by_person(everybody, self.settings["train_fraction"])
        else:
            train, val = fold_of_people(everybody, self.settings["folds"], self.settings["fold"])
        self.people = {"train": train, "val": val}
        self.people |= {split: shoes.people for split, shoes in collections.items() if split != "train"}
        for split, people in self.people.items():
            shoes = collections["train" if split == "val" else split]
            self.shoes[split] = shoes
            pairs = same_pairs(shoes, people) + different_pairs(shoes, people)
            if len(pairs) == 0:
                raise UserError(
                    f"{split} has no pair: {len(everybody)} people are too few for data.train_fraction="
                    f"{self.settings['train_fraction']}, data.fold={self.settings['fold']}; add people."
                )
            if split != "train":
                self.pairs[split] = pairs
        self.training_batches = TrainingBatches(
            self.shoes["train"],
            self.people["train"],
            negatives=self.settings["negatives"],
            same_side=self.settings.get("same_side", 0.0),  # checkpoints of before have no such key
            batch_size=self.settings["batch_size"],
            balanced=self.settings["balanced"],
            drop_last=self.settings["drop_last"],
            seed=self.seed,
        )
        if len(self.training_batches) == 0:
            raise UserError(
                f"data.batch_size={self.settings['batch_size']}: expected at most "
                f"{self.training_batches.num_pairs}, the number of training pairs, since data.drop_last=true."
            )

    def encode(self, encode: Callable[[Tensor], Tensor], device: torch.device) -> None:
        """From now on batches hold the shoes' vectors: for an encoder that stays as it is, each shoe is seen once.

        Args:
            encode: RGB in [-0.5, 0.5], (B, 3, H, W) -> (B, C).
            device: where to compute.
        """
        mirrored = [False, True] if self.settings["augment"]["mirror"] else [False]
        done: dict[int, ShoeVectors] = {}  # train and val share one ShoeSet
        for split, shoes in self.shoes.items():
            if id(shoes) not in done:
                batches = torch.arange(len(shoes.shoes)).split(ENCODED_AT_ONCE)
                views = []
                for batch in batches:
                    images = normalise(shoes.gather(batch).to(device))
                    views.append(torch.stack([encode(images.flip(-1) if m else images).cpu() for m in mirrored], dim=1))
                done[id(shoes)] = ShoeVectors(torch.cat(views))
            self.vectors[split] = done[id(shoes)]

    def first_images(self, num_pairs: int) -> tuple[Tensor, Tensor, Tensor]:
        """The first training pairs of an epoch, not augmented: two (num_pairs, 3, H, W) uint8 and their labels."""
        gathered = GatheredPairs(self.shoes["train"])
        return gathered[next(iter(self.training_batches))[:num_pairs]]

    @property
    def test_splits(self) -> list[str]:
        return [split for split in self.pairs if split != "val"]

    def train_dataloader(self) -> DataLoader:
        if self.trainer is not None:
            self.training_batches.set_rank(*self._rank())
            # A resumed run fetches its first batch before Lightning sets the epoch.
            self.training_batches.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return self._loader("train", self.training_batches)

    def val_dataloader(self) -> DataLoader:
        batches = EvaluationBatches(self.pairs["val"], self.settings["batch_size"], *self._rank())
        return self._loader("val", batches)

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def evaluation_loader(self, split: str) -> DataLoader:
        """The pairs of "val", "test_m" or "test_w", in the order of `self.pairs[split]`, or of "calibration"."""
        if split == CALIBRATION:
            return self._loader("val", EvaluationBatches(self.calibration_pairs, self.settings["batch_size"]))
        return self._loader(split, EvaluationBatches(self.pairs[split], self.settings["batch_size"]))

    @property
    def calibration_pairs(self) -> Pairs:
        """Every pair of a left and a right shoe of one validation person."""
        shoes, people = self.shoes["val"], self.people["val"]
        return same_pairs(shoes, people) + different_pairs(shoes, people, "all")

    def predict_dataloader(self) -> DataLoader:
        return self.evaluation_loader(self.predicted_split)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        left, right, label = batch
        training = self.trainer is not None and self.trainer.training
        if self.vectors:
            if training:
                left, right = self.augment.choose_views(left, right)
            else:
                left, right = left[:, int(self.mirrored)], right[:, int(self.mirrored)]
            return left, right, label
        left, right = normalise(left), normalise(right)
        if training:
            left, right = self.augment(left, right)
        elif self.mirrored:
            left, right = left.flip(-1), right.flip(-1)
        return left, right, label

    def _loader(self, split: str, batches: TrainingBatches | EvaluationBatches) -> DataLoader:
        num_workers = self.settings["num_workers"]
        return DataLoader(
            GatheredPairs(self.vectors[split] if self.vectors else self.shoes[split]),
            sampler=batches,  # yields whole batches, so the loader itself makes none: batch_size=None
            batch_size=None,
            generator=torch.Generator(),  # or each pass would draw from the generator that augmentation uses
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )


def load_shoes(settings: Mapping[str, Any]) -> dict[str, ShoeSet]:
    """The collections that `data.name` names: "train" and, where there are any, "test_m" and "test_w"."""
    if settings["name"] == "photos":
        from shoepair.data.download import fetch_photos
        from shoepair.data.photos import read_photos

        if settings["download"]:
            fetch_photos(settings["root"])
        return read_photos(settings["root"], settings["image_size"], settings["cache_dir"])
    if settings["name"] == "table":
        from shoepair.data.table import read_table

        return read_table(settings["file"], settings["image_size"], settings["cache_dir"])
    from shoepair.data.synthetic.collection import draw_shoes

    return draw_shoes(
        num_people=settings["num_people"],
        num_test_people=settings["num_test_people"],
        image_size=settings["image_size"],
        seed=settings["seed"],
        hardness=settings["hardness"],
        cache_dir=settings["cache_dir"],
    )
