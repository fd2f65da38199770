"""The runs of a cross-validation."""

from pathlib import Path

from shoepair.files import read_json


def runs_of(folder: Path) -> list[Path]:
    """The folders of the runs of a `sweep=folds`, in the order of their folds.

    Raises:
        SystemExit: unless each fold is there once, and was kept from the training of its run.
    """
    runs: dict[int, Path] = {}
    of_each: set[int] = set()
    for file in sorted(folder.glob("*/config.json")):
        data = (read_json(file) or {}).get("data", {})
        if data.get("fold") is None or data.get("validate_on_train"):
            raise SystemExit(f"{file.parent}: this is no run of a sweep=folds, whose people it was not shown.")
        if data["fold"] in runs:
            raise SystemExit(f"{folder}: {runs[data['fold']]} and {file.parent} are of one fold.")
        runs[data["fold"]] = file.parent
        of_each |= {data["folds"]} - {None}  # an evaluation does not say of how many
    if not runs or sorted(runs) != list(range(max(of_each, default=len(runs)))):
        raise SystemExit(f"{folder}: expected the runs of a sweep=folds, each fold once; there are {sorted(runs)}.")
    return [runs[fold] for fold in sorted(runs)]
