"""A checkpoint's content: read with suspicion, and brought up to today's names. Imports torch late."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoepair.config.approaches import NetworkSettings
from shoepair.config.compat import with_todays_names
from shoepair.config.read import read_network_settings
from shoepair.errors import UserError
from shoepair.metrics.calibration import Calibration

CALIBRATION = "calibration"  # its key in a checkpoint; older ones and those of the sanity mode have none


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says.

    Attributes:
        network: what its network is built from; weights that come from elsewhere are left out.
        state_dict: of the LightningModule; the network's weights are those whose names begin with "network.".
        config: the run's whole configuration, plain values.
        calibration: by what its logits are made probabilities; None: they are taken as they are.
        epoch: the one in which it was written, counted from 1.
        content: everything in it, plain values and tensors.
    """

    network: NetworkSettings
    state_dict: Mapping[str, Any]
    config: Mapping[str, Any]
    calibration: Calibration | None
    epoch: int
    content: dict[str, Any]

    @property
    def network_weights(self) -> dict[str, Any]:
        return {
            name.removeprefix("network."): value
            for name, value in self.state_dict.items()
            if name.startswith("network.")
        }


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> Checkpoint:
    """The content of a checkpoint, on the CPU.

    Only plain values and tensors are read (`weights_only=True`): a file cannot run code.

    Args:
        key: what the setting is called, for the error.
    Raises:
        UserError: if the file is not there or is no checkpoint of shoepair.
    """
    import torch

    if not Path(path).is_file():
        raise UserError(f"{key}={path}: no such file.")
    with being_a_checkpoint(path, key):
        content = with_todays_names(torch.load(path, map_location="cpu", weights_only=True))
        config = content["config"]
        plugins = config.get("plugins") or []
        try:
            network = read_network_settings(content["hyper_parameters"]["network"])
        except UserError as error:
            if not plugins or "expected one of" not in str(error):
                raise TypeError(str(error)) from error
            raise UserError(
                f"{key}={path}: approach={content['approach']} is of a module that is not imported by itself; name it "
                f"again: plugins=[{','.join(plugins)}], or in other commands --plugin {plugins[0]}."
            ) from error
        return Checkpoint(
            network.without_weights(),
            content["state_dict"],
            config,
            Calibration.from_plain(content[CALIBRATION]) if CALIBRATION in content else None,
            int(content["epoch"]) + 1,
            content,
        )


@contextlib.contextmanager
def being_a_checkpoint(path: str | Path, key: str = "checkpoint") -> Iterator[None]:
    """Whatever fails inside the block means that a file is no checkpoint, and becomes a UserError."""
    try:
        yield
    except UserError:  # what the network needs is not installed
        raise
    except Exception as error:  # whatever a file that is something else provokes
        raise UserError(
            f"{key}={path}: this is no checkpoint of shoepair ({type(error).__name__}); "
            "expected a file that `shoepair train` wrote, such as RUN_FOLDER/checkpoints/best.ckpt."
        ) from error
