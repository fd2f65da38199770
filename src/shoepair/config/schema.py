"""Everything that may be typed: for each key its type, its bounds and its meaning. What an approach adds stands in
approaches.py. The values that keys have unless somebody says otherwise stand in conf/.
"""

from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Le
from pydantic import InstanceOf, create_model
from pydantic.fields import FieldInfo

from shoepair.config.approaches import APPROACHES, ApproachSettings
from shoepair.config.trainer import DeviceSettings, TrainerSettings
from shoepair.config.values import (
    Betas,
    Chance,
    ClassName,
    Count,
    Fraction,
    NotNegative,
    OpenSection,
    Parts,
    Place,
    Proportion,
    Rate,
    Section,
    Text,
    Weight,
    key,
)

TABLE_COLUMNS = ("file", "person", "pair", "side", "kind")  # of data=table; split may be there as well


class AugmentSettings(Section):
    """Random changes of training pairs."""

    hflip: Chance = key(
        "Chance that both shoes of a pair are mirrored; not of cut-outs that are seen once, before training."
    )
    swap: Chance = key("Chance that left and right change places.")
    rot180: Chance = key("Chance that both shoes of a pair are turned by 180 degrees.", before=0.0)
    rotation_deg: Annotated[float, Ge(0), Le(180)] = key("The largest turn, in degrees, each shoe for itself.")
    translate: Proportion = key("The largest shift, as a part of the image's side, each shoe for itself.")
    scale: Annotated[float, Ge(0), Le(10)] = key("0.1: from 1/1.1 to 1.1 times, each shoe for itself.")
    brightness: Chance = key("Part of the full range, both shoes alike.")
    contrast: Proportion = key("0.2: 0.8 to 1.2 times, both shoes alike.")
    saturation: Proportion = key("0.2: 0.8 to 1.2 times, both shoes alike.")
    exposure: Proportion = key(
        "0.3: from 1/1.3 to 1.3 times as bright, each shoe for itself, and half as much warmer or cooler.", before=0.0
    )
    gradient: Proportion = key("0.3: from one edge to the other up to 1.3 times as bright, each shoe.", before=0.0)
    shear: Proportion = key("0.06: so much of one side's direction is added to the other's, each shoe.", before=0.0)
    degrade: Chance = key(
        "Chance that a pair is blurred, noisy and compressed by one camera, of half of these one shoe only; of "
        "approach.copies this part, rounded, but at least one.",
        before=0.0,
    )
    occlude: Chance = key("Chance that a disc of one colour hides a part of a shoe.", before=0.0)

    def of_one_shoe(self) -> list[str]:
        """The keys that are not 0 and need the image: what an encoder that sees each shoe once cannot do."""
        return [
            name for name in type(self).model_fields if name not in ("hflip", "swap", "rot180") and getattr(self, name)
        ]


NUM_PEOPLE = "People of train: so many are drawn, or the first so many of the photos taken; null: all of the photos."


class DataSettings(Section):
    """What all collections of shoes share."""

    name: Text = key("Where shoes come from; chosen by data=NAME.")
    image_size: Annotated[int, Ge(1), Le(4096)] = key("Every photo is scaled to a square of this side, in pixels.")
    batch_size: Annotated[int, Ge(1), Le(100_000)] = key("Pairs in a training batch.")
    balanced: bool = key("Every training batch is half same, half different pairs.")
    drop_last: bool = key(
        "Leave out the last training batch of an epoch when it is not full; with approach.draws, of each draw."
    )
    negatives: Literal["cyclic", "all", "resampled"] = key(
        "Different pairs to train on: cyclic (left i, right i + 1), all (within a person), resampled in each epoch."
    )
    same_side_negatives: Chance = key(
        "With negatives=resampled: chance that a different pair's shoes are both left or both right, as in a heap of "
        "unknown sides.",
        before=0.0,
    )
    num_people: Annotated[int, Ge(2), Le(90_000)] | None = key(NUM_PEOPLE)
    train_fraction: Fraction = key("This part of the people trains, by name, rounded down; the others validate.")
    folds: Annotated[int, Ge(2), Le(1000)] = key("Parts of the people in cross-validation.")
    fold: Annotated[int, Ge(0), Le(999)] | None = key(
        "From 0 to folds - 1: this part of the people validates, all others train; null: train_fraction decides."
    )
    cache_dir: Place | None = key("Where shoes are kept once they are decoded or drawn; null: ~/.cache/shoepair.")
    validate_on_train: bool = key("Validate on the training people, as mode=sanity does.")
    num_workers: Annotated[int, Ge(0), Le(64)] = key(
        "Processes that gather batches; the shoes are in memory, so 0 is fastest."
    )
    augment: AugmentSettings | None = key("For training only; null: none.")


class SyntheticSettings(DataSettings):
    """Drawn shoes."""

    name: Literal["synthetic"] = key("Drawn shoes: nothing to download, the same for everybody with the same seed.")
    num_people: Annotated[int, Ge(2), Le(90_000)] = key(NUM_PEOPLE)
    num_test_people: Annotated[int, Ge(0), Le(90_000)] = key("In each of test_m and test_w.")
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = key("Decides every shoe.")
    hardness: Chance = key("0: colours tell a person's pairs apart; 1: their colours are alike, form must tell.")
    own_scenes: Chance = key(
        "Chance that a shoe lies on a floor of its own, in its own light; else a person's shoes share one scene.",
        before=0.0,
    )


class PhotosSettings(DataSettings):
    """Photos in the layout of the course."""

    name: Literal["photos"] = key("ROOT/train, test_m, test_w with u<person>_<pair>_<left|right>_<m|w>.jpg.")
    root: Place = key("The folder that holds train/.")
    download: bool = key("Fetch the photos of the course into root if they are not there.")


class TableSettings(DataSettings):
    """Photos under any names."""

    name: Literal["table"] = key("Photos under any names, listed in a CSV file with a row for each shoe.")
    file: Place = key(
        f"The CSV file: columns {', '.join(TABLE_COLUMNS)}, and if you like split (train, test_m, test_w)."
    )


DATA: dict[str, type[DataSettings]] = {"synthetic": SyntheticSettings, "photos": PhotosSettings, "table": TableSettings}


# Of the keys below that only some classes have, those count that are given: see Section.plain. Their defaults here are
# never used.
class OptimizerSettings(OpenSection):
    """Goes to the class that `_target_` names; any other argument of it can be added: +optimizer.amsgrad=true."""

    target: ClassName = key("The class.", alias="_target_")
    lr: Rate = key("Learning rate.")
    weight_decay: NotNegative = key("Weight decay.", default=0.0)
    betas: Betas = key("Decay rates of the moving averages, in adam and adamw.", default=[0.9, 0.999])
    momentum: Proportion = key("Momentum of sgd.", default=0.0)
    nesterov: bool = key("Nesterov's momentum, in sgd.", default=False)
    max_iter: Count = key("Iterations of each step, in lbfgs.", default=20)
    history_size: Count = key("Of how many iterations lbfgs knows the gradients.", default=100)
    line_search_fn: Literal["strong_wolfe"] | None = key(
        "How lbfgs finds the length of an iteration; null: lr.", default=None
    )


class SchedulerSettings(OpenSection):
    """Goes to the class that `_target_` names; any other argument of it can be added."""

    target: ClassName = key("The class.", alias="_target_")
    interval: Literal["epoch", "step"] = key("When the learning rate changes.")
    factor: Annotated[float, Ge(1e-6), Le(1)] = key(
        "Of plateau: what the rate is multiplied by when it falls; of constant: 1.", default=1.0
    )
    patience: Annotated[int, Ge(0), Le(1_000_000)] = key(
        "Of plateau: epochs without progress before the rate falls.", default=0
    )
    T_max: Count = key("Of cosine: epochs (or steps, see interval) until the rate is lowest.", default=1)
    eta_min: Rate = key("Of cosine: the lowest learning rate.", default=0.0)
    max_lr: Rate = key("Of onecycle: the highest learning rate.", default=1.0)
    total_steps: Annotated[int, Ge(1), Le(10**12)] | None = key(
        "Of onecycle: steps (or epochs, see interval) of the whole schedule; null: all of the run.", default=None
    )
    pct_start: Proportion = key("Of onecycle: the part of the steps in which the rate rises.", default=0.3)
    div_factor: Weight = key("Of onecycle: max_lr / the first rate.", default=25.0)
    final_div_factor: Annotated[float, Ge(1e-6), Le(1e30)] = key(
        "Of onecycle: the first rate / the last one.", default=1e4
    )


class EarlyStoppingSettings(Section):
    """When a run ends before its last epoch."""

    patience: Count | None = key("Stop after so many epochs without a better validation accuracy; null: never.")


class SanitySettings(Section):
    """What mode=sanity calls learned."""

    accuracy: Fraction = key("The accuracy that training and validation must reach.")
    loss_gap: NotNegative = key("The largest difference between their losses.")
    patience: Count = key("Training ends when both held for so many epochs, with almost no error.")


class SearchSettings(Section):
    """What sweep=search shares with its jobs; how it searches stands in hydra.sweeper."""

    pruner: Literal["none", "median", "successive_halving", "hyperband"] = key(
        "Who says after each epoch that a run is hopeless and ends; none: nobody. Optuna's, see docs/sweeps.md."
    )
    warmup_epochs: Annotated[int, Ge(0), Le(1_000_000)] = key("No run ends before it has trained so many epochs.")
    storage: Text = key(
        "Where studies are kept: a URL of SQLAlchemy, such as sqlite:///FILE or postgresql+psycopg://HOST/DATABASE."
    )
    study: Text | None = key("The study's name; the search says it to its jobs.")
    trial: Annotated[int, Ge(0), Le(10_000_000)] | None = key(
        "The trial's number in the study; the search says it to its jobs."
    )


class TrainSettings(Section):
    """All settings of a training run.

    `approach` and `data` are one of several sections, by their names: read_train_settings() chooses.
    """

    mode: Literal["fit", "sanity"] = key("sanity: can it learn at all? Six people, who validate as well.")
    seed: Annotated[int, Ge(0), Le(2**32 - 1)] = key(
        "Decides the first weights, the order of pairs, dropout and augmentation."
    )
    test: bool | None = key("Look at the test sets when training is done; null: in a single run, not in a multirun.")
    init_from: Place | None = key(
        "A checkpoint (a file, a run's folder, latest, ready, best) to start from; null: random weights."
    )
    resume: Place | None = key("Folder of an interrupted run: it goes on as it was started.")
    negative_weight: Weight = key("Weight of a different pair in the training loss: so many times that of a same one.")
    keep: Literal["best", "last"] = key(
        "The weights that a run ends with: of the best epoch by validation accuracy, or of the last one."
    )
    ema_decay: Proportion | None = key(
        "An exponential moving average of the weights validates and is kept; each step keeps so much of it, such as "
        "0.99. null: the weights themselves."
    )
    output_dir: Place = key("Where runs are written.")
    plugins: list[Place] = key("Modules or Python files that add approaches of your own.", before=[])
    approach: InstanceOf[ApproachSettings]
    data: InstanceOf[DataSettings]
    optimizer: OptimizerSettings
    scheduler: SchedulerSettings
    trainer: TrainerSettings
    early_stopping: EarlyStoppingSettings
    logger: Parts = key(
        "Where figures go: Lightning's loggers, chosen by logger=NAME or logger=[NAME,NAME].", before={}
    )
    callbacks: Parts = key("Lightning's callbacks, each from a file of yours: callbacks=NAME.", before={})
    sanity: SanitySettings | None = None
    sweep: SearchSettings | None = None

    @property
    def tta_hflip(self) -> bool:
        """Test-time augmentation: whether pairs are judged by two views, since mirrored pairs are trained on too."""
        return self.data.augment is not None and self.data.augment.hflip > 0


def _or_as_trained(*names: str) -> dict[str, Any]:
    """Fields of the data sections, each of which may also be null."""
    known = {name: field for section in DATA.values() for name, field in section.model_fields.items()}
    fields: dict[str, Any] = {"name": (Literal[tuple(DATA)] | None, key("Where shoes come from."))}
    for name in names:
        kind: Any = known[name].annotation
        if known[name].metadata:
            kind = Annotated[(kind, *known[name].metadata)]
        fields[name] = (kind | None, key(known[name].description or ""))
    return fields


# The data to measure on; null stands for "as in the checkpoint".
EvaluateDataSettings: type[Section] = create_model(
    "EvaluateDataSettings",
    __base__=Section,
    **_or_as_trained(
        "root", "file", "download", "seed", "hardness", "own_scenes", "num_people", "num_test_people", "batch_size",
        "train_fraction", "folds", "fold", "cache_dir", "num_workers",
    ),
)  # fmt: skip


class EvaluateSettings(Section):
    """All settings of an evaluation."""

    checkpoint: Place = key(
        "A file, the folder of a run (what it kept) or of several (the best one), latest, or ready "
        "or best (the networks that come with shoepair)."
    )
    output_dir: Place = key("Where runs are written.")
    plugins: list[Place] = key("Modules or Python files that add approaches of your own.")
    data: InstanceOf[Section]
    trainer: DeviceSettings


def leaves_of(section: type[Section], prefix: str = "") -> dict[str, FieldInfo]:
    """Dotted key -> its field, of every value in a section and in those that it holds."""
    leaves: dict[str, FieldInfo] = {}
    for name, field in section.model_fields.items():
        dotted, inner = f"{prefix}{field.alias or name}", section_in(field.annotation)
        leaves |= {dotted: field} if inner is None else leaves_of(inner, f"{dotted}.")
    return leaves


def section_in(annotation: Any) -> type[Section] | None:
    """The section that a key holds, also where it may be null; None if the key holds a value."""
    for part in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def may_be_null(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def known_keys() -> dict[str, FieldInfo]:
    """Every key of every section, whatever approach and data are chosen."""
    keys = leaves_of(TrainSettings)
    for name, sections in (("approach", [a.settings for a in APPROACHES.values()]), ("data", list(DATA.values()))):
        keys.pop(name, None)
        for section in sections:
            keys |= {key: field for key, field in leaves_of(section, f"{name}.").items() if key not in keys}
    return keys | {"checkpoint": EvaluateSettings.model_fields["checkpoint"]}


def keys_of(command: str) -> dict[str, FieldInfo]:
    """Every key that train or evaluate takes."""
    if command == "train":
        return {key: field for key, field in known_keys().items() if key != "checkpoint"}
    keys = leaves_of(EvaluateSettings) | leaves_of(EvaluateDataSettings, "data.")
    return {key: field for key, field in keys.items() if key != "data"}
