"""Two photos in, a verdict out: what a trained network says of shoes that it is shown, in Python and in words."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from shoepair.data.layout import LEFT, RIGHT
from shoepair.data.photos import FINER, open_upright, to_square, upright
from shoepair.data.shoes import normalise
from shoepair.errors import UserError, one_line
from shoepair.files import is_file, what_instead
from shoepair.inference.doubts import REMEDIES, look
from shoepair.inference.network import Explanation, TrainedNetwork, load_trained
from shoepair.metrics.scores import probability_in_percent, probability_of
from shoepair.runs.find import find_checkpoint

# A photo: its path, or its pixels as a PIL image or as a uint8 array or tensor of shape (H, W, C) or (C, H, W), with
# C = 3 (RGB) or 4 (RGB and alpha), or (H, W) in grey.
Photo = str | Path | Image.Image | np.ndarray | Tensor

SURE = 0.65  # below this, for either answer, no network is sure
BATCH = 32  # pairs that are read and judged at a time


@dataclass(frozen=True)
class Verdict:
    """What a network says of two shoes.

    Attributes:
        same: whether they are from the same pair, be it sure or not.
        probability: that they are, from 0 to 1, as the network sees it, calibrated on its validation pairs.
        sentence: the verdict in plain words.
        threshold: the probability above which two shoes were called the same pair.
        sure: whether the verdict is to be relied on; False: the answer is "not sure".
        reasons: what is wrong with the photos, such as "the left photo is too dark".
    """

    same: bool
    probability: float
    sentence: str
    threshold: float = 0.5
    sure: bool = True
    reasons: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """ "same", "different" or "not sure"."""
        if not self.sure:
            return "not sure"
        return "same" if self.same else "different"


@dataclass(frozen=True)
class Square:
    """A photo as a square, (3, image_size, image_size) uint8, and what part of it the photo fills across and down."""

    pixels: np.ndarray
    extent: tuple[float, float]


class ShoeClassifier:
    """A trained network that judges photos, prepared as in training. See load_classifier.

    Args:
        threshold: the calibrated logit above which two shoes are called the same pair.
        margin: the calibrated logit, either way, below which it is not sure.
    """

    def __init__(self, trained: TrainedNetwork, checkpoint: Path, threshold: float = 0.0, margin: float = 0.0) -> None:
        self.trained = trained
        self.checkpoint = checkpoint
        self.threshold = threshold
        self.margin = margin

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
        photos = torch.from_numpy(np.stack([square.pixels for square in both]))
        explanation = self.trained.explain(*self.trained.see(photos)[:, None])
        if explanation is None:
            raise UserError(
                f"{self.checkpoint}: this network compares no places of cut-outs, so that there is nothing to show; "
                "train one with approach=dual approach.cutout=112 or experiment=best_pretrained."
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

    def _read_pair(self, pair: tuple[Photo, Photo]) -> list[Square] | UserError:
        """Left and right."""
        squares = []
        try:
            for photo in pair:
                opened = open_photo(photo, FINER * self.trained.image_size)
                squares.append(squared(opened, self.trained.image_size))
        except UserError as error:
            return error
        return squares

    def _judge(self, pairs: Sequence[list[Square]]) -> list[Verdict]:
        if not pairs:
            return []
        squares = [square for both in zip(*pairs, strict=True) for square in both]  # left ones, then right ones
        seen, doubts = looked_at(squares, self.trained)
        left, right = seen.chunk(2)
        logits = self.trained.score(left, right).tolist()
        return [
            doubted(verdict_of(logit, self.threshold, self.margin), *both)
            for logit, *both in zip(logits, doubts[: len(pairs)], doubts[len(pairs) :], strict=True)
        ]


def load_classifier(
    checkpoint: str | Path = "latest", output_dir: str | Path = "outputs", *, max_fmr: float | None = None
) -> ShoeClassifier:
    """The network in a checkpoint, ready to judge photos. Loading a file never runs code from it.

    Args:
        checkpoint: a file; the folder of a run (the epoch that it kept) or of several runs (the best one by validation
            accuracy); "ready" or "best", which come with shoepair; or "latest", the run in `output_dir` that ended
            last, and "ready" where nothing was trained.
        max_fmr: of pairs that are different, the part that may be called the same, such as 0.05; None: the
            probability decides, at 0.5. The threshold is the lowest one that the checkpoint's validation pairs allow
            with 95 % confidence; those are two shoes of one person, photographed in one place. See
            Calibration.threshold.
    Raises:
        UserError: if there is none, or if its validation pairs cannot support that rate.
    """
    path = find_checkpoint(str(checkpoint), str(output_dir), or_ready=True)
    trained = load_trained(path)
    if max_fmr is not None:  # that rate says what is sure enough
        return ShoeClassifier(trained, path, trained.threshold(max_fmr))
    return ShoeClassifier(trained, path, margin=trained.margin)


def verdict_of(logit: float, threshold: float = 0.0, margin: float = 0.0) -> Verdict:
    """What a calibrated logit means where two shoes are the same pair above a threshold, a calibrated logit as well.

    Args:
        margin: of logits nearer to 0 it is not sure, nor of probabilities below SURE.
    """
    same_pair, limit = probability_of(logit), probability_of(threshold)
    likely, same = logit > 0, logit > threshold
    probable = same_pair if likely else 1 - same_pair
    sure_of, asked = probability_in_percent(probable), probability_in_percent(same_pair)
    sure = False
    if likely and not same:
        sentence = f"Not sure enough, {asked} for the same pair."
    elif same and limit != 0.5 and same_pair < SURE:  # so many false matches are allowed
        sure, sentence = True, f"Taken for the same pair, with only {asked} for it."
    elif probable < SURE or abs(logit) < margin:
        sentence = f"Not sure, {asked} for the same pair: look again with more light."
    else:
        sure, sentence = True, f"{'Same pair' if likely else 'Different pairs'}, {sure_of} sure."
    return Verdict(same, same_pair, sentence, limit, sure)


def doubted(verdict: Verdict, left: str | None, right: str | None) -> Verdict:
    """A verdict on photos of which something may be wrong: keys of REMEDIES, None if nothing is."""
    wrong = [(f"the {side} photo", doubt) for side, doubt in ((LEFT, left), (RIGHT, right)) if doubt is not None]
    if not wrong:
        return verdict
    reasons = tuple(f"{photo} {doubt}" for photo, doubt in wrong)
    sentence = f"Not sure: {' and '.join(reasons)}; {REMEDIES[wrong[0][1]]}."
    return replace(verdict, sure=False, sentence=sentence, reasons=reasons)


def squared(photo: Image.Image, image_size: int) -> Square:
    longest = max(photo.size)
    return Square(to_square(photo, image_size), (photo.width / longest, photo.height / longest))


def looked_at(squares: Sequence[Square], trained: TrainedNetwork) -> tuple[Tensor, list[str | None]]:
    """What a network sees of photos, as TrainedNetwork.see gives it, and what is wrong with each: see Looks.doubts."""
    photos = torch.from_numpy(np.stack([square.pixels for square in squares]))
    found = trained.find_shoes(photos)
    doubts = look(normalise(photos), found, [square.extent for square in squares]).doubts()
    return trained.see(photos, found), doubts


def open_photo(photo: Photo, longest: int | None = None) -> Image.Image:
    """A photo as an upright RGB image.

    Args:
        longest: so many pixels of its longest side are enough; see open_upright.
    Raises:
        UserError: if it cannot be read, or is of another type or shape than Photo says.
    """
    if isinstance(photo, str | Path):
        path = Path(photo)
        if not is_file(path):
            raise UserError(f"{path}: {what_instead(path)}.")
        try:
            return open_upright(path, longest)
        except UserError as error:
            raise UserError(f"{path}: {error}.") from error
        except Exception as error:  # pillow raises many kinds for broken files; each means the same here
            raise UserError(
                f"{path}: this cannot be read as an image ({type(error).__name__}); expected a photo such as a JPEG "
                "or PNG file."
            ) from error
    try:
        image = photo if isinstance(photo, Image.Image) else _image_of_pixels(photo)
        if 0 in image.size:
            raise UserError(f"a photo is an image of {image.width} x {image.height} pixels: expected at least one.")
        return upright(image)
    except UserError:
        raise
    except Exception as error:  # of an image that is read only now, or of a tensor of a rare kind
        raise UserError(f"a photo cannot be used ({type(error).__name__}: {one_line(str(error))}).") from error


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
