"""Checks a composed configuration before anything is made or trained. Knows neither torch nor Lightning."""

import ast
import importlib.util
import itertools
import math
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from shoepair.errors import UserError, explain, one_line, unknown_key
from shoepair.files import read_rows
from shoepair.runs.find import find_checkpoint
from shoepair.runs.folder import last_checkpoint


@dataclass(frozen=True)
class Rule:
    """What a key may hold: a test, and the words for it that an error message uses."""

    allowed: str
    accepts: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def integer(low: int, high: float = math.inf) -> Rule:
    words = f"a whole number, at least {low}" if high == math.inf else f"a whole number from {low} to {high}"
    return Rule(words, lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high)


def number(low: float, high: float = math.inf, *, open_low: bool = False, open_high: bool = False) -> Rule:
    if high == math.inf:
        words = f"a number {'above' if open_low else 'of at least'} {low:g}"
    else:
        ends = (" (not included)" if open_low else "", " (not included)" if open_high else "")
        words = f"a number from {low:g}{ends[0]} to {high:g}{ends[1]}"
    return Rule(
        words,
        lambda v: _is_number(v) and (low < v if open_low else low <= v) and (v < high if open_high else v <= high),
    )


def one_of(*choices: str) -> Rule:
    return Rule(f"one of {', '.join(choices)}", lambda v: v in choices)


def optional(rule: Rule) -> Rule:
    return Rule(f"{rule.allowed}, or null", lambda v: v is None or rule.accepts(v))


BOOLEAN = Rule("true or false", lambda v: isinstance(v, bool))
TEXT = Rule("text", lambda v: isinstance(v, str) and v != "")
FRACTION = number(0, 1, open_low=True, open_high=True)
CHANCE = number(0, 1)
PROPORTION = number(0, 1, open_high=True)
ODD = Rule("an odd whole number (same padding needs one)", lambda v: integer(1).accepts(v) and v % 2 == 1)
BETAS = Rule(
    "two numbers from 0 to 1 (not included)",
    lambda v: isinstance(v, list) and len(v) == 2 and all(PROPORTION.accepts(beta) for beta in v),
)
DEVICES = Rule(
    "auto, -1, a number of devices, or a list of their numbers",
    lambda v: v in ("auto", -1) or integer(1).accepts(v) or (isinstance(v, list | str) and len(v) > 0),
)

# Every key that shoepair itself reads. Keys of a node with a `_target_`, and of `trainer`, may also be any
# argument that the target knows.
RULES: dict[str, Rule] = {
    "output_dir": TEXT,
    "checkpoint": TEXT,
    "mode": one_of("fit", "sanity"),
    "seed": integer(0, 2**32 - 1),
    "test": optional(BOOLEAN),
    "resume": optional(TEXT),
    "keep": one_of("best", "last"),
    "average": optional(PROPORTION),
    "different_weight": number(0, open_low=True),
    "early_stopping.patience": optional(integer(1)),
    "sanity.accuracy": FRACTION,
    "sanity.loss_gap": number(0),
    "sanity.patience": integer(1),
    "init": optional(TEXT),
    "approach.name": one_of("single", "dual", "pretrained", "histogram"),
    "approach.bins": integer(2, 16),
    "approach.encoder": Rule(
        "torchvision/NAME or timm/NAME",
        lambda v: isinstance(v, str) and re.fullmatch(r"(torchvision|timm)/[\w.-]+", v) is not None,
    ),
    "approach.weights": optional(TEXT),
    "approach.frozen": BOOLEAN,
    "approach.train_from": optional(TEXT),
    "approach.maps_of": optional(TEXT),
    "approach.encoder_lr": number(0, open_low=True),
    "approach.beside": optional(TEXT),
    "approach.beside_lr": number(0, open_low=True),
    "approach.fusion": one_of("stack", "compare", "local"),
    "approach.kernel_size": ODD,
    "approach.width": integer(1),
    "approach.stages": integer(1),
    "approach.norm": one_of("batch", "none"),
    "approach.pooling": one_of("max", "average"),
    "approach.hidden_units": integer(1),
    "approach.dropout": PROPORTION,
    "data.name": one_of("synthetic", "photos", "table"),
    "data.root": TEXT,
    "data.file": TEXT,
    "data.download": BOOLEAN,
    "data.seed": integer(0),
    "data.hardness": CHANCE,
    "data.image_size": integer(1),
    "data.batch_size": integer(1),
    "data.balanced": BOOLEAN,
    "data.drop_last": BOOLEAN,
    "data.negatives": one_of("cyclic", "all", "fresh"),
    "data.same_side": CHANCE,
    "data.num_people": optional(integer(2)),
    "data.num_test_people": integer(0),
    "data.train_fraction": FRACTION,
    "data.folds": integer(2),
    "data.fold": optional(integer(0)),
    "data.validate_on_train": BOOLEAN,
    "data.cache_dir": optional(TEXT),
    "data.num_workers": integer(0),
    "data.augment.mirror": CHANCE,
    "data.augment.swap": CHANCE,
    "data.augment.rotate": number(0, 180),
    "data.augment.shift": PROPORTION,
    "data.augment.scale": number(0),
    "data.augment.brightness": CHANCE,
    "data.augment.contrast": PROPORTION,
    "data.augment.saturation": PROPORTION,
    "data.augment.light": PROPORTION,
    "optimizer._target_": TEXT,
    "optimizer.lr": number(0),
    "optimizer.weight_decay": number(0),
    "optimizer.betas": BETAS,
    "optimizer.momentum": PROPORTION,
    "optimizer.nesterov": BOOLEAN,
    "scheduler._target_": TEXT,
    "scheduler.interval": one_of("epoch", "step"),
    "scheduler.factor": CHANCE,
    "scheduler.patience": integer(0),
    "scheduler.T_max": integer(1),
    "scheduler.eta_min": number(0),
    "scheduler.max_lr": number(0, open_low=True),
    "scheduler.total_steps": optional(integer(1)),
    "scheduler.pct_start": CHANCE,
    "scheduler.div_factor": number(0, open_low=True),
    "scheduler.final_div_factor": number(0, open_low=True),
    "trainer.max_epochs": integer(1),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "cuda", "mps", "tpu", "hpu"),
    "trainer.devices": DEVICES,
    "trainer.strategy": TEXT,
    "trainer.precision": one_of("auto", "32-true", "bf16-mixed", "16-mixed"),
    "trainer.gradient_clip_val": optional(number(0)),
    "trainer.accumulate_grad_batches": integer(1),
    "trainer.deterministic": Rule("true, false or warn", lambda v: isinstance(v, bool) or v == "warn"),
}

_OF_NETWORKS = {
    f"approach.{key}" for key in ("fusion", "kernel_size", "width", "stages", "norm", "pooling", "hidden_units")
}
# What an approach reads besides its name and dropout.
_OF_APPROACH = {
    "single": _OF_NETWORKS,
    "dual": _OF_NETWORKS,
    "pretrained": {
        f"approach.{key}"
        for key in (
            "encoder",
            "weights",
            "frozen",
            "train_from",
            "maps_of",
            "encoder_lr",
            "beside",
            "beside_lr",
            "hidden_units",
        )
    },
    "histogram": {"approach.bins"},
}
# Read only by some approach, data set, command or mode.
_OPTIONAL_KEYS = {
    "checkpoint",
    *set().union(*_OF_APPROACH.values()),
    "trainer.strategy",
    "data.root",
    "data.file",
    "data.download",
    "data.seed",
    "data.hardness",
    "data.num_test_people",
    *(key for key in RULES if key.startswith("sanity.")),
}
_PREFIXES = {".".join(parts[:i]) for parts in (key.split(".") for key in RULES) for i in range(1, len(parts))}
_ABSENT = object()
_GIVEN_BY_US = {"self", "params", "optimizer"}

TRAINER = "lightning.pytorch.trainer.trainer.Trainer"
TABLE_COLUMNS = ("file", "person", "pair", "side", "kind")  # of data=table; split may be there as well


def check_train_config(config: DictConfig) -> dict[str, Any]:
    """Check a composed training configuration.

    Returns:
        The configuration as plain values, every interpolation resolved.
    Raises:
        UserError: naming the first key that cannot be used, its value, and what is allowed.
    """
    plain = plain_values(config)
    check_values(plain)
    return plain


def check_values(plain: Mapping[str, Any]) -> None:
    """Check a whole training configuration of plain values. Raises UserError."""
    _check_complete(plain)
    _check_each(plain)
    _check_together(plain)


def check_evaluate_config(config: DictConfig) -> dict[str, Any]:
    """Check a composed configuration of `shoepair evaluate`, in which null stands for "as in the checkpoint".

    Returns:
        The configuration as plain values; `checkpoint` is the path of a file that is there.
    Raises:
        UserError: naming the first key that cannot be used, its value, and what is allowed.
    """
    plain = plain_values(config)
    _check_each(plain, null_is_fine=True)
    if plain["data"]["root"] is not None and not plain["data"].get("download"):
        check_photo_root(plain["data"]["root"])
    if plain["data"]["file"] is not None:
        check_table(plain["data"]["file"])
    plain["checkpoint"] = str(find_checkpoint(plain["checkpoint"], plain["output_dir"]))
    return plain


def _check_each(plain: Mapping[str, Any], *, null_is_fine: bool = False) -> None:
    targets = {section: plain.get(section, {}).get("_target_") for section in ("optimizer", "scheduler")}
    for key, value in _leaves(plain):
        if value is None and null_is_fine:
            continue
        section = key.split(".")[0]
        target = TRAINER if section == "trainer" else targets.get(section)
        rule = RULES.get(key)
        if rule is None:
            _check_known_to_target(key, section, target)
        elif not rule.accepts(value):
            raise UserError(f"{key}={_shown(value)}: expected {rule.allowed}.")


def plain_values(config: DictConfig) -> dict[str, Any]:
    """The configuration without Hydra's own part, resolved to dicts, lists, numbers and text.

    Raises:
        UserError: if a value is missing (???) or an interpolation leads nowhere.
    """
    config = config.copy()
    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        remedies = {
            "data.root": "data.root=FOLDER, the folder that holds train/",
            "data.file": f"data.file=FILE.csv, with the columns {', '.join(TABLE_COLUMNS)}",
            "checkpoint": "checkpoint=latest, or the path of a run's folder or of a checkpoint",
        }
        raise UserError(f"{missing[0]} has no value: give {remedies.get(missing[0], f'{missing[0]}=VALUE')}.")
    try:
        plain = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {one_line(str(error.msg))}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def parameters_of(target: str) -> set[str] | None:
    """Names of the arguments of a class such as `torch.optim.Adam`, read from its source without importing it.

    Importing torch or Lightning takes seconds; an error about a mistyped key should not.

    Returns:
        The names, or None if the source was not found or takes any keyword.
    """
    module, _, name = target.rpartition(".")
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top) if top else None
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if f"class {name}" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == name:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                        if method.args.kwarg:
                            return None
                        return {a.arg for a in (*method.args.args, *method.args.kwonlyargs)} - _GIVEN_BY_US
    return None


def _check_known_to_target(key: str, section: str, target: str | None) -> None:
    knows = parameters_of(target) if target else set()
    if knows is None or (knows and key.split(".")[1] in knows):
        return
    if knows and section != "trainer":
        raise unknown_key(key, [f"{section}.{name}" for name in knows])
    raise unknown_key(key, [known for known in RULES if known.rpartition(".")[0] == key.rpartition(".")[0]])


def _check_complete(plain: Mapping[str, Any]) -> None:
    """Nothing that is read may have been deleted (~data.batch_size) or replaced by a bare value (data.augment=3)."""
    for prefix in sorted(_PREFIXES - {"sanity"}):
        node = _lookup(plain, prefix)
        if not isinstance(node, dict):
            raise UserError(
                f"{prefix}={_shown(node)}: expected an option or settings; "
                f"set one of {', '.join(key for key in RULES if key.startswith(prefix + '.'))}."
            )
    for key in RULES.keys() - _OPTIONAL_KEYS:
        if key.split(".")[0] not in ("optimizer", "scheduler") and _lookup(plain, key) is _ABSENT:
            raise UserError(f"{key} was removed: give it a value, {RULES[key].allowed}.")


def _lookup(plain: Mapping[str, Any], key: str) -> Any:
    node: Any = plain
    for part in key.split("."):
        node = node.get(part, _ABSENT) if isinstance(node, Mapping) else _ABSENT
    return node


def _check_together(plain: Mapping[str, Any]) -> None:
    """What no key can be judged by alone."""
    data, approach = plain["data"], plain["approach"]
    if data["balanced"] and data["batch_size"] % 2:
        raise UserError(
            f"data.batch_size={data['batch_size']}: expected an even number, since data.balanced=true makes "
            "half of every batch same and half different pairs."
        )
    if data["same_side"] and data["negatives"] != "fresh":
        raise UserError(
            f"data.same_side={data['same_side']}: expected 0, since data.negatives={data['negatives']} pairs left "
            "shoes with right ones only; data.negatives=fresh draws others as well."
        )
    _check_approach(approach)
    if approach.get("frozen"):
        for key in ("rotate", "shift", "scale", "brightness", "contrast", "saturation", "light"):
            if data["augment"][key]:
                raise UserError(
                    f"data.augment.{key}={data['augment'][key]}: expected 0, since with approach.frozen=true each shoe "
                    "is seen once, before training."
                )
    if approach["name"] == "pretrained" and approach["weights"] not in (None, "default"):
        weights = Path(approach["weights"])
        if not weights.is_file():
            raise UserError(f"approach.weights={weights}: no such file; expected default, null or a file of weights.")
    for key in ("train_from", "maps_of", "beside"):
        if approach.get(key) is not None and approach["frozen"]:
            raise UserError(
                f"approach.frozen=true: expected false, since with approach.{key}={approach[key]} more than the head "
                "is trained."
            )
    if approach.get("beside") is not None:
        find_checkpoint(approach["beside"], plain["output_dir"], key="approach.beside")
    halvings = 2 ** approach.get("stages", 0)
    if data["image_size"] % halvings:
        raise UserError(
            f"data.image_size={data['image_size']}: expected a multiple of {halvings}, since "
            f"approach.stages={approach['stages']} halves the image as many times."
        )
    if data["fold"] is not None and data["fold"] >= data["folds"]:
        raise UserError(
            f"data.fold={data['fold']}: expected a whole number from 0 to {data['folds'] - 1}, "
            f"since data.folds={data['folds']}."
        )
    if data["name"] == "synthetic":
        for key in ("num_people", "num_test_people", "seed"):
            if data.get(key) is None:
                raise UserError(f"data.{key}=null: expected a whole number, since data=synthetic draws so many.")
        if data.get("hardness") is None:
            raise UserError("data.hardness=null: expected a number from 0 to 1, since data=synthetic draws by it.")
    if plain["trainer"].get("sync_batchnorm"):
        raise UserError(
            "trainer.sync_batchnorm=true: expected false, since Lightning would replace whole stages of the network, "
            "which hold their batch norm, ReLU and pooling in one."
        )
    if data["name"] == "photos" and not data.get("download"):
        check_photo_root(data["root"])
    if plain["init"] is not None:
        find_checkpoint(plain["init"], plain["output_dir"], key="init")
    if data["name"] == "table":
        check_table(data["file"])
    if plain.get("resume") is not None and not last_checkpoint(plain["resume"]).is_file():
        raise UserError(
            f"resume={plain['resume']}: expected the folder of an interrupted run; "
            "there is no checkpoints/last.ckpt in it."
        )


def _check_approach(approach: Mapping[str, Any]) -> None:
    """An approach has the keys that it reads, and no others."""
    known = _OF_APPROACH[approach["name"]] | {"approach.name", "approach.dropout"}
    for key in sorted(f"approach.{name}" for name in approach):
        if key not in known:
            raise unknown_key(key, known)
    for key in sorted(known):
        if _lookup({"approach": approach}, key) is _ABSENT:
            raise UserError(f"{key} was removed: give it a value, {RULES[key].allowed}.")


def check_photo_root(root: str) -> None:
    """Raises UserError unless `root` is a folder with a folder train/ in it."""
    if not Path(root).is_dir():
        raise UserError(f"data.root={root}: no such folder; set data.root to the folder that holds train/.")
    if not Path(root, "train").is_dir():
        raise UserError(
            f"data.root={root}: there is no folder train/ in it; set data.root to the folder that holds train/, "
            "or fetch the photos of the course by data.download=true."
        )


def check_table(file: str) -> None:
    """Raises UserError unless `file` is a CSV file with the columns of data=table."""
    if not Path(file).is_file():
        raise UserError(f"data.file={file}: no such file; set data.file to a CSV file with a row for each shoe.")
    read_rows(file, TABLE_COLUMNS)


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        path = f"{prefix}{key}"
        # What goes straight to a target may be a dict itself, as a Trainer's `profiler` arguments may.
        if isinstance(value, dict) and path in _PREFIXES:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "(removed)"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check_config(config: DictConfig) -> dict[str, Any]:
    """The check of the command that a configuration (with Hydra's part) was composed for."""
    # Not hydra.job.name: Lightning gives the processes of ddp another one.
    check = check_evaluate_config if config.hydra.job.config_name == "evaluate" else check_train_config
    return check(config)


class CheckBeforeRun(Callback):
    """Refuses a run, or a whole sweep, before its folder is made.

    Hydra turns an exception of a callback into a warning, so a refusal leaves as SystemExit.
    """

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        _refuse_if_unusable(lambda: check_config(config))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _refuse_if_unusable(lambda: self._check_every_job(config))

    def _check_every_job(self, config: DictConfig) -> None:
        from hydra import compose
        from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
        from hydra.core.override_parser.overrides_parser import OverridesParser

        sweeper = config.hydra.sweeper
        if not sweeper._target_.endswith("BasicSweeper"):  # it chooses values as it goes; what is fixed can be checked
            _refuse_ddp(check_config(config))
            return
        swept = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        overrides = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(
            [*swept, *config.hydra.overrides.task]
        )
        jobs = itertools.chain.from_iterable(BasicSweeper.split_arguments(overrides, max_batch_size=None))
        for job in jobs:
            composed = compose(config_name=config.hydra.job.config_name, overrides=list(job), return_hydra_config=True)
            try:
                _refuse_ddp(check_config(composed))
            except UserError as error:
                raise UserError(f"{error} (in the job {' '.join(job)}; nothing was run)") from error


def _refuse_ddp(plain: Mapping[str, Any]) -> None:
    """The processes of ddp repeat the whole command: in a sweep, each of them would run the sweep again."""
    devices = plain["trainer"].get("devices")
    if devices not in (1, "1") and not (isinstance(devices, list) and len(devices) == 1):
        raise UserError(
            f"trainer.devices={_shown(devices)}: expected 1 in a multirun; run jobs beside one another instead of one "
            "job on several devices."
        )


def _refuse_if_unusable(check: Callable[[], object]) -> None:
    try:
        check()
    except Exception as error:
        message = explain(error)
        if message is None:
            traceback.print_exc()
            raise SystemExit(1) from error
        print(f"shoepair: {message}", file=sys.stderr)
        raise SystemExit(2) from error
