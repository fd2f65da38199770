"""Searches: studies of what can be compared, spaces that fit, trials that are pruned, and going on after a kill."""

import csv
import functools
import importlib.util
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytest
from conftest import TINY, Command
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl
from kill_sweep import PROGRAM, SEARCH, kill_and_go_on_searching
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial
from settings import train_settings

from shoepair.launch.beside import lost_jobs
from shoepair.launch.search import some_of, study_name
from shoepair.training import pruning

QUICK = ("sweep=search", "approach=histogram", *(setting for setting in TINY if not setting.startswith("approach.")),
         "hydra.sweep.dir=outputs/search")  # fmt: skip
# Of all keys of its space but approach.bins.
ONE_EACH = ("optimizer.lr=1e-3", "optimizer.weight_decay=1e-3", "data.batch_size=16", "approach.dropout=0.1")


class PruneOddTrials(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return trial.number % 2 == 1


@pytest.fixture
def odd_trials_are_hopeless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "build_pruner", lambda search, max_epochs: PruneOddTrials())


def studies() -> dict[str, list[FrozenTrial]]:
    url = "sqlite:///outputs/search.db"
    return {name: optuna.load_study(study_name=name, storage=url).trials for name in optuna.get_all_study_names(url)}


def board(folder: str = "outputs/search") -> list[dict[str, str]]:
    with Path(folder, "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def trial_folder(number: int) -> Path:
    (found,) = Path("outputs/search").glob(f"{number}_*")
    return found


def test_a_studys_name_holds_what_is_fixed_and_what_is_searched() -> None:
    space = {
        "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "data.batch_size": CategoricalDistribution((16, 32)),
    }

    def name(*overrides: str, **searched: Any) -> str:
        return study_name("dual-synthetic", [train_settings(*overrides)], searched or space)

    first = name()
    assert first.startswith("dual-synthetic-")
    assert first == name("sweep=search", "sweep.pruner=median", "output_dir=elsewhere", "test=true")
    others = [name("trainer.max_epochs=3"), name("data.seed=1"), name("approach=single"), name("experiment=best_dual"),
              name(**{"optimizer.lr": space["optimizer.lr"]}),
              name(**(space | {"optimizer.lr": FloatDistribution(1e-4, 1e-1, log=True)}))]  # fmt: skip
    assert len({first, *others}) == 7


def test_each_end_and_each_choice_of_a_space_is_looked_at() -> None:
    space: dict[str, Any] = {"lr": FloatDistribution(0.1, 0.5), "size": CategoricalDistribution((3, 5, 7))}
    assert list(some_of(space)) == [{"lr": 0.1, "size": 3}, {"lr": 0.5, "size": 5}, {"lr": 0.5, "size": 7}]
    assert [point["n"] for point in some_of({"n": IntDistribution(2, 8, step=2)})] == [2, 4, 6, 8]
    assert [point["n"] for point in some_of({"n": IntDistribution(1, 1000)})] == [1, 1000]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["data.folds=choice(5,1)"], "data.folds=1: expected a whole number"),
        (["approach.bins=range(2,40)"], "approach.bins=39: expected a whole number from 2 to 16"),
        (["optimizer.momentums=interval(0,1)"], "optimizer.momentums"),
        (["optimizer.lr=tag(log,interval(0,0.1))"], "interval(0,0.1)): the search cannot choose from this (`low > 0`"),
        (["optimizer.lr=interval(1,0)"], "optimizer.lr=interval(1,0): the search cannot choose from this"),
        (["approach.bins=range(8,4)"], "approach.bins=range(8,4): the search cannot choose from this"),
        (["approach.bins=glob(*)"], "approach.bins=glob(*): the search cannot choose from this"),
        (["data.folds=interval(2,5)"], "data.folds=2.0: expected a whole number"),
        (["seed=1", "seed=choice(1,2)"], "seed: typed as one value and as several; leave one of them out."),
        (["space=dual"], "(in the space of the search, which space=NAME chooses; nothing was run)"),
        (["hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials=0: expected a whole number from 1"),
        (["hydra.sweeper.n_jobs=-1"], "hydra.sweeper.n_jobs=-1: expected a whole number from 1"),
        (["hydra.sweeper.max_failure_rate=-1"], "hydra.sweeper.max_failure_rate=-1.0: expected a number from 0 to 1"),
        (["hydra.sweeper.storage=sqlite:///o.db"], "hydra.sweeper.storage=sqlite:///o.db: type sweep.storage=URL"),
        *(
            []
            if find_spec("cmaes")
            else [(["hydra/sweeper/sampler=cmaes"], "needs cmaes, which is not installed: pip")]
        ),
        (["hydra.sweeper.direction=minimize"], "hydra.sweeper.direction=minimize: expected maximize"),
        (["hydra.sweeper.direction=[maximize,minimize]"], "expected maximize"),
        ([*ONE_EACH, "approach.bins=4"], "the search has nothing to choose from"),
        (["sweep.pruner=medain"], "sweep.pruner=medain: expected one of none, median, successive_halving, hyperband"),
        (
            ["space=mine"],
            "space=mine: no such option; choose from cutout, dual, histogram, pretrained, single, or write",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_one_line_before_anything_runs(
    shoepair: Command, typed: list[str], said: str
) -> None:
    outcome = shoepair(*QUICK, *typed)
    assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1, outcome.err
    assert not list(Path("outputs").glob("**/status.json")) if Path("outputs").exists() else True


@pytest.mark.parametrize("approach", ["single", "dual", "pretrained", "histogram"])
def test_every_approach_has_a_space_that_fits(
    approach: str, shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OptunaSweeperImpl, "sweep", lambda self, arguments: None)  # it is looked at, not searched
    outcome = shoepair("sweep=search", f"approach={approach}", "hydra.sweep.dir=outputs/s")
    assert "No trials are completed" not in outcome.err and "Traceback" not in outcome.err, outcome.err
    assert [len(trials) for trials in studies().values()] == [0]


def test_a_space_of_ones_own_is_a_file(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/space").mkdir(parents=True)
    (tmp_path / "mine/space/few.yaml").write_text(
        "# @package _global_\nhydra: {sweeper: {params: {approach.bins: 'choice(4, 6)'}}}\n"
    )
    outcome = shoepair("--config-dir", "mine", *QUICK, "space=few", "hydra.sweeper.n_trials=1")
    assert outcome.code == 0, outcome.err
    ((trial,),) = studies().values()
    assert set(trial.params) == {"approach.bins"} and trial_folder(0).name.startswith("0_bins-")


def test_a_study_knows_what_is_fixed_where_its_group_is_searched_and_in_a_space_of_ones_own(
    shoepair: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OptunaSweeperImpl, "sweep", lambda self, arguments: None)
    group = ("sweep=search", "approach=choice(dual,single)", "approach.kernel_size=3", "optimizer.lr=1e-3")
    for width in (2, 4, 4):
        assert not shoepair(*group, f"approach.width={width}").err
    assert len(studies()) == 2
    (tmp_path / "mine/space").mkdir(parents=True)
    for bins in ("4", "6", "[4, 6]"):
        (tmp_path / "mine/space/few.yaml").write_text(
            "# @package _global_\n"
            f"hydra: {{sweeper: {{params: {{data.seed: 'choice(0, 1)', approach.bins: '{bins}'}}}}}}\n"
        )
        outcome = shoepair("--config-dir", "mine", *QUICK, "space=few")
        assert bool(outcome.err) == ("[" in bins), outcome.err
    assert "approach.bins=[4, 6]: expected" in outcome.err and len(studies()) == 4


def test_a_text_is_chosen_as_a_multirun_would_have_it(shoepair: Command, tmp_path: Path) -> None:
    (tmp_path / "note.py").write_text(
        "import lightning\nclass Note(lightning.Callback):\n    def __init__(self, word): self.word = word\n"
    )
    (tmp_path / "mine/callbacks").mkdir(parents=True)
    (tmp_path / "mine/callbacks/note.yaml").write_text("note: {_target_: shoepair_plugin_note.Note, word: x}\n")
    typed = ("--config-dir", "mine", *QUICK, *ONE_EACH, "approach.bins=4", "callbacks=note", "plugins=[note.py]",
             "hydra/sweeper/sampler=grid", "hydra.sweeper.n_trials=9")  # fmt: skip
    words = ["a b", "ü, c=1", '"1"', "'x, y'"]
    outcome = shoepair(*typed, 'callbacks.note.word=choice("a b","ü, c=1")', "hydra.sweep.dir=outputs/one")
    assert outcome.code == 0, outcome.err
    outcome = shoepair(*typed, """callbacks.note.word="1",'x, y'""")
    assert outcome.code == 0, outcome.err
    found = {json.loads(path.read_text())["callbacks"]["note"]["word"] for path in Path("outputs").rglob("config.json")}
    assert found == {word.strip("\"'") for word in words}


def test_it_says_that_another_launcher_runs_one_trial_at_a_time(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OptunaSweeperImpl, "sweep", lambda self, arguments: None)
    said = "Search: one trial at a time; hydra.sweeper.n_jobs=N launches N at once."
    assert said in shoepair(*QUICK, "launcher=joblib").err
    assert said not in shoepair(*QUICK, "launcher=joblib", "hydra.sweeper.n_jobs=2").err


def test_what_is_taken_away_is_not_searched(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OptunaSweeperImpl, "sweep", lambda self, arguments: print(sorted(self.params)))
    outcome = shoepair(*QUICK, "optimizer=adamw", "~optimizer.weight_decay", "approach.bins=4")
    assert "['approach.dropout', 'optimizer.lr']" in outcome.out and not outcome.err, outcome.err


def test_what_is_added_by_plus_is_searched(shoepair: Command) -> None:
    outcome = shoepair(*QUICK, "+optimizer.amsgrad=choice(true,false)", "hydra.sweeper.n_trials=1")
    assert outcome.code == 0, outcome.err
    ((trial,),) = studies().values()
    assert "+optimizer.amsgrad" in trial.params


def test_a_search_whose_trials_all_fail_ends_with_their_leaderboard(
    shoepair: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoepair.training.train.train", lambda *arguments, **more: 1 / 0)
    outcome = shoepair(*QUICK, "hydra.sweeper.n_trials=1")
    assert outcome.code == 1 and "1 jobs: 1 failed" in outcome.out and "cannot choose" not in outcome.err


def test_a_sampler_that_cannot_choose_from_the_space_says_so(shoepair: Command) -> None:
    outcome = shoepair(*QUICK, "optimizer.lr=interval(0.1,0.2)", "hydra/sweeper/sampler=grid")
    assert outcome.code == 2 and "the search's sampler cannot choose: GridSampler only supports" in outcome.err


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.usefixtures("odd_trials_are_hopeless")
def test_a_search_prunes_goes_on_and_keeps_its_studies_apart(shoepair: Command) -> None:
    search = (*QUICK, "sweep.pruner=median")
    outcome = shoepair(*search, "hydra.sweeper.n_trials=4")
    assert outcome.code == 0, outcome.err  # pruned is no failure
    assert "4 jobs: 2 completed, 2 pruned" in outcome.out and "Pruned after epoch 1 of 2, validation" in outcome.out
    ((name, trials),) = studies().items()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED"]
    assert [len(trial.intermediate_values) for trial in trials] == [2, 1, 2, 1]
    assert Counter(row["status"] for row in board()) == {"completed": 2, "pruned": 2}
    assert "Failed" not in outcome.out and f"Study         {name}: 4 trials (2 complete, 2 pruned)" in outcome.out
    assert "(also of this command)" in outcome.out
    for picture in ("history", "importances", "parallel"):
        assert Path(f"outputs/search/search_{picture}.png").read_bytes().startswith(b"\x89PNG")

    # As if it had been killed: in trial 2 before it ended, and after trial 3 was pruned and before its study knew.
    completed = trial_folder(0).stat().st_mtime_ns
    (trial_folder(2) / "results.json").unlink()
    (trial_folder(2) / "status.json").write_text('{"status": "running", "since": "2026-01-01T00:00:00+00:00"}')
    with closing(sqlite3.connect("outputs/search.db")) as database, database:  # the second one commits
        database.execute("update trials set state = 'RUNNING' where number in (2, 3)")
    record = json.loads(Path("outputs/search/search.json").read_text())
    outcome = shoepair(*search, "hydra.sweeper.n_trials=5")
    assert outcome.code == 0, outcome.err
    assert "Going on in outputs/search: 1 completed, 1 interrupted, 2 pruned there." in outcome.out
    assert f"Going on with {trial_folder(2)}" in outcome.out and "Pruned before" in outcome.out
    (trials,) = studies().values()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "PRUNED", "COMPLETE", "PRUNED", "COMPLETE"]
    assert len(board()) == 5 and trial_folder(0).stat().st_mtime_ns == completed
    assert json.loads(Path("outputs/search/search.json").read_text())["trials"].items() >= record["trials"].items()

    # Other settings cannot go on in that folder; elsewhere they are another study.
    outcome = shoepair(*search, "trainer.max_epochs=1", "hydra.sweeper.n_trials=6")
    assert outcome.code == 2 and "expected a search of the same settings and space" in outcome.err
    other = [setting for setting in search if "sweep.dir" not in setting]
    outcome = shoepair(*other, "approach.bins=2", "hydra.sweeper.n_trials=1", "hydra.sweep.dir=outputs/other")
    assert outcome.code == 0, outcome.err
    first, second = studies().values()
    assert [len(first), len(second)] == [5, 1] and "approach.bins" not in second[0].params

    # The same settings are the same study: its best may be another command's.
    outcome = shoepair(*other, "hydra.sweeper.n_trials=1", "hydra.sweep.dir=outputs/again")
    assert outcome.code == 0 and "1 jobs: 1 pruned" in outcome.out and "(of another command, on " in outcome.out


@pytest.mark.slow
def test_a_trial_whose_job_is_lost_goes_on_under_its_number(shoepair: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one job that is lost while it trains, and one that never begins."""
    launch = BasicLauncher.launch
    once = {1, 3}

    def losing(self: BasicLauncher, jobs: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        (job,) = jobs
        number = int(job[-1].removeprefix("sweep.trial="))
        if number not in once:
            return launch(self, jobs, initial_job_idx)
        once.remove(number)
        if number == 1:
            launch(self, jobs, initial_job_idx)
            status = {"status": "running", "reason": None, "since": "2026-01-01T00:00:00+00:00"}
            (trial_folder(number) / "status.json").write_text(json.dumps(status))
        lost_jobs.append(list(job))
        return [JobReturn(status=JobStatus.COMPLETED)]

    monkeypatch.setattr(BasicLauncher, "launch", losing)
    outcome = shoepair(*QUICK, "hydra.sweeper.n_trials=4")
    assert outcome.code == 1 and "Go on with the same command and hydra.sweep.dir=outputs/search" in outcome.out
    ((name, trials),) = studies().items()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "RUNNING", "COMPLETE", "RUNNING"]
    once.add(3)  # and again
    outcome = shoepair(*QUICK, "hydra.sweeper.n_trials=4")
    assert [trial.state.name for trial in studies()[name]] == ["COMPLETE", "COMPLETE", "COMPLETE", "RUNNING"]
    assert f"Going on with {trial_folder(1)}" in outcome.out
    outcome = shoepair(*QUICK, "hydra.sweeper.n_trials=4")
    assert outcome.code == 0 and "4 jobs: 4 completed; 3 of them from before, 1 run now" in outcome.out, outcome.err
    assert {trial.state.name for trial in studies()[name]} == {"COMPLETE"}


@pytest.mark.slow
def test_a_job_of_submitit_that_is_lost_goes_on(tmp_path: Path) -> None:
    (tmp_path / "mine" / "callbacks").mkdir(parents=True)
    (tmp_path / "mine" / "callbacks" / "ends.yaml").write_text("ends:\n  _target_: shoepair_plugin_ends.Ends\n")
    (tmp_path / "mine" / "ends.py").write_text(
        "import os\nfrom pathlib import Path\nfrom lightning.pytorch.callbacks import Callback\n"
        "class Ends(Callback):\n    def on_train_start(self, trainer, module):\n"
        "        if Path(trainer.default_root_dir).name.startswith('1_') and not Path('once').exists():\n"
        "            Path('once').touch()\n            os._exit(9)\n"
    )
    command = [PROGRAM, *QUICK, "launcher=submitit", "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2",
               "plugins=[mine/ends.py]", "callbacks=ends", "--config-dir", "mine"]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "2 jobs: 1 completed, 1 interrupted" in done.stdout, done.stderr
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "2 jobs: 2 completed; 1 of them from before" in done.stdout, done.stderr


def test_pruners_end_what_is_hopeless_after_the_warmup() -> None:
    ended: dict[tuple[str, int], int] = {}
    for name, warmup in (("none", 1), ("median", 1), ("median", 4), ("successive_halving", 1)):
        search = train_settings("sweep=search", f"sweep.pruner={name}", f"sweep.warmup_epochs={warmup}").sweep
        assert search is not None
        study = optuna.create_study(direction="maximize", pruner=pruning.build_pruner(search, max_epochs=9))
        for accuracy in (0.7, 0.7, 0.7, 0.8, 0.9, 0.9, 0.6):
            trial = study.ask()
            num_epochs = 0
            for step in range(9):
                trial.report(accuracy, step)
                num_epochs += 1
                if trial.should_prune():
                    break
            study.tell(trial, accuracy)
        ended[name, warmup] = num_epochs
    assert ended["none", 1] == 9 and ended["median", 1] == 1 and ended["median", 4] == 4
    assert ended["successive_halving", 1] == 2
    hyperband = train_settings("sweep=search", "sweep.pruner=hyperband").sweep
    assert hyperband is not None
    assert isinstance(pruning.build_pruner(hyperband, max_epochs=9), optuna.pruners.HyperbandPruner)


@pytest.mark.long
@pytest.mark.slow
def test_a_killed_search_goes_on_to_a_leaderboard_of_every_trial_once(tmp_path: Path) -> None:
    kill_and_go_on_searching(tmp_path, times=3, seed=0)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit"])
def test_jobs_beside_one_another_are_pruned(tmp_path: Path, launcher: str) -> None:
    done = subprocess.run(
        [PROGRAM, *SEARCH, f"launcher={launcher}", "hydra.sweeper.n_jobs=2", "sweep.pruner=successive_halving",
         "sweep.warmup_epochs=1", "trainer.max_epochs=6", "hydra.sweep.dir=outputs/search"],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with closing(sqlite3.connect(tmp_path / "outputs/search.db")) as database:
        states = Counter(state for (state,) in database.execute("select state from trials"))
    assert states.keys() == {"COMPLETE", "PRUNED"} and sum(states.values()) == 8


@pytest.fixture
def postgres() -> Iterator[str]:
    """An empty database of a server of its own, on this machine only."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [Path(shutil.which("initdb") or "")]
    if not programs[-1].is_file() or importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL and psycopg are not both installed")
    place, port, as_user = programs[-1].parent, free_port(), []
    with tempfile.TemporaryDirectory() as data:  # pytest's folders are closed to other users
        if os.geteuid() == 0:  # the server refuses to be root's
            as_user = ["runuser", "-u", "postgres", "--"]
            shutil.chown(data, "postgres")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
        run = functools.partial(subprocess.run, check=True, capture_output=True, cwd=data)
        run([*as_user, place / "initdb", "-D", data, "-A", "trust", "-U", "postgres"])
        # Its output would keep the pipe open for as long as it runs.
        run([*as_user, place / "pg_ctl", "-D", data, "-w", "-l", f"{data}/log", "-o", options, "start"])
        try:
            run([place / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "shoepair"])
            yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/shoepair"
        finally:
            run([*as_user, place / "pg_ctl", "-D", data, "-m", "fast", "stop"])


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.mark.long
@pytest.mark.slow
def test_machines_share_a_study_through_a_server(tmp_path: Path, postgres: str) -> None:
    """Two that begin at once on an empty database, each in a folder of its own as on a machine of its own."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    started = [
        subprocess.Popen([PROGRAM, *SEARCH, f"sweep.storage={postgres}", "hydra.sweep.dir=outputs/search"], cwd=folder,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for folder in folders
    ]  # fmt: skip
    try:
        for process in started:
            out, err = process.communicate(timeout=300)
            assert process.returncode == 0 and "8 jobs: " in out, err
    finally:
        for process in started:
            process.kill()
    (name,) = optuna.get_all_study_names(postgres)
    trials = optuna.load_study(study_name=name, storage=postgres).trials
    assert [trial.number for trial in trials] == list(range(16))
    assert {trial.state.name for trial in trials} <= {"COMPLETE", "PRUNED"}
    of_folder = [
        {int(path.parent.name.partition("_")[0]) for path in folder.glob("outputs/search/*/status.json")}
        for folder in folders
    ]
    assert of_folder[0] | of_folder[1] == set(range(16)) and not of_folder[0] & of_folder[1]
