"""Writes docs/configuration.md from the schema and from conf/: `make docs`."""

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from pydantic.fields import FieldInfo

import shoepair.launch.naming  # noqa: F401 - the resolvers that conf/ uses
from shoepair.config.approaches import APPROACHES
from shoepair.config.messages import allowed
from shoepair.config.schema import DATA, EvaluateSettings, TrainSettings, leaves_of

OPTIONS = {
    "optimizer": ("adam", "adamw", "sgd", "lbfgs"),
    "scheduler": ("onecycle", "constant", "cosine", "plateau"),
    "trainer": ("default",),
}
PAGE = Path(__file__).with_name("configuration.md")
OPENING = """# Configuration

Every key of `shoepair train`, what it may be, its value unless something else is said, and what it means.
Set one by `KEY=VALUE`, add an argument of the optimizer, the scheduler or Lightning's Trainer by `+KEY=VALUE`, choose
an option of a group by `GROUP=OPTION`. `shoepair train ... --cfg job` shows what a run would use.

This page is written by `make docs` from `src/shoepair/config/` and `conf/`.
"""


def page() -> str:
    """The whole page."""
    defaults = composed()
    top = {key: field for key, field in TrainSettings.model_fields.items() if "." not in key}
    sections = [
        OPENING,
        "## A run\n",
        table({key: field for key, field in leaves_of(TrainSettings).items() if key in top}, defaults),
        table(leaves_starting_with("early_stopping."), defaults),
        "`mode=sanity` adds:\n",
        table(leaves_starting_with("sanity."), composed("mode=sanity")),
        "`sweep=search` adds:\n",
        table(leaves_starting_with("sweep."), composed("sweep=search")),
    ]
    for name, approach in APPROACHES.items():
        sections += [f"## approach={name}\n", f"{described(approach.settings)}\n"]
        sections.append(table(leaves_of(approach.settings, "approach."), composed(f"approach={name}")))
    shared = set(DATA["photos"].model_fields) & set(DATA["table"].model_fields)
    common = {
        key: field
        for key, field in leaves_of(DATA["photos"], "data.").items()
        if key.split(".")[1] in shared - {"name", "augment"}
    }
    sections += ["## data\n", "All data sets share these.\n", table(common, composed("data=photos"))]
    for name, section in DATA.items():
        chosen = composed(f"data={name}")
        own = {
            key: field
            for key, field in leaves_of(section, "data.").items()
            if key.split(".")[1] not in shared or (name == "synthetic" and key == "data.num_people")
        }
        sections += [f"### data={name}\n", f"{described(section)}\n", table(own, chosen)]
    sections += [
        "## augment\n",
        "The default is `augment=flips`; `none` and `harsh` are the others.\n",
        table(leaves_starting_with("data.augment.", leaves_of(DATA["synthetic"], "data.")),
              *(composed(f"augment={option}") for option in ("flips", "none", "harsh")),
              names=("flips", "none", "harsh")),
    ]  # fmt: skip
    for group, options in OPTIONS.items():
        configs = (composed(f"{group}={option}") for option in options)
        sections += [
            f"## {group}\n",
            f"{described(TrainSettings.model_fields[group].annotation)}\n",
            table(leaves_starting_with(f"{group}."), *configs, names=options if len(options) > 1 else ("default",)),
        ]
    checkpoint = {"checkpoint": EvaluateSettings.model_fields["checkpoint"]}
    sections += [
        "## shoepair evaluate\n",
        "Besides `checkpoint`, `output_dir` and `plugins`: the keys of `data` that choose other data (null: as in the "
        "checkpoint), and `trainer.accelerator`, `devices`, `deterministic`.\n",
        table(checkpoint, {"checkpoint": "???"}),
    ]
    return "\n".join(sections)


def composed(*overrides: str) -> Any:
    """The configuration that these overrides give."""
    with initialize_config_module("shoepair.conf"):
        return OmegaConf.to_container(compose("train", list(overrides)))


def leaves_starting_with(prefix: str, leaves: dict[str, FieldInfo] | None = None) -> dict[str, FieldInfo]:
    leaves = leaves_of(TrainSettings) if leaves is None else leaves
    return {key: field for key, field in leaves.items() if key.startswith(prefix)}


def described(section: Any) -> str:
    return " ".join(section.__doc__.split())


def table(leaves: dict[str, FieldInfo], *configs: Any, names: tuple[str, ...] = ("default",)) -> str:
    """A row for each key; a column for its value in each configuration."""
    rows = [["key", "allowed", *names, "meaning"], ["---"] * (3 + len(names))]
    for key, field in leaves.items():
        if key not in ("approach", "data"):
            rows.append(
                [f"`{key}`", allowed(field), *(value(config, key) for config in configs), field.description or ""]
            )
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows) + "\n"


def value(config: Any, key: str) -> str:
    """What a key is, as one types it; empty where there is no such key."""
    for part in key.split("."):
        if not isinstance(config, dict) or part not in config:
            return ""
        config = config[part]
    if config == "???":
        return "(to be given)"
    if isinstance(config, dict):  # options of a group
        return ", ".join(config) or "none"
    if config is None or isinstance(config, bool):
        return "null" if config is None else str(config).lower()
    return f"`{config}`" if str(config).startswith("${") else str(config)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
