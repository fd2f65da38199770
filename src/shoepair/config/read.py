"""From plain values, as Hydra composed them or a checkpoint holds them, to typed settings. Raises UserError."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from shoepair.config.approaches import NetworkSettings, approach_named, load_plugins
from shoepair.config.messages import accepts, unknown_key, validated
from shoepair.config.schema import DATA, DataSettings, EvaluateDataSettings, EvaluateSettings, TrainSettings
from shoepair.config.shown import in_line
from shoepair.config.targets import parameters_of
from shoepair.config.trainer import DeviceSettings
from shoepair.config.values import OpenSection
from shoepair.errors import UserError

MOST_WEIGHTS = 100_000_000  # with gradients and the averages of Adam, 1.6 GB


# By the class of Lightning's logger, the library that it needs, and the extra of that name.
EXTRA_OF_LOGGER = {"MLFlowLogger": "mlflow", "WandbLogger": "wandb"}
# Keys of approaches that conf/mode/sanity.yaml sets, so that nothing holds back.
OF_SANITY = {"dropout": 0, "copies": 0, "penalty": 0, "local_penalty": 0, "copy_weight": 1}


def read_train_settings(plain: Mapping[str, Any], *, trained: bool = False) -> TrainSettings:
    """The settings of a training run, each key and all together checked; what files they name is not looked up.

    Args:
        trained: that run is over, and what would train otherwise is no matter any more.
    """
    plain = dict(plain)
    _load_plugins(plain)
    name = _name_of("approach", plain)
    approach = approach_named(name).settings
    if plain.get("mode") == "sanity":  # whose keys are not those of every approach
        others = {key: value for key, value in OF_SANITY.items() if key not in approach.model_fields}
        plain["approach"] = {
            key: value for key, value in plain["approach"].items() if key not in others or value != others[key]
        }
    plain["approach"] = validated(approach, plain["approach"], "approach")
    name = _name_of("data", plain)
    if not isinstance(name, str) or name not in DATA:
        raise UserError(f"data.name={in_line(name)}: expected one of {', '.join(DATA)}.")
    plain["data"] = validated(DATA[name], plain["data"], "data")
    settings = validated(TrainSettings, plain)
    _refuse_unknown_arguments(settings.optimizer, "optimizer", settings.optimizer.target)
    _refuse_unknown_arguments(settings.scheduler, "scheduler", settings.scheduler.target)
    _check_parts("logger", settings.logger)
    _check_parts("callbacks", settings.callbacks)
    _check_fold(settings.data)
    if not trained:
        _check_together(settings)
    return settings


def read_evaluate_settings(plain: Mapping[str, Any]) -> EvaluateSettings:
    """The settings of an evaluation, each key checked."""
    _load_plugins(plain)
    plain = dict(plain) | {"data": validated(EvaluateDataSettings, plain.get("data"), "data")}
    return validated(EvaluateSettings, plain)


def read_network_settings(plain: Mapping[str, Any]) -> NetworkSettings:
    """What a checkpoint says of its network."""
    name = plain["approach"]["name"]
    member = plain.get("member")
    return validated(
        NetworkSettings,
        {
            "approach": validated(approach_named(name).settings, plain["approach"], "approach"),
            "image_size": plain["image_size"],
            "member": None if member is None else read_network_settings(member),
        },
    )


def _load_plugins(plain: Mapping[str, Any]) -> None:
    """Before the rest is checked, since only then it is known which approaches there are. What is no list of paths is
    left to that check."""
    plugins = plain.get("plugins", [])
    if accepts(TrainSettings.model_fields["plugins"], plugins):
        load_plugins(plugins)


def _name_of(section: str, plain: Mapping[str, Any]) -> Any:
    node = plain.get(section, "(removed)")
    if not isinstance(node, dict):
        raise UserError(f"{section}={in_line(node)}: expected an option or settings; choose one by {section}=NAME.")
    return node.get("name")


def _refuse_unknown_arguments(section: OpenSection, name: str, target: str) -> None:
    added = section.model_extra or {}
    known = parameters_of(target) if added else set()
    for key in sorted(added):
        if known is None or key in known:
            continue
        raise unknown_key(f"{name}.{key}", [f"{name}.{sibling}" for sibling in known | {"_target_"}])


def _check_parts(group: str, parts: Mapping[str, Any]) -> None:
    """What can be said of classes that are not imported yet: that they are there, and take what is given."""
    for name, part in parts.items():
        key, target = f"{group}.{name}", part["_target_"]
        library = EXTRA_OF_LOGGER.get(target.rpartition(".")[2], target.partition(".")[0])
        if find_spec(library) is None:
            extra = library in EXTRA_OF_LOGGER.values()
            remedy = f"pip install 'shoepair[{library}]'" if extra else f"expected the name of a class, not {target}"
            raise UserError(f"{key}: {library} is not installed: {remedy}.")
        known = parameters_of(target)
        for argument in sorted(part.keys() - {"_target_"}):
            if known is not None and argument not in known:
                raise unknown_key(f"{key}.{argument}", [f"{key}.{own}" for own in known])


def _check_fold(data: DataSettings) -> None:
    if data.fold is not None and data.fold >= data.folds:
        raise UserError(
            f"data.fold={data.fold}: expected a whole number from 0 to {data.folds - 1}, since data.folds={data.folds}."
        )


def _check_together(settings: TrainSettings) -> None:
    """What no key can be judged by alone."""
    data, approach = settings.data, settings.approach
    if data.balanced and data.batch_size % 2:
        raise UserError(
            f"data.batch_size={data.batch_size}: expected an even number, since data.balanced=true makes "
            "half of every batch same and half different pairs."
        )
    if data.same_side_negatives and data.negatives != "resampled":
        raise UserError(
            f"data.same_side_negatives={data.same_side_negatives:g}: expected 0, since data.negatives={data.negatives} "
            "pairs left shoes with right ones only; data.negatives=resampled draws others as well."
        )
    if approach.encodes_once and approach.cutout_side is None and data.augment is not None and data.augment.rot180:
        raise UserError(
            f"data.augment.rot180={data.augment.rot180:g}: expected 0, since with approach.frozen=true whole photos "
            "are seen once, before training, as they are and mirrored."
        )
    if approach.encodes_once and not approach.num_copies and data.augment is not None:
        for key in data.augment.of_one_shoe():
            raise UserError(
                f"data.augment.{key}={getattr(data.augment, key):g}: expected 0, since with approach.frozen=true and "
                "approach.copies=0 each shoe is seen once, before training."
            )
    approach.check()
    if settings.resume is None and approach.num_copies and (data.augment is None or not data.augment.of_one_shoe()):
        raise UserError(
            f"approach.copies={approach.num_copies}: expected 0, or augment=harsh, since nothing in data.augment "
            "changes a photo: all copies would be alike."
        )
    multiple = 2**approach.halvings
    side = approach.cutout_side
    if (side or data.image_size) % multiple:
        key = f"data.image_size={data.image_size}" if side is None else f"approach.cutout={side}"
        raise UserError(
            f"{key}: expected a multiple of {multiple}, since "
            f"approach.stages={approach.halvings} halves the image as many times."
        )
    if settings.mode == "sanity" and settings.sanity is None:
        raise UserError("sanity was removed: mode=sanity needs sanity.accuracy, sanity.loss_gap and sanity.patience.")
    if (settings.trainer.min_epochs or 1) > settings.trainer.max_epochs:
        raise UserError(
            f"trainer.min_epochs={settings.trainer.min_epochs}: expected at most trainer.max_epochs="
            f"{settings.trainer.max_epochs}."
        )
    _check_optimizer(settings)
    num_weights = approach.num_weights(data.image_size)
    if num_weights > MOST_WEIGHTS:
        raise UserError(
            f"approach={approach.name}: these settings make a network of some {num_weights:,} weights; expected at "
            f"most {MOST_WEIGHTS:,}; lower approach.width, stages, kernel_size or hidden_units, or data.image_size."
        )


def _check_optimizer(settings: TrainSettings) -> None:
    optimizer, scheduler = settings.optimizer, settings.scheduler
    of_trainer, is_new = settings.trainer.plain(), settings.resume is None  # what was begun once goes on
    if is_new and "gradient_clip_algorithm" in of_trainer and of_trainer["gradient_clip_val"] is None:
        raise UserError(
            f"trainer.gradient_clip_algorithm={of_trainer['gradient_clip_algorithm']}: expected a "
            "trainer.gradient_clip_val as well, without which nothing is clipped."
        )
    steps_are_typed = "total_iters" in scheduler.plain()
    if is_new and _class_name(scheduler.target) == "ConstantLR" and scheduler.factor != 1 and not steps_are_typed:
        raise UserError(
            f"scheduler.factor={scheduler.factor:g}: expected 1, since ConstantLR lowers the rate for some steps only; "
            "lower optimizer.lr instead."
        )
    if is_new and _class_name(optimizer.target) == "LBFGS" and not settings.approach.num_draws:
        raise UserError(
            "optimizer=lbfgs: expected approach.draws of 1 or more (experiment=best_pretrained has 20), since it wants "
            "every epoch to be the same batch."
        )
    if is_new and _class_name(optimizer.target) == "LBFGS":
        _check_line_search(settings)
    if _class_name(optimizer.target) == "SGD" and optimizer.nesterov and not optimizer.momentum:
        raise UserError(
            f"optimizer.momentum={optimizer.momentum:g}: expected more than 0 with optimizer.nesterov=true."
        )
    by_step = _class_name(scheduler.target) == "CosineAnnealingLR" and scheduler.interval == "step"
    if by_step and scheduler.T_max == settings.trainer.max_epochs:
        raise UserError(
            f"scheduler.interval=step: expected epoch, since scheduler.T_max={scheduler.T_max} is the number of "
            "epochs; or type the number of steps for that."
        )
    if _class_name(scheduler.target) == "ReduceLROnPlateau":
        if scheduler.interval != "epoch":
            raise UserError(
                f"scheduler.interval={scheduler.interval}: expected epoch, since ReduceLROnPlateau follows the "
                "validation loss, which each epoch has once."
            )
        if scheduler.factor == 1:
            raise UserError("scheduler.factor=1: expected less than 1, since ReduceLROnPlateau would change nothing.")


def _check_line_search(settings: TrainSettings) -> None:
    """Of an optimizer that searches along lines, for which the loss of the same weights must be the same."""
    dropout, of_trainer = getattr(settings.approach, "dropout", 0.0), settings.trainer.plain()
    if dropout:
        raise UserError(
            f"approach.dropout={dropout:g}: expected 0, since optimizer=lbfgs wants a loss that stays the same."
        )
    if of_trainer["gradient_clip_val"]:
        raise UserError(
            f"trainer.gradient_clip_val={of_trainer['gradient_clip_val']:g}: expected null or 0, since optimizer=lbfgs "
            "goes as far as the loss falls."
        )
    if of_trainer["precision"] == "16-mixed":
        raise UserError(
            "trainer.precision=16-mixed: expected another one, since no loss is scaled for optimizer=lbfgs."
        )


def _class_name(target: str) -> str:
    return target.rpartition(".")[2]


def asks_for_several_devices(settings: DeviceSettings) -> bool:
    """Which only a single run may."""
    devices = settings.devices
    return devices not in (1, "1") and not (isinstance(devices, list) and len(devices) == 1)
