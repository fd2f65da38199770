"""What results.json holds, of a training run and of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Results:
    """What is known of a run when it is whole.

    Attributes:
        splits: the metrics of every split, and as "test" the mean of the test sets where there are any.
        temperature: of the network's calibration; None if it has none.
        num_parameters: those that are trained, and what PLDA has learned.
        seconds: of training, or of predicting.
        overrides: what was typed.
        versions, device: what decides its metrics.
        best_epoch: the epoch that is kept, counted from 1; of a training run, as is
        num_epochs: how many there were; and
        precision: as Lightning names it.
        checkpoint: the file that was measured; of an evaluation.
    """

    splits: Mapping[str, Mapping[str, Any]]
    temperature: float | None
    num_parameters: int
    seconds: float
    seed: int
    overrides: Sequence[str]
    versions: Mapping[str, str]
    device: str
    best_epoch: int | None = None
    num_epochs: int | None = None
    precision: str | None = None
    checkpoint: str | None = None

    @property
    def accuracy(self) -> float:
        """Of validation, from 0 to 1."""
        return float(self.splits["val"]["accuracy"])

    def plain(self) -> dict[str, Any]:
        optional = ("best_epoch", "num_epochs", "precision", "checkpoint")
        return {key: value for key, value in asdict(self).items() if value is not None or key not in optional}
