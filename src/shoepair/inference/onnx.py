"""A trained network as an ONNX file that runs without torch, its preparation of images inside."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from shoepair.errors import UserError
from shoepair.files import replacing

if TYPE_CHECKING:
    from shoepair.inference.network import TrainedNetwork

LARGEST_DIFFERENCE = 1e-4  # of a probability, between ONNX and torch, for the same cut-outs
OTHER_BYTES = 1e-4  # this part of the cut-outs' bytes may be another one, by 1: they are rounded
CUT_OUTS = ("left_seen", "right_seen")  # outputs of a file that is compared with torch


def export(checkpoint: Path, out: Path) -> str:
    """Write the network in `checkpoint` to `out`.

    Returns:
        What was written and how well it agrees with torch.
    Raises:
        UserError: if the extra is not installed, or a file cannot be used.
    """
    try:
        import onnx  # noqa: F401 - said now, not after torch has been imported and the network followed
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'shoepair[onnx]'") from error
    from shoepair.inference.network import load_trained

    refuse_others(out)
    trained = load_trained(checkpoint)
    if not trained.network.exportable:
        raise UserError(f"--checkpoint {checkpoint}: expected another approach; {trained.approach} is not exported.")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as partial:
            write_onnx(trained, partial)
            difference = largest_difference(trained, partial)
            if not difference <= LARGEST_DIFFERENCE:
                raise UserError(
                    f"{out} was not written: its probabilities differ from torch's by up to {difference:.2g}, expected "
                    f"at most {LARGEST_DIFFERENCE:g}; take another checkpoint."
                )
            _keep_probability(partial)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; choose another file.") from error
    return f"Written {out}, {out.stat().st_size / 1e6:.1f} MB; differs from torch by {difference:.1g} at most"


def refuse_others(path: Path) -> None:
    """Raises UserError if something that export has not written stands where it is to write."""
    if not os.path.lexists(path):
        return
    if path.is_dir():
        raise UserError(f"--out {path}: this is a folder; expected the name of a file.")
    try:
        is_ours = all(name in path.read_bytes() for name in (b"left", b"right", b"probability", b"pkg.torch"))
    except OSError:
        is_ours = False
    if path.suffix != ".onnx" or not is_ours:
        raise UserError(f"--out {path}: this is there already, and no network of shoepair export; choose another name.")


def _keep_probability(path: Path) -> None:
    """Leave the outputs out that are for the comparison only."""
    import onnx

    model = onnx.load(str(path))
    del model.graph.output[1:]
    onnx.save(model, str(path))


def write_onnx(trained: "TrainedNetwork", path: Path) -> None:
    """Inputs `left` and `right`, uint8 (B, 3, S, S); output `probability`, float32 (B,).

    A network that sees cut-outs also has CUT_OUTS for outputs, uint8 (B, 4, h, w) each, for largest_difference().
    """
    import onnx
    import torch
    from torch import Tensor, nn

    from shoepair import __version__
    from shoepair.data.shoes import normalise
    from shoepair.inference.network import seen_by

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = trained.network

        def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, ...]:
            seen = [seen_by(self.network, photos) for photos in (left, right)]
            logits = self.network.score(*map(normalise, seen), hflip=trained.tta_hflip)
            return torch.sigmoid(logits / trained.temperature), *(seen if trained.sees_cut_outs else [])

    size = trained.image_size
    left, right = torch.zeros(2, 2, 3, size, size, dtype=torch.uint8)  # two tensors: one would become one input
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"# The axis name: batch will not be used")  # it has it already
        torch.onnx.export(
            Whole().eval(),
            (left, right),
            str(path),
            input_names=["left", "right"],
            output_names=["probability", *(CUT_OUTS if trained.sees_cut_outs else [])],
            dynamic_shapes={"left": {0: batch}, "right": {0: batch}},
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    model = onnx.load(str(path))
    facts = {
        "approach": trained.approach,
        "image_size": str(size),
        "threshold": "0.5",
        "temperature": repr(trained.temperature),
        "input": "left, right: uint8 RGB, (B, 3, image_size, image_size); photos upright, padded to a square with "
        "their edge pixels, scaled",
        "output": "probability that left and right are the same pair, of the logit divided by the temperature; same "
        "above the threshold",
        "shoepair": __version__,
    }
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, str(path))


def write_looks(trained: "TrainedNetwork", path: Path) -> None:
    """What is doubtful about photos, as an ONNX file: see doubts.Looks.

    Inputs `photos`, uint8 (1, 3, S, S), and `edge`, bool (1, MASK_PX, MASK_PX); output `doubt`, int64 (1,), the place
    in doubts.REMEDIES of the first thing that is wrong, or how many there are if nothing is.
    """
    import torch
    from torch import Tensor, nn

    from shoepair.data.shoes import normalise
    from shoepair.inference.doubts import REMEDIES, measured
    from shoepair.models.cutout import MASK_PX

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cut_out = trained.segmenting

        def forward(self, photos: Tensor, edge: Tensor) -> Tensor:
            images = normalise(photos)
            wrong = measured(images, self.cut_out.likely(images), edge).wrong().int()
            first = torch.where(wrong.amax(1) > 0, wrong.argmax(1), len(REMEDIES))
            return first.long()

    size = trained.image_size
    photos = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    edge = torch.zeros(1, MASK_PX, MASK_PX, dtype=torch.bool)
    torch.onnx.export(
        Whole().eval(),
        (photos, edge),
        str(path),
        input_names=["photos", "edge"],
        output_names=["doubt"],
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def largest_difference(trained: "TrainedNetwork", path: Path) -> float:
    """Of the probabilities that the file and torch give, for batches of several sizes of drawn shoes; infinite where
    more than OTHER_BYTES of the cut-outs differ.

    Every second pair is one, each shoe lies on a floor of its own, and some are noisy: among them are pairs that a
    network is sure of and such that it is not. Of a file that gives its cut-outs, torch sees these: a single byte
    can decide which places fit each other best, and move an undecided pair by more than any fault in the file.
    """
    import numpy as np
    import onnxruntime
    import torch

    from shoepair.data.synthetic.collection import draw_one, names_of_people, shoes_of

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random, size, largest = np.random.default_rng(0), trained.image_size, 0.0
    steps: list[np.ndarray] = []  # between the cut-outs' bytes
    shoes = [shoe for person in names_of_people("train", 5) for shoe in shoes_of(person, "train", seed=0)]
    drawn = np.stack([draw_one(shoe, size, seed=0, hardness=1.0, own_scenes=1.0) for shoe in shoes])
    sides = np.stack([drawn[::2], drawn[1::2]])  # shoes_of: left, right, left, ...
    sides[1, 1::2] = np.roll(sides[1, 1::2], 1, axis=0)
    sides[:, ::3] ^= random.integers(0, 32, sides[:, ::3].shape, dtype=np.uint8)
    for batch in np.split(sides, (1, 3), axis=1):
        left, right = np.ascontiguousarray(batch)
        found, *cut_outs = session.run(None, {"left": left, "right": right})
        seen = [trained.see(torch.from_numpy(side)) for side in (left, right)]
        if cut_outs:
            steps += [theirs.astype(np.int16) - ours.numpy() for theirs, ours in zip(cut_outs, seen, strict=True)]
            seen = [torch.from_numpy(theirs) for theirs in cut_outs]
        expected = torch.sigmoid(trained.score(*seen))
        if found.shape != expected.shape or not np.isfinite(found).all():
            return float("inf")
        largest = max(largest, float(np.abs(found - expected.numpy()).max()))
    away = np.abs(np.concatenate([step.ravel() for step in steps])) if steps else np.zeros(1)
    return largest if away.max() <= 1 and away.mean() <= OTHER_BYTES else float("inf")
