"""What a value may be: types with their bounds, under names of their own. The bounds are as wide as anybody can use."""

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Settings that belong together: every key is known, none is converted, none changes afterwards."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())

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


def _devices(value: Any) -> Any:
    numbers = value if isinstance(value, list) else [value]
    if value == "auto" or (isinstance(value, str) and value):
        return value
    if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) and -1 <= n < 10_000 for n in numbers):
        raise ValueError("no devices")
    if value == 0:
        raise ValueError("none")
    return value


Text = Annotated[str, MinLen(1)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Chance = Annotated[float, Ge(0), Le(1)]
Proportion = Annotated[float, Ge(0), Lt(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Count = Annotated[int, Ge(1), Le(1_000_000)]
Odd = Annotated[
    int, Ge(1), Le(101), AfterValidator(_odd), Allowed("an odd whole number (same padding needs one), at most 101")
]
Betas = Annotated[
    list[Proportion], Field(min_length=2, max_length=2), Allowed("two numbers from 0 to 1 (not included)")
]
Devices = Annotated[Any, AfterValidator(_devices), Allowed("auto, -1, a number of devices, or a list of their numbers")]
