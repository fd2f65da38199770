"""Two photos in, a verdict out: what a trained network says of shoes that it is shown, in Python and in words."""

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shoepair.data.photos import open_upright, to_square, upright
from shoepair.data.shoes import normalise
from shoepair.errors import UserError
from shoepair.inference.network import Explanation, TrainedNetwork, load_trained
from shoepair.metrics.scores import probability_of
from shoepair.runs.find import find_checkpoint

# A photo: its path, or its pixels as a PIL image or as a uint8 array or tensor of shape (H, W, C) or (C, H, W), with
# C = 3 (RGB) or 4 (RGB and alpha), or (H, W) in grey.
Photo = str | Path | Image.Image | np.ndarray | Tensor

SURE = 0.65  # below this, for either answer, the sentence says that the network is not sure
BATCH = 32  # pairs that are read and judged at a time


@dataclass(frozen=True)
class Verdict:
    """What a network says of two shoes.

    Attributes:
        same: whether they are from the same pair.
        probability: that they are, from 0 to 1, as the network sees it, calibrated on its validation pairs.
        sentence: the verdict in plain words.
        threshold: the probability above which two shoes were called the same pair.
    """

    same: bool
    probability: float
    sentence: str
    threshold: float = 0.5


class ShoeClassifier:
    """A trained network that judges photos, prepared as in training. See load_classifier.

    Args:
        threshold: the calibrated logit above which two shoes are called the same pair.
    """

    def __init__(self, trained: TrainedNetwork, checkpoint: Path, threshold: float = 0.0) -> None:
        self.trained = trained
        self.checkpoint = checkpoint
        self.threshold = threshold

    def compare(self, left: Photo, right: Photo) -> Verdict:
        """Whether two photos of single shoes, a left and a right one, show the same pair.

        Args:
            left, right: a path, a PIL image, or a uint8 array or tensor, (H, W, C) or (C, H, W); any size.
        Raises:
            UserError: if one of them cannot be used.
        """
        return next(self.compare_all([(left, right)]))

    def explain(self, left: Photo, right: Photo) -> Explanation:
        """What the network sees of two photos, and which places it finds alike.

        Raises:
            UserError: if one of them cannot be used, or the network compares no places of cut-outs.
        """
        both = self._read_pair((left, right))
        if isinstance(both, UserError):
            raise both
        explanation = self.trained.explain(*normalise(torch.from_numpy(both))[:, None])
        if explanation is None:
            raise UserError(
                f"{self.checkpoint}: this network compares no places of cut-outs, so that there is nothing to show; "
                "train one with approach=dual approach.cutout=112 or experiment=cutout_pretrained."
            )
        return explanation

    def compare_all(self, pairs: Iterable[tuple[Photo, Photo]]) -> Iterator[Verdict]:
        """The verdicts on many pairs, in their order, as they are ready. Raises UserError as `compare` does."""
        for verdict in self.try_all(pairs):
            if isinstance(verdict, UserError):
                raise verdict
            yield verdict

    def try_all(self, pairs: Iterable[tuple[Photo, Photo]]) -> Iterator[Verdict | UserError]:
        """As compare_all, but a pair that cannot be used gives its UserError and the others go on."""
        with ThreadPoolExecutor() as pool:  # pillow decodes without the interpreter lock
            remaining = iter(pairs)
            while batch := list(islice(remaining, BATCH)):
                squares = list(pool.map(self._read_pair, batch))
                usable = [both for both in squares if not isinstance(both, UserError)]
                verdicts = iter(self._judge(usable))
                for both in squares:
                    yield both if isinstance(both, UserError) else next(verdicts)

    def _read_pair(self, pair: tuple[Photo, Photo]) -> np.ndarray | UserError:
        """(2, 3, image_size, image_size) uint8: left and right."""
        try:
            return np.stack([to_square(open_photo(photo), self.trained.image_size) for photo in pair])
        except UserError as error:
            return error

    def _judge(self, pairs: Sequence[np.ndarray]) -> list[Verdict]:
        if not pairs:
            return []
        left, right = normalise(torch.from_numpy(np.stack(pairs))).unbind(1)  # (B, 3, H, W) each
        return [verdict_of(logit, self.threshold) for logit in self.trained.score(left, right).tolist()]


def load_classifier(
    checkpoint: str | Path = "latest", output_dir: str | Path = "outputs", *, max_fmr: float | None = None
) -> ShoeClassifier:
    """The network in a checkpoint, ready to judge photos. Loading a file never runs code from it.

    Args:
        checkpoint: a file; the folder of a run (the epoch that it kept) or of several runs (the best one by validation
            accuracy); or "latest", the run in `output_dir` that ended last.
        max_fmr: of pairs that are different, the part that may be called the same, such as 0.05; None: the
            probability decides, at 0.5. The threshold is the lowest one that the checkpoint's validation pairs allow
            with 95 % confidence; those are two shoes of one person, photographed in one place. See
            Calibration.threshold.
    Raises:
        UserError: if there is none, or if its validation pairs cannot support that rate.
    """
    path = find_checkpoint(str(checkpoint), str(output_dir))
    trained = load_trained(path)
    return ShoeClassifier(trained, path, 0.0 if max_fmr is None else trained.threshold(max_fmr))


def verdict_of(logit: float, threshold: float = 0.0) -> Verdict:
    """What a calibrated logit means where two shoes are the same pair above a threshold, a calibrated logit as well."""
    same_pair, limit = probability_of(logit), probability_of(threshold)
    same = logit > threshold
    return Verdict(same, same_pair, _sentence(same_pair, likely=logit > 0, same=same, limit=limit), limit)


def _sentence(same_pair: float, *, likely: bool, same: bool, limit: float) -> str:
    sure = same_pair if likely else 1 - same_pair
    percent, asked = (min(max(math.floor(100 * value), 1), 99) for value in (sure, same_pair))  # it is never certain
    if likely and not same:
        return f"Not sure enough, {asked} % for the same pair."
    if same and limit != 0.5 and same_pair < SURE:  # so many false matches are allowed
        return f"Taken for the same pair, with only {asked} % for it."
    if sure < SURE:
        return f"Not sure, {asked} % for the same pair: look again with more light."
    return f"{'Same pair' if likely else 'Different pairs'}, {percent} % sure."


def open_photo(photo: Photo) -> Image.Image:
    """A photo as an upright RGB image.

    Raises:
        UserError: if it cannot be read, or is of another type or shape than Photo says.
    """
    if isinstance(photo, str | Path):
        path = Path(photo)
        if not path.is_file():
            raise UserError(f"{path}: {'this is a folder, expected a photo' if path.is_dir() else 'no such file'}.")
        try:
            return open_upright(path)
        except Exception as error:  # pillow raises many kinds for broken files; each means the same here
            raise UserError(
                f"{path}: this cannot be read as an image ({type(error).__name__}); expected a photo such as a JPEG "
                "or PNG file."
            ) from error
    if isinstance(photo, Image.Image):
        return upright(photo)
    return upright(_image_of_pixels(photo))


def _image_of_pixels(pixels: np.ndarray | Tensor) -> Image.Image:
    if isinstance(pixels, Tensor):
        pixels = pixels.detach().cpu().numpy()
    if not isinstance(pixels, np.ndarray):
        raise UserError(f"a photo is a {type(pixels).__name__}: expected a path, a PIL image, an array or a tensor.")
    if pixels.dtype != np.uint8:
        raise UserError(f"a photo is an array of {pixels.dtype}: expected uint8, from 0 to 255.")
    if pixels.ndim == 3 and pixels.shape[-1] not in (3, 4) and pixels.shape[0] in (3, 4):
        pixels = pixels.transpose(1, 2, 0)  # (C, H, W) -> (H, W, C)
    if 0 in pixels.shape or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in (3, 4))):
        raise UserError(
            f"a photo is an array of shape {pixels.shape}: expected (H, W, C) or (C, H, W) with 3 or 4 channels, "
            "or (H, W) in grey."
        )
    return Image.fromarray(np.ascontiguousarray(pixels))


def split_stacked(path: str | Path) -> tuple[Image.Image, Image.Image]:
    """The upper (left shoe) and the lower half (right shoe) of one photo. Raises UserError as open_photo does."""
    both = open_photo(path)
    middle = both.height // 2
    if middle == 0:
        raise UserError(f"{path}: it is {both.height} pixel high; expected one shoe above the other.")
    return both.crop((0, 0, both.width, middle)), both.crop((0, middle, both.width, both.height))
