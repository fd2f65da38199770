"""Settings for tests, from the configuration that users have: typed, checked, and only what matters changed."""

from functools import cache
from typing import Any

from hydra import compose, initialize_config_module

from shoepair.config.approaches import NetworkSettings, approach_named
from shoepair.config.messages import validated
from shoepair.config.read import read_train_settings
from shoepair.config.schema import AugmentSettings, DataSettings, TrainSettings
from shoepair.launch.preflight import plain_values

# The original's networks; the package's own defaults learn more.
ORIGINAL = {"single": {"fusion": "stack", "width": 4}, "dual": {"fusion": "stack", "width": 4, "norm": "none"}}


@cache
def train_settings(*overrides: str) -> TrainSettings:
    """What `shoepair train OVERRIDES` would train."""
    with initialize_config_module("shoepair.conf"):
        return read_train_settings(plain_values(compose("train", list(overrides))))


def network_settings(approach: str, image_size: int = 224, member: Any = None, **changes: Any) -> NetworkSettings:
    """The settings of an approach's network: of single and dual the original's, but for what is changed."""
    own = train_settings(f"approach={approach}").approach.plain() | ORIGINAL.get(approach, {}) | changes
    settings = validated(approach_named(approach).settings, own, "approach")
    return NetworkSettings(approach=settings, image_size=image_size, member=member)


def data_settings(*overrides: str, **changes: Any) -> DataSettings:
    """The keys of data, of drawn shoes unless something else is chosen."""
    return train_settings(*overrides).data.model_copy(update=changes)


def augment_settings(**changes: float) -> AugmentSettings:
    """No augmentation, but for what is changed."""
    nothing = train_settings("augment=none").data.augment
    assert nothing is not None
    return nothing.model_copy(update=changes)
