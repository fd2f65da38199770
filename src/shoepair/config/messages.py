"""What is said of a mistake, in one line: the key, its value, and what is allowed."""

import difflib
from collections.abc import Iterable
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo

from shoepair.config.compat import RENAMED_KEYS, RENAMED_VALUES
from shoepair.config.habits import of_key
from shoepair.config.schema import keys_of, known_keys, leaves_of, section_in
from shoepair.config.shown import in_line
from shoepair.config.trainer import NOT_HERE, TrainerSettings
from shoepair.config.values import Allowed, Section
from shoepair.errors import UserError

SectionT = TypeVar("SectionT", bound=Section)


def validated(section: type[SectionT], values: Any, name: str = "") -> SectionT:
    """A section from plain values.

    Args:
        name: of the section; empty for the whole configuration.
    Raises:
        UserError: naming the first key that cannot be used, its value, and what is allowed.
    """
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise _first_mistake(section, error, name) from None


def checked_value(kind: Any, name: str, value: Any) -> None:
    """Raise a UserError unless a value that is no key of a section is of a kind, such as Place."""
    holder = create_model("Value", __base__=Section, value=(kind, ...))
    try:
        holder.model_validate({"value": value})
    except ValidationError as error:
        mistake = str(_first_mistake(holder, error, ""))
        raise UserError(f"{name}{mistake.removeprefix('value')}") from None


def _first_mistake(section: type[Section], error: ValidationError, name: str) -> UserError:
    # A key that nothing reads may be the reason why another one is missing: it comes first.
    first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
    path: list[str] = []
    inner: Any = section
    field: FieldInfo | None = None
    for part in first["loc"]:
        found = next((f for n, f in inner.model_fields.items() if part in (n, f.alias)), None) if inner else None
        if found is None and path and inner is None:
            break  # inside of a list
        path.append(str(part))
        field, inner = found, None if found is None else section_in(found.annotation)
    dotted = ".".join([*filter(None, [name]), *path])
    if first["type"] == "extra_forbidden":
        return unknown_key(dotted, _siblings(section, name, path), first["input"])
    missing = first["type"] == "missing"
    if inner is not None or field is None:
        keys = ", ".join(f"{dotted}.{key}" if dotted else key for key in leaves_of(inner or section))
        value = "(removed)" if missing else in_line(first["input"])
        return UserError(f"{dotted}={value}: expected an option or settings; set one of {keys}.")
    if missing:
        return UserError(f"{dotted} was removed: give it a value, {allowed(field)}.")
    value = first["input"]
    renamed = RENAMED_VALUES.get((dotted, value)) if isinstance(value, str) else None
    if renamed is not None:
        return UserError(f"{dotted}={value} is now {dotted}={renamed}.")
    if first["type"] == "string_too_long":
        return UserError(f"{dotted}={in_line(value)}: expected at most {first['ctx']['max_length']:,} letters.")
    if first["type"] == "value_error" and allowed(field) in ("text", "text, or null", "a list of text"):
        return UserError(f"{dotted}={in_line(value)}: expected {first['ctx']['error']}.")
    is_fraction = isinstance(value, float) and value.is_integer()  # 5.0, where 5 would have done
    said = repr(value) if is_fraction else in_line(value)  # of a list, the item that is wrong
    return UserError(f"{dotted}={said}: expected {allowed(field)}.")


def _siblings(section: type[Section], name: str, path: list[str]) -> list[str]:
    inner: Any = section
    for part in path[:-1]:
        inner = section_in(next(f for n, f in inner.model_fields.items() if part in (n, f.alias)).annotation)
    prefix = ".".join([*filter(None, [name]), *path[:-1], ""])
    return [f"{prefix}{field.alias or key}" for key, field in inner.model_fields.items()]


def accepts(field: FieldInfo, value: Any) -> bool:
    """Whether a key may have a value."""
    kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False)).validate_python(value)
    except ValidationError:
        return False
    return True


def allowed(field: FieldInfo) -> str:
    """What a key may be, in words: "a whole number from 1 to 8, or null"."""
    return _words(field.annotation, field.metadata)


def _words(kind: Any, metadata: Iterable[Any] = ()) -> str:
    said = next((m.words for m in metadata if isinstance(m, Allowed)), None)
    if said is not None:
        return said
    arguments = get_args(kind)
    if type(None) in arguments:
        (inner,) = (part for part in arguments if part is not type(None))
        return f"{_words(inner, metadata)}, or null"
    if hasattr(kind, "__metadata__"):
        return _words(kind.__origin__, kind.__metadata__)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if get_origin(kind) is list:
        return f"a list of {_words(arguments[0])}"
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return _number_words("a whole number" if kind is int else "a number", metadata)
    return "text"


def _number_words(what: str, metadata: Iterable[Any]) -> str:
    low = high = None
    for bound in metadata:
        if isinstance(bound, Ge | Gt):
            low = bound
        elif isinstance(bound, Le | Lt):
            high = bound
    if low is None:
        return what
    smallest: Any = low.ge if isinstance(low, Ge) else low.gt
    if high is None:
        return f"{what} {'of at least' if isinstance(low, Ge) else 'above'} {smallest:g}"
    largest: Any = high.le if isinstance(high, Le) else high.lt
    ends = ["" if isinstance(low, Ge) else " (not included)", "" if isinstance(high, Le) else " (not included)"]
    return f"{what} from {_digits(smallest)}{ends[0]} to {_digits(largest)}{ends[1]}"


def _digits(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:g}"


# Sections that are there with an option of a group only.
CHOSEN_WITH = {
    "sweep": "sweep=search",
    "sanity": "mode=sanity",
    "data.root": "data=photos",
    "data.file": "data=table",
    "hydra.sweeper.n_trials": "sweep=search",
    "hydra.sweeper.n_jobs": "sweep=search",
    "hydra.launcher.n_jobs": "launcher=joblib",
    **{f"logger.{name}": f"logger={name}" for name in ("csv", "mlflow", "wandb")},
}


def unknown_key(key: str, siblings: Iterable[str], value: Any = None) -> UserError:
    """The error for a key that nothing reads, with the nearest one that something does.

    Args:
        value: that it was given; None if that is not known.
    """
    if key in RENAMED_KEYS:
        return UserError(f"{key} is now {RENAMED_KEYS[key]}.")
    section, _, name = key.partition(".")
    if section == "trainer" and name in NOT_HERE:
        return UserError(f"{key}{'' if value is None else f'={in_line(value)}'}: {NOT_HERE[name]}")
    siblings = sorted(siblings)
    of_devices_only = "trainer.devices" in siblings and "trainer.max_epochs" not in siblings
    of_shoes_only = "data.root" in siblings and "data.negatives" not in siblings
    is_evaluation = of_devices_only or of_shoes_only or "checkpoint" in siblings
    is_known = any(known == key or known.startswith(f"{key}.") for known in known_keys())
    if is_evaluation and is_known and key not in keys_of("evaluate"):
        return UserError(f"{key}: evaluate has no such key; a checkpoint is measured as it was trained.")
    if section == "trainer" and name in TrainerSettings.model_fields:
        return UserError(f"{key}: this key has no value yet; add it by +{key}=VALUE.")
    for chosen, option in CHOSEN_WITH.items():
        if f"{key}.".startswith(f"{chosen}.") and not any(f"{known}.".startswith(f"{chosen}.") for known in siblings):
            return UserError(f"{key}: there are such keys with {option} only.")
    if (habit := of_key(key)) is not None:
        return UserError(habit)
    parent, _, name = key.rpartition(".")
    keys = keys_of("evaluate" if is_evaluation else "train")
    elsewhere = [known for known in keys if known.rpartition(".")[0] != parent]
    exact = [known for known in elsewhere if known.rpartition(".")[2] == name]
    near = exact[:1] or _nearest(name, siblings) or _nearest(name, elsewhere)
    if near:
        return UserError(f"{key}: no such key; did you mean {near[0]}?")
    names = ", ".join(known.rpartition(".")[2] for known in siblings) or "none"
    return UserError(f"{key}: no such key; {f'{parent} has' if parent else 'there are'} {names}.")


def _nearest(name: str, candidates: Iterable[str]) -> list[str]:
    """The one of some dotted keys whose last part is most like a name; none if none is like it."""
    by_name = {known.rpartition(".")[2]: known for known in reversed(list(candidates))}
    return [by_name[found] for found in difflib.get_close_matches(name, by_name, n=1)]
