"""A trained network without what trained it: scores pairs, or single shoes' embeddings.

Knows nothing of Lightning, whose import alone takes longer than judging two photos.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from shoepair.config.approaches import NetworkSettings
from shoepair.data.photos import READER_VERSION
from shoepair.data.shoes import normalise, to_bytes
from shoepair.errors import UserError
from shoepair.files import digest
from shoepair.metrics.calibration import Calibration
from shoepair.models.cutout import CUT_OUT_VERSION, CutOut, largest_piece, turned
from shoepair.models.local import similar_places
from shoepair.models.networks import PairNetwork, build_network
from shoepair.models.siamese import SiameseNetwork
from shoepair.runs.checkpoint import being_a_checkpoint, read_checkpoint, tta_hflip_of

COLOUR_PLACES = 6  # along each side
BATCH, BATCH_OF_LARGE = 8, 4  # images; of large networks, more of them take memory and time
LARGE = 1_000_000  # weights


@dataclass(frozen=True)
class Explanation:
    """Why a network says what it says of a pair.

    Attributes:
        cut_outs: (2, 4, H, W) uint8, left and right, RGB and where the shoe is, laid as they were found most alike.
        alike: (2, side, side), of each place how like it the most like one of the other shoe is, beside what places of
            two shoes have on average, 0.5; 0 and 1: two standard deviations (models.local.Usual) less, more, and
            beyond; nan: no shoe.
        links: (num_links, 3), places that are most like each other, numbered by rows: of the left shoe, of the right
            one, and how alike they are; the most alike first.
    """

    cut_outs: np.ndarray
    alike: np.ndarray
    links: np.ndarray


@dataclass(frozen=True)
class TrainedNetwork:
    """A network in evaluation mode, on the CPU, and the configuration of the run that trained it.

    Attributes:
        settings: what the network was built from.
        config: the run's whole configuration, plain values.
        calibration: by what its logits are made probabilities; None: they are taken as they are.
    """

    network: PairNetwork
    settings: NetworkSettings
    config: Mapping[str, Any]
    calibration: Calibration | None = None

    @property
    def approach(self) -> str:
        return self.settings.approach.name

    @property
    def image_size(self) -> int:
        return self.settings.image_size

    @property
    def learned_from_drawn(self) -> bool:
        """Whether no photo taught it, so that photos are strange to it."""
        return bool(self.config.get("data", {}).get("name") == "synthetic")

    @property
    def temperature(self) -> float:
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def tta_hflip(self) -> bool:
        """Test-time augmentation: whether a pair is judged by two views, since mirrored pairs were trained on too."""
        return tta_hflip_of(self.config)

    @cached_property
    def fingerprint(self) -> str:
        """Another one for every network that says anything else of a photo or a pair."""
        weights = sorted(self.network.state_dict().items())
        values = [part for name, value in weights for part in (name, value.contiguous().numpy().tobytes())]
        versions = [READER_VERSION, CUT_OUT_VERSION] if self.sees_cut_outs else [READER_VERSION]
        return digest([*versions, repr(self.settings), repr((self.temperature, self.tta_hflip)), *values])

    @cached_property
    def batch_size(self) -> int:
        """Images, or pairs of them, that one core takes at a time."""
        num_weights = sum(weights.numel() for weights in self.network.parameters())
        return BATCH if num_weights < LARGE else BATCH_OF_LARGE

    @property
    def siamese(self) -> SiameseNetwork | None:
        """What encodes each shoe by itself and compares embeddings; None if the network sees pairs only."""
        return self.network.siamese

    @property
    def sees_cut_outs(self) -> bool:
        return self.network.cut_out is not None

    @torch.inference_mode()
    def find_shoes(self, photos: Tensor) -> Tensor:
        """How likely a shoe covers each place of photos: uint8 (B, 3, H, W) -> (B, 1, MASK_PX, MASK_PX)."""
        return self.segmenting.likely(normalise(photos))

    @cached_property
    def segmenting(self) -> CutOut:
        """What finds shoes in photos, the network's own where it sees cut-outs."""
        return self.network.cut_out or CutOut(self.image_size).eval()

    @torch.inference_mode()
    def see(self, photos: Tensor, found: Tensor | None = None) -> Tensor:
        """See seen_by. `found`: what find_shoes gives, if it is known."""
        return seen_by(self.network, photos, found)

    @torch.inference_mode()
    def score(self, left: Tensor, right: Tensor) -> Tensor:
        """(B,) calibrated logits of pairs of what `see` gives, positive means "same pair"."""
        return _finite(self.network.score(normalise(left), normalise(right), hflip=self.tta_hflip) / self.temperature)

    @torch.inference_mode()
    def encode(self, seen: Tensor) -> Tensor:
        """What `see` gives, (B, ...) -> (B, num_views, C). Only of a siamese network."""
        return self.network.encode_views(normalise(seen), hflip=self.tta_hflip)

    @torch.inference_mode()
    def compare(self, one: Tensor, other: Tensor) -> Tensor:
        """(B,) calibrated logits of pairs of what encode gives. Only of a siamese network."""
        return _finite(self.network.compare_views(one, other) / self.temperature)

    @torch.inference_mode()
    def descriptor(self, encoded: Tensor) -> Tensor:
        """What shoes are retrieved by, (B, c), the mean over the views: those of quite unlike shoes lie far apart.

        Args:
            encoded: what encode gives or, of a network that is not siamese, what `see` gives.
        """
        if self.siamese is None:  # where which colours are, whichever side the shoe is of
            small = adaptive_avg_pool2d(normalise(encoded), COLOUR_PLACES)
            return ((small + small.flip(-1)) / 2).flatten(1)
        views = [self.siamese.global_descriptor(encoded[:, view]) for view in range(encoded.shape[1])]
        return torch.stack(views).mean(0)

    @torch.inference_mode()
    def explain(self, left: Tensor, right: Tensor) -> Explanation | None:
        """What `see` gives of one pair, each (1, 4, h, w), and which places are alike; None if it compares none."""
        network = self.network
        if network.cut_out is None or network.siamese is None:
            return None
        cut_outs = torch.cat([left, right])
        embeddings = self.encode(cut_outs)
        view = int(network.compare_ways(embeddings[:1], embeddings[1:]).argmax())  # that which counts
        left_shown, right_shown = (
            network.siamese.shown_places(shoe) for shoe in (embeddings[:1, 0], embeddings[1:, view])
        )
        if left_shown is None or right_shown is None:
            return None
        seen = torch.cat([cut_outs[:1], turned(cut_outs[1:]) if view else cut_outs[1:]])
        alike, links = similar_places(left_shown[0], right_shown[0])
        usual = left_shown[1]
        alike = (0.5 + (alike - usual.mean) / (4 * usual.std)).clamp(0, 1)
        return Explanation(seen.numpy(), alike.numpy(), links.numpy())

    @property
    def margin(self) -> float:
        """The calibrated logit, either way, from which it is sure; see Calibration.margin. 0 without calibration."""
        return 0.0 if self.calibration is None else self.calibration.margin()

    def threshold(self, max_fmr: float) -> float:
        """The calibrated logit from which two shoes are the same pair, for a highest false match rate.

        See Calibration.threshold.

        Raises:
            UserError: if the checkpoint carries no calibration, or its validation pairs cannot support the rate.
        """
        if self.calibration is None:
            raise UserError(
                f"a false match rate of {max_fmr:g}: this checkpoint carries no calibration, as `shoepair train` "
                "writes it at the end of a run, but not in the sanity mode or with data.validate_on_train=true; train "
                "again."
            )
        return self.calibration.threshold(max_fmr)


def _finite(logits: Tensor) -> Tensor:
    """Raises UserError if one of them is no finite number: then no answer of the network means anything."""
    if not torch.isfinite(logits).all():
        raise UserError("the network's scores are no finite numbers: take another checkpoint, or train again.")
    return logits


def seen_by(network: PairNetwork, photos: Tensor, found: Tensor | None = None) -> Tensor:
    """What a network sees of photos, uint8 (B, 3, H, W): these, or cut-outs, uint8 (B, 4, h, w).

    Args:
        found: how likely a shoe covers each place, if it is known.
    """
    cut_out = network.cut_out
    if cut_out is None:
        return photos
    images = normalise(photos)
    return to_bytes(cut_out.lay(images, largest_piece(cut_out.likely(images) if found is None else found)))


def load_trained(path: str | Path) -> TrainedNetwork:
    """The network in a checkpoint. Raises UserError if the file is not there or is no checkpoint of shoepair."""
    checkpoint = read_checkpoint(path)
    with being_a_checkpoint(path):
        network = build_network(checkpoint.network)
        network.load_state_dict(checkpoint.network_weights)
    network.eval().quicken()
    return TrainedNetwork(network, checkpoint.network, checkpoint.config, checkpoint.calibration)
