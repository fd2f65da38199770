"""Checkpoints and LightningModules: which epochs are kept, how one is read, and what a run leaves in best.ckpt."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from shoepair.config.approaches import DualSettings, NetworkSettings, approach_named
from shoepair.config.compat import with_todays_names
from shoepair.config.schema import TrainSettings
from shoepair.errors import UserError
from shoepair.files import replacing
from shoepair.metrics.calibration import Calibration
from shoepair.models.module import PairModule
from shoepair.runs.checkpoint import CALIBRATION, Checkpoint, being_a_checkpoint, read_checkpoint, tta_hflip_of
from shoepair.runs.folder import last_checkpoint

log = logging.getLogger(__name__)

# What only going on with training needs: the state of optimizer, scheduler, callbacks.
OF_TRAINING = {"optimizer_states", "lr_schedulers", "callbacks", "current_model_state", "averaging_state"}


class CheckpointFiles(TorchCheckpointIO):
    """Writes checkpoints that are whole or not there, and reads what an older version wrote as if it was today's.

    Lightning's own writes elsewhere, into $TMPDIR, and copies: a kill or a full disk then leaves half a file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(path, checkpoint)

    def load_checkpoint(self, path: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return with_todays_names(super().load_checkpoint(path, *args, **kwargs))


class MovableCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that also goes on in a folder that was moved or copied.

    Lightning's keeps absolute paths, and where the folder is another one, forgets which epoch was the best.
    """

    @property
    def state_key(self) -> str:
        """As Lightning's own, whose state older runs left."""
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    OF_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")

    def state_dict(self) -> dict[str, Any]:
        return self._with_paths(super().state_dict(), lambda path: Path(path).name) | {"dirpath": None}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        folder = Path(self.dirpath or "")
        here = self._with_paths(state_dict, lambda path: str(folder / Path(path).name))
        super().load_state_dict(here | {"dirpath": self.dirpath})

    def _with_paths(self, state: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
        changed = {name: change(state[name]) if state.get(name) else "" for name in self.OF_PATHS}
        best = {change(path): score for path, score in state.get("best_k_models", {}).items()}
        return state | changed | {"best_k_models": best}


def kept_checkpoint(run_dir: Path, keep: str, *, weights_only: bool) -> ModelCheckpoint:
    """Keeps the weights of the best epoch by validation accuracy (of equals, the lower loss) or of the last one.

    Args:
        keep: "best" or "last".
        weights_only: false where weights are averaged: for such checkpoints Lightning 2.6 does not ask callbacks, and
            would save the weights that are not averaged. write_kept() takes the rest away.
    """
    return MovableCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="best",
        monitor="val/rank" if keep == "best" else None,
        mode="max",
        save_weights_only=weights_only,
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


def last_epoch_checkpoint(run_dir: Path) -> ModelCheckpoint:
    """Keeps all that is needed to go on after the last whole epoch."""
    return MovableCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="last",
        enable_version_counter=False,
        auto_insert_metric_name=False,
    )


def write_kept(path: Path, kept: Checkpoint, calibration: Calibration | None) -> None:
    """Write the checkpoint that a run ends with: without what only training needs, with its calibration."""
    content = {name: value for name, value in kept.content.items() if name not in OF_TRAINING}
    if calibration is not None:
        content[CALIBRATION] = calibration.as_plain()
    write_checkpoint(path, content)


def write_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Raises OSError, or an error of torch's behind which one stands, if that cannot be written; see replacing()."""
    with replacing(path) as partial, partial.open("wb") as file:  # given a path, torch would not say what is wrong
        torch.save(content, file)


def build_module(settings: TrainSettings) -> PairModule:
    """The LightningModule of a run, with the weights that its settings name.

    Raises:
        UserError: if these cannot be used.
    """
    begun = None if settings.resume is None else read_checkpoint(last_checkpoint(settings.resume), key="resume")
    beside = member_of(settings) if begun is None else None
    member = beside.network if beside is not None else begun.network.member if begun is not None else None
    network = NetworkSettings(approach=settings.approach, image_size=settings.data.image_size, member=member)
    if begun is not None:
        network = network.without_weights()
    module: PairModule = approach_named(settings.approach.name).build_module(
        network.plain(), settings.optimizer.plain(), settings.scheduler.plain(), settings.negative_weight
    )
    if beside is not None:
        module.network.load_member(beside.learned_weights)
    module.config = settings.plain()
    module.hflip = settings.tta_hflip
    if begun is not None:  # some of it is asked before Lightning takes up where the run was
        module.load_state_dict(dict(begun.state_dict))
    elif settings.init_from is not None:
        start_from(module, settings.init_from)
    return module


def member_of(settings: TrainSettings) -> Checkpoint | None:
    """The trained network that approach.ensemble_with names."""
    path = getattr(settings.approach, "ensemble_with", None)
    if path is None:
        return None
    checkpoint = read_checkpoint(path, key="approach.ensemble_with")
    approach = checkpoint.network.approach
    if not isinstance(approach, DualSettings) or approach.fusion == "stack":
        raise UserError(
            f"approach.ensemble_with={path}: expected a network that compares two images (approach=dual); it is "
            f"approach={approach.name}."
        )
    if approach.cutout is not None:
        raise UserError(
            f"approach.ensemble_with={path}: expected a network that sees whole photos; it has approach.cutout="
            f"{approach.cutout}."
        )
    return checkpoint


def start_from(module: PairModule, path: str) -> None:
    """Give a network the weights of a trained one. Raises UserError if the two have not the same layers."""
    trained = read_checkpoint(path, key="init_from")
    mine, theirs = (_flat(network) for network in (module.hparams["network"], trained.network.plain()))
    differing = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if "taught" in differing and "taught" in mine.keys() & theirs.keys():  # of layers that are alike
        raise UserError(
            f"init_from={path}: expected approach.taught={str(theirs['taught']).lower()}, as its encoder was, whose "
            "weights are taken too."
        )
    try:
        module.network.start_from(trained.learned_weights)
    except RuntimeError:
        raise UserError(
            f"init_from={path}: expected weights of the same network; it is approach={trained.network.approach.name} "
            f"and differs in {', '.join(f'{key}={theirs.get(key)}' for key in differing) or 'nothing else'}."
        ) from None
    log.info("Weights    from %s", path)


def _flat(network: dict[str, Any]) -> dict[str, Any]:
    named = {key: value for key, value in network["approach"].items() if key != "name"}
    return {**named, "image_size": network["image_size"]}


@dataclass(frozen=True)
class LoadedModule:
    """A trained LightningModule, on the CPU, in evaluation mode, and the checkpoint that it comes from."""

    module: PairModule
    checkpoint: Checkpoint


def load_module(path: str | Path) -> LoadedModule:
    """The LightningModule in a checkpoint; only plain values and tensors are read, so that a file cannot run code.

    Raises:
        UserError: if the file is not there or is no checkpoint of shoepair.
    """
    checkpoint = read_checkpoint(path)
    with being_a_checkpoint(path):
        network = checkpoint.network
        module: PairModule = approach_named(network.approach.name).build_module(network.plain())
        module.load_state_dict(dict(checkpoint.state_dict))
        module.config = dict(checkpoint.config)
        module.hflip = tta_hflip_of(checkpoint.config)
    return LoadedModule(module.eval(), checkpoint)
