"""What surrounds a multirun: whether it goes on with an earlier attempt, how its jobs ended, its leaderboard.

The sweeping itself is Hydra's. What reads runs is imported late: --help and --cfg load this module, too.
"""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.plugins import Plugins
from hydra.experimental.callback import Callback
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from shoepair.config.typed import as_typed
from shoepair.runs.folder import ENDED_WELL, INTERRUPTED, relative_to_here
from shoepair.terminal import say

if TYPE_CHECKING:
    from shoepair.runs.read import Run


class Sweep(Callback):
    """The multirun of this process.

    Attributes:
        current: None until it has started.
        folder: where its jobs have their folders.
        lost: jobs that have none, since they never began; a launcher notes them down.
    """

    current: "Sweep | None" = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.storage = OmegaConf.select(config, "sweep.storage")  # of a search
        if self.storage is not None:
            from shoepair.launch.preflight import refuse_if_unusable
            from shoepair.launch.search import begin_search

            refuse_if_unusable(lambda: begin_search(config))
        self.folder = relative_to_here(Path(config.hydra.sweep.dir).absolute())
        self.lost: list[str] = []
        self.started = datetime.now().astimezone()
        Path(config.output_dir).mkdir(parents=True, exist_ok=True)  # a search keeps its storage there
        if self.folder.is_dir() and (before := self.runs()):
            from shoepair.reports.leaderboard import count_statuses

            say(f"Going on in {self.folder}: {count_statuses(before)} there.")
        if config.hydra.launcher._target_.startswith("shoepair."):  # Hydra starts only what it knows as a plugin
            Plugins.instance().register(get_class(config.hydra.launcher._target_))
        Sweep.current = self

    def runs(self) -> list["Run"]:
        from shoepair.runs.read import read_runs

        return read_runs([self.folder])[0]

    def end(self) -> bool:
        """Say how the jobs ended, and write the leaderboard. Returns whether each one completed, or was pruned."""
        from shoepair.commands.compare import compare
        from shoepair.reports.leaderboard import count_statuses

        runs = self.runs()
        lost = [f"Never begun: {job}" for job in self.lost]
        if not runs:
            say("\n".join(lost))
            return False
        num_before = sum(self._ended_before(run) for run in runs)
        counts = f"{len(runs) + len(lost)} jobs: {count_statuses(runs)}{f', {len(lost)} never begun' if lost else ''}"
        if num_before:
            counts += f"; {num_before} of them from before, {len(runs) - num_before} run now"
        say()
        for part in compare([self.folder], self.folder):
            say(part)
        say("\n".join([*self._of_search(), "", *lost, counts]))
        if lost or any(run.status.name == INTERRUPTED for run in runs):
            say(self.how_to_go_on())
        return not lost and all(run.status.name in ENDED_WELL for run in runs)

    def how_to_go_on(self) -> str:
        return f"Go on with the same command and {as_typed('hydra.sweep.dir', self.folder)}"

    def _of_search(self) -> list[str]:
        """What the study holds, beside the leaderboard of this folder, which alone is of this command."""
        if self.storage is None:
            return []
        from shoepair.launch.search import recorded_search, shown_storage
        from shoepair.reports.study import draw_study, load_study, study_lines

        name, mine = recorded_search(self.folder)
        study = load_study(self.storage, name)
        lines = study_lines(study, shown_storage(self.storage), mine)
        pictures = ", ".join(path.name for path in draw_study(study, self.folder))
        return [*lines, f"Pictures      {self.folder}/{pictures}"] if pictures else lines

    def _ended_before(self, run: "Run") -> bool:
        return bool(run.status.since) and datetime.fromisoformat(run.status.since) < self.started
