"""A checkpoint's content: read with suspicion, and brought up to today's names. Imports torch late."""

import contextlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoepair.config.approaches import ConvolutionSettings, NetworkSettings, approach_named
from shoepair.config.compat import with_todays_names
from shoepair.config.read import read_network_settings
from shoepair.errors import UserError
from shoepair.metrics.calibration import Calibration
from shoepair.runs.packaged import PACKAGED, packaged_checkpoint
from shoepair.runs.read import plain_config

CALIBRATION = "calibration"  # its key in a checkpoint; older ones and those of the sanity mode have none
LEARNED = "learned"  # likewise, of a packed network: those of its weights that training/ready.py changed, as they were


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
        return _of_network(self.state_dict)

    @property
    def learned_weights(self) -> dict[str, Any]:
        """network_weights as training left them, to train on from: what a packed network has of the photos that it was
        adapted to says something of people who may be judged later."""
        return self.network_weights | _of_network(self.content.get(LEARNED, {}))


def tta_hflip_of(config: Mapping[str, Any]) -> bool:
    """Of a run's configuration: whether pairs are judged by two views (test-time augmentation), since mirrored pairs
    were trained on too."""
    return bool((config.get("data", {}).get("augment") or {}).get("hflip"))


def _of_network(weights: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")}


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> Checkpoint:
    """The content of a checkpoint, on the CPU.

    Only plain values and tensors are read (`weights_only=True`): a file cannot run code.

    Args:
        path: a file, or the name of a network that comes with shoepair.
        key: what the setting is called, for the error.
    Raises:
        UserError: if the file is not there or is no checkpoint of shoepair.
    """
    import torch

    if path in PACKAGED:
        path = packaged_checkpoint(str(path), key)
    if not Path(path).is_file():
        raise UserError(f"{key}={path}: no such file.")
    with being_a_checkpoint(path, key):
        _refuse_packed(Path(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_odd_tensors(content)
        content = with_todays_names(content | {"config": plain_config(content["config"])})
        config, weights, epoch = content["config"], content["state_dict"], content["epoch"]
        _check_parts(config, weights, epoch)
        _check_learned(content.get(LEARNED, {}), weights)
        broken = next((name for name, tensor in weights.items() if not torch.isfinite(tensor).all()), None)
        if broken is not None:
            raise UserError(
                f"{key}={path}: its weights are not all finite numbers, {broken} for one, as of a training that "
                "diverged; take another one, or train again with a lower optimizer.lr."
            )
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
        checkpoint = Checkpoint(
            network.without_weights(),
            weights,
            config,
            Calibration.from_plain(content[CALIBRATION]) if CALIBRATION in content else None,
            epoch + 1,
            content,
        )
        _check_shapes(checkpoint)
        return checkpoint


def _refuse_packed(path: Path) -> None:
    """torch.save packs nothing; a packed file could become larger than any memory. Raises ValueError."""
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
        raise ValueError("it is packed")
    if sum(part.file_size for part in parts) > path.stat().st_size:
        raise ValueError("its parts are larger than itself")


def _refuse_odd_tensors(content: Any) -> None:
    """Each tensor is a plain one that has as many numbers as the file. Raises TypeError or ValueError."""
    import torch

    waiting, seen = [content], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Mapping):
            waiting += node.values()
        elif isinstance(node, list | tuple | set | frozenset):
            waiting += node
        elif isinstance(node, torch.Tensor):
            if node.layout != torch.strided or node.is_meta or node.is_quantized or node.is_complex():
                raise TypeError("an unusual tensor")
            if node.numel() * node.element_size() > node.untyped_storage().nbytes():
                raise ValueError("a tensor of more numbers than there are")


def _check_parts(config: Mapping[str, Any], weights: Any, epoch: Any) -> None:
    """Raises TypeError or ValueError where one is not what every checkpoint has."""
    import torch

    if not isinstance(weights, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in weights.items()
    ):
        raise TypeError("weights that are no tensors")
    if type(epoch) is not int or not 0 <= epoch < 10**9:
        raise ValueError("an epoch that is no count")
    data = config["data"]
    if not all(isinstance(part, Mapping) for part in (config["approach"], data, data.get("augment") or {})):
        raise TypeError("settings that are no sections")


def _check_learned(learned: Any, weights: Mapping[str, Any]) -> None:
    """Of a packed network, biases of heads, two outputs each. Raises TypeError or ValueError if it is anything else."""
    import torch

    if not isinstance(learned, Mapping):
        raise TypeError("something learned that is no weights")
    for name, value in learned.items():
        if not isinstance(value, torch.Tensor) or name not in weights or not name.endswith(".bias"):
            raise TypeError("something learned that is no bias")
        of_head = value.shape == weights[name].shape == (2,) and value.is_floating_point()
        if not of_head or not torch.isfinite(value).all():
            raise ValueError("a bias that is none of a head")


def _check_shapes(checkpoint: Checkpoint) -> None:
    """Of a network whose size its settings decide: they must fit the weights before so much memory is asked for.

    Raises:
        ValueError: if they do not.
    """
    import torch

    settings, weights = checkpoint.network, checkpoint.network_weights
    if not isinstance(settings.approach, ConvolutionSettings):
        return
    with torch.device("meta"):
        wanted = approach_named(settings.approach.name).build_network(settings).state_dict()
    for name, tensor in wanted.items():
        found = weights.get(name)
        if found is None or found.shape != tensor.shape or found.is_floating_point() != tensor.is_floating_point():
            raise ValueError(f"{name} does not fit the settings of the network")


@contextlib.contextmanager
def being_a_checkpoint(path: str | Path, key: str = "checkpoint") -> Iterator[None]:
    """Whatever fails inside the block means that a file is no checkpoint, and becomes a UserError."""
    try:
        yield
    except UserError:  # what the network needs is not installed
        raise
    except Exception as error:  # whatever a file that is something else provokes
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        raise UserError(
            f"{key}={path}: this is no checkpoint of shoepair ({type(error).__name__}); "
            "expected a file that `shoepair train` wrote, such as RUN_FOLDER/checkpoints/best.ckpt."
        ) from error
