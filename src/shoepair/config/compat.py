"""Settings of older runs: what keys and values are called today, and what stood for a key before it came.

Also the names of weights in older checkpoints. Nothing else in shoepair knows what was once called otherwise.
"""

import copy
from collections.abc import Mapping
from typing import Any, get_args

from pydantic.fields import FieldInfo

from shoepair.config.approaches import APPROACHES
from shoepair.config.schema import known_keys

FORMAT = 2  # of checkpoints; those of the first format carry no number

RENAMED_KEYS = {
    "average": "ema_decay",
    "different_weight": "negative_weight",
    "init": "init_from",
    "data.same_side": "data.same_side_negatives",
    "data.augment.mirror": "data.augment.hflip",
    "data.augment.rotate": "data.augment.rotation_deg",
    "data.augment.shift": "data.augment.translate",
    "data.augment.light": "data.augment.exposure",
    "approach.beside": "approach.ensemble_with",
    "approach.beside_lr": "approach.ensemble_lr_scale",
    "approach.maps_of": "approach.local_layer",
    "approach.train_from": "approach.unfreeze_from",
    "approach.encoder_lr": "approach.encoder_lr_scale",
}
RENAMED_VALUES = {("data.negatives", "fresh"): "resampled"}
RENAMED_OPTIONS = {("augment", "default"): "flips"}  # choices of a group
# Keys of `train` that may name runs; the preflight makes them files, which every older run did for itself.
NAMES_OF_RUNS = ("init_from", "approach.ensemble_with")
OUR_READY = "/shoepair/models/ready.ckpt"  # how older runs wrote `ready`, by where it was installed


def with_todays_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration of a run, whenever it was started, as one of today."""
    flat: dict[str, Any] = {}
    keys = known_keys()
    for before, value in with_dotted_keys(config).items():
        key = RENAMED_KEYS.get(before, before)
        if type(value) is int and key in keys and _is_fractional(keys[key]):
            value = float(value)  # as it was typed; today's settings hold 5.0 where 5 was typed
        if isinstance(value, str):
            if key != before and key in NAMES_OF_RUNS and not value.endswith(".ckpt"):
                value = f"{value.rstrip('/')}/checkpoints/best.ckpt"
            value = RENAMED_VALUES.get((key, value), value)
            if key in NAMES_OF_RUNS and value.endswith(OUR_READY):
                value = "ready"
        flat[key] = value
    if flat.get("approach.name") == "pretrained" and flat.get("approach.cutout") is not None:
        flat["approach.hidden_units"] = None  # which it did not have then either, whatever was typed
    for key, field in keys.items():
        extra = field.json_schema_extra
        if isinstance(extra, dict) and key not in flat and _belongs(key, flat) and not _is_section(key, flat):
            flat[key] = extra["before"]
    return _nested(flat)


def todays_override(override: str) -> str:
    """What was typed for an older run, as one would type it today: data.augment.mirror=0 as data.augment.hflip=0."""
    key, equals, value = override.partition("=")
    bare = key.lstrip("+~")
    name = RENAMED_KEYS.get(bare, bare)
    value = RENAMED_VALUES.get((name, value), RENAMED_OPTIONS.get((name, value), value))
    return f"{key[: len(key) - len(bare)]}{name}{equals}{value}"


def with_todays_names(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint of any format as one of today's. Whatever is missing or malformed raises an error."""
    checkpoint = checkpoint | {"config": with_todays_keys(checkpoint["config"])}
    approach, parameters = checkpoint["approach"], dict(checkpoint["hyper_parameters"])
    if checkpoint.get("format", 1) >= FORMAT:
        parameters["network"] = _completed_network(parameters["network"])
        return checkpoint | {"hyper_parameters": parameters}
    if "different_weight" in parameters:
        parameters["negative_weight"] = parameters.pop("different_weight")
    network = parameters["network"]
    parameters["network"] = _todays_network(approach, network, checkpoint["config"]["approach"])
    checkpoint["hyper_parameters"] = parameters
    for name in ("state_dict", "current_model_state"):
        if name in checkpoint:
            checkpoint[name] = _todays_weights(checkpoint[name], stacked=network.get("fusion") == "stack")
    return checkpoint | {"format": FORMAT}


def _todays_network(approach: str, network: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    own = {}
    for key, value in network.items():
        if key not in ("image_size", "beside", "approach"):
            own[RENAMED_KEYS.get(f"approach.{key}", key).removeprefix("approach.")] = value
    if approach == "pretrained":
        own["ensemble_with"] = asked.get("ensemble_with")
    beside = network.get("beside")
    return _completed_network(
        {
            "approach": {"name": approach, **own},
            "image_size": network["image_size"],
            "member": None if beside is None else _todays_network(beside["approach"], beside, {}),
        }
    )


def _completed_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """With the keys of its approach that came later than it."""
    own = with_todays_keys({"approach": network["approach"]})["approach"]
    member = network.get("member")
    return {**network, "approach": own, "member": None if member is None else _completed_network(member)}


def _todays_weights(weights: Mapping[str, Any], *, stacked: bool) -> dict[str, Any]:
    inside = "stacked." if stacked else "siamese."
    renamed = {}
    for name, value in weights.items():
        prefix, dot, rest = name.partition("network.")  # "module.network." among averaged weights
        if rest.startswith("classifier."):
            rest = inside + rest.removeprefix("classifier.")
        for before, now in ((".sharpness", ".logit_scale"), (".spread", ".logit_std")):
            rest = rest.removesuffix(before) + now if rest.endswith(before) else rest
        renamed[f"{prefix}{dot}{rest}"] = value
    return renamed


def _is_fractional(field: FieldInfo) -> bool:
    kinds = [getattr(kind, "__origin__", kind) for kind in (field.annotation, *get_args(field.annotation))]
    return float in kinds and int not in kinds


def _belongs(key: str, flat: Mapping[str, Any]) -> bool:
    """Whether a run that is older than a key has the section that it belongs to."""
    section, _, name = key.rpartition(".")
    if section == "approach":
        approach = APPROACHES.get(str(flat.get("approach.name")))
        return approach is not None and name in approach.settings.model_fields
    return _is_section(section, flat) if section else "seed" in flat


def _is_section(key: str, flat: Mapping[str, Any]) -> bool:
    return any(other.startswith(f"{key}.") for other in flat)


def with_dotted_keys(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= with_dotted_keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *sections, name = key.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = copy.deepcopy(value)
    return nested
