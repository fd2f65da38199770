"""The registry of approaches: for each its settings, its network and its LightningModule, and how to add one's own.

A network and a module are named as "package.module:Class" and imported when one is built, so that a mistake in a
setting is said before torch is imported.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import Field, InstanceOf

from shoepair.config.shown import in_line
from shoepair.config.values import (
    Allowed,
    NotNegative,
    Odd,
    Place,
    Proportion,
    Quantiles,
    Section,
    Text,
    Units,
    Weight,
    key,
)
from shoepair.errors import UserError, one_line

ENTRY_POINTS = "shoepair.approaches"  # of installed packages: name = "module that registers it"
DUAL_MODULE = "shoepair.models.module:DualImageModule"


class ApproachSettings(Section):
    """What every approach has. Its subclasses are the settings of one approach each."""

    name: Text = key("The approach; chosen by approach=NAME.")

    def without_weights(self) -> "ApproachSettings":
        """For a network whose weights a checkpoint brings: none are downloaded or read before."""
        return self

    def check(self) -> None:
        """Raise a UserError where keys do not go together."""

    def check_files(self) -> None:
        """Raise a UserError where a file that a key names is not there."""

    @property
    def halvings(self) -> int:
        """How often the network halves the image, which must be divisible so often."""
        return 0

    def num_weights(self, image_size: int) -> int:
        """About how many weights the network has; 0 where its settings cannot make it too large."""
        return 0

    def numbers_per_pair(self, image_size: int) -> int:
        """About how many numbers a training step keeps of each pair, and not more; 0: unknown."""
        return 0

    @property
    def encodes_once(self) -> bool:
        """Whether each shoe is seen once, before training, because what encodes it is not trained."""
        return False

    @property
    def num_copies(self) -> int:
        """How many changed copies of each shoe are then seen as well: the key `copies`."""
        return getattr(self, "copies", 0)

    @property
    def num_draws(self) -> int:
        """How often pairs are then drawn before training, which is all that its heads learn from: the key `draws`."""
        return getattr(self, "draws", 0)

    @property
    def weight_of_copies(self) -> float:
        """What pairs of copies then count that are mistaken most often: the key `copy_weight`."""
        return getattr(self, "copy_weight", 1.0)

    @property
    def cutout_side(self) -> int | None:
        """Side of the cut-outs that the network sees, in pixels: the key `cutout`; None: it sees whole photos."""
        return getattr(self, "cutout", None)


CutOutSide = Annotated[int, Ge(16), Le(1024)]
Copies = Annotated[int, Ge(0), Le(100)]
CUTOUT = (
    "Side in pixels of the shoe's cut-out, which is all that the network sees: without its floor, always laid alike. "
    "null: it sees the whole photo."
)


class ConvolutionSettings(ApproachSettings):
    """Of the small networks, single and dual."""

    cutout: CutOutSide | None = key(CUTOUT, before=None)
    copies: Copies = key(
        "With cutout: so many augmented copies of each photo are cut out besides, before training, and held in memory. "
        "0: cut-outs are augmented in training.",
        before=0,
    )
    fusion: Literal["stack", "compare", "local"] = key(
        "How the shoes are compared. stack: stacked, as the original; else each is encoded by the same stages. "
        "compare: means of their last feature maps; local: also each place with the places of the other like it."
    )
    earlier_stage: bool = key(
        "With cutout and fusion=local: true: the places of the stage before the last, four times as many, are compared "
        "as well.",
        before=False,
    )
    kernel_size: Odd = key("Side of the convolutions' kernels.")
    width: Annotated[int, Ge(1), Le(1024)] = key("Channels of the first stage; every stage doubles them.")
    stages: Annotated[int, Ge(1), Le(8)] = key("Stages of convolution, norm, ReLU and 2 x 2 pooling.")
    norm: Literal["batch", "none"] = key("Normalisation after the convolutions and the first linear layer.")
    pooling: Literal["max", "average"] = key("Pooling at the end of each stage.")
    hidden_units: Units = key("Width of the head's hidden layer.")
    dropout: Proportion = key("Before each of the head's two linear layers.")

    def check(self) -> None:
        if self.copies and self.cutout is None:
            raise UserError(
                f"approach.copies={self.copies}: expected 0, since with approach.cutout=null each shoe is changed anew "
                "whenever it is seen."
            )
        if self.earlier_stage and (self.cutout is None or self.fusion != "local" or self.stages < 2):
            raise UserError(
                "approach.earlier_stage=true: expected an approach.cutout, approach.fusion=local and an "
                "approach.stages from 2 on; or approach.earlier_stage=false."
            )

    @property
    def halvings(self) -> int:
        return self.stages

    def num_weights(self, image_size: int) -> int:
        channels: list[int] = [4, *(self.width * 2**stage for stage in range(self.stages))]
        side: int = (self.cutout or image_size) // 2**self.stages
        last = channels[-1]
        features = {"stack": 2 * last * side**2, "compare": 2 * last, "local": 4 * last}[self.fusion]
        projection = last**2 if self.fusion == "local" else 0
        stages = sum(before * after for before, after in pairwise(channels)) * self.kernel_size**2
        return stages + projection + features * self.hidden_units

    def numbers_per_pair(self, image_size: int) -> int:
        side = self.cutout or image_size
        places = (side // 2**self.stages) ** 2
        # The image, each stage's convolution, of which the next one has half as many, and their gradients.
        alike = 0 if self.fusion != "local" else 6 * places**2 * (17 if self.earlier_stage else 1)
        return 2 * side**2 * (3 + 4 * self.width) + alike


class SingleSettings(ConvolutionSettings):
    """Approach 1: one image, the left shoe above the right one."""

    name: Literal["single"] = key("One image, the left shoe above the right one.")


class DualSettings(ConvolutionSettings):
    """Approach 2: two images."""

    name: Literal["dual"] = key("Two images.")


TAUGHT_ENCODER = "timm/tf_efficientnet_lite0"  # whose norms travel with the package
OF_CUT_OUTS: dict[str, Any] = {
    "quantiles": [],
    "scales": 1,
    "extents": False,
    "plda": 0,
    "draws": 0,
    "penalty": 0.0,
    "local_penalty": 0.0,
    "local_weight": 1.0,
    "earlier_layer": None,
    "earlier_weight": 1.0,
    "colours": False,
    "taught": False,
    "copy_weight": 1.0,
}


class PretrainedSettings(ApproachSettings):
    """The dual approach with an encoder that was trained on other images."""

    name: Literal["pretrained"] = key("The dual approach with an encoder that was trained on other images.")
    cutout: CutOutSide | None = key(CUTOUT, before=None)
    copies: Copies = key(
        "With frozen=true: so many augmented copies of each shoe are seen besides, before training. The part "
        "data.augment.degrade of them is blurred, noisy and compressed, and changed in no other way.",
        before=0,
    )
    encoder: Annotated[
        str, Field(pattern=r"^(torchvision|timm)/[\w.-]{1,200}$"), Allowed("torchvision/NAME or timm/NAME")
    ] = key("A model of torchvision, or timm/NAME of timm (pip install 'shoepair[timm]'); most want image_size=224.")
    weights: Place | None = key("default: the library's own, downloaded once; FILE: of that model; null: random ones.")
    taught: bool = key(
        f"With cutout and encoder={TAUGHT_ENCODER}, of its usual weights: true: its norms from blocks.5 on are changed "
        "as drawn shoes have taught them, so that its vectors of a blurred, partly hidden or mirrored shoe are more "
        "like that of the shoe.",
        before=False,
    )
    frozen: bool = key("true: shoes are encoded once and only the head is trained; false: the encoder is trained, too.")
    unfreeze_from: Text | None = key(
        "With frozen=false: the first part of the encoder that is trained, such as features.5 of the default encoder, "
        "or blocks.5 of many of timm's; null: all of it.",
        before=None,
    )
    local_layer: Text | None = key(
        "A part of the encoder, such as features.4 or blocks.4, whose feature maps a second head compares place by "
        "place; the mean of the heads' logits counts, each divided by its standard deviation. null: none.",
        before=None,
    )
    earlier_layer: Text | None = key(
        "With cutout: a part of the encoder before local_layer, such as blocks.2, whose maps, averaged to as many "
        "places, a third head compares. null: none.",
        before=None,
    )
    earlier_weight: Weight = key(
        "With earlier_layer: what the head on its places counts where the one on whole shoes counts 1.", before=1.0
    )
    colours: bool = key(
        "With cutout: true: one more head compares how the colours of places that look alike vary together; it counts "
        "0.5 where the one on whole shoes counts 1.",
        before=False,
    )
    quantiles: Quantiles = key(
        "With cutout: further quantiles, such as 0.5, of how like each place is to the one most like it, for heads "
        "on places.",
        before=[],
    )
    scales: Annotated[int, Ge(1), Le(3)] = key(
        "With cutout: at so many scales the head on places compares them; at 2, of each two by two the mean as well.",
        before=1,
    )
    extents: bool = key(
        "With cutout: true: heads on places are told how much of its cut-out each shoe covers.", before=False
    )
    plda: Annotated[int, Ge(0), Le(10_000)] = key(
        "With cutout, draws: vectors of whole shoes are compared by probabilistic linear discriminant analysis in so "
        "many dimensions, or as many as they have, which learns before training how far vectors of one pair, and of "
        "two, lie apart; a third head is given its scores too. 0: by their absolute differences and cosines.",
        before=0,
    )
    draws: Annotated[int, Ge(0), Le(1000)] = key(
        "With cutout: so many times an epoch's pairs are drawn, before training; every epoch is one batch of them all, "
        "as optimizer=lbfgs wants it. 0: they are drawn anew in each epoch.",
        before=0,
    )
    copy_weight: Weight = key(
        "With draws and copies: in the training loss a different pair counts so many times as much if one shoe is a "
        "blurred copy, and the square of it if both are; a same pair, so many times, if either is a copy that is "
        "changed otherwise. These are mistaken most often.",
        before=1.0,
    )
    penalty: NotNegative = key(
        "With cutout: in the training loss, on the squared weights of the head on whole shoes.", before=0.0
    )
    local_penalty: NotNegative = key(
        "With cutout: in the training loss, on the squared weights of the head on local_layer's places.", before=0.0
    )
    local_weight: Weight = key(
        "With cutout: what the head on places counts where the one on whole shoes counts 1.", before=1.0
    )
    encoder_lr_scale: Weight = key("With frozen=false: the encoder's learning rate = encoder_lr_scale x optimizer.lr.")
    hidden_units: Units | None = key("Width of each head's hidden layer; null, with cutout: the heads have none.")
    dropout: Proportion = key("Before each of the head's two linear layers; with cutout, before the first head's one.")
    ensemble_with: Place | None = key(
        "A trained dual network (a run's folder, or a checkpoint) that is trained further beside the encoder, as one "
        "more head; with frozen=false and cutout=null. null: none."
    )
    ensemble_lr_scale: Weight = key(
        "With ensemble_with: that network's learning rate = ensemble_lr_scale x optimizer.lr."
    )

    def check(self) -> None:
        if self.copies and not self.frozen:
            raise UserError(
                f"approach.copies={self.copies}: expected 0, since with approach.frozen=false each shoe is changed "
                "anew whenever it is seen."
            )
        if self.cutout is not None and (not self.frozen or self.local_layer is None):
            raise UserError(
                f"approach.cutout={self.cutout}: expected approach.frozen=true and an approach.local_layer, such as "
                "blocks.4, whose places are compared."
            )
        of_training = ("unfreeze_from", "ensemble_with", *(("local_layer",) if self.cutout is None else ()))
        for name in of_training:
            if self.cutout is not None and getattr(self, name) is not None:
                raise UserError(
                    f"approach.{name}={getattr(self, name)}: expected null, since with approach.cutout={self.cutout} "
                    "nothing but the heads is trained."
                )
        for name, usual in OF_CUT_OUTS.items():
            if self.cutout is None and getattr(self, name) != usual:
                raise UserError(
                    f"approach.{name}={in_line(getattr(self, name))}: expected {in_line(usual)}, since "
                    "approach.cutout=null."
                )
        if self.taught and self.encoder.partition(".")[0] != TAUGHT_ENCODER:
            raise UserError(
                f"approach.taught=true: expected false, since what drawn shoes have taught is there for "
                f"approach.encoder={TAUGHT_ENCODER} only, not for {self.encoder}."
            )
        if self.earlier_layer is None and self.earlier_weight != OF_CUT_OUTS["earlier_weight"]:
            raise UserError(
                f"approach.earlier_weight={self.earlier_weight:g}: expected 1, since approach.earlier_layer=null: "
                "there is no head that it could weigh."
            )
        if self.plda and not self.draws:
            raise UserError(
                f"approach.plda={self.plda}: expected 0, since approach.draws=0, and scores are kept of pairs that are "
                "drawn before training; or take approach.draws of 1 or more (experiment=best_pretrained has 20)."
            )
        if self.copy_weight != OF_CUT_OUTS["copy_weight"] and not (self.draws and self.copies):
            missing = "draws" if self.copies else "copies"
            raise UserError(
                f"approach.copy_weight={self.copy_weight:g}: expected 1, since approach.{missing}=0: there are no "
                f"{'pairs drawn before training' if self.copies else 'copies'} that it could weigh."
            )
        if (self.hidden_units is None) != (self.cutout is not None):
            expected = "a number" if self.cutout is None else "null"
            raise UserError(
                f"approach.hidden_units={in_line(self.hidden_units)}: expected {expected}, since with approach.cutout="
                f"{in_line(self.cutout)} the heads have {'a' if self.cutout is None else 'no'} hidden layer."
            )
        for name in of_training:
            if self.frozen and getattr(self, name) is not None:
                raise UserError(
                    f"approach.frozen=true: expected false, since with approach.{name}={getattr(self, name)} more than "
                    f"the head is trained; or approach.{name}=null."
                )

    def check_files(self) -> None:
        if self.weights is not None and self.weights != "default" and not Path(self.weights).is_file():
            raise UserError(
                f"approach.weights={self.weights}: no such file; expected default, null or a file of weights."
            )

    def without_weights(self) -> "PretrainedSettings":
        return self.model_copy(update={"weights": None})

    @property
    def encodes_once(self) -> bool:
        return self.frozen


class HistogramSettings(ApproachSettings):
    """The baseline: a network below it has learned nothing."""

    name: Literal["histogram"] = key("Colour histograms of the two shoes and a logistic regression.")
    bins: Annotated[int, Ge(2), Le(16)] = key("Bins of the histogram, for each of red, green and blue.")
    dropout: Proportion = key("Dropout of the features.")


class NetworkSettings(Section):
    """All that a bare network is built from; its checkpoint carries it.

    Attributes:
        approach: the settings of its approach.
        image_size: side of the square images that it sees, in pixels.
        member: the network that is trained further beside it (approach.ensemble_with), if there is one.
    """

    approach: InstanceOf[ApproachSettings]
    image_size: Annotated[int, Ge(1), Le(4096)]
    member: InstanceOf["NetworkSettings"] | None = None

    def without_weights(self) -> "NetworkSettings":
        member = None if self.member is None else self.member.without_weights()
        return self.model_copy(update={"approach": self.approach.without_weights(), "member": member})


@dataclass(frozen=True)
class Approach:
    """An approach.

    Attributes:
        settings: the keys of `approach`, its name among them.
        network: a PairNetwork, or where it is: "package.module:Class".
        module: a PairModule, or where it is.
    """

    settings: type[ApproachSettings]
    network: type | str
    module: type | str = DUAL_MODULE

    def build_network(self, settings: NetworkSettings) -> Any:
        """The bare network, with random weights or those that the settings name."""
        return _resolved(self.network)(settings)

    def build_module(self, *arguments: Any) -> Any:
        """The LightningModule that trains it."""
        return _resolved(self.module)(*arguments)


APPROACHES: dict[str, Approach] = {
    "single": Approach(
        SingleSettings, "shoepair.models.single:SingleImageCNN", "shoepair.models.module:SingleImageModule"
    ),
    "dual": Approach(DualSettings, "shoepair.models.dual:DualImageCNN"),
    "pretrained": Approach(PretrainedSettings, "shoepair.models.pretrained:PretrainedNetwork"),
    "histogram": Approach(HistogramSettings, "shoepair.models.histogram:HistogramNetwork"),
}


def register(
    name: str, settings: type[ApproachSettings], network: type | str, module: type | str = DUAL_MODULE
) -> None:
    """Add an approach of one's own; a second one of the same name replaces the first."""
    APPROACHES[name] = Approach(settings, network, module)


def approach_named(name: Any, source: str = "approach") -> Approach:
    """An approach of ours, of a module that was named by `plugins`, or of an installed package (an entry point).

    What a checkpoint names is never imported by itself.

    Raises:
        UserError: if there is none of this name.
    """
    if isinstance(name, str) and name not in APPROACHES:
        for entry_point in entry_points(group=ENTRY_POINTS, name=name):
            entry_point.load()
    if not isinstance(name, str) or name not in APPROACHES:
        raise UserError(
            f"{source}={in_line(name)}: expected one of {', '.join(APPROACHES)}; name the file of an approach of your "
            "own by plugins=[FILE.py], or in other commands by --plugin FILE.py."
        )
    return APPROACHES[name]


def load_plugins(plugins: Iterable[str]) -> None:
    """Import the modules that add approaches: names of modules, or paths of Python files.

    Raises:
        UserError: if one is not there or cannot be imported.
    """
    for plugin in plugins:
        path = Path(plugin)
        try:
            if path.suffix == ".py":
                name = f"shoepair_plugin_{path.stem}"
                if getattr(sys.modules.get(name), "__file__", None) == str(path.absolute()):
                    continue
                spec = importlib.util.spec_from_file_location(name, path.absolute())
                assert spec is not None and spec.loader is not None
                module = importlib.util.module_from_spec(spec)
                sys.modules[name] = module  # before it runs, as import does: its classes are found by this name
                spec.loader.exec_module(module)
            else:
                importlib.import_module(plugin)
        except (Exception, SystemExit) as error:  # whatever somebody's module raises
            sys.modules.pop(f"shoepair_plugin_{path.stem}", None)
            raise UserError(
                f"plugins={plugin}: it cannot be imported ({type(error).__name__}: {one_line(str(error))}); expected a "
                "Python file or the name of a module."
            ) from error


def _resolved(place: type | str) -> Any:
    if not isinstance(place, str):
        return place
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
