"""Encoders that were trained on other images, from torchvision or timm, and the network that compares their vectors."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from shoepair.errors import UserError, one_line
from shoepair.models.comparison import Comparison, JointComparison, UnitVectorComparison


class PretrainedEncoder(nn.Module):
    """A model of torchvision or timm without its classifier: one vector of length 1 for each shoe.

    It always computes in evaluation mode, so batch norm keeps the statistics of the images it was trained on: those of
    a few dozen shoes would be worse.

    Args:
        encoder: "torchvision/NAME" or "timm/NAME".
        image_size: side of the images that it will see, in pixels.
        weights: "default" (the library's own, downloaded once), the path of a file, or None for random ones.
        frozen: whether its weights stay as they are.
    Raises:
        UserError: if the library or the model is not there, the weights cannot be had, or it refuses the image size.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: str, image_size: int, *, weights: str | None, frozen: bool) -> None:
        super().__init__()
        library, _, name = encoder.partition("/")
        body, mean, std = LIBRARIES[library](name, weights)
        self.body = with_quick_gradients(body).requires_grad_(not frozen).eval()
        self.frozen = frozen
        # Its own normalisation, of RGB from 0 to 1. Kept with the weights, so that a checkpoint needs nothing else.
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        try:
            with torch.inference_mode():
                self.num_features = self(torch.zeros(1, 3, image_size, image_size)).shape[1]
        except Exception as error:  # of the model's own check of its input
            raise UserError(
                f"approach.encoder={encoder}: it refused images of data.image_size={image_size} "
                f"({one_line(str(error)) or type(error).__name__}); many such models want 224."
            ) from error

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        super().train(mode)
        self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """RGB in [-0.5, 0.5], (B, 3, H, W) -> (B, num_features), each of length 1."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.body((images + 0.5 - self.mean) / self.std)
        if features.ndim == 4:
            features = features.mean(dim=(2, 3))
        return nn.functional.normalize(features.float(), dim=1)


class PretrainedNetwork(nn.Module):
    """The dual approach with a pretrained encoder: both shoes' vectors, and a head that compares them.

    Args:
        encoder, weights, frozen, image_size: of PretrainedEncoder.
        encoder_lr, beside_lr: for the optimizer; see conf/approach/pretrained.yaml.
        hidden_units, dropout: of the head.
        beside: a network of the dual approach that judges each pair as well; the outputs are the means of both's.
        beside_size: side of the images that it is to see, in pixels.
    """

    def __init__(
        self,
        image_size: int = 224,
        *,
        encoder: str,
        weights: str | None = "default",
        frozen: bool = True,
        encoder_lr: float = 0.1,
        hidden_units: int = 32,
        dropout: float = 0.5,
        beside: Comparison | None = None,
        beside_size: int = 112,
        beside_lr: float = 0.3,
    ) -> None:
        super().__init__()
        self.frozen, self.encoder_lr, self.beside_lr = frozen, encoder_lr, beside_lr
        body = PretrainedEncoder(encoder, image_size, weights=weights, frozen=frozen)
        own = UnitVectorComparison(body, body.num_features, hidden_units=hidden_units, dropout=dropout)
        self.classifier: UnitVectorComparison | JointComparison = own
        if beside is not None:
            self.classifier = JointComparison([(own, image_size), (beside, beside_size)])

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Two outputs for every pair, index 1 for "same pair".

        Args:
            left, right: RGB in [-0.5, 0.5], each (B, 3, H, W); or the shoes' vectors, each (B, C).
        Returns:
            (B, 2).
        """
        return self.agree(self.judge_each(left, right))

    def agree(self, judged: Tensor) -> Tensor:
        """From what judge_each gives to what forward gives."""
        return self.classifier.agree(judged) if isinstance(self.classifier, JointComparison) else judged[0]

    def judge_each(self, left: Tensor, right: Tensor) -> Tensor:
        """As forward, of the pretrained network and of the one beside it: (1 or 2, B, 2)."""
        num_pairs = left.shape[0]
        both = torch.cat([left, right])
        if left.ndim != 2:
            both = self.classifier.encode(both)
        if isinstance(self.classifier, JointComparison):
            return self.classifier.compare_each(both[:num_pairs], both[num_pairs:])
        return self.classifier.compare(both[:num_pairs], both[num_pairs:]).unsqueeze(0)

    def parameter_groups(self, lr: float) -> list[dict[str, Any]]:
        """What the optimizer is to train: the head, and with learning rates of their own the encoder, unless it is
        frozen, and the network beside it."""
        own: Any
        beside: list[nn.Module] = []
        if isinstance(self.classifier, JointComparison):
            own, *beside = self.classifier.members
        else:
            own = self.classifier
        groups = [{"params": list(own.head.parameters()), "lr": lr}]
        if not self.frozen:
            groups.append({"params": list(own.encoder.parameters()), "lr": lr * self.encoder_lr})
        groups += [{"params": list(network.parameters()), "lr": lr * self.beside_lr} for network in beside]
        return groups


class _TrainedInFloat32:
    """Mixed into a layer: on a CPU it trains in float32 where the rest of the network computes in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        layer: Any = super()
        if x.device.type != "cpu" or not (torch.is_grad_enabled() and torch.is_autocast_enabled("cpu")):
            return layer.forward(x)
        with torch.autocast("cpu", enabled=False):
            return layer.forward(x.float()).to(x.dtype)


def with_quick_gradients(network: nn.Module) -> nn.Module:
    """The same network, whose depthwise convolutions of more than 3 x 3 or with a stride train in float32 on a CPU.

    oneDNN has no fast gradients of them in bfloat16: some take a hundred times as long as in float32 (torch 2.14; of 84
    images of 160 pixels a training step of EfficientNet-Lite0 took 1.5 times as long). Names, weights and what is
    computed stay as they are.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d) or layer.groups == 1 or layer.groups != layer.in_channels:
            continue
        if max(layer.stride) > 1 or max(layer.kernel_size) > 3:
            kind = type(layer)  # it may be a subclass that pads in its own way
            layer.__class__ = type(kind.__name__, (_TrainedInFloat32, kind), {})
    return network


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
    body = _with_weights(lambda default: timm.create_model(name, pretrained=default), weights)
    settings: Any = body.pretrained_cfg
    cast(Any, body).reset_classifier(0)
    return body, settings["mean"], settings["std"]


LIBRARIES = {"torchvision": _of_torchvision, "timm": _of_timm}


def _with_weights(make: Any, weights: str | None) -> nn.Module:
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
    """Load a file of weights: of the same names or, from a port that gave others, of the same shapes in the same order.

    Args:
        path: of a file that torch.save wrote (the weights alone, or under "state_dict" or "model"), or a .safetensors.
    Raises:
        UserError: if it cannot be read or holds the weights of another model.
    """
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
        shapes = [tuple(value.shape) for value in found.values()]
    except Exception as error:  # whatever a file that is something else provokes
        raise UserError(
            f"approach.weights={path}: this is no file of weights ({type(error).__name__}); "
            "expected one that torch.save or safetensors wrote."
        ) from error
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    if found.keys() != wanted.keys() and shapes == list(wanted.values()):
        found = dict(zip(wanted, found.values(), strict=True))
    if {name: tuple(value.shape) for name, value in found.items()} != wanted:
        fitting = sum(wanted.get(name) == tuple(value.shape) for name, value in found.items())
        raise UserError(
            f"approach.weights={path}: expected the {len(wanted)} weights of {type(model).__name__}, its classifier "
            f"included; of the {len(found)} in the file, {fitting} fit by name and shape."
        )
    model.load_state_dict(found)
