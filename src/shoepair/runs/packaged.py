"""The networks that come with shoepair, by their names: `ready`, and `best`, whose encoder is downloaded once."""

import contextlib
from pathlib import Path
from typing import Any

from shoepair import hub
from shoepair.errors import UserError
from shoepair.files import default_cache_dir, digest, replacing
from shoepair.terminal import say_aside

MODELS = Path(__file__).parents[1] / "models"
PACKAGED = {"ready": MODELS / "ready.ckpt", "best": MODELS / "best.ckpt"}  # written by training/ready.py
READY, BEST = PACKAGED
ENCODER = "network.siamese.members.0.encoder.body."  # names of the weights that `best` lacks
HUB = ("timm/tf_efficientnet_lite0.in1k", "model.safetensors")  # where these come from
DOWNLOAD = "19 MB"


def packaged_checkpoint(name: str, key: str = "checkpoint") -> Path:
    """The file of one of PACKAGED, whole.

    Raises:
        UserError: if its encoder is not to be had.
    """
    return PACKAGED[READY] if name == READY else _with_encoder(PACKAGED[BEST], key)


def name_of(path: Path) -> str | None:
    """Which of PACKAGED a file is."""
    if path == PACKAGED[READY]:
        return READY
    return BEST if path == _kept(PACKAGED[BEST]) else None


def _kept(packed: Path) -> Path:
    made_of = (packed, MODELS / "taught.pt")  # its encoder is taught
    return default_cache_dir() / f"best-{digest([file.read_bytes() for file in made_of])}.ckpt"


def _with_encoder(packed: Path, key: str) -> Path:
    """A checkpoint like any other, put together where caches are kept, the first time that it is asked for."""
    whole = _kept(packed)
    if whole.is_file():
        return whole
    _refuse_unreachable(key)
    import torch

    from shoepair.config.approaches import PretrainedSettings
    from shoepair.config.compat import with_todays_names
    from shoepair.config.read import read_network_settings
    from shoepair.models.encoders import PretrainedEncoder

    content: dict[str, Any] = torch.load(packed, map_location="cpu", weights_only=True)
    network = read_network_settings(with_todays_names(content)["hyper_parameters"]["network"])
    assert isinstance(network.approach, PretrainedSettings)
    say_aside(f"Network: downloading its encoder once, {DOWNLOAD}: {network.approach.encoder}")
    try:
        encoder = PretrainedEncoder(network.approach, network.image_size)
    except UserError as error:
        raise UserError(f"{key}={BEST}: {error} Or take {READY}, which needs no download.") from error
    content["state_dict"] |= {f"{ENCODER}{part}": value for part, value in encoder.body.state_dict().items()}
    whole.parent.mkdir(parents=True, exist_ok=True)
    with replacing(whole) as partial, partial.open("wb") as file:
        torch.save(content, file)
    return whole


def _refuse_unreachable(key: str) -> None:
    """Before torch is imported. Raises UserError."""
    with contextlib.suppress(ImportError):  # said where timm is asked for
        if not hub.is_kept(*HUB) and not hub.answers():
            raise UserError(
                f"{key}={BEST}: its encoder is not here yet, and {hub.address()} does not answer; try again, or take "
                f"{READY}, which needs no download."
            )
