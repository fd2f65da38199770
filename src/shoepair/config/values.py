"""What a value may be: types with their bounds, under names of their own. The bounds are as wide as anybody can use."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Settings that belong together: every key is known, none is converted, none changes afterwards."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )

    def plain(self) -> dict[str, Any]:
        """The keys that were given, as plain values; what checkpoints and JSON files hold."""
        return self.model_dump(by_alias=True, exclude_unset=True, serialize_as_any=True)


class OpenSection(Section):
    """Settings of a class that somebody else wrote: any argument of it may be added."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Allowed:
    """The words for what a value may be, where its type and bounds do not say it well."""

    words: str


def key(meaning: str, **options: Any) -> Any:
    """A key of a section.

    Args:
        meaning: one line for docs/configuration.md and --help.
        options: of pydantic's Field; and `before`, for a key that came later than runs that may still be there: the
            value that does what was done then.
    """
    if "before" in options:
        options["json_schema_extra"] = {"before": options.pop("before")}
    return Field(description=meaning, **options)


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("even")
    return value


def _rising(values: list[float]) -> list[float]:
    if values != sorted(set(values)):
        raise ValueError("not rising")
    return values


def _devices(value: Any) -> Any:
    if value == "auto" or value in (-1, "-1"):
        return value
    if isinstance(value, str):
        numbers: list[Any] = [int(number) for number in value.split(",")] if DEVICE_NUMBERS.fullmatch(value) else []
    else:
        numbers = value if isinstance(value, list) else [value]
    if not all(type(number) is int and 0 <= number <= MOST_DEVICES for number in numbers):
        raise ValueError("no devices")
    if not 0 < len(set(numbers)) == len(numbers) or value in (0, "0"):
        raise ValueError("none, or one of them twice")
    return value


def _parts(value: dict[str, Any]) -> dict[str, Any]:
    for part in value.values():
        if not isinstance(part, dict) or not isinstance(part.get("_target_"), str) or "." not in part["_target_"]:
            raise ValueError("no class")
    return value


def _text(value: str) -> str:
    if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):  # what of argv was no UTF-8
        raise ValueError("text in UTF-8 without zero bytes")
    return value


def _path(value: str) -> str:
    if any(len(name.encode()) > 255 for name in value.split("/")):
        raise ValueError("a path whose names have at most 255 bytes")
    return value


MOST_DEVICES = 64
DEVICE_NUMBERS = re.compile(r"\d{1,2}(,\d{1,2})*")

Text = Annotated[str, MinLen(1), MaxLen(1000), AfterValidator(_text)]
Place = Annotated[str, MinLen(1), MaxLen(1000), AfterValidator(_text), AfterValidator(_path)]
# What an optimizer or a scheduler is: it is imported when it is built.
ClassName = Annotated[
    str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$"), MaxLen(200),
    Allowed("the name of a class with its module, such as torch.optim.Adam"),
]  # fmt: skip
Fraction = Annotated[float, Gt(0), Lt(1)]
Chance = Annotated[float, Ge(0), Le(1)]
Proportion = Annotated[float, Ge(0), Lt(1)]
# The products of what follows stay below 3e38, where float32 ends.
Rate = Annotated[float, Ge(0), Le(1e30)]
Weight = Annotated[float, Ge(1e-6), Le(1e6)]
NotNegative = Annotated[float, Ge(0), Le(1e6)]
Count = Annotated[int, Ge(1), Le(1_000_000)]
Units = Annotated[int, Ge(1), Le(65_536)]
Odd = Annotated[
    int, Ge(1), Le(101), AfterValidator(_odd), Allowed("an odd whole number (same padding needs one), at most 101")
]
Betas = Annotated[
    list[Proportion], Field(min_length=2, max_length=2), Allowed("two numbers from 0 to 1 (not included)")
]
Quantiles = Annotated[
    list[Proportion],
    Field(max_length=100),
    AfterValidator(_rising),
    Allowed("a list of at most 100 rising numbers from 0 to 1 (not included)"),
]
Parts = Annotated[
    dict[str, Any], AfterValidator(_parts), Allowed("options of this group, each with the class that _target_ names")
]
Devices = Annotated[Any, AfterValidator(_devices), Allowed("auto, -1, a number of devices, or a list of their numbers")]
