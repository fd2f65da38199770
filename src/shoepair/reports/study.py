"""A search as a person sees it: what its study holds, and Optuna's own pictures of it. Needs the extra `search`."""

import warnings
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState


def load_study(storage: str, name: str) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=storage)


def study_lines(study: optuna.Study, storage: str, mine: Collection[int]) -> list[str]:
    """What the study holds, of this command and of all others, and how to look at it.

    Args:
        storage: as it may be shown.
        mine: the numbers of this command's trials.
    """
    trials = study.get_trials(deepcopy=False)
    counts = Counter(trial.state.name.lower() for trial in trials)
    lines = [
        f"Study         {study.study_name}: {len(trials)} trials "
        f"({', '.join(f'{number} {state}' for state, number in sorted(counts.items()))})"
    ]
    best = best_trial(trials)
    if best is not None:
        place = best.user_attrs.get("folder", "its folder is not known")
        others = f"of another command, on {best.user_attrs.get('host', 'this machine')}"
        whose = "also of this command" if best.number in mine else others
        lines.append(f"Its best      {100 * (best.value or 0):.1f} %, trial {best.number}, {place} ({whose})")
    return [*lines, f"Look at it    optuna-dashboard '{storage}'"]


def best_trial(trials: list[FrozenTrial]) -> FrozenTrial | None:
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: trial.value or 0, default=None)


def draw_study(study: optuna.Study, folder: Path) -> list[Path]:
    """Write Optuna's pictures of a study into a folder: its history, what mattered, and the trials across their values.

    Returns:
        The files; fewer while there are too few trials for some.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as drawn

    pictures: dict[str, Callable[..., Any]] = {
        "history": drawn.plot_optimization_history,
        "importances": drawn.plot_param_importances,
        "parallel": drawn.plot_parallel_coordinate,
    }
    written = []
    for name, draw in pictures.items():
        path = folder / f"search_{name}.png"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of few trials, and of Optuna's experimental functions
                axes = draw(study, target_name="validation accuracy")
            figure = axes.figure if hasattr(axes, "figure") else axes[0].figure
            figure.set_size_inches(12 if name == "parallel" else 8, 5)
            figure.savefig(path, dpi=100, bbox_inches="tight")
        except (ValueError, RuntimeError):  # too few trials, or all alike; or a text of theirs is no formula after $
            continue
        finally:
            pyplot.close("all")
        written.append(path)
    return written
