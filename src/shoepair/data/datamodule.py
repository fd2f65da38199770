"""The LightningDataModule: fills ShoeSets, splits people, and yields (left, right, label) in whole batches."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor, from_numpy
from torch.utils.data import DataLoader, Dataset

from shoepair.config.schema import DataSettings, PhotosSettings, SyntheticSettings, TableSettings
from shoepair.data.augment import Augmentation, Camera
from shoepair.data.pairs import (
    SAME,
    EvaluationBatches,
    Pairs,
    TrainingBatches,
    different_pairs,
    fold_of_people,
    same_pairs,
    split_by_person,
)
from shoepair.data.shoes import ShoeSet, normalise, to_bytes
from shoepair.errors import UserError

FEWEST_PARTS = 4  # of the people who train, each judged by what the others have taught
PARTS_TIMES_PEOPLE = 300  # fewer people teach too little without a fourth of them: there are more parts
ENCODED_AT_ONCE = 16  # shoes: of 64 at a time, EfficientNet-Lite0 takes twice as long for each
Batch = tuple[Tensor, Tensor, Tensor]
Batches = DataLoader[Batch]
Figures = dict[str, Tensor]
Made = TypeVar("Made")


class GatheredPairs(Dataset[Batch]):
    """Gathers a whole batch of pairs in one indexing step for each side."""

    def __init__(self, shoes: "ShoeSet | Views") -> None:
        self.shoes = shoes

    def __getitem__(self, pairs: Pairs) -> Batch:
        """(left, right, label): what `shoes.gather` gives, twice, and (B,) float32, 1 for the same pair."""
        return (
            self.shoes.gather(from_numpy(pairs.left)),
            self.shoes.gather(from_numpy(pairs.right)),
            from_numpy(pairs.label).float(),
        )


class Views:
    """Several views of every shoe of a collection.

    Args:
        views: what a frozen encoder says of them, (num_shoes, num_views, C): of the photos as they are, if there are
            two views of their mirror images, then of changed copies; or cut-outs, (num_shoes, num_views, 4, H, W).
    """

    def __init__(self, views: Tensor) -> None:
        self.views = views

    def gather(self, indices: Tensor) -> Tensor:
        """(B,) shoes -> (B, num_views, ...)."""
        return self.views[indices]


class SeesShoes(Protocol):
    """A network, as far as it sees each shoe by itself; see models/networks.py."""

    def prepared(self, photos: Tensor) -> Tensor: ...

    def encode(self, images: Tensor) -> Tensor: ...

    def encode_views(self, images: Tensor, *, hflip: bool) -> Tensor: ...


class SeesPairs(Protocol):
    """A network, as far as its heads are given figures of pairs that are not trained; see models/networks.py."""

    @property
    def learns_classes(self) -> bool: ...

    def learn_classes(self, views: Tensor, classes: Tensor) -> None: ...

    def figures(self, left: Tensor, right: Tensor) -> Tensor: ...


class ShoePairDataModule(LightningDataModule):
    """Pairs of shoes for training ("train"), choosing ("val") and measuring ("test_m", "test_w").

    Batches reach the model as (left, right, label): RGB in [-0.5, 0.5], each (B, 3, H, W), or after cache_embeddings()
    embeddings, each (B, C); and (B,) float32. After keep_figures(), those of training are `figures`.

    Args:
        seed: of the order in which training pairs come; splits never depend on it.

    Attributes:
        shoes: of each split; train and val share one ShoeSet.
        people: of each split.
        pairs: of the splits that are evaluated.
        embeddings: of each split, after cache_embeddings().
        cut_outs: of the training shoes with their changed copies, after cut_out() that made some.
        figures: after keep_figures(), the "figures" of all training pairs, (N, F), their "label" and their "weight" in
            the loss, (N,).
        first_epoch: epochs that a resumed run has behind it.
    """

    def __init__(self, settings: DataSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        self.seed = seed
        self.augment = Augmentation(settings.augment)
        self.shoes: dict[str, ShoeSet] = {}
        self.people: dict[str, list[str]] = {}
        self.pairs: dict[str, Pairs] = {}
        self.embeddings: dict[str, Views] = {}
        self.cut_outs: Views | None = None
        self.figures: Figures | None = None
        self.first_epoch = 0
        self.num_copies = 0
        self.encodes_cut_outs = False

    def setup(self, stage: str | None = None) -> None:
        """Read or draw the shoes, split the people and form the pairs. Does nothing the second time.

        Raises:
            UserError: if there are no shoes, or a split would be without a pair.
        """
        if self.shoes:
            return
        s = self.settings
        collections = load_shoes(s)
        everybody = collections["train"].people[: s.num_people]
        self.people = dict(zip(("train", "val"), who_trains_and_validates(everybody, s), strict=True))
        self.people |= {split: shoes.people for split, shoes in collections.items() if split != "train"}
        for split, people in self.people.items():
            shoes = self.shoes[split] = collections["train" if split == "val" else split]
            pairs = same_pairs(shoes, people) + different_pairs(shoes, people)
            if len(pairs) == 0:
                raise UserError(
                    f"{split} has no pair: {len(everybody)} people are too few for data.train_fraction="
                    f"{s.train_fraction}, data.fold={s.fold}; add people."
                )
            if split != "train":
                self.pairs[split] = pairs
        self.training_batches = TrainingBatches(
            self.shoes["train"],
            self.people["train"],
            negatives=s.negatives,
            same_side=s.same_side_negatives,
            batch_size=s.batch_size,
            balanced=s.balanced,
            drop_last=s.drop_last,
            seed=self.seed,
        )
        if len(self.training_batches) == 0:
            raise UserError(
                f"data.batch_size={s.batch_size}: expected at most {self.training_batches.num_pairs}, the number of "
                "training pairs, since data.drop_last=true."
            )

    def cut_out(self, network: SeesShoes, device: torch.device, num_copies: int) -> None:
        """From now on batches hold the shoes' cut-outs: what makes them is not trained, so that each is made once.

        Args:
            num_copies: so many augmented copies of each photo that trains are cut out as well.
        """

        def cut_out(images: Tensor) -> Tensor:
            return to_bytes(network.prepared(images))

        if num_copies:
            cameras = self.augment.cameras(num_copies)

            def with_copies(photos: Tensor) -> Tensor:
                return torch.stack([cut_out(photo) for photo in (photos, *self.augment.copies(photos, cameras))], dim=1)

            self.cut_outs = Views(_of_every_shoe(self.shoes["train"], device, with_copies))
        self.shoes = _each_once(self.shoes, lambda shoes: ShoeSet(_of_every_shoe(shoes, device, cut_out), shoes.shoes))

    @torch.no_grad()
    def cache_embeddings(self, network: SeesShoes, device: torch.device, num_copies: int) -> None:
        """From now on batches hold the shoes' embeddings: of an encoder that stays as it is, each shoe is seen once.

        Args:
            network: a siamese one.
            device: where to compute.
            num_copies: so many augmented copies of each photo that trains are seen as well. Each person's are taken by
                cameras of their own: what is learned of classes is judged by people whose cameras it does not know.
        """
        hflip = self.settings.augment is not None and self.settings.augment.hflip > 0
        self.num_copies = num_copies
        trains = set(self.people["train"])

        def encode(photos: Tensor) -> Tensor:
            seen = network.prepared(photos)
            self.encodes_cut_outs = seen.shape[1] == 4
            return network.encode_views(_as_kept(seen), hflip=hflip)

        def encode_copies(photos: Tensor, cameras: list[Camera | None]) -> Tensor:
            copies = self.augment.copies(photos, cameras, by_camera_alone=True)
            return torch.stack([network.encode(_as_kept(network.prepared(copy))) for copy in copies], dim=1)

        def with_copies(shoes: ShoeSet) -> Views:
            own = _of_every_shoe(shoes, device, encode)
            if not num_copies or shoes is not self.shoes["train"]:
                return Views(own)
            views = own.new_zeros(len(own), own.shape[1] + num_copies, own.shape[2])  # 0: of people who do not train
            views[:, : own.shape[1]] = own
            for rows in (rows for person, rows in shoes.rows_of.items() if person in trains):
                cameras = self.augment.cameras(num_copies)
                for some in torch.tensor(rows).split(ENCODED_AT_ONCE):
                    views[some, own.shape[1] :] = encode_copies(_photos(shoes, some, device), cameras).cpu()
            return Views(views)

        self.embeddings = _each_once(self.shoes, with_copies)

    @torch.no_grad()
    def keep_figures(
        self, network: "SeesPairs", device: torch.device, num_draws: int, *, copy_weight: float = 1.0
    ) -> None:
        """After cache_embeddings(): from now on every epoch is one batch, the same one, of all that the network's heads
        are given of training pairs.

        What is learned of classes knows the shoes that it was learned from better than any others, which heads would
        take for how well it knows shoes: each part of the people is judged by what the other parts have taught. Where
        they validate as well, or there is only one of them, by what all have.

        Args:
            num_draws: so many times an epoch's pairs, their views and copies are drawn.
            copy_weight: the key `copy_weight`.
        """
        gathered, found = GatheredPairs(self.embeddings["train"]), []
        part, classes = self._parts(), self._classes()
        apart = network.learns_classes and not self.settings.validate_on_train
        num_parts = int(part.max()) + 1 if apart else 1
        for judged in range(num_parts):
            if network.learns_classes:
                others = classes if num_parts == 1 else classes.masked_fill(part == judged, -1)
                network.learn_classes(self.embeddings["train"].views, others)
            for draw in range(num_draws):
                self.training_batches.set_epoch(draw)
                for pairs in self.training_batches:
                    if num_parts > 1:
                        pairs = pairs[(part == judged).numpy()[pairs.left]]
                    if len(pairs) == 0:
                        continue
                    left, right, label = gathered[pairs]
                    left, right, views = self._views(left, right)
                    figures = network.figures(left.to(device), right.to(device)).cpu()
                    found.append((figures, label, copy_weight ** self._times_counted(views, label)))
        self.figures = {
            name: torch.cat(of_each)
            for name, of_each in zip(("figures", "label", "weight"), zip(*found, strict=True), strict=True)
        }
        if num_parts > 1:
            network.learn_classes(self.embeddings["train"].views, classes)

    def _times_counted(self, views: Tensor, label: Tensor) -> Tensor:
        """How many times copy_weight is what a pair counts: (B, 2) the views of its shoes, (B,) labels -> (B,)."""
        copies = views - (self.embeddings["train"].views.shape[1] - self.num_copies)  # below 0: of the photo itself
        num_blurred = self.augment.num_degraded(self.num_copies)
        blurred, changed = (copies >= 0) & (copies < num_blurred), copies >= num_blurred
        return torch.where(label == SAME, changed.any(1).long(), blurred.sum(1))

    def _parts(self) -> Tensor:
        """To which part of the training people, as many each, every shoe of "train" belongs; -1: to none."""
        shoes, people = self.shoes["train"].shoes, {person: i for i, person in enumerate(self.people["train"])}
        num_parts = max(FEWEST_PARTS, PARTS_TIMES_PEOPLE // len(people))
        return torch.tensor([people[shoe.person] % num_parts if shoe.person in people else -1 for shoe in shoes])

    def _classes(self) -> Tensor:
        """Of every shoe of "train" the number of its pair; -1: it has none, or does not train."""
        classes = torch.full((len(self.shoes["train"].shoes),), -1)
        pairs = same_pairs(self.shoes["train"], self.people["train"])
        for side in (pairs.left, pairs.right):
            classes[from_numpy(side)] = torch.arange(len(pairs))
        return classes

    def training_photos(self, at_most: int) -> Tensor:
        """Photos of training people, evenly chosen: (num_photos, 3, H, W) uint8."""
        shoes, people = self.shoes["train"], set(self.people["train"])
        chosen = [i for i, shoe in enumerate(shoes.shoes) if shoe.person in people]
        return shoes.gather(torch.tensor(chosen[:: -(-len(chosen) // at_most)]))

    def first_images(self, num_pairs: int) -> Batch:
        """The first training pairs of an epoch, not augmented: two (num_pairs, 3, H, W) uint8 and their labels."""
        gathered = GatheredPairs(self.shoes["train"])
        return gathered[next(iter(self.training_batches))[:num_pairs]]

    @property
    def test_splits(self) -> list[str]:
        return [split for split in self.pairs if split != "val"]

    @property
    def calibration_pairs(self) -> Pairs:
        """Every pair of a left and a right shoe of one validation person."""
        shoes, people = self.shoes["val"], self.people["val"]
        return same_pairs(shoes, people) + different_pairs(shoes, people, "all")

    def train_dataloader(self) -> Batches:
        if self.trainer is not None:
            if self.figures is not None:
                return DataLoader([self.figures], batch_size=None)  # type: ignore[arg-type]
            self.training_batches.set_rank(*self._rank())
            # A resumed run fetches its first batch before Lightning sets the epoch; workers, even before it knows it.
            self.training_batches.set_epoch(self.first_epoch)
        return self._loader("train", self.training_batches)

    def val_dataloader(self) -> Batches:
        pairs = self.pairs["val"]
        limit = 1.0 if self.trainer is None else self.trainer.limit_val_batches
        if isinstance(limit, int) or limit < 1.0:  # then both kinds, in any part of them
            pairs = pairs[np.random.default_rng(0).permutation(len(pairs))]
        return self._loader("val", EvaluationBatches(pairs, self.settings.batch_size, *self._rank()))

    def evaluation_loader(self, split: str) -> Batches:
        """All pairs of "val", "test_m" or "test_w", in the order of `self.pairs[split]`."""
        return self._loader(split, EvaluationBatches(self.pairs[split], self.settings.batch_size))

    def calibration_loader(self) -> Batches:
        """All of calibration_pairs."""
        return self._loader("val", EvaluationBatches(self.calibration_pairs, self.settings.batch_size))

    def on_after_batch_transfer(self, batch: Batch | Figures, dataloader_idx: int) -> Batch | Figures:
        """What Lightning calls in training and validation, on the device."""
        training = self.trainer is not None and self.trainer.training
        return batch if isinstance(batch, dict) else self.prepared(batch, training=training)

    def prepared(self, batch: Batch, *, training: bool = False) -> Batch:
        """A gathered batch as the model sees it: normalised, in training augmented; of embeddings, all views or one."""
        left, right, label = batch
        if self.embeddings:
            if not training:
                return batch
            return (*self._views(left, right)[:2], label)
        if training and self.cut_outs is not None:
            left, right = self.augment.choose_copies(left, right)
            return (*self.augment.as_cut_outs(normalise(left), normalise(right)), label)
        left, right = normalise(left), normalise(right)
        if training:
            left, right = self.augment(left, right)
        return left, right, label

    def _views(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.augment.choose_views(left, right, self.num_copies, cut_outs=self.encodes_cut_outs)

    def _rank(self) -> tuple[int, int]:
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    def _loader(self, split: str, batches: TrainingBatches | EvaluationBatches) -> Batches:
        num_workers = self.settings.num_workers
        shoes: ShoeSet | Views = self.embeddings[split] if self.embeddings else self.shoes[split]
        if split == "train" and self.cut_outs is not None:
            shoes = self.cut_outs
        return DataLoader(
            GatheredPairs(shoes),
            sampler=batches,  # yields whole batches, so the loader itself makes none: batch_size=None
            batch_size=None,
            generator=torch.Generator(),  # or each pass would draw from the generator that augmentation uses
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )


def _each_once(collections: dict[str, ShoeSet], make: Callable[[ShoeSet], Made]) -> dict[str, Made]:
    """Something for the collection of each split; train and val share one."""
    done: dict[int, Made] = {}
    for shoes in collections.values():
        if id(shoes) not in done:
            done[id(shoes)] = make(shoes)
    return {split: done[id(shoes)] for split, shoes in collections.items()}


def _as_kept(images: Tensor) -> Tensor:
    """Cut-outs as they are where they were kept as bytes; photos are."""
    return images if images.shape[1] == 3 else normalise(to_bytes(images))


@torch.no_grad()
def _of_every_shoe(shoes: ShoeSet, device: torch.device, see: Callable[[Tensor], Tensor]) -> Tensor:
    """What `see` makes of all images of a collection, normalised, some at a time: (num_shoes, ...)."""
    batches = torch.arange(len(shoes.shoes)).split(ENCODED_AT_ONCE)
    return torch.cat([see(_photos(shoes, batch, device)).cpu() for batch in batches])


def _photos(shoes: ShoeSet, rows: Tensor, device: torch.device) -> Tensor:
    return normalise(shoes.gather(rows).to(device))


def who_trains_and_validates(people: list[str], settings: DataSettings) -> tuple[list[str], list[str]]:
    """(who trains, who validates)."""
    if settings.validate_on_train:
        return people, people
    if settings.fold is None:
        return split_by_person(people, settings.train_fraction)
    return fold_of_people(people, settings.folds, settings.fold)


def load_shoes(settings: DataSettings) -> dict[str, ShoeSet]:
    """The collections that `data.name` names: "train" and, where there are any, "test_m" and "test_w"."""
    if isinstance(settings, PhotosSettings):
        from shoepair.data.download import fetch_photos
        from shoepair.data.photos import read_photos

        if settings.download:
            fetch_photos(settings.root)
        return read_photos(settings.root, settings.image_size, settings.cache_dir)
    if isinstance(settings, TableSettings):
        from shoepair.data.table import read_table

        return read_table(settings.file, settings.image_size, settings.cache_dir)
    assert isinstance(settings, SyntheticSettings)
    from shoepair.data.synthetic.collection import draw_shoes

    return draw_shoes(
        num_people=settings.num_people,
        num_test_people=settings.num_test_people,
        image_size=settings.image_size,
        seed=settings.seed,
        hardness=settings.hardness,
        own_scenes=settings.own_scenes,
        cache_dir=settings.cache_dir,
    )
